//! `hookkeeper republish`: sends stored events to the event bus again, with the relay's code.

mod dead_letters;

use crate::{
    Failure, Usage,
    commands::events::{entries, events},
    connection::output,
    filter::{Filter, Selection},
    handle::Handle,
    output::{Output, json_line, say},
    progress::{micros, progress},
    queues::Queues,
    skipped::Skipped,
};
use clap::Args;
use futures_util::TryStreamExt;
use indicatif::ProgressBar;
use models::{Record, Timestamp};
use relay::{Batch, Bus, Outcome, Outgoing};
use serde::Serialize;
use serde_json::json;
use std::{fmt, mem, ops::Range, pin::pin};
use storage::{Failure as StorageFailure, Order, Stored, Table};

/// Sends stored events to the event bus again, in the order in which they were recorded.
///
/// Use it when the relay was down for longer than the table's stream remembers (24 hours), or for a new consumer. An event
/// that was published before gets the same id, so a consumer can skip it.
///
/// Example: cargo hookkeeper republish --since 2026-11-21 --type deal.updated --dry-run
#[derive(Args)]
pub(crate) struct Republish {
    #[command(flatten)]
    selection: Selection,
    /// Publish the events of the relay's dead-letter queue, and delete the messages of those that were published
    #[arg(long)]
    #[arg(conflicts_with_all = ["since", "until", "provider", "type", "subject", "credential"])]
    dead_letters: bool,
    /// Print what would be published, and publish nothing
    #[arg(long)]
    dry_run: bool,
    /// Output format. For json, the last line has the counts
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Without a terminal, a line is printed each time that this many events were published.
const EVENTS_PER_LINE: u64 = 10_000;

#[derive(Default, Serialize)]
struct Counts {
    published: u64,
    /// Those of them that are published with `dataref`.
    without_data: u64,
    refused: u64,
    /// Messages that stay in the dead-letter queue.
    kept: u64,
}

struct Republisher {
    table: Table,
    bus: Bus,
    dead_letters: bool,
    dry_run: bool,
    output: Output,
    counts: Counts,
    batch: Batch,
    /// The events of the batch.
    queued: Vec<Queued>,
    /// The number of published events at which the next line is printed.
    next_line: u64,
}

/// An event of a batch.
struct Queued {
    handle: Handle,
    recorded: Option<Timestamp>,
}

impl Republish {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let described = self.selection.connection.described().await?;
        let why = "only a stack has an event bus: leave out --local and --table";
        let (sdk, stack) = described.ok_or_else(|| Usage(why.to_owned()))?;
        let name = output(&stack, "EventBusName");
        let name = name.ok_or("the stack has no event bus: deploy it with EventBus=create")?;
        let (table, span) = self.selection.open().await?;
        let client = aws_sdk_eventbridge::Client::new(&sdk);
        let mut republisher = Republisher {
            bus: Bus::new(client, name, table.name().to_owned()),
            table,
            dead_letters: self.dead_letters,
            dry_run: self.dry_run,
            output: self.output,
            counts: Counts::default(),
            batch: Batch::default(),
            queued: Vec::new(),
            next_line: EVENTS_PER_LINE,
        };
        if self.dead_letters {
            let queue = Queues::new(&sdk, &stack)?.relay_dead_letter;
            let queue = queue.ok_or("the stack has no output RelayDeadLetterQueueUrl")?;
            republisher.publish_dead_letters(&queue).await?;
        } else {
            let filter = &self.selection.filter;
            republisher.publish_span(span, filter).await?;
        }
        republisher.report()
    }
}

impl Republisher {
    /// Publishes the events of a time span that a filter selects. Returns the number of those that
    /// this version cannot read.
    async fn publish_span(
        &mut self,
        span: Range<Timestamp>,
        filter: &Filter,
    ) -> Result<u64, Failure> {
        let table = self.table.clone();
        let skipped = Skipped::default();
        let progress = progress(&span)?;
        let entries = entries(&table, span.clone(), Order::OldestFirst, filter);
        let events = events(&table, skipped.readable(entries));
        let mut events = pin!(skipped.readable(events));
        while let Some((entry, stored)) = events.try_next().await? {
            self.add(stored).await?;
            progress.set_position(micros(&(span.start..entry.recorded)));
            self.show(&progress);
        }
        self.publish().await?;
        progress.finish_and_clear();
        skipped.report();
        Ok(skipped.count())
    }

    fn show(&mut self, progress: &ProgressBar) {
        let published = self.counts.published;
        progress.set_message(format!("{published} events"));
        if progress.is_hidden() && published >= self.next_line {
            eprintln!("{published} events so far");
            self.next_line += EVENTS_PER_LINE;
        }
    }

    /// Adds an event to the batch, after the batch was published if there is no room.
    async fn add(&mut self, stored: Stored) -> Result<(), Failure> {
        let handle = Handle::for_event(&stored);
        let recorded = stored.recorded;
        let Record::Event { event, .. } = stored.record else {
            return Ok(());
        };
        let event = Outgoing::new(stored.key, event, self.table.name());
        if !self.batch.has_room_for(&event) {
            self.publish().await?;
        }
        self.batch.push(event);
        self.queued.push(Queued { handle, recorded });
        Ok(())
    }

    /// Publishes the batch.
    async fn publish(&mut self) -> Result<(), Failure> {
        let mut batch = mem::take(&mut self.batch);
        let queued = mem::take(&mut self.queued);
        if !self.dry_run {
            self.bus.publish(&mut batch).await;
        }
        for (entry, Queued { handle, recorded }) in batch.entries().iter().zip(queued) {
            match &entry.outcome {
                Outcome::Failed(failure) if !self.dry_run => {
                    return Err(self.interrupted(failure, recorded).into());
                }
                Outcome::Refused(failure) => {
                    self.counts.refused += 1;
                    self.tell_refused(&handle, failure.word())?;
                }
                Outcome::Published | Outcome::Failed(_) => {
                    self.counts.published += 1;
                    self.counts.without_data += u64::from(!entry.event.has_data());
                }
            }
        }
        Ok(())
    }

    fn interrupted(&self, failure: &StorageFailure, recorded: Option<Timestamp>) -> String {
        let published = self.counts.published;
        let advice = match recorded {
            Some(recorded) if !self.dead_letters => {
                format!("run it again with --since {recorded} instead")
            }
            _ => "run this again".to_owned(),
        };
        format!("the event bus {failure}; {published} events were published before: {advice}")
    }

    fn tell_refused(&self, handle: &Handle, code: &str) -> Result<(), Failure> {
        let handle = handle.to_string();
        match self.output {
            Output::Json => {
                let line = json!({ "handle": handle, "action": "refused", "detail": code });
                say!("{}", json_line(&line)?)?;
            }
            Output::Table => say!("{handle}  refused: {code}")?,
        }
        Ok(())
    }

    fn report(&self) -> Result<(), Failure> {
        let but = if self.dry_run {
            " (dry run: nothing was published)"
        } else {
            ""
        };
        match self.output {
            Output::Json => say!("{}", json_line(&self.counts)?)?,
            Output::Table => say!("{}{but}.", self.counts)?,
        }
        match (self.counts.refused, self.counts.kept) {
            (0, 0) => Ok(()),
            (0, kept) => Err(format!("{kept} messages stay in the dead-letter queue").into()),
            (refused, _) => Err(format!("the event bus refuses {refused} events").into()),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} events published ({} of them without data), {} refused",
            self.published, self.without_data, self.refused
        )
    }
}
