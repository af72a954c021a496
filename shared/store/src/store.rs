//! The table and, when it does not answer, the spool.

use crate::{
    Client, Failure, Kept, Settings, Spool, Table,
    item::{self, Item},
    time::{ATTEMPT, SPOOL_FIRST},
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events that the table had before.
    pub duplicates: usize,
    /// Records that wait in the spool.
    pub spooled: usize,
    /// Records that neither took in time. Unless there are none, the delivery is not safe.
    pub lost: usize,
    /// How the table failed, where it did.
    pub table_failure: Option<Failure>,
    /// How the queue behind the spool failed, where it did.
    pub queue_failure: Option<Failure>,
}

impl Outcome {
    fn table_failed(&mut self, failure: Failure) {
        self.table_failure = Some(failure.after(self.table_failure.take()));
    }

    fn queue_failed(&mut self, failure: Failure) {
        self.queue_failure = Some(failure.after(self.queue_failure.take()));
    }
}

/// What was not put of a record, and how the table failed.
type NotPut = (Vec<Item>, Failure);

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
    /// An environment that saw the table fail goes to the spool first for [`SPOOL_FIRST`], and then gives the table one
    /// [`ATTEMPT`] to show that it is back: while it hangs, every delivery that waits for it holds an environment.
    pub async fn keep(&self, records: Vec<Record>) -> Outcome {
        let mut outcome = Outcome::default();
        let records = records.into_iter().map(item::encode).collect();
        let left = if let Some(share) = self.tables_first_share() {
            let left = self.put(records, share, &mut outcome).await;
            self.spool(left, &mut outcome).await
        } else {
            let left = self.spool(records, &mut outcome).await;
            self.put(left, self.share, &mut outcome).await
        };
        outcome.lost = left.len();
        outcome
    }

    /// Puts records into the table, and gives back what it did not take of each in its share of the time.
    async fn put(&self, records: Vec<Vec<Item>>, share: Duration, outcome: &mut Outcome) -> Vec<Vec<Item>> {
        if records.is_empty() {
            return records;
        }
        let deadline = Instant::now() + share;
        let puts = stream::iter(records).map(|items| self.put_record(items, deadline));
        let mut puts = puts.buffer_unordered(CONCURRENT_PUTS);
        let mut left = Vec::new();
        while let Some(put) = puts.next().await {
            match put {
                Ok(kept) => outcome.duplicates += usize::from(kept == Some(Kept::Duplicate)),
                Err((rest, failure)) => {
                    outcome.table_failed(failure);
                    left.push(rest);
                }
            }
        }
        if let Ok(mut until) = self.spool_first.lock() {
            *until = (!left.is_empty()).then(|| Instant::now() + SPOOL_FIRST);
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
            let failure = failure.clone();
            return Err((failed.into_iter().map(|(part, _)| part).chain([head]).collect(), failure));
        }
        let is_event = item::is_event(&head);
        match self.put_item(head, deadline).await {
            Ok(kept) => Ok(is_event.then_some(kept)),
            Err((head, failure)) => Err((vec![head], failure)),
        }
    }

    /// Puts one item, or gives it back.
    async fn put_item(&self, item: Item, deadline: Instant) -> Result<Kept, (Item, Failure)> {
        if Instant::now() >= deadline {
            return Err((item, Failure::timeout()));
        }
        match tokio::time::timeout_at(deadline, self.table.try_put(item.clone())).await {
            Ok(put) => put.map_err(|failure| (item, failure)),
            Err(_) => Err((item, Failure::timeout())),
        }
    }

    /// Sends records to the spool, and gives back those that it did not take whole.
    async fn spool(&self, records: Vec<Vec<Item>>, outcome: &mut Outcome) -> Vec<Vec<Item>> {
        let Some(spool) = &self.spool else { return records };
        let sent = spool.send(&records.iter().flatten().collect::<Vec<_>>()).await;
        if let Some(failure) = sent.failure {
            outcome.queue_failed(failure);
        }
        let all = records.len();
        let left = not_whole(records, &sent.taken);
        outcome.spooled += all - left.len();
        left
    }

    /// How long the table is waited for before the spool; not at all while the spool comes first.
    fn tables_first_share(&self) -> Option<Duration> {
        let spool_first = self.spool_first.lock().map_or(None, |until| *until);
        match spool_first.filter(|_| self.spool.is_some()) {
            None => Some(self.share),
            Some(until) => (Instant::now() >= until).then_some(ATTEMPT),
        }
    }
}

/// The records of which an item was not taken, given of each item whether it was.
fn not_whole(mut records: Vec<Vec<Item>>, taken: &[bool]) -> Vec<Vec<Item>> {
    let mut taken = taken.iter();
    records.retain(|items| taken.by_ref().take(items.len()).filter(|taken| **taken).count() < items.len());
    records
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_dynamodb::types::AttributeValue;

    #[test]
    fn a_record_is_taken_when_all_of_its_items_are() {
        let record =
            |name: &str, items: usize| vec![Item::from([(name.to_owned(), AttributeValue::Null(true))]); items];
        let records = vec![record("a", 3), record("b", 1), record("c", 2), record("d", 1)];
        let taken = [false, true, true, true, true, false, true];
        assert_eq!(not_whole(records.clone(), &taken), [record("a", 3), record("c", 2)]);
        assert_eq!(not_whole(records.clone(), &[true; 7]), Vec::<Vec<Item>>::new());
        assert_eq!(not_whole(records.clone(), &[]), records);
    }
}
