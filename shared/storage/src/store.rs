//! The table and, while it is unavailable, the fallback queue.

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

/// How many records of one delivery are put concurrently, each over its own connection. They share
/// one slow CPU, and each put must end within an attempt's timeout. At 5 ms a put, a time budget is
/// enough for 950 puts.
const CONCURRENT_PUTS: usize = 8;

/// How many chunks of one record are put concurrently. Each is a request of 500 KB to sign and
/// send, and must end within an attempt's timeout.
const CONCURRENT_PARTS: usize = 4;

/// The store of a receiver: the table and the fallback queue.
#[derive(Debug, Clone)]
pub struct Store {
    table: Table,
    fallback_queue: Option<FallbackQueue>,
    share: Duration,
    /// Set when this environment sees the table fail. Until this instant, the environment uses the
    /// fallback queue first.
    queue_first: Arc<Mutex<Option<Instant>>>,
}

/// The outcome of storing a delivery's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Events that were already in the table.
    pub duplicates: usize,
    /// Records that are in the fallback queue.
    pub queued: usize,
    /// Records that neither accepted in time. If there are any, the delivery is not safely stored.
    pub lost: usize,
    /// The failure of the table, if any.
    pub table_failure: Option<Failure>,
    /// The failure of the fallback queue, if any.
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

/// A place where records are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Table,
    FallbackQueue,
}

/// A record that is not completely in the table.
struct NotPut {
    left: Waiting,
    failure: Failure,
}

impl Store {
    /// Creates a store. It connects at the first use.
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

    /// Stores all records of a delivery: in the table within its time budget, and the rest in the
    /// fallback queue within its time budget. While both fail and there is time left, both are
    /// tried again after a pause: a store that refuses a request at once may accept it a moment
    /// later.
    ///
    /// After an environment saw the table fail, it uses the fallback queue first for
    /// [`QUEUE_FIRST`]. Then it gives the table one [`ATTEMPT`] to show that it is available again.
    /// While the table hangs, every delivery that waits for it occupies an execution environment.
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

    /// Returns the order of the stores, and the first time limit of the table.
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

    /// Puts records into the table. Leaves those that it does not accept in time.
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
        // Boxed, because the compiler cannot otherwise prove that the future is `Send`.
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

    /// Puts the rest of one record: its chunks, and after all of them the item itself. Returns the
    /// outcome if the record is an event.
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

    /// Puts one chunk. Returns it on failure.
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

    /// Sends records to the fallback queue. Leaves those that it does not completely accept in
    /// time. As in the table, an item comes after all of its chunks. Otherwise the drain would wait
    /// for chunks of an abandoned delivery that never arrive.
    async fn send(&self, left: &mut Vec<Waiting>, budget: &mut Budget, outcome: &mut Outcome) {
        let limit = budget.for_the_queue();
        let Some(fallback_queue) = self.fallback_queue.as_ref().filter(|_| !limit.is_zero()) else {
            return;
        };
        // Encoding does not count toward the queue's time budget.
        left.iter().for_each(Waiting::encode);
        let started = Instant::now();
        let first = left.iter_mut().flat_map(Waiting::before_its_head).collect();
        send_pieces(fallback_queue, first, started + limit, outcome).await;
        let heads = left
            .iter_mut()
            .filter_map(Waiting::head_after_its_parts)
            .collect();
        send_pieces(fallback_queue, heads, started + limit, outcome).await;
        budget.spend_on_the_queue(started.elapsed());
        let before = left.len();
        left.retain(|waiting| !waiting.is_queued());
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
        piece.is_queued |= is_taken;
    }
    if let Some(failure) = sent.failure {
        outcome.queue_failed(failure);
    }
}
