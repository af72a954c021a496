//! `hookkeeper events`: lists stored events, shows one event or the history of one subject, and
//! follows new events.

mod follow;
mod history;
mod latest;
pub(crate) mod show;

use crate::{
    Failure,
    difference::Change,
    filter::{Filter, Selection},
    handle::Handle,
    output::{Format, Output, Page, json_line, say},
    skipped::Skipped,
    span::limit,
};
use clap::{Args, Subcommand};
use futures_util::{Stream, StreamExt, TryStreamExt};
use models::{Event, Origin, Record, Timestamp};
use serde::Serialize;
use std::{future::ready, ops::Range, pin::pin};
use storage::{IndexEntry, Order, Stored, Table, TableError};

/// Lists the stored events, newest first.
///
/// Example: cargo hookkeeper events --local --since 2h --type deal.updated
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Events {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
enum Command {
    Show(show::Show),
    History(history::History),
    Latest(latest::Latest),
    Follow(follow::Follow),
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    selection: Selection,
    /// Maximum number of events to list
    #[arg(long, default_value_t = 20, value_parser = limit)]
    limit: usize,
    #[command(flatten)]
    format: Format,
}

/// Number of events that are fetched at the same time.
const CONCURRENT_GETS: usize = 8;

impl Events {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run().await,
            Some(Command::Show(show)) => show.run().await,
            Some(Command::History(history)) => history.run().await,
            Some(Command::Latest(latest)) => latest.run().await,
            Some(Command::Follow(follow)) => follow.run().await,
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let (table, span) = self.selection.open().await?;
        let skipped = Skipped::default();
        let filter = &self.selection.filter;
        let entries = entries(&table, span.clone(), Order::NewestFirst, filter);
        let entries = skipped.readable(entries).take(self.limit);
        let page = self.format.page();
        let listed = match self.format.output {
            Output::Json => {
                let mut listed = 0;
                let mut events = pin!(skipped.readable(events(&table, entries)));
                while let Some((_, stored)) = events.try_next().await? {
                    say!("{}", json(&stored)?)?;
                    listed += 1;
                }
                listed
            }
            Output::Table => {
                let entries = entries.map_ok(|entry| row(&entry, page));
                let rows: Vec<_> = entries.try_collect().await?;
                if !rows.is_empty() {
                    say!("{}", page.table(HEADING, &rows, &DROPPED))?;
                }
                rows.len()
            }
        };
        let since = page.time(span.start);
        let nothing =
            format!("No matching events since {since} (use --since to look further back).");
        self.format.output.note(listed, self.limit, &nothing)?;
        skipped.report();
        Ok(())
    }
}

const HEADING: [&str; 6] = ["HANDLE", "RECORDED", "TIME", "TYPE", "SOURCE", "SUBJECT"];

/// Columns that a narrow terminal does not show: the time of the event, which is mostly that of its
/// recording, and its source.
const DROPPED: [usize; 2] = [2, 4];

fn row(entry: &IndexEntry, page: Page) -> [String; 6] {
    [
        Handle::for_entry(entry).to_string(),
        page.time(entry.recorded),
        page.time(entry.event.time),
        page.r#type(&entry.r#type),
        entry.event.source.clone(),
        entry.event.subject.clone(),
    ]
}

/// Index entries of the events in a time span that a filter selects.
pub(crate) fn entries(
    table: &Table,
    span: Range<Timestamp>,
    order: Order,
    filter: &Filter,
) -> impl Stream<Item = Result<IndexEntry, TableError>> {
    table
        .recorded(span, order)
        .try_filter(|entry| ready(filter.takes(entry)))
}

/// Events of index entries, in the order of the entries. Events that were removed in the meantime
/// are left out.
pub(crate) fn events(
    table: &Table,
    entries: impl Stream<Item = Result<IndexEntry, TableError>>,
) -> impl Stream<Item = Result<(IndexEntry, Stored), TableError>> {
    found(table, entries)
        .try_filter_map(async |(entry, stored)| Ok(stored.map(|stored| (entry, stored))))
}

/// Index entries, each with its event if that still exists.
pub(crate) fn found(
    table: &Table,
    entries: impl Stream<Item = Result<IndexEntry, TableError>>,
) -> impl Stream<Item = Result<(IndexEntry, Option<Stored>), TableError>> {
    entries
        .map(async |entry| {
            let entry = entry?;
            let stored = table.get(&entry.key).await?;
            Ok((entry, stored))
        })
        .buffered(CONCURRENT_GETS)
}

/// An event as the listings print it: the CloudEvent, and the attributes of its item that a CloudEvent
/// does not have.
#[derive(Serialize)]
struct Listed<'a> {
    handle: String,
    recordedtime: Option<Timestamp>,
    arrival: Timestamp,
    requestid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gatewayid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<&'a [Change]>,
    #[serde(flatten)]
    event: &'a Event,
}

/// Formats an event as one line of JSON, with its handle and its origin.
pub(crate) fn json(stored: &Stored) -> Result<String, Failure> {
    json_with(stored, None)
}

/// The same with what the event changed, if that is known.
fn json_with(stored: &Stored, difference: Option<&[Change]>) -> Result<String, Failure> {
    let (event, origin) = event(stored)?;
    let listed = Listed {
        handle: Handle::for_event(stored).to_string(),
        recordedtime: stored.recorded,
        arrival: origin.arrival,
        requestid: &origin.request_id,
        gatewayid: origin.gateway_id.as_deref(),
        credential: origin.credential.as_deref(),
        difference,
        event,
    };
    Ok(json_line(&listed)?)
}

/// Formats an event as one line of JSON: a CloudEvent and nothing else.
pub(crate) fn cloud_event(stored: &Stored) -> Result<String, Failure> {
    let (event, _) = event(stored)?;
    Ok(json_line(event)?)
}

fn event(stored: &Stored) -> Result<(&Event, &Origin), Failure> {
    match &stored.record {
        Record::Event { event, origin, .. } => Ok((event, origin)),
        Record::Body { .. } | Record::Quarantined { .. } => Err("the item is not an event".into()),
    }
}
