//! The table and, when it does not answer, the spool.

mod budget;
mod waiting;

use crate::{
    Client, Failure, FallbackQueue, PutOutcome, Settings, Table,
    budget::{ATTEMPT, QUEUE_FIRST},
    schema::{self, Item},
};
use budget::Budget;
use futures_util::{FutureExt, StreamExt, stream};
use models::Record;
use std::{
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use waiting::{Piece, Waiting};

/// How many items of one delivery are put at the same time, each over a connection of its own. They share one slow
/// processor, and each must be done within an attempt's time; at 5 ms a put, these are 950 in a share.
const CONCURRENT_PUTS: usize = 8;

/// How many parts of one record: each has 500 KB to be signed and sent, and must be done within an attempt's time.
const CONCURRENT_PARTS: usize = 4;

/// Where records are kept.
#[derive(Debug, Clone)]
pub struct Store {
    table: Table,
    fallback_queue: Option<FallbackQueue>,
    share: Duration,
    /// Until when this environment goes to the spool first, since it saw the table fail.
    queue_first: Arc<Mutex<Option<Instant>>>,
}

/// What became of a delivery's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events that the table had before.
    pub duplicates: usize,
    /// Records that wait in the spool.
    pub queued: usize,
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

/// Where a delivery is taken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Table,
    FallbackQueue,
}

/// A record that the table did not take whole.
struct NotPut {
    left: Waiting,
    failure: Failure,
}

impl Store {
    /// The store of these settings. Connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        Self {
            table: Table::new(client, settings),
            fallback_queue: FallbackQueue::new(client, settings),
            share: client.share,
            queue_first: Arc::default(),
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Keeps all records of a delivery: in the table within its share of the time, what is left in the spool within its.
    /// While both fail and there is time left, both are asked again after a pause: a store that refuses at once may take the
    /// record a moment later.
    ///
    /// An environment that saw the table fail goes to the spool first for [`QUEUE_FIRST`], and then gives the table one
    /// [`ATTEMPT`] to show that it is back: while it hangs, every delivery that waits for it holds an environment.
    pub async fn keep(&self, records: Vec<Record>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut budget = Budget::new(self.share, self.fallback_queue.is_some());
        let expires = self.table.expiry();
        let items = records
            .into_iter()
            .map(|record| schema::encode_with_expiry(record, expires));
        let mut left: Vec<Waiting> = items.filter_map(Waiting::new).collect();
        let (order, mut table_limit) = self.order();
        loop {
            for place in order {
                match place {
                    Place::Table => {
                        self.put(&mut left, table_limit, &mut budget, &mut outcome)
                            .await;
                        table_limit = self.share;
                    }
                    Place::FallbackQueue => self.send(&mut left, &mut budget, &mut outcome).await,
                }
            }
            if left.is_empty() || !budget.pause().await {
                break;
            }
        }
        outcome.lost = left.len();
        outcome
    }

    /// Which store a delivery is taken to first, and how long the table has at first.
    fn order(&self) -> ([Place; 2], Duration) {
        let queue_first = self.queue_first.lock().map_or(None, |until| *until);
        match queue_first.filter(|_| self.fallback_queue.is_some()) {
            None => ([Place::Table, Place::FallbackQueue], self.share),
            Some(until) if Instant::now() < until => {
                ([Place::FallbackQueue, Place::Table], self.share)
            }
            Some(_) => ([Place::Table, Place::FallbackQueue], ATTEMPT),
        }
    }

