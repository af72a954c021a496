//! `hookkeeper quarantine`: lists, shows, replays and drops deliveries that could not be parsed.

pub(crate) mod drop;
pub(crate) mod replay;
mod show;

use crate::{
    Failure,
    connection::Connection,
    filter::{provider, selected},
    handle::{Handle, arrival, id},
    output::{Format, Output, Page, json_line, say},
    reading::exact_bytes,
    skipped::Skipped,
    span::{A_WEEK, Span, limit},
};
use clap::{Args, Subcommand};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use models::{Delivery, Origin, Reason, Record, Timestamp};
use providers::Provider;
use serde::Serialize;
use std::{future::ready, ops::Range};
use storage::{Key, Order, Scanned, Stored, Table};

/// Lists the deliveries that could not be parsed, newest first, with the reasons.
///
/// Example: cargo hookkeeper quarantine --local --since 30d
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
enum Command {
    Show(show::Show),
    Replay(replay::Replay),
    Drop(drop::Drop),
}

/// Which deliveries.
#[derive(Args)]
struct Which {
    #[command(flatten)]
    connection: Connection,
    /// Only deliveries of this provider
    #[arg(long, value_parser = provider)]
    provider: Option<Provider>,
    #[command(flatten)]
    span: Span,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// Maximum number of deliveries to list
    #[arg(long, default_value_t = 20, value_parser = limit)]
    limit: usize,
    #[command(flatten)]
    format: Format,
}

impl Quarantine {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run().await,
            Some(Command::Show(show)) => show.run().await,
            Some(Command::Replay(replay)) => Box::pin(replay.run()).await,
            Some(Command::Drop(drop)) => drop.run().await,
        }
    }
}

/// Delivery that could not be parsed, or one item of it.
pub(crate) struct Quarantined {
    pub(crate) handle: Handle,
    key: Key,
    pub(crate) provider: Provider,
    /// The position of the item in the delivery. 0 for a whole delivery.
    index: usize,
    pub(crate) origin: Origin,
    pub(crate) reason: Reason,
    /// The exact body. `None` if it, or a chunk of it, is not in the table.
    pub(crate) bytes: Option<Vec<u8>>,
}

impl Quarantined {
    /// Reads what a query found. `None` for a delivery that is being removed.
    async fn load(
        table: &Table,
        provider: Provider,
        scanned: Scanned,
    ) -> Result<Option<Self>, Failure> {
        match scanned {
            Scanned::Record(stored) => Self::read(table, provider, *stored).await,
            Scanned::Incomplete(key) => Ok(Some(Self::damaged(provider, key))),
            Scanned::HalfRemoved(_) | Scanned::ChunkOf(_) => Ok(None),
        }
    }

    /// A delivery whose chunks are missing: only its key is read.
    fn damaged(provider: Provider, key: Key) -> Self {
        let arrival = arrival(&key).unwrap_or(Timestamp::EPOCH);
        Self {
            handle: Handle::for_quarantined(&key),
            key,
            provider,
            index: 0,
            origin: Delivery::new(Vec::new(), arrival, "").origin,
            reason: Reason {
                code: "damaged".to_owned(),
                message: "damaged: its chunks are missing".to_owned(),
            },
            bytes: None,
        }
    }

    /// Reads the bytes of a quarantined record. `None` for another record.
    async fn read(
        table: &Table,
        provider: Provider,
        stored: Stored,
    ) -> Result<Option<Self>, Failure> {
        let Record::Quarantined {
            index,
            origin,
            reason,
            ..
        } = &stored.record
        else {
            return Ok(None);
        };
        Ok(Some(Self {
            handle: Handle::for_quarantined(&stored.key),
            index: *index,
            origin: origin.clone(),
            reason: reason.clone(),
            bytes: exact_bytes(table, &provider, &stored.record).await?,
            provider,
            key: stored.key,
        }))
    }
}

/// Quarantined deliveries of a time span, one provider after another.
fn quarantined<'a>(
    table: &'a Table,
    only: Option<Provider>,
    span: Range<Timestamp>,
    order: Order,
    skipped: &'a Skipped,
) -> impl Stream<Item = Result<Quarantined, Failure>> + 'a {
    let all = stream::iter(selected(only)).flat_map(move |provider| {
        let scanned = table.quarantined(provider.name, span.clone(), order);
        scanned.map_ok(move |scanned| (provider, scanned))
    });
    skipped
        .readable(all)
        .map_err(Failure::from)
        .try_filter_map(async |(provider, scanned)| {
            Quarantined::load(table, provider, scanned).await
        })
}

/// The newest quarantined deliveries of a time span, each as what `shown` keeps of it.
pub(crate) async fn newest<T>(
    table: &Table,
    only: Option<Provider>,
    span: &Range<Timestamp>,
    limit: usize,
    skipped: &Skipped,
    shown: fn(Quarantined) -> T,
) -> Result<Vec<T>, Failure> {
    let mut newest = Vec::new();
    for provider in selected(only) {
        let span = span.clone();
        let all = quarantined(table, Some(provider), span, Order::NewestFirst, skipped);
        let all = all
            .take(limit)
            .map_ok(|delivery| (delivery.key.sk.clone(), shown(delivery)));
        newest.extend(all.try_collect::<Vec<_>>().await?);
    }
    newest.sort_by(|(a, _), (b, _)| b.cmp(a));
    newest.truncate(limit);
    Ok(newest.into_iter().map(|(_, shown)| shown).collect())
}

