//! The queues of a stack.

use crate::{
    Failure,
    connection::{causes, output},
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use serde::Serialize;

/// Attributes that together count the messages of a queue.
const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

/// A queue of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    pub(crate) client: Client,
}

/// The queues of a stack.
#[derive(Debug, Clone)]
pub(crate) struct Queues {
    pub(crate) fallback: Queue,
    pub(crate) dead_letter: Queue,
}

/// Messages of a queue. SQS counts them approximately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Messages {
    pub(crate) visible: u64,
    /// Received and not deleted yet.
    pub(crate) in_flight: u64,
    pub(crate) delayed: u64,
}

impl Messages {
    pub(crate) fn all(self) -> u64 {
        self.visible + self.in_flight + self.delayed
    }
}

impl Queues {
    /// Finds the queues in the outputs of a stack.
    pub(crate) fn new(sdk: &SdkConfig, stack: &Stack) -> Result<Self, Failure> {
        let client = Client::new(sdk);
        let queue = |name: &'static str, of: &str| {
            let missing = || format!("the stack has no output {of}: deploy it again");
            let url = output(stack, of).ok_or_else(missing)?;
            let client = client.clone();
            Ok::<_, Failure>(Queue { name, url, client })
        };
        Ok(Self {
            fallback: queue("fallback queue", "FallbackQueueUrl")?,
            dead_letter: queue("dead-letter queue", "DeadLetterQueueUrl")?,
        })
    }

    /// Fails if a queue holds messages.
    pub(crate) async fn check_empty(&self) -> Result<(), Failure> {
        for queue in [&self.fallback, &self.dead_letter] {
            let messages = queue.messages().await?.all();
            if messages > 0 {
                let name = queue.name;
                return Err(format!(
                    "{messages} messages wait in the {name}, and may contain what you erase: \
                    wait for the drain, or see `hookkeeper queue status`; then run this again"
                )
                .into());
            }
        }
        Ok(())
    }
}

impl Queue {
    /// Counts the messages.
    pub(crate) async fn messages(&self) -> Result<Messages, Failure> {
        let messages = messages(&self.client, &self.url).await;
        messages.map_err(|why| format!("the {} cannot be read ({why})", self.name).into())
    }
}

/// Counts the messages of a queue.
///
/// # Errors
/// The cause in one line.
pub(crate) async fn messages(client: &Client, url: &str) -> Result<Messages, String> {
    let asked = client
        .get_queue_attributes()
        .queue_url(url)
        .set_attribute_names(Some(COUNTS.to_vec()))
        .send()
        .await;
    let counts = asked
        .map_err(|error| causes(&error))?
        .attributes
        .unwrap_or_default();
    let [visible, in_flight, delayed] = COUNTS.map(|name| {
        let count = counts.get(&name).map(|count| count.parse());
        count.and_then(Result::ok).unwrap_or_default()
    });
    Ok(Messages {
        visible,
        in_flight,
        delayed,
    })
}
