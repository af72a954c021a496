//! `hookkeeper events history`: shows all events of one subject.

use super::json_with;
use crate::{
    Failure,
    connection::Connection,
    difference::{Change, Entity},
    handle::Handle,
    output::{Format, Output, Page, cell, say, seconds},
    skipped::Skipped,
    span::{A_DAY, Moment, moment},
};
use clap::Args;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use models::{Event, Record, Timestamp};
use std::{collections::BTreeSet, pin::pin, time::Duration};
use storage::{Key, Order, Stored, Table, budget::now};

/// Shows all events of one subject, in the order of their times.
///
/// Without --source, the subject is searched in each source that has an event of the last 24 hours. If nothing is found,
/// older sources are searched, day by day.
///
/// Example: cargo hookkeeper events history deal/42 --local --diff
#[derive(Args)]
pub(crate) struct History {
    #[command(flatten)]
    search: Search,
    /// Show what each event changed: added (+), changed (~) and removed (-) values, by their paths
    #[arg(long)]
    diff: bool,
    #[command(flatten)]
    format: Format,
}

/// A subject, and the sources in which it is searched.
#[derive(Args)]
pub(super) struct Search {
    /// Subject, like deal/42
    pub(super) subject: String,
    /// Source, like pipedrive/7 [default: each source that has events of the last 24h, else older ones]
    #[arg(long)]
    source: Option<String>,
    /// How far back sources are searched: 30s, 15m, 2h, 7d, a date, or a time with its zone [default: 30d]
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "source")]
    since: Option<Moment>,
    #[command(flatten)]
    connection: Connection,
}

/// Default time span in which sources are searched. Each day takes 384 queries.
const FURTHEST: Duration = Duration::from_hours(24 * 30);

const WIDTHS: [usize; 4] = [13, 20, 40, 0];
/// The same on a terminal, where types are short and longer cells are cut.
const WIDTHS_OF_A_TERMINAL: [usize; 4] = [13, 20, 22, 20];

impl History {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let table = self.search.table().await?;
        let mut is_first = true;
        let print = async |source: &str| {
            let is_found = self.print_source(&table, source, is_first).await?;
            is_first &= !is_found;
            Ok(is_found)
        };
        self.search.sources(&table, print).await
    }

    /// Prints the events of the subject in a source. Returns whether there are any.
    async fn print_source(
        &self,
        table: &Table,
        source: &str,
        is_first: bool,
    ) -> Result<bool, Failure> {
        let mut is_found = false;
        let skipped = Skipped::default();
        let pk = Key::history_pk(source, &self.search.subject);
        let history = table.history(&pk, Order::OldestFirst);
        let mut history = pin!(skipped.readable(history));
        let mut entity = Entity::default();
        while let Some(stored) = history.try_next().await? {
            let changes = self.changes(&mut entity, &stored);
            self.print(&stored, changes.as_deref(), is_first && !is_found)?;
            is_found = true;
        }
        skipped.report();
        Ok(is_found)
    }

    /// What the next event changed, if that is asked for and known.
    fn changes(&self, entity: &mut Entity, stored: &Stored) -> Option<Vec<Change>> {
        match &stored.record {
            Record::Event { event, .. } if self.diff => entity.change(event),
            _ => None,
        }
    }

    fn print(
        &self,
        stored: &Stored,
        changes: Option<&[Change]>,
        is_first: bool,
    ) -> Result<(), Failure> {
        let Record::Event { event, .. } = &stored.record else {
            return Ok(());
        };
        let page = self.format.page();
        let widths = page.fitted(page.either(WIDTHS, WIDTHS_OF_A_TERMINAL), &[3]);
        match self.format.output {
            Output::Json => say!("{}", json_with(stored, changes)?)?,
            Output::Table => {
                if is_first {
                    say!("{}", widths.heading(["HANDLE", "TIME", "TYPE", "SOURCE"]))?;
                }
                say!("{}", widths.line(&row(stored, event, page)))?;
                for change in changes.unwrap_or_default() {
                    say!("  {}", cell(&change.to_string()))?;
                }
            }
        }
        Ok(())
    }
}

impl Search {
    pub(super) async fn table(&self) -> Result<Table, Failure> {
        self.connection.table().await
    }

    /// Calls `print` for the named source, or for all recent sources, and then for older ones until
    /// it finds the subject.
    pub(super) async fn sources(
        &self,
        table: &Table,
        mut print: impl AsyncFnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        if let Some(source) = &self.source {
            if print(source).await? {
                return Ok(());
            }
            return Err(format!("no events of {} in {source}", self.subject).into());
        }
        let mut until = now();
        let since = self.since.unwrap_or(Moment::Ago(FURTHEST)).resolve(until);
        let mut seen = BTreeSet::new();
        while until > since {
            let from = until.before(A_DAY).max(since);
            let note = note(from)?;
            let sources = table.sources(&(from..until)).await?;
            note.finish_and_clear();
            let mut is_found = false;
            for source in sources.difference(&seen) {
                is_found |= print(source).await?;
            }
            if is_found {
                return Ok(());
            }
            seen.extend(sources);
            until = from;
        }
        Err(self.nothing(seen.len(), since).into())
    }

    /// Error message that says where the search found nothing.
    fn nothing(&self, sources: usize, since: Timestamp) -> String {
        let sources = match sources {
            1 => "the 1 source".to_owned(),
            more => format!("the {more} sources"),
        };
        format!(
            "no events of {} in {sources} since {}: name a source with --source",
            self.subject,
            seconds(since)
        )
    }
}

fn row(stored: &Stored, event: &Event, page: Page) -> [String; 4] {
    [
        Handle::for_event(stored).to_string(),
        page.time(event.time),
        page.r#type(&event.r#type),
        event.source.clone(),
    ]
}

/// Note on standard error, if that is a terminal: how far back sources are searched.
fn note(since: Timestamp) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{msg}")?;
    let note = ProgressBar::new_spinner().with_style(style);
    note.set_message(format!("looking for sources since {}", seconds(since)));
    Ok(note)
}