    /// Puts records into the table, and leaves what it does not take in time.
    async fn put(
        &self,
        left: &mut Vec<Waiting>,
        limit: Duration,
        budget: &mut Budget,
        outcome: &mut Outcome,
    ) {
        let limit = limit.min(budget.for_the_table());
        if left.is_empty() || limit.is_zero() {
            return;
        }
        let started = Instant::now();
        // Boxed, since the compiler does not see otherwise that it may be sent to another thread.
        let puts = stream::iter(mem::take(left))
            .map(|waiting| self.put_record(waiting, started + limit).boxed());
        let mut puts = puts.buffer_unordered(CONCURRENT_PUTS);
        while let Some(put) = puts.next().await {
            match put {
                Ok(kept) => outcome.duplicates += usize::from(kept == Some(PutOutcome::Duplicate)),
                Err(not_put) => {
                    outcome.table_failed(not_put.failure);
                    left.push(not_put.left);
                }
            }
        }
        budget.spend_on_the_table(started.elapsed());
        if let Ok(mut until) = self.queue_first.lock() {
            *until = (!left.is_empty()).then(|| Instant::now() + QUEUE_FIRST);
        }
    }

    /// Puts what is left of one record: its parts, then, once all of them are there, the item itself. Says of an event
    /// whether it is new.
    async fn put_record(
        &self,
        mut waiting: Waiting,
        deadline: Instant,
    ) -> Result<Option<PutOutcome>, Box<NotPut>> {
        let parts = mem::take(&mut waiting.parts);
        let puts = stream::iter(parts).map(|part| self.put_part(part, deadline));
        let mut puts = puts.buffer_unordered(CONCURRENT_PARTS);
        let mut failure = None;
        while let Some(put) = puts.next().await {
            if let Err(not_put) = put {
                let (part, later) = *not_put;
                waiting.parts.push(part);
                failure = Some(later.after(failure));
            }
        }
        drop(puts);
        if let Some(failure) = failure {
            return Err(Box::new(NotPut {
                left: waiting,
                failure,
            }));
        }
        match self.put_item(&waiting.head.item, deadline).await {
            Ok(kept) => Ok(schema::is_event(&waiting.head.item).then_some(kept)),
            Err(failure) => Err(Box::new(NotPut {
                left: waiting,
                failure,
            })),
        }
    }

    /// Puts one part, or gives it back.
    async fn put_part(&self, part: Piece, deadline: Instant) -> Result<(), Box<(Piece, Failure)>> {
        match self.put_item(&part.item, deadline).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(Box::new((part, failure))),
        }
    }

    async fn put_item(&self, item: &Item, deadline: Instant) -> Result<PutOutcome, Failure> {
        if Instant::now() >= deadline {
            return Err(Failure::timeout());
        }
        let put = self.table.try_put(item.clone());
        tokio::time::timeout_at(deadline, put)
            .await
            .unwrap_or_else(|_| Err(Failure::timeout()))
    }

    /// Sends records to the spool, and leaves those that it does not take whole in time. As in the table, an item comes after
    /// all of its parts: else the drain would wait in vain for the parts of a delivery that was given up.
    async fn send(&self, left: &mut Vec<Waiting>, budget: &mut Budget, outcome: &mut Outcome) {
        let limit = budget.for_the_spool();
        let Some(fallback_queue) = self.fallback_queue.as_ref().filter(|_| !limit.is_zero()) else {
            return;
        };
        // What is computed is no time of the spool's.
        left.iter().for_each(Waiting::encode);
        let started = Instant::now();
        let first = left.iter_mut().flat_map(Waiting::before_its_head).collect();
        send_pieces(fallback_queue, first, started + limit, outcome).await;
        let heads = left
            .iter_mut()
            .filter_map(Waiting::head_after_its_parts)
            .collect();
        send_pieces(fallback_queue, heads, started + limit, outcome).await;
        budget.spend_on_the_spool(started.elapsed());
        let before = left.len();
        left.retain(|waiting| !waiting.is_spooled());
        outcome.queued += before - left.len();
    }
}

async fn send_pieces(
    fallback_queue: &FallbackQueue,
    pieces: Vec<&mut Piece>,
    deadline: Instant,
    outcome: &mut Outcome,
) {
    let messages: Vec<_> = pieces.iter().map(|piece| piece.message().clone()).collect();
    let sent = fallback_queue.send(&messages, deadline).await;
    for (piece, is_taken) in pieces.into_iter().zip(sent.taken) {
        piece.is_spooled |= is_taken;
    }
    if let Some(failure) = sent.failure {
        outcome.queue_failed(failure);
    }
}
