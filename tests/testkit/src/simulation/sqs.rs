//! SQS: one queue in memory, and the event source mapping that passes its messages to the drain.
//!
//! Sources: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>,
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>

use super::{
    aws::{Aws, Connections},
    lambda::Account,
    world::{hours, seconds},
};
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use storage::{Client, Settings};
use tokio::{sync::Notify, time::timeout};

/// The queue's settings, as the design has them.
const DRAIN_TIMEOUT: Duration = seconds(30);
const VISIBILITY: Duration = seconds(6 * 30);
const MAX_RECEIVES: u32 = 1_000;
const RETENTION: Duration = hours(14 * 24);
/// The most invocations of the drain at one time.
const MAX_CONCURRENCY: usize = 2;
const BATCH: usize = 10;
/// Lambda backs off from a function that fails. How far is not said.
const FIRST_BACKOFF: Duration = seconds(1);
const LONGEST_BACKOFF: Duration = seconds(300);
/// The largest message.
const MAX_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    messages: Mutex<BTreeMap<usize, Message>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Message {
    body: String,
    sent: Duration,
    visible: Duration,
    receives: u32,
}

impl Queue {
    pub(crate) fn call(&self, operation: &str, request: &Value, now: Duration) -> (u16, Value) {
        assert_eq!(operation, "SendMessageBatch");
        let mut messages = self.messages.lock().unwrap();
        let mut sent = Vec::new();
        for entry in request["Entries"].as_array().unwrap() {
            let body = entry["MessageBody"].as_str().unwrap().to_owned();
            assert!(
                body.len() <= MAX_BYTES && body.is_ascii(),
                "SQS refuses such a message"
            );
            let id = messages.last_key_value().map_or(0, |(last, _)| last + 1);
            messages.insert(
                id,
                Message {
                    body,
                    sent: now,
                    visible: now,
                    receives: 0,
                },
            );
            sent.push(
                json!({ "Id": entry["Id"], "MessageId": id.to_string(), "MD5OfMessageBody": "" }),
            );
        }
        self.arrived.notify_waiters();
        (200, json!({ "Successful": sent, "Failed": [] }))
    }

    /// Whether everything was drained. What was received too often, or is too old, is not in the queue, nor in the table.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.lock().unwrap().is_empty()
    }

    fn receive(&self, now: Duration) -> Vec<SqsMessage> {
        let mut messages = self.messages.lock().unwrap();
        messages
            .retain(|_, message| message.receives < MAX_RECEIVES && now < message.sent + RETENTION);
        let visible = messages
            .iter_mut()
            .filter(|(_, message)| message.visible <= now)
            .take(BATCH);
        let received = visible.map(|(id, message)| {
            message.visible = now + VISIBILITY;
            message.receives += 1;
            let mut received = SqsMessage::default();
            (received.message_id, received.body) =
                (Some(id.to_string()), Some(message.body.clone()));
            received
        });
        received.collect()
    }

    /// When the next message becomes visible.
    fn next(&self) -> Option<Duration> {
        self.messages
            .lock()
            .unwrap()
            .values()
            .map(|message| message.visible)
            .min()
    }

    fn delete<'a>(&self, ids: impl Iterator<Item = &'a String>) {
        let mut messages = self.messages.lock().unwrap();
        for id in ids {
            messages.remove(&id.parse().unwrap());
        }
    }
}

/// Hands the queue's messages to the drain, for as long as the world lasts.
pub(crate) fn map_to_drain(aws: &Arc<Aws>, account: &Arc<Account>, settings: &Settings) {
    for _ in 0..MAX_CONCURRENCY {
        let table = storage::Table::new(
            &Client::background_with_transport(Connections::new(aws).client()),
            settings,
        );
        let (aws, account) = (aws.clone(), account.clone());
        tokio::spawn(async move {
            let mut wait = Duration::ZERO;
            loop {
                wait = match poll(&aws, &account, &table).await {
                    Polled::Failed => (wait * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF),
                    Polled::Nothing | Polled::Drained => Duration::ZERO,
                };
                tokio::time::sleep(wait).await;
            }
        });
    }
}

enum Polled {
    Nothing,
    Drained,
    /// No message of the batch was placed.
    Failed,
}

async fn poll(aws: &Aws, account: &Arc<Account>, table: &storage::Table) -> Polled {
    let queue = &aws.queue;
    let records = queue.receive(aws.world.now());
    if records.is_empty() {
        match queue.next() {
            None => queue.arrived.notified().await,
            Some(next) => {
                timeout(
                    next.saturating_sub(aws.world.now()),
                    queue.arrived.notified(),
                )
                .await
                .ok();
            }
        }
        return Polled::Nothing;
    }
    // What the account has no room for, and what is killed, is seen again when it is visible again.
    let Some(_room) = account.enter() else {
        return Polled::Failed;
    };
    let ids: BTreeSet<_> = records
        .iter()
        .filter_map(|record| record.message_id.clone())
        .collect();
    let mut event = SqsEvent::default();
    event.records = records;
    let Ok(drained) = timeout(DRAIN_TIMEOUT, drain::drain(table, event)).await else {
        return Polled::Failed;
    };
    let failed = drained
        .left
        .into_iter()
        .map(|left| left.message_id)
        .collect();
    queue.delete(ids.difference(&failed));
    if failed == ids {
        Polled::Failed
    } else {
        Polled::Drained
    }
}
