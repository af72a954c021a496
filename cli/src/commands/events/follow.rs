//! `hookkeeper events follow`: prints events as they are stored.

use super::{DROPPED, HEADING, entries, events, json, row};
use crate::{
    Failure,
    connection::Connection,
    filter::Filter,
    output::{Columns, Format, Output, Page, cell, say},
    signal::stop,
    skipped::Skipped,
};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use models::Timestamp;
use std::{collections::HashMap, future::ready, time::Duration};
use storage::{IndexEntry, Key, Order, Stored, Table, TableError, budget::now};

/// Prints each event as soon as it is stored, until Ctrl-C. Events from the fallback queue are printed when the drain
/// stores them.
///
/// Example: cargo hookkeeper events follow --local --output json
#[derive(Args)]
pub(crate) struct Follow {
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    format: Format,
}

/// Time between two looks at the index.
const INTERVAL: Duration = Duration::from_secs(1);
/// How far each look reaches back before the previous one. An event appears in the index later than
/// its `recordedtime`: the drain's put may take 15 s, clocks differ, and the index is written after
/// the table.
const OVERLAP: Duration = Duration::from_mins(1);

/// Widths of the columns. A row that is printed later may have wider cells.
const WIDTHS: [usize; 6] = [13, 20, 20, 40, 20, 0];
/// The same on a terminal, where types are short and longer cells are cut.
const WIDTHS_OF_A_TERMINAL: [usize; 6] = [13, 20, 20, 22, 16, 20];

impl Follow {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let stop = stop()?;
        tokio::select! {
            followed = self.follow() => followed,
            () = stop => Ok(()),
        }
    }

    /// Prints events as they are stored, without end.
    async fn follow(&self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let mut follower = Follower::start(&table, &self.filter).await?;
        let page = self.format.page();
        let widths = page.fitted(page.either(WIDTHS, WIDTHS_OF_A_TERMINAL), &DROPPED);
        if self.format.output == Output::Table {
            say!("{}", widths.heading(HEADING))?;
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            match follower.look(&table, &self.filter).await {
                Ok(new) => self.print(&new, page, &widths)?,
                // The next look reaches back to the last one that succeeded.
                Err(error) => eprintln!("{}: looking again", cell(&error.to_string())),
            }
        }
    }

    fn print(
        &self,
        new: &[(IndexEntry, Stored)],
        page: Page,
        widths: &Columns<6>,
    ) -> Result<(), Failure> {
        for (entry, stored) in new {
            match self.format.output {
                Output::Json => say!("{}", json(stored)?)?,
                Output::Table => say!("{}", widths.line(&row(entry, page)))?,
            }
        }
        Ok(())
    }
}

/// Events that were seen, as far back as the next look reaches.
struct Follower {
    looked: Timestamp,
    seen: HashMap<Key, Timestamp>,
}

impl Follower {
    /// Starts with all existing events marked as seen.
    async fn start(table: &Table, filter: &Filter) -> Result<Self, TableError> {
        let mut follower = Self {
            looked: now(),
            seen: HashMap::new(),
        };
        let there = follower.unseen(table, filter).await?;
        follower.seen = there
            .into_iter()
            .map(|entry| (entry.key, entry.recorded))
            .collect();
        Ok(follower)
    }

    /// Returns the events that were not seen, in the order of `recordedtime`, and marks them as seen.
    async fn look(
        &mut self,
        table: &Table,
        filter: &Filter,
    ) -> Result<Vec<(IndexEntry, Stored)>, TableError> {
        let looking = now();
        let unseen = self.unseen(table, filter).await?;
        let skipped = Skipped::default();
        let new = skipped.readable(events(table, stream::iter(unseen).map(Ok)));
        let new: Vec<_> = new.try_collect().await?;
        self.seen.extend(
            new.iter()
                .map(|(entry, _)| (entry.key.clone(), entry.recorded)),
        );
        self.looked = looking;
        let reach = self.reach();
        self.seen.retain(|_, kept| *kept >= reach);
        Ok(new)
    }

    async fn unseen(&self, table: &Table, filter: &Filter) -> Result<Vec<IndexEntry>, TableError> {
        // The clock of the machine that stores events may be ahead of ours.
        let span = self.reach()..now().after(OVERLAP);
        // A look reaches back a minute, so an item of another version would be reported each time.
        let skipped = Skipped::default();
        let recorded = skipped.readable(entries(table, span, Order::OldestFirst, filter));
        recorded
            .try_filter(|entry| ready(!self.seen.contains_key(&entry.key)))
            .try_collect()
            .await
    }

    /// Earliest time of the next look.
    fn reach(&self) -> Timestamp {
        self.looked.before(OVERLAP)
    }
}
