//! Event source mapping that passes the messages of the queue to the drain.
//!
//! Sources: <https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>,
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>

use super::{
    aws::{Aws, Connections, Failure, Part},
    lambda::{Account, CRASH},
    world::{hours, seconds},
};
use crate::sqs::ids;
use aws_lambda_events::sqs::SqsEvent;
use std::{collections::HashSet, sync::Arc, time::Duration};
use storage::Settings;
use tokio::time::{Instant, timeout, timeout_at};

/// Settings of the queue and the drain in the template.
const DRAIN_TIMEOUT: Duration = seconds(30);
const VISIBILITY: Duration = seconds(6 * 30);
const MAX_RECEIVES: usize = 1_000;
const RETENTION: Duration = hours(14 * 24);
/// Maximum number of concurrent invocations of the drain.
const MAX_CONCURRENCY: usize = 2;
const BATCH: usize = 10;
/// Lambda waits before it invokes a failing function again. How long is not documented.
const FIRST_BACKOFF: Duration = seconds(1);
const LONGEST_BACKOFF: Duration = seconds(300);

/// Passes the messages of the queue to the drain until the simulation ends.
pub(crate) fn map_to_drain(aws: &Arc<Aws>, account: &Arc<Account>, settings: &Settings) {
    for _ in 0..MAX_CONCURRENCY {
        let table = storage::Table::new(&Connections::new(aws).background_client(), settings);
        let aws = aws.clone();
        let account = account.clone();
        tokio::spawn(async move {
            let mut wait = Duration::ZERO;
            loop {
                wait = match poll(&aws, &account, &table).await {
                    Polled::Failed => (wait * 2).clamp(FIRST_BACKOFF, LONGEST_BACKOFF),
                    Polled::Empty | Polled::Drained => Duration::ZERO,
                };
                tokio::time::sleep(wait).await;
            }
        });
    }
}

enum Polled {
    /// No message was visible.
    Empty,
    Drained,
    /// The drain put no message of the batch into the table.
    Failed,
}

async fn poll(aws: &Aws, account: &Arc<Account>, table: &storage::Table) -> Polled {
    let queue = &aws.queue;
    queue.retain(|message| message.receives < MAX_RECEIVES && message.sent.elapsed() < RETENTION);
    let mut event = SqsEvent::default();
    event.records = queue.receive(BATCH, VISIBILITY);
    if event.records.is_empty() {
        wait_for_message(aws).await;
        return Polled::Empty;
    }
    // Messages of an invocation that is throttled or killed become visible again.
    let Some(_room) = account.enter() else {
        return Polled::Failed;
    };
    let received: HashSet<_> = ids(&event).collect();
    let lives_for = match aws.failure(Part::Function) {
        None | Some(Failure::Slow(_) | Failure::Skewed(_)) => DRAIN_TIMEOUT,
        Some(Failure::Crashes | Failure::LosesResponses) => aws.world.millis(&CRASH),
        Some(Failure::Hangs | Failure::Refuses | Failure::Responds(_)) => return Polled::Failed,
    };
    let Ok(drained) = timeout(lives_for, drain::drain(table, event)).await else {
        return Polled::Failed;
    };
    let left = drained.left.into_iter();
    let failed = left.map(|left| left.message_id).collect();
    queue.delete(received.difference(&failed));
    if failed == received {
        Polled::Failed
    } else {
        Polled::Drained
    }
}

/// Waits until a message arrives or becomes visible again.
async fn wait_for_message(aws: &Aws) {
    let arrived = aws.queue.arrived.notified();
    let messages = aws.queue.messages();
    match messages.iter().map(|message| message.visible).min() {
        None => arrived.await,
        Some(next) => {
            timeout_at(next.max(Instant::now()), arrived).await.ok();
        }
    }
}
