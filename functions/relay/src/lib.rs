//! The relay: publishes new events from the table's stream to an EventBridge bus, in the order of
//! the stream. It reads nothing from the table.
//!
//! A batch fails only for an outage, and Lambda then passes it again from the first record that is
//! not done. An event that the bus refuses, and an item that this version cannot read, goes to the
//! dead-letter queue: it must not block the records behind it.

mod bus;
mod dead_letter;
mod line;
mod outgoing;
mod record;

use line::Line;
use record::Task;
use serde::Serialize;
use serde_json::json;
use std::{
    env,
    io::{self, Write},
    mem,
    time::{Duration, SystemTime},
};
use storage::{Client, DeadLetterQueue, Failure, Settings, SettingsError, require};
use tokio::time::{Instant, timeout_at};

pub use bus::{Batch, Bus, Entry, Outcome};
pub use dead_letter::DeadLetter;
pub use outgoing::{MAX_DETAIL_BYTES, Outgoing};
pub use record::Payload;

/// How long before its deadline an invocation stops. If Lambda ended it, it would have reported
/// nothing, and all of its records would be published again.
const MARGIN: Duration = Duration::from_secs(5);

/// The relay's connections and settings.
#[derive(Debug)]
pub struct Relay {
    bus: Bus,
    dead_letters: DeadLetterQueue,
    table: String,
    stack: String,
}

/// The result of a batch.
#[derive(Debug, Default)]
pub struct Relayed {
    published: usize,
    without_data: usize,
    skipped: usize,
    dead_letters: Vec<DeadLetter>,
    not_done: Option<NotDone>,
}

/// The first record that is not done.
#[derive(Debug)]
struct NotDone {
    sequence_number: String,
    failure: Failure,
}

/// The partial batch response: no record, or the one from which Lambda is to continue.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html>
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    batch_item_failures: Vec<BatchItemFailure>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchItemFailure {
    item_identifier: String,
}

impl Relay {
    /// Creates a relay with the settings of the process environment.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env() -> Result<Self, SettingsError> {
        let settings = Settings::from_env()?;
        let bus = require("HOOKKEEPER_BUS")?;
        let queue = require("HOOKKEEPER_RELAY_DEAD_LETTER_QUEUE_URL")?;
        Ok(Self {
            bus: Bus::from_settings(&settings, bus),
            dead_letters: DeadLetterQueue::new(&Client::background(), &settings, queue),
            stack: env::var("HOOKKEEPER_STACK").unwrap_or_else(|_| "local".to_owned()),
            table: settings.table,
        })
    }

    /// Publishes the new events of a batch, and stops some seconds before a deadline.
    ///
    /// # Errors
    /// The payload is not a stream event.
    pub async fn relay(&self, payload: Payload, deadline: SystemTime) -> Result<Relayed, String> {
        let Some(records) = payload.0 else {
            return Err("the payload is not an event of a DynamoDB stream".to_owned());
        };
        let left = deadline.duration_since(SystemTime::now());
        let left = left.unwrap_or_default().saturating_sub(MARGIN);
        let mut run = Run {
            relay: self,
            deadline: Instant::now() + left,
            batch: Batch::default(),
            sequence_numbers: Vec::new(),
            relayed: Relayed::default(),
        };
        let mut done = Ok(());
        for record in records {
            let (sequence_number, task) = record.read(&self.table);
            done = run.add(sequence_number, task).await;
            if done.is_err() {
                break;
            }
        }
        if done.is_ok() {
            done = run.publish().await;
        }
        run.relayed.not_done = done.err();
        Ok(run.relayed)
    }

    /// Writes a line for each dead letter, and one for the batch, to standard output, where Lambda
    /// collects them. CloudWatch also reads the second one as metrics. Write errors are ignored:
    /// they must not fail a batch.
    pub fn log(&self, relayed: &Relayed) {
        for DeadLetter { reason, code, .. } in &relayed.dead_letters {
            write_line(&json!({ "dead_letter": reason, "code": code }));
        }
        write_line(&Line::new(&self.stack, relayed));
    }
}

fn write_line(line: &impl Serialize) {
    let line = serde_json::to_string(line).unwrap_or_default();
    writeln!(io::stdout(), "{line}").ok();
}

/// The state of one invocation.
struct Run<'a> {
    relay: &'a Relay,
    deadline: Instant,
    batch: Batch,
    /// Those of the events in the batch.
    sequence_numbers: Vec<String>,
    relayed: Relayed,
}

impl Run<'_> {
    /// Does what a record needs, or adds it to the batch.
    ///
    /// # Errors
    /// The first record that is not done.
    async fn add(&mut self, sequence_number: String, task: Task) -> Result<(), NotDone> {
        match task {
            Task::Skip => self.relayed.skipped += 1,
            Task::Publish(event) => {
                if !self.batch.has_room_for(&event) {
                    self.publish().await?;
                }
                self.batch.push(*event);
                self.sequence_numbers.push(sequence_number);
            }
            Task::GiveUp(letter) => {
                self.publish().await?;
                self.give_up(sequence_number, letter).await?;
            }
        }
        Ok(())
    }

    /// Publishes the batch.
    ///
    /// # Errors
    /// The first record that is not done.
    async fn publish(&mut self) -> Result<(), NotDone> {
        let mut batch = mem::take(&mut self.batch);
        let sequence_numbers = mem::take(&mut self.sequence_numbers);
        // What was published before the deadline is noted in the batch.
        timeout_at(self.deadline, self.relay.bus.publish(&mut batch))
            .await
            .ok();
        for (sequence_number, entry) in sequence_numbers.into_iter().zip(batch.entries()) {
            self.finish(sequence_number, entry).await?;
        }
        Ok(())
    }

    async fn finish(&mut self, sequence_number: String, entry: &Entry) -> Result<(), NotDone> {
        match &entry.outcome {
            Outcome::Published => {
                self.relayed.published += 1;
                self.relayed.without_data += usize::from(!entry.event.has_data());
                Ok(())
            }
            Outcome::Refused(failure) => {
                let letter = DeadLetter::refused(&entry.event, failure);
                self.give_up(sequence_number, letter).await
            }
            Outcome::Failed(failure) => Err(NotDone {
                sequence_number,
                failure: failure.clone(),
            }),
        }
    }

    async fn give_up(
        &mut self,
        sequence_number: String,
        letter: DeadLetter,
    ) -> Result<(), NotDone> {
        let sending = self.relay.dead_letters.send(letter.message());
        let outcome = timeout_at(self.deadline, sending).await;
        let outcome = outcome.unwrap_or_else(|_| Err(Failure::timeout()));
        outcome.map_err(|failure| NotDone {
            sequence_number,
            failure,
        })?;
        self.relayed.dead_letters.push(letter);
        Ok(())
    }
}

impl Relayed {
    /// The partial batch response.
    #[must_use]
    pub fn response(&self) -> Response {
        let failures = self.not_done.iter().map(|not_done| BatchItemFailure {
            item_identifier: not_done.sequence_number.clone(),
        });
        Response {
            batch_item_failures: failures.collect(),
        }
    }
}
