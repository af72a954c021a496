//! The drain: moves items from the fallback queue into the table. It has no code for providers,
//! because the items in the queue are complete.

mod left;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{StreamExt, stream};
use models::Timestamp;
use serde_json::json;
use std::{
    io::{self, Write},
    time::Duration,
};
use storage::{Failure, Message, QueuedItem, Table, TableError};

pub use left::{Cause, Left};

/// The time limit for a message, from the start of its batch. The function's `Timeout` in
/// `template.yaml` is well above it. If Lambda ends the function at its timeout, the function has
/// reported nothing, and all of its messages are delivered again.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The result of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// The number of messages that are in the table.
    pub drained: usize,
    /// The messages to deliver again.
    pub left: Vec<Left>,
}

/// Puts a batch of messages from the fallback queue into the table. It leaves messages that the
/// table does not take, messages with missing chunks, and messages that this version cannot read:
/// during an update, a receiver can be newer than the drain.
pub async fn drain(table: &Table, event: SqsEvent) -> Drained {
    let messages = event.records.len();
    let latest = event.records.iter().filter_map(latest_time).max();
    let placed = stream::iter(event.records).map(|message| place(table, message, latest));
    let placed: Vec<Result<(), Left>> = placed.buffered(messages.max(1)).collect().await;
    let left: Vec<Left> = placed.into_iter().filter_map(Result::err).collect();
    Drained {
        drained: messages - left.len(),
        left,
    }
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

/// Puts one message into the table, or returns the cause for leaving it.
async fn place(table: &Table, message: SqsMessage, latest: Option<Timestamp>) -> Result<(), Left> {
    let message_id = message.message_id.unwrap_or_default();
    let queued = match Message::from_body(message.body.unwrap_or_default()).decode() {
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
    let placed = tokio::time::timeout(DEADLINE, place_item(table, queued, latest)).await;
    let placed =
        placed.unwrap_or_else(|_| Err(Cause::Table(TableError::Failed(Failure::timeout()))));
    placed.map_err(|cause| Left {
        message_id,
        key,
        cause,
    })
}

/// Puts one item into the table, if everything that must come before it is there. An event is
/// recorded at the latest of the known times: a consumer reads events in this order, so it must not
/// be behind another process's.
async fn place_item(
    table: &Table,
    queued: QueuedItem,
    latest: Option<Timestamp>,
) -> Result<(), Cause> {
    if !table.has_all(queued.after).await.map_err(Cause::Table)? {
        return Err(Cause::ChunkMissing);
    }
    let recorded = latest.map_or(table.now(), |latest| latest.max(table.now()));
    table
        .put(queued.item, recorded)
        .await
        .map_err(Cause::Table)?;
    Ok(())
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
        let line = json!({ "drained": self.drained, "left": self.left.len() });
        writeln!(io::stdout(), "{line}").ok();
    }
}

impl From<Drained> for SqsBatchResponse {
    fn from(drained: Drained) -> Self {
        drained.response()
    }
}
