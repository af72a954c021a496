//! `hookkeeper consumers`: lists consumers, and skips events, moves or deletes a consumer.

use super::consume::{failure, name, start};
use crate::{
    Failure,
    connection::Connection,
    handle,
    output::{Format, Output, Page, json_line, say},
};
use clap::{Args, Subcommand};
use serde::Serialize;
use storage::{
    Consumer, Position, Table, TableError,
    consumer::{COUNTED, Cursor, Options, Pending, Start, Stopped},
};

/// Lists the consumers: how far each is, what it has not handled, and what was stored late, behind its position.
///
/// Example: cargo hookkeeper consumers --local
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Consumers {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
enum Command {
    List(List),
    Skip(Skip),
    Reset(Reset),
    Delete(Delete),
}

/// Lists the consumers.
///
/// Example: cargo hookkeeper consumers list --output json
#[derive(Args)]
struct List {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    format: Format,
}

/// Skips the event at which a consumer stopped, and records it in the consumer.
///
/// Example: cargo hookkeeper consumers skip warehouse
#[derive(Args)]
struct Skip {
    #[command(flatten)]
    consumer: Named,
}

/// Moves a consumer to another position, forward or back.
///
/// Example: cargo hookkeeper consumers reset warehouse --from 2026-11-21
#[derive(Args)]
struct Reset {
    #[command(flatten)]
    consumer: Named,
    /// The position: beginning, now, a duration ago, or a time
    #[arg(long, value_name = "TIME", value_parser = start, default_value = "beginning")]
    from: Start,
}

/// Deletes a consumer. The events stay.
///
/// Example: cargo hookkeeper consumers delete warehouse
#[derive(Args)]
struct Delete {
    #[command(flatten)]
    consumer: Named,
}

/// A consumer of a table.
#[derive(Args)]
struct Named {
    /// Name of the consumer
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    connection: Connection,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Consumers {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run().await,
            Some(Command::List(list)) => list.run().await,
            Some(Command::Skip(skip)) => skip.run().await,
            Some(Command::Reset(reset)) => reset.run().await,
            Some(Command::Delete(delete)) => delete.run().await,
        }
    }
}

pub(crate) const HEADING: [&str; 6] = ["NAME", "POSITION", "LAG", "PENDING", "BEHIND", "STATE"];

/// A consumer as it is listed.
#[derive(Serialize)]
pub(crate) struct Listed {
    name: String,
    position: Position,
    /// Seconds since the first event that is not handled was recorded. 0 if there is none.
    lag_seconds: i64,
    /// The number of events that are not handled, up to [`COUNTED`].
    pending: usize,
    /// The number of events that were written behind the position.
    behind: u64,
    /// The latest of these that were delivered.
    behind_events: Vec<Position>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<Stopped>,
    skipped: Vec<Stopped>,
    /// Whether a process holds it.
    running: bool,
}

impl Listed {
    fn new(table: &Table, consumer: Consumer, pending: &Pending) -> Self {
        let now = table.now();
        let lag = pending
            .oldest
            .map(|oldest| now.as_seconds() - oldest.as_seconds());
        Self {
            running: consumer.lease.is_held(now),
            name: consumer.name,
            position: consumer.position,
            lag_seconds: lag.unwrap_or_default().max(0),
            pending: pending.events,
            behind: consumer.behindcount + pending.behind,
            behind_events: consumer.behind,
            stopped: consumer.stopped,
            skipped: consumer.skipped,
        }
    }

    pub(crate) fn cells(&self, page: Page) -> [String; 6] {
        let more = if self.pending == COUNTED { "+" } else { "" };
        let time = self.position.time();
        [
            self.name.clone(),
            time.map_or(self.position.recordedtime.clone(), |time| page.time(time)),
            format!("{} s", self.lag_seconds),
            format!("{}{more}", self.pending),
            self.behind.to_string(),
            self.state(),
        ]
    }

    fn state(&self) -> String {
        match &self.stopped {
            Some(stopped) => format!(
                "stopped at {}: {}",
                named(&stopped.position),
                stopped.reason
            ),
            None if self.running => "running".to_owned(),
            None => "idle".to_owned(),
        }
    }
}

/// The consumers of a table.
pub(crate) async fn listed(table: &Table) -> Result<Vec<Listed>, TableError> {
    let mut listed = Vec::new();
    for consumer in table.consumers().await? {
        let pending = table.pending(&consumer).await?;
        listed.push(Listed::new(table, consumer, &pending));
    }
    Ok(listed)
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let listed = listed(&table).await?;
        if self.format.output == Output::Json {
            let mut lines = listed.iter();
            return lines.try_for_each(|listed| Ok(say!("{}", json_line(listed)?)?));
        }
        if listed.is_empty() {
            say!("There are no consumers: `hookkeeper consume NAME` creates one.")?;
            return Ok(());
        }
        let page = self.format.page();
        let rows: Vec<_> = listed.iter().map(|listed| listed.cells(page)).collect();
        say!("{}", page.table(HEADING, &rows, &[1]))?;
        Ok(())
    }
}

impl Named {
    /// Opens the consumer, and does something that ends with closing it.
    async fn with<T>(
        &self,
        act: impl AsyncFnOnce(Cursor<'_>) -> Result<T, storage::consumer::ConsumerError>,
    ) -> Result<T, Failure> {
        let table = self.connection.table().await?;
        let options = Options::new(Start::Now);
        let opened = table.open_existing_cursor(&self.name, &options).await;
        let cursor = opened.map_err(|error| failure(error, &self.name))?;
        act(cursor)
            .await
            .map_err(|error| failure(error, &self.name))
    }

    fn say(&self, result: &impl Serialize, sentence: &str) -> Result<(), Failure> {
        match self.output {
            Output::Json => say!("{}", json_line(result)?)?,
            Output::Table => say!("{sentence}")?,
        }
        Ok(())
    }
}

impl Skip {
    async fn run(self) -> Result<(), Failure> {
        let skipped = self
            .consumer
            .with(async |cursor| cursor.skip().await)
            .await?;
        let event = named(&skipped.position);
        let sentence = format!("The consumer {} skips {event}.", self.consumer.name);
        self.consumer.say(&skipped, &sentence)
    }
}

impl Reset {
    async fn run(self) -> Result<(), Failure> {
        let reset = self
            .consumer
            .with(async |cursor| cursor.reset(self.from).await)
            .await?;
        let position = &reset.position.recordedtime;
        let sentence = format!(
            "The consumer {} continues at {position}.",
            self.consumer.name
        );
        self.consumer.say(&reset.position, &sentence)
    }
}

impl Delete {
    async fn run(self) -> Result<(), Failure> {
        self.consumer
            .with(async |cursor| cursor.delete().await)
            .await?;
        let name = &self.consumer.name;
        let result = serde_json::json!({ "deleted": name });
        self.consumer
            .say(&result, &format!("The consumer {name} is deleted."))
    }
}

/// The handle of the event at a position.
fn named(position: &Position) -> String {
    match (position.time(), position.key()) {
        (Some(time), Some(key)) => handle::Handle::for_recorded(time, &key).to_string(),
        _ => position.recordedtime.clone(),
    }
}
