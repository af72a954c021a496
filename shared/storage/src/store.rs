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
use models::{Record, Timestamp};
use std::{
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use waiting::{Piece, Waiting};

/// How many records of one delivery are put concurrently, each over its own connection. They time_budget
/// one slow CPU, and each put must end within an attempt's timeout. At 5 ms a put, a time budget is
/// enough for 950 puts.
const CONCURRENT_PUTS: usize = 8;

/// How many chunks of one record are put concurrently. Each is a request of 500 KB to sign and
/// send, and must end within an attempt's timeout.
const CONCURRENT_CHUNKS: usize = 4;

/// The store of a receiver: the table and the fallback queue.
#[derive(Debug, Clone)]
pub struct Store {
    table: Table,
    fallback_queue: Option<FallbackQueue>,
    time_budget: Duration,
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
    remaining: Waiting,
    failure: Failure,
}

impl Store {
    /// Creates a store. It connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings) -> Self {
        Self {
            table: Table::new(client, settings),
            fallback_queue: FallbackQueue::new(client, settings),
            time_budget: client.time_budget,
            queue_first: Arc::default(),
        }
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Stores all records of a delivery: in the table within its time budget, and the rest in the
    /// fallback queue within its time budget. While both fail and there is time remaining, both are
    /// tried again after a pause: a store that refuses a request at once may accept it a moment
    /// later.
    ///
    /// After an environment saw the table fail, it uses the fallback queue first for
    /// [`QUEUE_FIRST`]. Then it gives the table one [`ATTEMPT`] to show that it is available again.
    /// While the table hangs, every delivery that waits for it occupies an execution environment.
    pub async fn store(&self, records: Vec<Record>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut budget = Budget::new(self.time_budget, self.fallback_queue.is_some());
        let expiry = self.table.expiry();
        let waiting = records.into_iter().map(|record| {
            let arrival = record.origin().arrival;
            Waiting::new(self.table.encode(record, expiry), arrival)
        });
        let mut remaining: Vec<Waiting> = waiting.flatten().collect();
        let (order, mut table_limit) = self.order();
        loop {
            for place in order {
                match place {
                    Place::Table => {
                        self.put(&mut remaining, table_limit, &mut budget, &mut outcome)
                            .await;
                        table_limit = self.time_budget;
                    }
                    Place::FallbackQueue => {
                        self.send(&mut remaining, &mut budget, &mut outcome).await;
                    }
                }
            }
            if remaining.is_empty() || !budget.pause().await {
                break;
            }
        }
        outcome.lost = remaining.len();
        outcome
    }

    /// Returns the order of the stores, and the first time limit of the table.
    fn order(&self) -> ([Place; 2], Duration) {
        let queue_first = self.queue_first.lock().map_or(None, |until| *until);
        match queue_first.filter(|_| self.fallback_queue.is_some()) {
            None => ([Place::Table, Place::FallbackQueue], self.time_budget),
            Some(until) if Instant::now() < until => {
                ([Place::FallbackQueue, Place::Table], self.time_budget)
            }
            Some(_) => ([Place::Table, Place::FallbackQueue], ATTEMPT),
        }
    }

    /// Puts records into the table. Leaves those that it does not accept in time.
    async fn put(
        &self,
        remaining: &mut Vec<Waiting>,
        limit: Duration,
        budget: &mut Budget,
        outcome: &mut Outcome,
    ) {
        let limit = limit.min(budget.for_the_table());
        if remaining.is_empty() || limit.is_zero() {
            return;
        }
        let started = Instant::now();
        // Boxed, because the compiler cannot otherwise prove that the future is `Send`.
        let puts = stream::iter(mem::take(remaining))
            .map(|waiting| self.put_record(waiting, started + limit).boxed());
        let mut puts = puts.buffer_unordered(CONCURRENT_PUTS);
        while let Some(put) = puts.next().await {
            match put {
                Ok(Some(PutOutcome::Duplicate)) => outcome.duplicates += 1,
                Ok(_) => {}
                Err(not_put) => {
                    outcome.table_failed(not_put.failure);
                    remaining.push(not_put.remaining);
                }
            }
        }
        budget.spend_on_the_table(started.elapsed());
        if let Ok(mut until) = self.queue_first.lock() {
            *until = (!remaining.is_empty()).then(|| Instant::now() + QUEUE_FIRST);
        }
    }

    /// Puts the rest of one record: its chunks, and after all of them the item itself. Returns the
    /// outcome if the record is an event.
    async fn put_record(
        &self,
        mut waiting: Waiting,
        deadline: Instant,
    ) -> Result<Option<PutOutcome>, Box<NotPut>> {
        let chunks = mem::take(&mut waiting.chunks);
        let arrival = waiting.arrival;
        let puts = stream::iter(chunks).map(|chunk| self.put_chunk(chunk, arrival, deadline));
        let mut puts = puts.buffer_unordered(CONCURRENT_CHUNKS);
        let mut failure = None;
        while let Some(put) = puts.next().await {
            if let Err(not_put) = put {
                let (chunk, later) = *not_put;
                waiting.chunks.push(chunk);
                failure = Some(later.after(failure));
            }
        }
        drop(puts);
        if let Some(failure) = failure {
            return Err(Box::new(NotPut {
                remaining: waiting,
                failure,
            }));
        }
        match self.put_item(&waiting.head.item, arrival, deadline).await {
            Ok(put) => Ok(schema::is_event(&waiting.head.item).then_some(put)),
            Err(failure) => Err(Box::new(NotPut {
                remaining: waiting,
                failure,
            })),
        }
    }

    /// Puts one chunk. Returns it on failure.
    async fn put_chunk(
        &self,
        chunk: Piece,
        arrival: Timestamp,
        deadline: Instant,
    ) -> Result<(), Box<(Piece, Failure)>> {
        match self.put_item(&chunk.item, arrival, deadline).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(Box::new((chunk, failure))),
        }
    }

    async fn put_item(
        &self,
        item: &Item,
        arrival: Timestamp,
        deadline: Instant,
    ) -> Result<PutOutcome, Failure> {
        if Instant::now() >= deadline {
            return Err(Failure::timeout());
        }
        // Other processes read events in the order of this time. API Gateway's clock bounds how far
        // ours can be behind.
        let put = self
            .table
            .try_put(item.clone(), self.table.now().max(arrival));
        tokio::time::timeout_at(deadline, put)
            .await
            .unwrap_or_else(|_| Err(Failure::timeout()))
    }

    /// Sends records to the fallback queue. Leaves those that it does not completely accept in
    /// time. As in the table, an item comes after all of its chunks. Otherwise the drain would wait
    /// for chunks of an abandoned delivery that never arrive.
    async fn send(&self, remaining: &mut Vec<Waiting>, budget: &mut Budget, outcome: &mut Outcome) {
        let limit = budget.for_the_queue();
        let Some(fallback_queue) = self.fallback_queue.as_ref().filter(|_| !limit.is_zero()) else {
            return;
        };
        // Encoding does not count toward the queue's time budget.
        remaining.iter().for_each(Waiting::encode);
        let started = Instant::now();
        let first = remaining
            .iter_mut()
            .flat_map(Waiting::before_its_head)
            .collect();
        send_pieces(fallback_queue, first, started + limit, outcome).await;
        let heads = remaining
            .iter_mut()
            .filter_map(Waiting::head_after_its_chunks)
            .collect();
        send_pieces(fallback_queue, heads, started + limit, outcome).await;
        budget.spend_on_the_queue(started.elapsed());
        let before = remaining.len();
        remaining.retain(|waiting| !waiting.is_queued());
        outcome.queued += before - remaining.len();
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
