//! A dead-letter queue that a function fills itself.

use crate::{Client, Failure, Settings};
use std::sync::OnceLock;

/// SQS queue for messages about records that a function gives up.
#[derive(Debug, Clone)]
pub struct DeadLetterQueue {
    connection: Client,
    settings: Settings,
    /// Created at the first use: most environments do not need it.
    client: OnceLock<aws_sdk_sqs::Client>,
    url: String,
}

impl DeadLetterQueue {
    /// Creates the queue with this URL. It connects at the first use.
    #[must_use]
    pub fn new(client: &Client, settings: &Settings, url: String) -> Self {
        Self {
            connection: client.clone(),
            settings: settings.clone(),
            client: OnceLock::new(),
            url,
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    /// The [`Failure`]: SQS did not confirm in time that it accepted the message.
    pub async fn send(&self, message: String) -> Result<(), Failure> {
        let client = self
            .client
            .get_or_init(|| self.connection.sqs(&self.settings));
        let request = client.send_message().queue_url(&self.url);
        let sent = request.message_body(message).send().await;
        sent.map_err(|error| Failure::from(&error))?;
        Ok(())
    }
}
