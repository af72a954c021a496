//! The table.

use crate::{
    Client, Settings,
    item::{self, Item},
    time::ATTEMPT,
};
use aws_sdk_dynamodb::{error::SdkError, types::AttributeValue};
use models::{Record, Timestamp};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The table that records are kept in.
#[derive(Debug, Clone)]
pub struct Table {
    client: aws_sdk_dynamodb::Client,
    name: String,
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

/// The table did not do in time what it was asked. Says the kind of failure and no value of a record.
#[derive(Debug, thiserror::Error)]
#[error("the table did not answer ({0})")]
pub struct TableError(&'static str);

impl TableError {
    /// The kind of failure, in one word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.0
    }
}

impl Table {
    /// The table of these settings. Connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        let (name, retention) = (settings.table.clone(), settings.retention);
        Self { client: client.dynamodb(settings), name, retention }
    }

    /// Puts an item, once: a second put of the same key changes nothing.
    ///
    /// # Errors
    /// [`TableError`]: the table did not say in time that it has it.
    pub async fn put(&self, mut item: Item) -> Result<Kept, TableError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        item::stamp(&mut item, Timestamp::from_unix(now), self.retention);
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        match put.condition_expression("attribute_not_exists(pk)").send().await {
            Ok(_) => Ok(Kept::New),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(Kept::Duplicate)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the first put of a process one of many: opens the connection, and goes all the way of a put, of which the
    /// condition says that it changes nothing. Fails silently, since a delivery would find that out by itself.
    pub async fn warm_up(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Another one each time, since many processes that start together would all go to one partition.
        let key = AttributeValue::S(format!("warm-up#{}", now.as_nanos()));
        let put = self.client.put_item().table_name(&self.name).item("pk", key.clone()).item("sk", key);
        tokio::time::timeout(ATTEMPT, put.condition_expression("attribute_exists(pk)").send()).await.ok();
    }

    /// The record of a key, put together from its parts; `None` where there is none, or not yet all of it.
    ///
    /// # Errors
    /// [`TableError`]: the table did not answer, or the item is of another version.
    pub async fn get(&self, pk: &str, sk: &str) -> Result<Option<Record>, TableError> {
        match self.item(pk, sk).await? {
            Some(head) => self.whole(head).await,
            None => Ok(None),
        }
    }

    async fn whole(&self, mut head: Item) -> Result<Option<Record>, TableError> {
        let Some(parts) = self.parts(&head).await? else { return Ok(None) };
        let record = item::unpack(&mut head, parts).and_then(|()| item::decode(head));
        record.map(Some).map_err(|_| TableError("an item of another version"))
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
                records.extend(self.whole(item).await?);
            }
        }
        Ok(records)
    }

    /// The newest events that were kept in an hour (`2026-11-21T20`), of one shard.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn entries(&self, hour: &str, shard: char, limit: usize) -> Result<Vec<Entry>, TableError> {
        let mut pages = self
            .client
            .query()
            .table_name(&self.name)
            .index_name("kept")
            .key_condition_expression("#hour = :hour")
            .expression_attribute_names("#hour", "hour")
            .expression_attribute_values(":hour", AttributeValue::S(format!("{hour}#{shard}")))
            .scan_index_forward(false)
            .into_paginator()
            .items()
            .send();
        let mut entries = Vec::new();
        while entries.len() < limit {
            let Some(item) = pages.next().await else { break };
            entries.push(Entry::of(item?)?);
        }
        Ok(entries)
    }
}

/// An event in the index of what was kept when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `<source>#<subject>`.
    pub pk: String,
    /// `<time>#<id>`.
    pub sk: String,
    /// The event's type.
    pub r#type: String,
    /// When it was kept, as RFC 3339.
    pub kept: String,
}

impl Entry {
    fn of(mut item: Item) -> Result<Self, TableError> {
        let mut take = |name| match item.remove(name) {
            Some(AttributeValue::S(text)) => Ok(text),
            _ => Err(TableError("an item of another version")),
        };
        Ok(Self { pk: take("pk")?, sk: take("sk")?, r#type: take("type")?, kept: take("kept")? })
    }
}

impl<E> From<SdkError<E>> for TableError {
    fn from(error: SdkError<E>) -> Self {
        match error {
            SdkError::ServiceError(_) => Self("refused"),
            SdkError::TimeoutError(_) => Self("timeout"),
            SdkError::DispatchFailure(_) => Self("unreachable"),
            _ => Self("failed"),
        }
    }
}
