//! The table.

use crate::{
    Client, Failure, Settings,
    budget::{ATTEMPT, now},
    schema::{self, Item, ItemError, Key},
};
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::put_item::builders::PutItemFluentBuilder,
    types::AttributeValue,
};
use futures_util::{FutureExt, StreamExt, stream};
use models::{Record, Timestamp};
use std::time::Duration;

/// How many parts of an item are asked for at the same time.
const CONCURRENT_GETS: usize = 8;

/// The table that records are kept in.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) name: String,
    retention: Option<Duration>,
}

/// How an item came to be in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is new.
    Inserted,
    /// It was there: a retry, a copy, or our own put whose answer was lost.
    Duplicate,
}

/// Why the table did not give what it was asked for. Holds no value of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// It did not do in time what it was asked.
    #[error("the table {0}")]
    Failed(Failure),
    /// It has something that an earlier or a later Hookkeeper wrote, or somebody else.
    #[error("the item was not written by this version of Hookkeeper")]
    OtherVersion,
    /// An item is there and its parts are not.
    #[error("the parts of an item are missing")]
    PartsMissing,
}

pub(crate) const OTHER_VERSION: TableError = TableError::OtherVersion;

/// An item is there and its parts are not, which no writer leaves behind.
const PARTS_MISSING: TableError = TableError::PartsMissing;

impl TableError {
    /// One word for a log: AWS's error code, else the kind of failure.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Failed(failure) => failure.word(),
            Self::OtherVersion => "other_version",
            Self::PartsMissing => "parts_missing",
        }
    }
}

impl Table {
    /// The table of these settings. Connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        Self::over(
            client.dynamodb(settings),
            &settings.table,
            settings.retention,
        )
    }

    /// A table behind a client of the SDK's; new events expire after the retention, or never.
    #[must_use]
    pub fn over(client: aws_sdk_dynamodb::Client, name: &str, retention: Option<Duration>) -> Self {
        Self {
            client,
            name: name.to_owned(),
            retention,
        }
    }

    /// Puts an item, once: a second put of the same key changes nothing. That of a part makes it stay for longer, where it
    /// would expire before the record that the second writer is about to put.
    ///
    /// # Errors
    /// [`TableError`]: the table did not say in time that it has it.
    pub async fn put(&self, item: Item) -> Result<PutOutcome, TableError> {
        self.try_put(item).await.map_err(TableError::Failed)
    }

    /// The same. A put fails in no other way.
    pub(crate) async fn try_put(&self, mut item: Item) -> Result<PutOutcome, Failure> {
        schema::stamp(&mut item, now(), self.expiry());
        self.put_stamped(item).await
    }

    async fn put_stamped(&self, item: Item) -> Result<PutOutcome, Failure> {
        let put = on_condition(self.client.put_item().table_name(&self.name), &item);
        match put.set_item(Some(item)).send().await {
            Ok(_) => Ok(PutOutcome::Inserted),
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                Ok(PutOutcome::Duplicate)
            }
            Err(error) => Err(Failure::from(&error)),
        }
    }

    /// Makes the first put of a process one of many: opens the connection, and goes all the way of a put, of which the
    /// condition says that it changes nothing. Fails silently, since a delivery would find that out by itself.
    pub async fn warm_up(&self) {
        let now = now();
        // Another one each time, since many processes that start together would all go to one partition.
        let key = AttributeValue::S(format!("warm-up#{now}"));
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .item("pk", key.clone())
            .item("sk", key);
        tokio::time::timeout(
            ATTEMPT,
            put.condition_expression("attribute_exists(pk)").send(),
        )
        .await
        .ok();
    }

    /// What is stored under a key, put together from its parts; `None` where there is nothing, or not yet all of it.
    ///
    /// # Errors
    /// [`TableError`]: the table did not answer, the item is of another version, or its parts are gone and it is not.
    pub async fn get(&self, key: &Key) -> Result<Option<Stored>, TableError> {
        match self.item(key).await? {
            Some(head) => self.whole(head).await,
            None => Ok(None),
        }
    }

    /// The record of an item, with its parts; `None` where it is being removed or has expired.
    pub(crate) async fn whole(&self, head: Item) -> Result<Option<Stored>, TableError> {
        if schema::is_being_removed(&head) {
            return Ok(None);
        }
        if let Some(parts) = self.parts(&head).await? {
            return unpacked(head, parts).map(Some);
        }
        // An item is put after its parts. So it was replaced or removed since it was read, or DynamoDB deleted the parts
        // of an expired item before the item.
        let Some(head) = self.item(&schema::key(&head)).await? else {
            return Ok(None);
        };
        if schema::is_being_removed(&head) || is_expired(&head) {
            return Ok(None);
        }
        match self.parts(&head).await? {
            Some(parts) => unpacked(head, parts).map(Some),
            None => Err(PARTS_MISSING),
        }
    }

    /// Puts a record as it is read now in the place of what stands under its key, to go when that would have gone.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn replace(&self, record: Record, expires: Option<i64>) -> Result<(), TableError> {
        let key = Key::of(&record);
        let items = stamped(record, expires);
        let parts: Vec<Key> = items
            .iter()
            .filter(|item| schema::is_part(item))
            .map(schema::key)
            .collect();
        for item in items {
            self.client
                .put_item()
                .table_name(&self.name)
                .set_item(Some(item))
                .send()
                .await?;
        }
        self.remove_other_parts(&key, &parts).await
    }

    /// Puts a record, once, to go when another one would have gone.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_until(
        &self,
        record: Record,
        expires: Option<i64>,
    ) -> Result<PutOutcome, TableError> {
        let mut kept = PutOutcome::Duplicate;
        for item in stamped(record, expires) {
            kept = self.put_stamped(item).await.map_err(TableError::Failed)?;
        }
        Ok(kept)
    }

    /// When an event that is put now goes, in seconds since 1970, where it is not to stay for ever.
    #[must_use]
    pub fn expiry(&self) -> Option<i64> {
        self.retention.map(|retention| {
            now()
                .as_seconds()
                .saturating_add_unsigned(retention.as_secs())
        })
    }

    /// The parts of an item, in their order; `None` when one of them is not there yet.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn parts(&self, head: &Item) -> Result<Option<Vec<Item>>, TableError> {
        let mut parts = Vec::new();
        for key in schema::part_keys(head) {
            match self.item(&key).await? {
                Some(part) => parts.push(part),
                None => return Ok(None),
            }
        }
        Ok(Some(parts))
    }

    /// Whether all parts of an item are there. Asks for several at the same time, and for none of their bytes.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn has_parts(&self, head: &Item) -> Result<bool, TableError> {
        let keys = schema::part_keys(head);
        // Boxed, since the compiler does not see otherwise that it may be sent to another thread.
        let gets = stream::iter(keys).map(|key| self.has_part(key).boxed());
        let mut gets = gets.buffer_unordered(CONCURRENT_GETS);
        while let Some(is_there) = gets.next().await {
            if !is_there? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn has_part(&self, key: Key) -> Result<bool, TableError> {
        let get = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(schema::key_attributes(&key)));
        let answer = get
            .projection_expression("pk")
            .consistent_read(true)
            .send()
            .await?;
        Ok(answer.item.is_some())
    }

    pub(crate) async fn item(&self, key: &Key) -> Result<Option<Item>, TableError> {
        let get = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(schema::key_attributes(key)));
        Ok(get.consistent_read(true).send().await?.item)
    }

    /// All records that are there whole, in no order. Reads the whole table, page by page.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn records(&self) -> Result<Vec<Record>, TableError> {
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true);
        let mut items = scan.into_paginator().items().send();
        let mut records = Vec::new();
        while let Some(item) = items.next().await {
            let item = item?;
            if !schema::is_part(&item) {
                records.extend(self.whole(item).await?.map(|stored| stored.record));
            }
        }
        Ok(records)
    }
}

