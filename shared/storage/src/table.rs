//! The DynamoDB table.

use crate::{
    Client, Failure, Settings,
    budget::ATTEMPT,
    clock::Clock,
    schema::{self, Expiry, Item, ItemError, Key, Policy},
};
use aws_sdk_dynamodb::{
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_item::builders::GetItemFluentBuilder, put_item::builders::PutItemFluentBuilder,
    },
    types::AttributeValue,
};
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt, stream};
use models::{Record, Timestamp};
use std::{pin::pin, time::Duration};

/// How many chunks of an item are read concurrently.
const CONCURRENT_GETS: usize = 8;

/// The largest difference between a command's clock and DynamoDB's that is corrected.
const MAX_OFFSET: Duration = Duration::from_secs(30);

/// The DynamoDB table of records.
#[derive(Debug, Clone)]
pub struct Table {
    pub(crate) client: aws_sdk_dynamodb::Client,
    pub(crate) name: String,
    policy: Policy,
    clock: Clock,
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
    #[error("the item cannot be read: {0}")]
    Item(#[from] ItemError),
    /// The item exists and its chunks do not. No writer stores an item without its chunks.
    #[error("the chunks of an item are missing")]
    ChunksMissing,
    /// Our clock and DynamoDB's differ by more than 30 s.
    #[error("this machine's clock is {0} s off: correct it first, since it stamps what is stored")]
    Clock(i64),
}

impl TableError {
    /// Whether the error is of one item, and not of the table. The next item may be readable.
    #[must_use]
    pub fn is_about_item(&self) -> bool {
        matches!(self, Self::Item(_) | Self::ChunksMissing)
    }

