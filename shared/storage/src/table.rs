//! The DynamoDB table.

use crate::{
    Client, Failure, Settings,
    budget::{ATTEMPT, now},
    schema::{self, Item, ItemError, Key},
};
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_item::builders::GetItemFluentBuilder, put_item::builders::PutItemFluentBuilder,
    },
    types::AttributeValue,
};
use futures_util::{FutureExt, StreamExt, stream};
use models::{Record, Timestamp};
use std::time::Duration;

/// How many chunks of an item are read concurrently.
const CONCURRENT_GETS: usize = 8;

/// The DynamoDB table of records.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) name: String,
    retention: Option<Duration>,
}

/// The outcome of putting an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is new.
    Inserted,
    /// It was already there: from a retry, from a copy, or from a put of ours whose response was
    /// lost.
    Duplicate,
}

/// An error of the table. Contains no value of a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The request failed, or did not complete in time.
    #[error("the table {0}")]
    Failed(Failure),
    /// The item was written by another version of Hookkeeper, or by other software.
    #[error("the item was not written by this version of Hookkeeper")]
    OtherVersion,
    /// The item exists and its chunks do not. No writer stores an item without its chunks.
    #[error("the parts of an item are missing")]
    ChunksMissing,
}

impl TableError {
    /// One word for a log: AWS's error code, else the kind of failure.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Failed(failure) => failure.word(),
            Self::OtherVersion => "other_version",
            Self::ChunksMissing => "parts_missing",
        }
    }
}

impl Table {
    /// Creates a table from settings. It connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        Self::from_client(
            client.dynamodb(settings),
            &settings.table,
            settings.retention,
        )
    }

    /// Creates a table over an SDK client. New events expire after `retention`, or never.
    #[must_use]
    pub fn from_client(
        client: aws_sdk_dynamodb::Client,
        name: &str,
        retention: Option<Duration>,
    ) -> Self {
        Self {
            client,
            name: name.to_owned(),
            retention,
        }
    }

    /// Puts an item once: a second put of the same key does not change it. There is one exception:
    /// if a chunk or a shared body would expire before the record of the second writer, its expiry
    /// is extended.
    ///
    /// # Errors
    /// [`TableError`]: the table did not confirm the put in time.
    pub async fn put(&self, item: Item) -> Result<PutOutcome, TableError> {
        self.try_put(item).await.map_err(TableError::Failed)
    }

    /// Like [`put`](Self::put), with the only kind of error that a put has.
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

    /// Opens the connection and runs a complete put, so that the first delivery does not wait for
    /// that. The condition of the put is never true, so it changes nothing. Ignores a failure: a
    /// delivery would see it too.
    pub async fn warm_up(&self) {
        let now = now();
        // A different key each time: many processes that start together would otherwise all use one
        // partition.
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

    /// Reads a record with its chunks. Returns `None` if it does not exist or is not complete yet.
    ///
    /// # Errors
    /// [`TableError`]: the request failed, the item is of another version, or the item still exists
    /// and its chunks do not.
    pub async fn get(&self, key: &Key) -> Result<Option<Stored>, TableError> {
        match self.item(key).await? {
            Some(head) => self.whole(head).await,
            None => Ok(None),
        }
    }

    /// Reads the chunks of an item and decodes the record. Returns `None` if it is being removed or
    /// has expired.
    pub(crate) async fn whole(&self, head: Item) -> Result<Option<Stored>, TableError> {
        if schema::is_being_removed(&head) {
            return Ok(None);
        }
        if let Some(chunks) = self.chunks(&head).await? {
            return decode_stored(head, chunks).map(Some);
        }
        // An item is put after its chunks. So the item was replaced or removed since it was read,
        // or it expired and DynamoDB deleted its chunks first.
        let Some(head) = self.item(&schema::key(&head)).await? else {
            return Ok(None);
        };
        if schema::is_being_removed(&head) || is_expired(&head) {
            return Ok(None);
        }
        match self.chunks(&head).await? {
            Some(chunks) => decode_stored(head, chunks).map(Some),
            None => Err(TableError::ChunksMissing),
        }
    }

    /// Replaces the item under the record's key, with the given expiry of the replaced item in
    /// seconds since 1970.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn replace(&self, record: Record, expires: Option<i64>) -> Result<(), TableError> {
        let key = Key::from_record(&record);
        let items = stamped(record, expires);
        let chunks: Vec<Key> = items
            .iter()
            .filter(|item| schema::is_chunk(item))
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
        self.remove_other_chunks(&key, &chunks).await
    }

    /// Puts a record once, with the given expiry of another record in seconds since 1970.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_until(
        &self,
        record: Record,
        expires: Option<i64>,
    ) -> Result<PutOutcome, TableError> {
        let mut outcome = PutOutcome::Duplicate;
        for item in stamped(record, expires) {
            outcome = self.put_stamped(item).await.map_err(TableError::Failed)?;
        }
        Ok(outcome)
    }

    /// The expiry of an event that is put now, in seconds since 1970. `None`: it never expires.
    #[must_use]
    pub fn expiry(&self) -> Option<i64> {
        self.retention.map(|retention| {
            now()
                .as_seconds()
                .saturating_add_unsigned(retention.as_secs())
        })
    }

    /// Reads the chunks of an item, in order. Returns `None` if one of them does not exist yet.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn chunks(&self, head: &Item) -> Result<Option<Vec<Item>>, TableError> {
        let mut chunks = Vec::new();
        for key in schema::chunk_keys(head) {
            match self.item(&key).await? {
                Some(chunk) => chunks.push(chunk),
                None => return Ok(None),
            }
        }
        Ok(Some(chunks))
    }

    /// Whether all chunks of an item exist. Checks several concurrently, and reads only their keys.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn has_chunks(&self, head: &Item) -> Result<bool, TableError> {
        let keys = schema::chunk_keys(head);
        // Boxed, because the compiler cannot otherwise prove that the future is `Send`.
        let gets = stream::iter(keys).map(|key| self.has_chunk(key).boxed());
        let mut gets = gets.buffer_unordered(CONCURRENT_GETS);
        while let Some(is_there) = gets.next().await {
            if !is_there? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn has_chunk(&self, key: Key) -> Result<bool, TableError> {
        let get = self.get_item(&key).projection_expression("pk");
        Ok(get.send().await?.item.is_some())
    }

    pub(crate) async fn item(&self, key: &Key) -> Result<Option<Item>, TableError> {
        Ok(self.get_item(key).send().await?.item)
    }

    fn get_item(&self, key: &Key) -> GetItemFluentBuilder {
        self.client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(schema::key_attributes(key)))
            .consistent_read(true)
    }

    /// Reads all complete records, in no order. Scans the whole table, page by page.
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
            if !schema::is_chunk(&item) {
                records.extend(self.whole(item).await?.map(|stored| stored.record));
            }
        }
        Ok(records)
    }
}

