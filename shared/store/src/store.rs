//! The table and, when it does not answer, the spool.

use crate::{
    Client, Kept, Settings, Spool, Table,
    item::{self, Item},
    time::SPOOL_FIRST,
};
use futures_util::{StreamExt, stream};
use models::Record;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// How many items of one delivery are put at the same time, each over a connection of its own. They share one slow
/// processor, and each must be done within an attempt's time; at 5 ms a put, these are 950 in a share.
const CONCURRENT_PUTS: usize = 8;

/// How many parts of one record: each has 500 KB to be signed and sent, and must be done within an attempt's time.
const CONCURRENT_PARTS: usize = 4;

/// Where records are kept.
#[derive(Debug, Clone)]
pub struct Store {
    table: Table,
    spool: Option<Spool>,
    share: Duration,
    /// Until when this environment goes to the spool first, since it saw the table fail.
    spool_first: Arc<Mutex<Option<Instant>>>,
}

/// What became of a delivery's records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events that the table had before.
    pub duplicates: usize,
    /// Records that wait in the spool.
    pub spooled: usize,
    /// Records that neither took in time. Unless there are none, the delivery is not safe.
    pub lost: usize,
    /// How the table failed, in one word, where it did.
    pub table_failure: Option<&'static str>,
}

/// What was not put of a record, and how the table failed.
type NotPut = (Vec<Item>, &'static str);

impl Store {
    /// The store of these settings. Connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        Self {
            table: Table::new(client, settings),
            spool: Spool::new(client, settings),
            share: client.share,
            spool_first: Arc::default(),
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Keeps all records of a delivery: in the table within its share of the time, what is left in the spool within its.
    /// An environment that saw the table fail goes to the spool first for [`SPOOL_FIRST`].
    pub async fn keep(&self, records: Vec<Record>) -> Outcome {
        let mut outcome = Outcome::default();
        let records = records.into_iter().map(item::encode).collect();
        let left = if self.goes_to_spool_first() {
            let left = self.spool(records, &mut outcome).await;
            self.put(left, &mut outcome).await
        } else {
            let left = self.put(records, &mut outcome).await;
            self.spool(left, &mut outcome).await
        };
        outcome.lost = left.len();
        outcome
    }

    /// Puts records into the table, and gives back what it did not take of each.
    async fn put(&self, records: Vec<Vec<Item>>, outcome: &mut Outcome) -> Vec<Vec<Item>> {
        let deadline = Instant::now() + self.share;
        let puts = stream::iter(records).map(|items| self.put_record(items, deadline));
        let mut puts = puts.buffer_unordered(CONCURRENT_PUTS);
        let mut left = Vec::new();
        while let Some(put) = puts.next().await {
            match put {
                Ok(kept) => outcome.duplicates += usize::from(kept == Some(Kept::Duplicate)),
                Err((rest, failure)) => {
                    outcome.table_failure = Some(failure);
                    left.push(rest);
                }
            }
        }
        if !left.is_empty() {
            self.table_failed();
        }
        left
    }

    /// Puts the items of one record: its parts, then, once all of them are there, the item itself. Says of an event
    /// whether it is new; gives back what was not put.
    async fn put_record(&self, mut items: Vec<Item>, deadline: Instant) -> Result<Option<Kept>, NotPut> {
        let Some(head) = items.pop() else { return Ok(None) };
        let puts = stream::iter(items).map(|part| self.put_item(part, deadline));
        let failed: Vec<_> = puts.buffer_unordered(CONCURRENT_PARTS).filter_map(async |put| put.err()).collect().await;
        if let Some((_, failure)) = failed.first() {
            let failure = *failure;
            return Err((failed.into_iter().map(|(part, _)| part).chain([head]).collect(), failure));
        }
        let is_event = item::is_event(&head);
        match self.put_item(head, deadline).await {
            Ok(kept) => Ok(is_event.then_some(kept)),
            Err((head, failure)) => Err((vec![head], failure)),
        }
    }

    /// Puts one item, or gives it back.
    async fn put_item(&self, item: Item, deadline: Instant) -> Result<Kept, (Item, &'static str)> {
        if Instant::now() >= deadline {
            return Err((item, "timeout"));
        }
        match tokio::time::timeout_at(deadline, self.table.put(item.clone())).await {
            Ok(put) => put.map_err(|error| (item, error.kind())),
            Err(_) => Err((item, "timeout")),
        }
    }

    /// Sends records to the spool, and gives back those that it did not take whole.
    async fn spool(&self, records: Vec<Vec<Item>>, outcome: &mut Outcome) -> Vec<Vec<Item>> {
        let Some(spool) = &self.spool else { return records };
        let sent = spool.send(&records.iter().flatten().collect::<Vec<_>>()).await;
        let mut sent = sent.into_iter();
        let (taken, left): (Vec<_>, Vec<_>) = records
            .into_iter()
            .map(|items| (sent.by_ref().take(items.len()).all(|taken| taken), items))
            .partition(|(taken, _)| *taken);
        outcome.spooled += taken.len();
        left.into_iter().map(|(_, items)| items).collect()
    }

    fn goes_to_spool_first(&self) -> bool {
        let until = self.spool_first.lock().map_or(None, |until| *until);
        self.spool.is_some() && until.is_some_and(|until| Instant::now() < until)
    }

    fn table_failed(&self) {
        if let Ok(mut until) = self.spool_first.lock() {
            *until = Some(Instant::now() + SPOOL_FIRST);
        }
    }
}