    /// One word for a log: AWS's error code, else the kind of failure.
    #[must_use]
    pub fn word(&self) -> &str {
        match self {
            Self::Failed(failure) => failure.word(),
            Self::Item(ItemError::OtherVersion) => "other_version",
            Self::Item(_) => "malformed",
            Self::ChunksMissing => "chunks_missing",
            Self::Clock(_) => "clock",
        }
    }
}

impl Table {
    /// Creates a table from settings. It connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        Self {
            client: client.dynamodb(settings),
            name: settings.table.clone(),
            policy: settings.policy,
            clock: client.clock.clone(),
        }
    }

    /// Creates a table over an SDK client of a command.
    #[must_use]
    pub fn from_client(client: &aws_sdk_dynamodb::Client, name: &str, policy: Policy) -> Self {
        let clock = Clock::default();
        let config = client.config().to_builder().interceptor(clock.clone());
        Self {
            client: aws_sdk_dynamodb::Client::from_conf(config.build()),
            name: name.to_owned(),
            policy,
            clock,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long events are stored. `None`: they never expire.
    #[must_use]
    pub fn retention(&self) -> Option<Duration> {
        self.policy.retention
    }

    /// The current time. With a background client, as DynamoDB's last response told it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Checks that our clock is right, before a command stores anything.
    ///
    /// # Errors
    /// [`TableError::Clock`].
    pub fn check_clock(&self) -> Result<(), TableError> {
        let seconds = self.clock.offset() / 1_000_000;
        if seconds.unsigned_abs() > MAX_OFFSET.as_secs() {
            return Err(TableError::Clock(-seconds));
        }
        Ok(())
    }

    /// Puts an item once: a second put of the same key does not change it. There is one exception:
    /// if a chunk or a shared body would expire before the record of the second writer, its expiry
    /// is extended. `recorded` is the time that an event is stamped with.
    ///
    /// # Errors
    /// [`TableError`]: the table did not confirm the put in time.
    pub async fn put(&self, item: Item, recorded: Timestamp) -> Result<PutOutcome, TableError> {
        self.try_put(item, recorded)
            .await
            .map_err(TableError::Failed)
    }

    /// Like [`put`](Self::put), with the only kind of error that a put has.
    pub(crate) async fn try_put(
        &self,
        mut item: Item,
        recorded: Timestamp,
    ) -> Result<PutOutcome, Failure> {
        schema::stamp(&mut item, recorded);
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
        let now = self.now();
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
            return Ok(Some(Stored::from_items(head, chunks)?));
        }
        // An item is put after its chunks. So the item was replaced or removed since it was read,
        // or it expired and DynamoDB deleted its chunks first.
        let Some(head) = self.item(&schema::key(&head)).await? else {
            return Ok(None);
        };
        if schema::is_being_removed(&head) || is_expired(&head, self.now()) {
            return Ok(None);
        }
        match self.chunks(&head).await? {
            Some(chunks) => Ok(Some(Stored::from_items(head, chunks)?)),
            None => Err(TableError::ChunksMissing),
        }
    }

    /// Puts a record once, as [`put`](Self::put) puts each of its items.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_record(
        &self,
        record: Record,
        expiry: Expiry,
    ) -> Result<PutOutcome, TableError> {
        let mut outcome = PutOutcome::Duplicate;
        for item in self.encode(record, expiry) {
            outcome = self.put(item, self.now()).await?;
        }
        Ok(outcome)
    }

    /// Puts an event that a replay moves to another key. It keeps the time at which it was
    /// recorded and its expiry, and is marked as `moved`: it was delivered under its old key
    /// already.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_moved(&self, record: Record, old: &Stored) -> Result<PutOutcome, TableError> {
        let mut outcome = PutOutcome::Duplicate;
        for mut item in self.encode(record, Expiry::same(old.expires)) {
            schema::mark_moved(&mut item);
            let recorded = old.recorded.unwrap_or_else(|| self.now());
            outcome = self.put(item, recorded).await?;
        }
        Ok(outcome)
    }

    /// Replaces the item under the record's key. It keeps the time at which it was recorded, and
    /// its expiry.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn replace(&self, record: Record, old: &Stored) -> Result<(), TableError> {
        let key = Key::from_record(&record);
        let items = self.encode(record, Expiry::same(old.expires));
        let chunks = items.iter().filter(|item| schema::is_chunk(item));
        let chunks: Vec<Key> = chunks.map(schema::key).collect();
        for mut item in items {
            schema::stamp(&mut item, old.recorded.unwrap_or_else(|| self.now()));
            let put = self.client.put_item().table_name(&self.name);
            put.set_item(Some(item)).send().await?;
        }
        self.remove_other_chunks(&key, &chunks).await
    }

    /// Encodes a record as items, in the order in which they must be put.
    #[must_use]
    pub fn encode(&self, record: Record, expiry: Expiry) -> Vec<Item> {
        schema::encode(record, expiry, self.policy.compress_above)
    }

    /// The expiry of records that are stored now.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        Expiry::at(self.now(), &self.policy)
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

    /// Whether items with all of these keys exist. Checks several concurrently, and reads only
    /// their keys.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn has_all(&self, keys: Vec<Key>) -> Result<bool, TableError> {
        // Boxed, because the compiler cannot otherwise prove that the future is `Send`.
        let gets = stream::iter(keys).map(|key| self.has(key).boxed());
        let mut gets = gets.buffer_unordered(CONCURRENT_GETS);
        while let Some(is_there) = gets.next().await {
            if !is_there? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(crate) async fn has(&self, key: Key) -> Result<bool, TableError> {
        let get = self.get_item(&key).projection_expression("pk");
        Ok(get.send().await?.item.is_some())
    }

    pub(crate) async fn item(&self, key: &Key) -> Result<Option<Item>, TableError> {
        Ok(self.get_item(key).send().await?.item)
    }

    /// Reads all items of a small partition.
    pub(crate) async fn partition(&self, pk: String) -> Result<Vec<Item>, TableError> {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", AttributeValue::S(pk));
        Ok(query.into_paginator().items().send().try_collect().await?)
    }

    fn get_item(&self, key: &Key) -> GetItemFluentBuilder {
        self.client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(schema::key_attributes(key)))
            .consistent_read(true)
    }

    /// Streams all records in no order, page by page, and the keys of what is no complete record.
    /// Reads the whole table.
    pub fn scan(&self) -> impl Stream<Item = Result<Scanned, TableError>> {
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .consistent_read(true);
        let pages = scan.into_paginator().items().send();
        let items = stream::unfold(pages, async |mut pages| {
            Some((pages.next().await?.map_err(TableError::from), pages))
        });
        items.filter_map(async |item| self.scanned(item).await.transpose())
    }

    pub(crate) async fn scanned(
        &self,
        item: Result<Item, TableError>,
    ) -> Result<Option<Scanned>, TableError> {
        let item = item?;
        let key = schema::key(&item);
        if schema::is_chunk(&item) {
            // DynamoDB deletes expired items in any order, so the record may be gone before it.
            let owner = schema::chunk_owner(&key).filter(|_| !is_expired(&item, self.now()));
            return Ok(owner.map(Scanned::ChunkOf));
        }
        if !schema::may_be_record(&item) {
            return Ok(None);
        }
        if schema::is_being_removed(&item) {
            return Ok(Some(Scanned::HalfRemoved(key)));
        }
        match self.whole(item).await {
            Ok(stored) => Ok(stored.map(|stored| Scanned::Record(Box::new(stored)))),
            Err(TableError::ChunksMissing) => Ok(Some(Scanned::Incomplete(key))),
            Err(error) => Err(error),
        }
    }

    /// Reads all complete records, in no order. Scans the whole table.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn records(&self) -> Result<Vec<Record>, TableError> {
        let mut scan = pin!(self.scan());
        let mut records = Vec::new();
        while let Some(scanned) = scan.try_next().await? {
            match scanned {
                Scanned::Record(stored) => records.push(stored.record),
                Scanned::HalfRemoved(_) | Scanned::ChunkOf(_) => {}
                Scanned::Incomplete(_) => return Err(TableError::ChunksMissing),
            }
        }
        Ok(records)
    }
}

