//! The queues of a stack.

use crate::{
    Failure,
    connection::{causes, output},
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_sqs::{Client, types::Message};
use storage::Messages;

/// The largest number of messages that SQS returns at a time.
const BATCH: i32 = 10;
/// How long an empty queue is asked for messages, in seconds.
const WAIT_SECONDS: i32 = 5;

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
    /// Only if the stack has an event bus.
    pub(crate) relay_dead_letter: Option<Queue>,
    /// Only if the stack forwards events to a URL.
    pub(crate) forward_dead_letter: Option<Queue>,
}

impl Queues {
    /// Finds the queues in the outputs of a stack.
    pub(crate) fn new(sdk: &SdkConfig, stack: &Stack) -> Result<Self, Failure> {
        let client = Client::new(sdk);
        let optional = |name, of| {
            let url = output(stack, of)?;
            let client = client.clone();
            Some(Queue { name, url, client })
        };
        let queue = |name, of| {
            let missing = || format!("the stack has no output {of}: deploy it again");
            optional(name, of).ok_or_else(missing)
        };
        Ok(Self {
            fallback: queue("fallback queue", "FallbackQueueUrl")?,
            dead_letter: queue("dead-letter queue", "DeadLetterQueueUrl")?,
            relay_dead_letter: optional("relay dead letters", "RelayDeadLetterQueueUrl"),
            forward_dead_letter: optional("forward dead letters", "ForwardDeadLetterQueueUrl"),
        })
    }

    /// All queues that the stack has.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Queue> {
        let optional = [&self.relay_dead_letter, &self.forward_dead_letter];
        let queues = [&self.fallback, &self.dead_letter].into_iter();
        queues.chain(optional.into_iter().flatten())
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
        let counted = Messages::count(&self.client, &self.url).await;
        counted.map_err(|error| {
            let why = causes(&error);
            format!("the {} cannot be read ({why})", self.name).into()
        })
    }

    /// Receives messages. Waits some seconds for the first one.
    pub(crate) async fn receive(&self) -> Result<Vec<Message>, Failure> {
        let receive = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(BATCH)
            .wait_time_seconds(WAIT_SECONDS);
        let received = receive.send().await;
        let received = received
            .map_err(|error| format!("the {} cannot be read ({})", self.name, causes(&error)))?;
        Ok(received.messages.unwrap_or_default())
    }

    /// Makes messages visible to the next receiver at once.
    pub(crate) async fn show_again(&self, messages: &[Message]) -> Result<(), Failure> {
        for message in messages {
            let request = self.client.change_message_visibility();
            let request = request.queue_url(&self.url).visibility_timeout(0);
            let request = request.receipt_handle(message.receipt_handle().unwrap_or_default());
            request.send().await.map_err(|error| {
                let why = causes(&error);
                format!(
                    "messages of the {} stay hidden for some minutes ({why})",
                    self.name
                )
            })?;
        }
        Ok(())
    }

    /// Deletes a message that was received.
    ///
    /// # Errors
    /// The cause in one line.
    pub(crate) async fn delete(&self, message: &Message) -> Result<(), String> {
        let request = self.client.delete_message().queue_url(&self.url);
        let request = request.receipt_handle(message.receipt_handle().unwrap_or_default());
        let deleted = request.send().await;
        deleted.map_err(|error| causes(&error))?;
        Ok(())
    }
}
