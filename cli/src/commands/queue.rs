//! `hookkeeper queue`: counts the messages of the stack's queues, and moves dead letters back into the
//! fallback queue.

use crate::{
    Failure, Usage,
    connection::{OnAws, causes},
    output::{Output, json_line, say, table},
    queues::Queue as StackQueue,
};
use aws_sdk_sqs::types::Message;
use clap::{Args, Subcommand};
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use storage::Messages;

/// Counts the messages of the stack's queues, and redrives those of the dead-letter queue.
///
/// Example: cargo hookkeeper queue status
#[derive(Args)]
pub(crate) struct Queue {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Status(Status),
    Redrive(Redrive),
}

/// Counts the messages in the stack's queues. SQS counts them approximately.
///
/// Example: cargo hookkeeper queue status --output json
#[derive(Args)]
struct Status {
    #[command(flatten)]
    on_aws: OnAws,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Moves the messages of the dead-letter queue back into the fallback queue, and the drain stores them.
///
/// Fix the cause first: the drain's log has it. A message is deleted after the fallback queue has it, so an interruption
/// loses nothing. It ends when no message has been visible for 5 seconds.
///
/// Example: cargo hookkeeper queue redrive
#[derive(Args)]
struct Redrive {
    /// Move the messages of this queue instead, such as a queue of a deleted stack
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    #[command(flatten)]
    on_aws: OnAws,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Queue {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            Command::Status(status) => status.run().await,
            Command::Redrive(redrive) => redrive.run().await,
        }
    }
}

/// One line of JSON.
#[derive(Serialize)]
struct Row {
    queue: &'static str,
    #[serde(flatten)]
    messages: Messages,
}

impl Status {
    async fn run(self) -> Result<(), Failure> {
        let queues = self.on_aws.queues().await?;
        let mut rows = Vec::new();
        for queue in queues.all() {
            rows.push(Row {
                queue: queue.name,
                messages: queue.messages().await?,
            });
        }
        if self.output == Output::Json {
            return rows
                .iter()
                .try_for_each(|row| Ok(say!("{}", json_line(row)?)?));
        }
        let cells: Vec<_> = rows.iter().map(Row::cells).collect();
        Ok(say!(
            "{}",
            table(["QUEUE", "VISIBLE", "IN FLIGHT", "DELAYED"], &cells)
        )?)
    }
}

impl Row {
    fn cells(&self) -> [String; 4] {
        let Messages {
            visible,
            in_flight,
            delayed,
        } = self.messages;
        let [visible, in_flight, delayed] =
            [visible, in_flight, delayed].map(|count| count.to_string());
        [self.queue.to_owned(), visible, in_flight, delayed]
    }
}

impl Redrive {
    async fn run(self) -> Result<(), Failure> {
        let queues = self.on_aws.queues().await?;
        let to = &queues.fallback;
        let from = match &self.from {
            None => queues.dead_letter.clone(),
            Some(url) => StackQueue {
                name: "queue",
                url: url.clone(),
                client: to.client.clone(),
            },
        };
        if from.url == to.url {
            return Err(Usage("--from is the fallback queue itself".to_owned()).into());
        }
        let mut moved = 0;
        loop {
            let messages = from.receive().await?;
            if messages.is_empty() {
                break;
            }
            let redrives = stream::iter(&messages).map(|message| redrive(&from, to, message));
            let mut redrives = redrives.buffer_unordered(messages.len());
            while let Some(outcome) = redrives.next().await {
                outcome.map_err(|why| format!("{why}; {moved} messages were moved before"))?;
                moved += 1;
            }
        }
        let in_flight = from.messages().await?.in_flight;
        match self.output {
            Output::Json => say!("{}", json!({ "moved": moved, "in_flight": in_flight }))?,
            Output::Table => say!("{moved} messages moved into the fallback queue.")?,
        }
        if in_flight > 0 {
            eprintln!(
                "{in_flight} messages were received by somebody else: run this again in 3 minutes."
            );
        }
        Ok(())
    }
}

/// Moves one message: it is deleted after the other queue has it.
async fn redrive(from: &StackQueue, to: &StackQueue, message: &Message) -> Result<(), String> {
    let request = to.client.send_message().queue_url(&to.url);
    let request = request.message_body(message.body().unwrap_or_default());
    let sent = request.send().await;
    sent.map_err(|error| {
        format!(
            "the {} did not take a message ({})",
            to.name,
            causes(&error)
        )
    })?;
    let deleted = from.delete(message).await;
    deleted.map_err(|why| format!("a message that was moved could not be deleted ({why})"))
}