/// A result of [`Table::scan`] or [`Table::quarantined`].
#[derive(Debug)]
pub enum Scanned {
    /// A complete record.
    Record(Box<Stored>),
    /// The key of a record whose removal was interrupted.
    HalfRemoved(Key),
    /// The key of a record whose chunks are missing.
    Incomplete(Key),
    /// The key of the record that a chunk belongs to.
    ChunkOf(Key),
}

impl Scanned {
    /// The key of the record.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Record(stored) => &stored.key,
            Self::HalfRemoved(key) | Self::Incomplete(key) | Self::ChunkOf(key) => key,
        }
    }
}

/// A record as it is stored in the table.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The key of its item.
    pub key: Key,
    /// When it was recorded. Only an event has this time.
    pub recorded: Option<Timestamp>,
    /// When it expires, in seconds since 1970. `None`: never.
    pub expires: Option<i64>,
    /// Whether a replay moved the event to this key.
    pub is_moved: bool,
    /// The record.
    pub record: Record,
}

impl Stored {
    fn from_items(item: Item, chunks: Vec<Item>) -> Result<Self, ItemError> {
        Ok(Self {
            key: schema::key(&item),
            recorded: schema::recorded(&item),
            expires: schema::expiry(&item),
            is_moved: schema::is_moved(&item),
            record: schema::decode(item, chunks)?,
        })
    }
}

fn is_expired(item: &Item, now: Timestamp) -> bool {
    schema::expiry(item).is_some_and(|expires| expires <= now.as_seconds())
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

impl<E: ProvideErrorMetadata> From<SdkError<E>> for TableError {
    fn from(error: SdkError<E>) -> Self {
        Self::Failed(Failure::from(&error))
    }
}