/// Error for a body that is not in the table, or not completely.
const BODY_MISSING: &str = "the body of the delivery is not in the table";

/// Finds the only delivery with a handle.
async fn find(table: &Table, handle: &Handle) -> Result<Quarantined, Failure> {
    let skipped = Skipped::default();
    let all = quarantined(table, None, handle.span(), Order::OldestFirst, &skipped);
    let mut found: Vec<_> = all
        .try_filter(|delivery| ready(handle.is_of(id(&delivery.key))))
        .try_collect()
        .await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(one), false) => Err(format!(
            "several deliveries have the handle {handle}: give more characters of the id, {}",
            id(&one.key)
        )
        .into()),
        (None, _) => Err(format!(
            "no quarantined delivery has the handle {handle}: `hookkeeper quarantine` lists them"
        )
        .into()),
    }
}

/// Finishes the interrupted removals of a time span, and tells about each. Returns their number.
async fn finish_removals(
    table: &Table,
    only: Option<Provider>,
    span: Range<Timestamp>,
    is_wanted: impl Fn(&Key) -> bool,
    tell: &mut impl FnMut(&Outcome) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let mut finished = 0;
    for provider in selected(only) {
        let keys: Vec<Key> = table
            .half_removed(provider.name, span.clone())
            .try_collect()
            .await?;
        for key in keys.iter().filter(|key| is_wanted(key)) {
            table.remove(key).await?;
            finished += 1;
            tell(&Outcome {
                handle: Handle::for_quarantined(key).to_string(),
                provider: provider.name,
                action: "finished",
                reason: None,
                events: Vec::new(),
            })?;
        }
    }
    Ok(finished)
}

/// Finishes the removal of a delivery by its handle if it was interrupted. Returns whether it was.
async fn finish_removal(
    table: &Table,
    handle: &Handle,
    tell: &mut impl FnMut(&Outcome) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let is_wanted = |key: &Key| handle.is_of(id(key));
    let finished = finish_removals(table, None, handle.span(), is_wanted, tell).await?;
    Ok(finished > 0)
}

/// Line for programs about a delivery that a command changed, or could not change.
#[derive(Serialize)]
pub(crate) struct Outcome {
    pub(crate) handle: String,
    provider: &'static str,
    /// `replayed`, `stays`, `dropped`, or `finished` for an interrupted removal.
    pub(crate) action: &'static str,
    /// Why the delivery stays in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The events that were made of the delivery.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<Made>,
}

/// An event that was made of a quarantined delivery.
#[derive(Serialize)]
struct Made {
    r#type: String,
    source: String,
    subject: String,
    id: String,
}

impl Outcome {
    fn new(delivery: &Quarantined, action: &'static str) -> Self {
        Self {
            handle: delivery.handle.to_string(),
            provider: delivery.provider.name,
            action,
            reason: None,
            events: Vec::new(),
        }
    }

    fn say_json(&self) -> Result<(), Failure> {
        Ok(say!("{}", json_line(self)?)?)
    }
}

/// Row of the list: one delivery.
#[derive(Serialize)]
struct Row {
    handle: String,
    arrival: Timestamp,
    provider: &'static str,
    bytes: Option<usize>,
    reason: String,
}

impl From<Quarantined> for Row {
    fn from(delivery: Quarantined) -> Self {
        Self {
            handle: delivery.handle.to_string(),
            arrival: delivery.origin.arrival,
            provider: delivery.provider.name,
            bytes: delivery.bytes.as_ref().map(Vec::len),
            reason: delivery.reason.message,
        }
    }
}

impl Row {
    fn cells(&self, page: Page) -> [String; 5] {
        let Self {
            handle,
            arrival,
            provider,
            bytes,
            reason,
            ..
        } = self;
        [
            handle.clone(),
            page.time(*arrival),
            (*provider).to_owned(),
            bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string()),
            reason.clone(),
        ]
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let span = self.which.span.resolve(A_WEEK)?;
        let table = self.which.connection.table().await?;
        let skipped = Skipped::default();
        let provider = self.which.provider;
        let rows = newest(&table, provider, &span, self.limit, &skipped, Row::from).await?;
        skipped.report();
        self.print(&rows, &span)
    }

    fn print(&self, rows: &[Row], span: &Range<Timestamp>) -> Result<(), Failure> {
        let page = self.format.page();
        match self.format.output {
            Output::Json => {
                for row in rows {
                    say!("{}", json_line(row)?)?;
                }
            }
            Output::Table if rows.is_empty() => {}
            Output::Table => {
                let cells: Vec<_> = rows.iter().map(|row| row.cells(page)).collect();
                let heading = ["HANDLE", "ARRIVAL", "PROVIDER", "BYTES", "REASON"];
                say!("{}", page.table(heading, &cells, &[3]))?;
            }
        }
        let nothing = format!("No quarantined deliveries since {}.", page.time(span.start));
        let listed = rows.len();
        Ok(self.format.output.note(listed, self.limit, &nothing)?)
    }
}
