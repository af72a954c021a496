//! `hookkeeper events follow`: prints events as they are stored.

use super::{HEADING, entries, events, json, row};
use crate::{
    Failure,
    connection::Connection,
    filter::Filter,
    output::{Output, cell, heading, line, say},
    signal::stop,
    skipped::Skipped,
    span::{after, before},
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
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Time between two looks at the index.
const INTERVAL: Duration = Duration::from_secs(1);
/// How far each look reaches back before the previous one. An event appears in the index later than
/// its `recordedtime`: the drain's put may take 15 s, clocks differ, and the index is written after
/// the table.
const OVERLAP: Duration = Duration::from_mins(1);

const WIDTHS: [usize; 6] = [13, 20, 20, 40, 20, 0];

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
        if self.output == Output::Table {
            say!("{}", heading(HEADING, WIDTHS))?;
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            match follower.look(&table, &self.filter).await {
                Ok(new) => self.print(&new)?,
                // The next look reaches back to the last one that succeeded.
                Err(error) => eprintln!("{}: looking again", cell(&error.to_string())),
            }
        }
    }

    fn print(&self, new: &[(IndexEntry, Stored)]) -> Result<(), Failure> {
        for (entry, stored) in new {
            match self.output {
                Output::Json => say!("{}", json(stored)?)?,
                Output::Table => say!("{}", line(&row(entry), WIDTHS))?,
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
        let span = self.reach()..after(now(), OVERLAP);
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
        before(self.looked, OVERLAP)
    }
}
