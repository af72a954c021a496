//! The table.

use crate::{
    Client, Failure, Settings,
    item::{self, Item, ItemError, Key},
    time::{ATTEMPT, now},
};
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
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
pub enum Kept {
    /// It is new.
    New,
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
}

pub(crate) const OTHER_VERSION: TableError = TableError::OtherVersion;

impl TableError {
    /// One word for a log: AWS's error code, else the kind of failure.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Failed(failure) => failure.word(),
            Self::OtherVersion => "other_version",
        }
    }
}

impl Table {
    /// The table of these settings. Connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        Self::over(client.dynamodb(settings), &settings.table, settings.retention)
    }

    /// A table behind a client of the SDK's; new events expire after the retention, or never.
    #[must_use]
    pub fn over(client: aws_sdk_dynamodb::Client, name: &str, retention: Option<Duration>) -> Self {
        Self { client, name: name.to_owned(), retention }
    }

    /// Puts an item, once: a second put of the same key changes nothing.
    ///
    /// # Errors
    /// [`TableError`]: the table did not say in time that it has it.
    pub async fn put(&self, item: Item) -> Result<Kept, TableError> {
        self.try_put(item).await.map_err(TableError::Failed)
    }

    /// The same. A put fails in no other way.
    pub(crate) async fn try_put(&self, mut item: Item) -> Result<Kept, Failure> {
        item::stamp(&mut item, now(), self.expiry());
        self.put_stamped(item).await
    }

    async fn put_stamped(&self, item: Item) -> Result<Kept, Failure> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(Kept::New),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(Kept::Duplicate)
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
        let put = self.client.put_item().table_name(&self.name).item("pk", key.clone()).item("sk", key);
        tokio::time::timeout(ATTEMPT, put.condition_expression("attribute_exists(pk)").send()).await.ok();
    }

    /// What is stored under a key, put together from its parts; `None` where there is nothing, or not yet all of it.
    ///
    /// # Errors
    /// [`TableError`]: the table did not answer, or the item is of another version.
    pub async fn get(&self, key: &Key) -> Result<Option<Stored>, TableError> {
        match self.item(&key.pk, &key.sk).await? {
            Some(head) => self.whole(head).await,
            None => Ok(None),
        }
    }

    pub(crate) async fn whole(&self, mut head: Item) -> Result<Option<Stored>, TableError> {
        let Some(parts) = self.parts(&head).await? else { return Ok(None) };
        let stored = item::unpack(&mut head, parts).and_then(|()| Stored::of(head));
        stored.map(Some).map_err(|_| OTHER_VERSION)
    }

    /// Puts a record as it is read now in the place of what stands under its key, to go when that would have gone.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn replace(&self, record: Record, expires: Option<i64>) -> Result<(), TableError> {
        for item in stamped(record, expires) {
            self.client.put_item().table_name(&self.name).set_item(Some(item)).send().await?;
        }
        Ok(())
    }

    /// Puts a record, once, to go when another one would have gone.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_until(&self, record: Record, expires: Option<i64>) -> Result<Kept, TableError> {
        let mut kept = Kept::Duplicate;
        for item in stamped(record, expires) {
            kept = self.put_stamped(item).await.map_err(TableError::Failed)?;
        }
        Ok(kept)
    }

    /// When an event that is put now goes, in seconds since 1970, where it is not to stay for ever.
    #[must_use]
    pub fn expiry(&self) -> Option<i64> {
        self.retention.map(|retention| now().as_seconds().saturating_add_unsigned(retention.as_secs()))
    }

    /// Removes what stands under a key. Its parts, where it has any, may be another record's too and stay.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn remove(&self, key: &Key) -> Result<(), TableError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let delete = self.client.delete_item().table_name(&self.name).key("pk", text(&key.pk)).key("sk", text(&key.sk));
        delete.send().await?;
        Ok(())
    }

    /// The parts of an item, in their order; `None` when one of them is not there yet.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn parts(&self, head: &Item) -> Result<Option<Vec<Item>>, TableError> {
        let mut parts = Vec::new();
        for pk in item::part_keys(head) {
            match self.item(&pk, "part").await? {
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
        let keys: Vec<String> = item::part_keys(head).collect();
        // Boxed, since the compiler does not see otherwise that it may be sent to another thread.
        let gets = stream::iter(keys).map(|pk| self.has_part(pk).boxed());
        let mut gets = gets.buffer_unordered(CONCURRENT_GETS);
        while let Some(is_there) = gets.next().await {
            if !is_there? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn has_part(&self, pk: String) -> Result<bool, TableError> {
        let sk = AttributeValue::S("part".to_owned());
        let get = self.client.get_item().table_name(&self.name).key("pk", AttributeValue::S(pk)).key("sk", sk);
        let answer = get.projection_expression("pk").consistent_read(true).send().await?;
        Ok(answer.item.is_some())
    }

    async fn item(&self, pk: &str, sk: &str) -> Result<Option<Item>, TableError> {
        let key = |text: &str| AttributeValue::S(text.to_owned());
        let get = self.client.get_item().table_name(&self.name).key("pk", key(pk)).key("sk", key(sk));
        Ok(get.consistent_read(true).send().await?.item)
    }

    /// All records that are there whole, in no order. Reads the whole table, page by page.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn records(&self) -> Result<Vec<Record>, TableError> {
        let scan = self.client.scan().table_name(&self.name).consistent_read(true);
        let mut items = scan.into_paginator().items().send();
        let mut records = Vec::new();
        while let Some(item) = items.next().await {
            let item = item?;
            if !item::is_part(&item) {
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
        let text = |name| item::attribute(&item, name).ok_or(ItemError::Attribute(name));
        let key = Key { pk: text("pk")?.to_owned(), sk: text("sk")?.to_owned() };
        let kept = Timestamp::parse(text("kept")?).ok_or(ItemError::Attribute("kept"))?;
        let expires = item.get("expires").and_then(|it| it.as_n().ok()?.parse().ok());
        Ok(Self { key, kept, expires, record: item::decode(item)? })
    }
}

/// The items of a record, in their order, that are put now and go at a given time.
fn stamped(record: Record, expires: Option<i64>) -> Vec<Item> {
    let mut items = item::encode(record);
    for item in &mut items {
        item::stamp(item, now(), expires);
    }
    items
}

impl<E: ProvideErrorMetadata> From<SdkError<E>> for TableError {
    fn from(error: SdkError<E>) -> Self {
        Self::Failed(Failure::from(&error))
    }
}
