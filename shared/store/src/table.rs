//! The table.

use crate::{
    Settings,
    item::{self, Item},
};
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Config, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    types::AttributeValue,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use models::{Record, Timestamp};
use std::time::Duration;

/// The table's share of a delivery's time, for every provider: while it hangs, each delivery holds an execution
/// environment, and an account that has none left answers 5xx without asking us.
///
/// Three attempts of 170 ms and the waits between them, of at most 20 and 40 ms, fit in: 3 x 170 + 20 + 40 = 570.
const SHARE: Duration = Duration::from_millis(600);
const ATTEMPT: Duration = Duration::from_millis(170);
const ATTEMPTS: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(40);

/// The table that records are kept in.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
    retention: Option<Duration>,
}

/// How a record came to be in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It is new.
    New,
    /// It was there: a retry, a copy, or our own put whose answer was lost.
    Duplicate,
}

/// The table did not do in its share of the time what it was asked. Says the kind of failure and no value of a record.
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
    pub fn new(settings: Settings) -> Self {
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let retry = RetryConfig::standard()
            .with_max_attempts(ATTEMPTS)
            .with_initial_backoff(FIRST_WAIT)
            .with_max_backoff(LONGEST_WAIT);
        let timeout = TimeoutConfig::builder()
            .connect_timeout(ATTEMPT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(SHARE)
            .build();
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(settings.region)
            .credentials_provider(settings.credentials)
            .http_client(http)
            .retry_config(retry)
            .timeout_config(timeout)
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        config.set_endpoint_url(settings.endpoint);
        Self { client: Client::from_conf(config.build()), name: settings.table, retention: settings.retention }
    }

    /// Keeps a record, once: a second put of the same event changes nothing.
    ///
    /// # Errors
    /// [`TableError`]: the table did not say in time that it has it.
    pub async fn keep(&self, record: Record, now: Timestamp) -> Result<Kept, TableError> {
        let put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item::encode(record, now, self.retention)))
            .condition_expression("attribute_not_exists(pk)");
        match put.send().await {
            Ok(_) => Ok(Kept::New),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Ok(Kept::Duplicate)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The record of a key, where there is one that this version understands.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn get(&self, pk: &str, sk: &str) -> Result<Option<Record>, TableError> {
        let key = |text: &str| AttributeValue::S(text.to_owned());
        let get = self.client.get_item().table_name(&self.name).key("pk", key(pk)).key("sk", key(sk));
        let item = get.consistent_read(true).send().await?.item;
        item.map(item::decode).transpose().map_err(|_| TableError("another version's item"))
    }

    /// All records, in no order. Reads the whole table, page by page.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn records(&self) -> Result<Vec<Record>, TableError> {
        let scan = self.client.scan().table_name(&self.name).consistent_read(true);
        let mut items = scan.into_paginator().items().send();
        let mut records = Vec::new();
        while let Some(item) = items.next().await {
            records.push(item::decode(item?).map_err(|_| TableError("another version's item"))?);
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
            _ => Err(TableError("another version's item")),
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