/// A record as it stands in the table.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Where it stands.
    pub key: Key,
    /// When it was put there.
    pub kept: Timestamp,
    /// When it goes, in seconds since 1970, where it is not to stay for ever.
    pub expires: Option<i64>,
    /// What it is.
    pub record: Record,
}

impl Stored {
    fn of(item: Item) -> Result<Self, ItemError> {
        let text = |name| schema::attribute(&item, name).ok_or(ItemError::Attribute(name));
        let key = Key {
            pk: text("pk")?.to_owned(),
            sk: text("sk")?.to_owned(),
        };
        let kept = Timestamp::parse(text("kept")?).ok_or(ItemError::Attribute("kept"))?;
        let expires = schema::expiry(&item);
        Ok(Self {
            key,
            kept,
            expires,
            record: schema::decode(item)?,
        })
    }
}

/// The record of an item and its parts.
fn unpacked(mut head: Item, parts: Vec<Item>) -> Result<Stored, TableError> {
    let stored = schema::unpack(&mut head, parts).and_then(|()| Stored::of(head));
    stored.map_err(|_| OTHER_VERSION)
}

fn is_expired(item: &Item) -> bool {
    schema::expiry(item).is_some_and(|expires| expires <= now().as_seconds())
}

/// Puts an item where there is none yet. In the place of a part or of a shared body there may be the same one, since its key
/// names its bytes, and it must not expire before this one would.
fn on_condition(put: PutItemFluentBuilder, item: &Item) -> PutItemFluentBuilder {
    if !schema::is_part(item) && !schema::is_shared_body(item) {
        return put.condition_expression("attribute_not_exists(pk)");
    }
    match item.get("expires") {
        None => put.condition_expression("attribute_not_exists(pk) OR attribute_exists(expires)"),
        Some(expires) => put
            .condition_expression("attribute_not_exists(pk) OR expires < :expires")
            .expression_attribute_values(":expires", expires.clone()),
    }
}

/// The items of a record, in their order, that are put now and go at a given time.
fn stamped(record: Record, expires: Option<i64>) -> Vec<Item> {
    let mut items = schema::encode(record);
    for item in &mut items {
        schema::stamp(item, now(), expires);
    }
    items
}

impl<E: ProvideErrorMetadata> From<SdkError<E>> for TableError {
    fn from(error: SdkError<E>) -> Self {
        Self::Failed(Failure::from(&error))
    }
}
