//! The messages that wait in queues, and are not in the table yet.

use crate::{Client, Failure, Settings};
use aws_sdk_sqs::{
    error::SdkError, operation::get_queue_attributes::GetQueueAttributesError,
    types::QueueAttributeName,
};
use serde::Serialize;

/// The attributes that together count the messages of a queue.
const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

/// Messages of a queue. SQS counts them approximately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Messages {
    /// Those that can be received.
    pub visible: u64,
    /// Received and not deleted yet.
    pub in_flight: u64,
    /// Those that can be received later.
    pub delayed: u64,
}

impl Messages {
    /// Counts the messages of the queue with a URL.
    ///
    /// # Errors
    /// The SDK's error: SQS did not tell their number in time.
    pub async fn count(
        client: &aws_sdk_sqs::Client,
        url: &str,
    ) -> Result<Self, SdkError<GetQueueAttributesError>> {
        let request = client.get_queue_attributes().queue_url(url);
        let request = request.set_attribute_names(Some(COUNTS.to_vec()));
        let counts = request.send().await?.attributes.unwrap_or_default();
        let [visible, in_flight, delayed] = COUNTS.map(|name| {
            let count = counts.get(&name).map(|count| count.parse());
            count.and_then(Result::ok).unwrap_or_default()
        });
        Ok(Self {
            visible,
            in_flight,
            delayed,
        })
    }

    /// The number of all messages.
    #[must_use]
    pub fn all(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

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
            let counted = Messages::count(&self.client, url).await;
            messages += counted.map_err(|error| Failure::from(&error))?.all();
        }
        Ok(messages)
    }
}
