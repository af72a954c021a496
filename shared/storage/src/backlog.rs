//! The messages that wait in queues, and are not in the table yet.

use crate::{Client, Failure, Settings};
use aws_sdk_sqs::types::QueueAttributeName;

/// The attributes that together count the messages of a queue.
const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

/// Queues whose messages are counted.
#[derive(Debug, Clone)]
pub struct Backlog {
    client: aws_sdk_sqs::Client,
    urls: Vec<String>,
}

impl Backlog {
    /// The queues with these URLs. It connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings, urls: Vec<String>) -> Self {
        Self::from_client(client.sqs(settings), urls)
    }

    /// Like [`new`](Self::new), over an SDK client of a command.
    #[must_use]
    pub fn from_client(client: aws_sdk_sqs::Client, urls: Vec<String>) -> Self {
        Self { client, urls }
    }

    /// Counts the messages. SQS counts them approximately.
    ///
    /// # Errors
    /// The [`Failure`]: SQS did not tell the number of a queue's messages in time.
    pub async fn messages(&self) -> Result<u64, Failure> {
        let mut messages = 0;
        for url in &self.urls {
            let request = self.client.get_queue_attributes().queue_url(url);
            let request = request.set_attribute_names(Some(COUNTS.to_vec()));
            let sent = request.send().await;
            let told = sent.map_err(|error| Failure::from(&error))?;
            let counts = told.attributes.unwrap_or_default();
            let counts = counts.values().map(|count| count.parse().unwrap_or(0));
            messages += counts.sum::<u64>();
        }
        Ok(messages)
    }
}