/// A record as it is stored in the table.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The key of its item.
    pub key: Key,
    /// When it was stored.
    pub kept: Timestamp,
    /// When it expires, in seconds since 1970. `None`: never.
    pub expires: Option<i64>,
    /// The record.
    pub record: Record,
}

impl Stored {
    fn from_item(item: Item) -> Result<Self, ItemError> {
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

/// Decodes the record of an item and its chunks.
fn decode_stored(mut head: Item, chunks: Vec<Item>) -> Result<Stored, TableError> {
    let stored = schema::decompress(&mut head, chunks).and_then(|()| Stored::from_item(head));
    stored.map_err(|_| TableError::OtherVersion)
}

fn is_expired(item: &Item) -> bool {
    schema::expiry(item).is_some_and(|expires| expires <= now().as_seconds())
}

/// Adds the condition that the item does not exist yet. The key of a chunk or of a shared body
/// identifies its bytes, so the same one may already exist. It is replaced if it would expire
/// before the new one.
fn on_condition(put: PutItemFluentBuilder, item: &Item) -> PutItemFluentBuilder {
    if !schema::is_chunk(item) && !schema::is_shared_body(item) {
        return put.condition_expression("attribute_not_exists(pk)");
    }
    match item.get("expires") {
        None => put.condition_expression("attribute_not_exists(pk) OR attribute_exists(expires)"),
        Some(expires) => put
            .condition_expression("attribute_not_exists(pk) OR expires < :expires")
            .expression_attribute_values(":expires", expires.clone()),
    }
}

/// Returns the items of a record, in order, stamped with the current time and with an expiry.
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
