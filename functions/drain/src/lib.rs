//! The drain: moves items from the fallback queue into the table. It has no code for providers,
//! because the items in the queue are complete. It drops an item that was erased in the meantime.

mod left;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{StreamExt, stream};
use models::Timestamp;
use serde_json::json;
use std::{
    io::{self, Write},
    time::Duration,
};
use storage::{Erasures, Failure, InvalidMessage, Message, QueuedItem, Table, TableError, schema};
use tokio::time::{Instant, timeout_at};

pub use left::{Cause, Left};

/// The time limit for a message, from the start of its batch. The function's `Timeout` in
/// `template.yaml` is well above it. If Lambda ends the function at its timeout, the function has
/// reported nothing, and all of its messages are delivered again.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How far back erasures are read for an item whose arrival is not known, a chunk of an earlier
/// release: as long as a message can be in the fallback queue, and after it in the dead-letter queue.
const MAX_AGE: Duration = Duration::from_hours(24 * 29);

/// The result of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// The number of messages that are in the table.
    pub drained: usize,
    /// The number of messages that were dropped, because their items were erased.
    pub erased: usize,
    /// The messages to deliver again.
    pub left: Vec<Left>,
}

/// A message, and its item if this version can read it.
struct Received {
    message_id: String,
    queued: Result<QueuedItem, InvalidMessage>,
}

impl From<SqsMessage> for Received {
    fn from(message: SqsMessage) -> Self {
        Self {
            message_id: message.message_id.unwrap_or_default(),
            queued: Message::from_body(message.body.unwrap_or_default()).decode(),
        }
    }
}

/// What became of an item that is not left in the queue.
#[derive(PartialEq, Eq)]
enum Placed {
    InTable,
    Erased,
}

/// The values that all messages of a batch share.
struct Batch<'a> {
    table: &'a Table,
    deadline: Instant,
    /// The latest time that SQS gives for a message.
    latest: Option<Timestamp>,
    erasures: Result<Erasures, TableError>,
}

/// Puts a batch of messages from the fallback queue into the table. It leaves messages that the
/// table does not take, messages with missing chunks, and messages that this version cannot read:
/// during an update, a receiver can be newer than the drain.
pub async fn drain(table: &Table, event: SqsEvent) -> Drained {
    let deadline = Instant::now() + DEADLINE;
    let latest = event.records.iter().filter_map(latest_time).max();
    let received: Vec<Received> = event.records.into_iter().map(Received::from).collect();
    let batch = &Batch {
        table,
        deadline,
        latest,
        erasures: erasures(table, &received, deadline).await,
    };
    let messages = received.len();
    let placed = stream::iter(received).map(|received| batch.place(received));
    let placed: Vec<Result<Placed, Left>> = placed.buffered(messages.max(1)).collect().await;
    let erased = placed.iter().flatten();
    let erased = erased.filter(|placed| **placed == Placed::Erased).count();
    let left: Vec<Left> = placed.into_iter().filter_map(Result::err).collect();
    Drained {
        drained: messages - erased - left.len(),
        erased,
        left,
    }
}

/// Reads the erasures since the earliest arrival of a batch: one query for each day.
async fn erasures(
    table: &Table,
    received: &[Received],
    deadline: Instant,
) -> Result<Erasures, TableError> {
    let items = received
        .iter()
        .filter_map(|received| received.queued.as_ref().ok());
    let oldest = table.now().before(MAX_AGE);
    let arrivals = items.map(|queued| schema::arrival(&queued.item).unwrap_or(oldest));
    let Some(earliest) = arrivals.min() else {
        return Ok(Erasures::default());
    };
    let erasures = timeout_at(deadline, table.erasures(earliest.max(oldest))).await;
    erasures.unwrap_or_else(|_| Err(TableError::Failed(Failure::timeout())))
}

/// The latest time that SQS gives for a message.
fn latest_time(message: &SqsMessage) -> Option<Timestamp> {
    let names = ["SentTimestamp", "ApproximateFirstReceiveTimestamp"];
    let texts = names
        .into_iter()
        .filter_map(|name| message.attributes.get(name));
    let times = texts.filter_map(|text| Timestamp::from_epoch(text.parse().ok()?));
    times.max()
}

impl Batch<'_> {
    /// Puts one message into the table, or returns the cause for leaving it.
    async fn place(&self, received: Received) -> Result<Placed, Left> {
        let message_id = received.message_id;
        let queued = match received.queued {
            Ok(queued) => queued,
            Err(invalid) => {
                return Err(Left {
                    message_id,
                    key: None,
                    cause: Cause::Invalid(invalid),
                });
            }
        };
        let key = left::short_hash(&queued.item);
        let placed = timeout_at(self.deadline, self.place_item(queued)).await;
        let placed =
            placed.unwrap_or_else(|_| Err(Cause::Table(TableError::Failed(Failure::timeout()))));
        placed.map_err(|cause| Left {
            message_id,
            key,
            cause,
        })
    }

    /// Puts one item into the table, if everything that must come before it is there. An event is
    /// recorded at the latest of the known times: a consumer reads events in this order, so it must
    /// not be behind another process's.
    async fn place_item(&self, queued: QueuedItem) -> Result<Placed, Cause> {
        let erasures = self.erasures.as_ref();
        let erasures = erasures.map_err(|error| Cause::Table(error.clone()))?;
        if erasures.cover(&queued.item) {
            let removed = self.table.remove_chunks_of_erased(&queued.item).await;
            removed.map_err(Cause::Table)?;
            return Ok(Placed::Erased);
        }
        let has_all = self.table.has_all(queued.after).await;
        if !has_all.map_err(Cause::Table)? {
            return Err(Cause::ChunkMissing);
        }
        let now = self.table.now();
        let recorded = self.latest.map_or(now, |latest| latest.max(now));
        let put = self.table.put(queued.item, recorded).await;
        put.map_err(Cause::Table)?;
        Ok(Placed::InTable)
    }
}

impl Drained {
    /// The partial batch response, which lists the messages to deliver again.
    #[must_use]
    pub fn response(&self) -> SqsBatchResponse {
        let mut response = SqsBatchResponse::default();
        response.set_failures(self.left.iter().map(|left| left.message_id.clone()));
        response
    }

    /// Writes a line for each message that is left, and one for the batch, to standard output,
    /// where Lambda collects them. Write errors are ignored: they must not fail a batch.
    pub fn log(&self) {
        for left in &self.left {
            let line = serde_json::to_string(&left.line()).unwrap_or_default();
            writeln!(io::stdout(), "{line}").ok();
        }
        let (drained, left) = (self.drained, self.left.len());
        let line = match self.erased {
            0 => json!({ "drained": drained, "left": left }),
            erased => json!({ "drained": drained, "left": left, "erased": erased }),
        };
        writeln!(io::stdout(), "{line}").ok();
    }
}

impl From<Drained> for SqsBatchResponse {
    fn from(drained: Drained) -> Self {
        drained.response()
    }
}
