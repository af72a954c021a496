//! `hookkeeper republish --dead-letters`: publishes the events that the relay gave up.

use super::Republisher;
use crate::{
    Failure,
    filter::Filter,
    output::{Output, cell, json_line, say},
    queues::Queue,
};
use aws_sdk_sqs::types::Message;
use models::Timestamp;
use relay::DeadLetter;
use serde::Deserialize;
use serde_json::json;
use std::{collections::HashSet, time::Duration};

/// How much a record's time in the stream and its `recordedtime` may differ.
const MARGIN: Duration = Duration::from_mins(2);

/// A message of Lambda about records that were too old.
///
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html>
#[derive(Deserialize)]
struct GivenUp {
    #[serde(rename = "DDBStreamBatchInfo")]
    batch: BatchInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BatchInfo {
    approximate_arrival_of_first_record: Timestamp,
    approximate_arrival_of_last_record: Timestamp,
}

impl Republisher {
    /// Publishes the events of all messages, and deletes the messages whose events were published.
    pub(super) async fn publish_dead_letters(&mut self, queue: &Queue) -> Result<(), Failure> {
        let mut left = Vec::new();
        let published = self.publish_messages(queue, &mut left).await;
        // The next run must not wait until they are visible again.
        published.and(queue.show_again(&left).await)
    }

    /// Publishes the events of all messages. Adds the messages that were received and not deleted
    /// to `left`.
    async fn publish_messages(
        &mut self,
        queue: &Queue,
        left: &mut Vec<Message>,
    ) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        loop {
            let mut messages = queue.receive().await?;
            messages.retain(|message| seen.insert(message.message_id.clone()));
            if messages.is_empty() {
                return Ok(());
            }
            left.extend_from_slice(&messages);
            for message in messages {
                let is_published = self.publish_dead_letter(message.body().unwrap_or_default());
                if !is_published.await? {
                    self.counts.kept += 1;
                } else if !self.dry_run {
                    let deleted = queue.delete(&message).await;
                    deleted.map_err(|why| {
                        format!("a message whose event was published could not be deleted ({why})")
                    })?;
                    left.retain(|left| left.message_id != message.message_id);
                }
            }
        }
    }

    /// Publishes the events of one message. Returns whether all of them were published.
    async fn publish_dead_letter(&mut self, message: &str) -> Result<bool, Failure> {
        let refused = self.counts.refused;
        if let Ok(DeadLetter { key, .. }) = serde_json::from_str(message) {
            if key.pk.is_empty() {
                return self.keep("a message", "it has no key of an item");
            }
            match self.table.get(&key).await {
                Ok(Some(stored)) => self.add(stored).await?,
                Ok(None) => return self.keep(&key.pk, "its event is not in the table any more"),
                Err(error) if error.is_about_item() => {
                    return self.keep(&key.pk, &error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
            self.publish().await?;
        } else if let Ok(GivenUp { batch }) = serde_json::from_str(message) {
            let first = batch.approximate_arrival_of_first_record.before(MARGIN);
            let last = batch.approximate_arrival_of_last_record.after(MARGIN);
            let unreadable = self.publish_span(first..last, &Filter::default()).await?;
            if unreadable > 0 {
                let why = format!("{unreadable} of its events cannot be read by this version");
                return self.keep("a batch", &why);
            }
        } else {
            return self.keep("a message", "it is not one of the relay or of Lambda");
        }
        Ok(self.counts.refused == refused)
    }

    /// Prints why a message stays in the queue.
    fn keep(&self, event: &str, why: &str) -> Result<bool, Failure> {
        match self.output {
            Output::Json => {
                let line = json!({ "event": event, "action": "kept", "detail": why });
                say!("{}", json_line(&line)?)?;
            }
            Output::Table => say!("{}", cell(&format!("{event}  kept: {why}")))?,
        }
        Ok(false)
    }
}
