//! `hookkeeper events follow`: prints events as they are stored.

use super::{DROPPED, HEADING, events, json, row};
use crate::{
    Failure,
    connection::Connection,
    filter::Filter,
    follower::{Follower, INTERVAL},
    output::{Columns, Format, Output, Page, cell, say},
    signal::stop,
    skipped::Skipped,
};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use storage::{IndexEntry, Stored, Table, TableError};

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
        let mut follower = Follower::from_now(&table, &self.filter).await?;
        let page = self.format.page();
        let widths = page.fitted(page.either(WIDTHS, WIDTHS_OF_A_TERMINAL), &DROPPED);
        if self.format.output == Output::Table {
            say!("{}", widths.heading(HEADING))?;
        }
        loop {
            tokio::time::sleep(INTERVAL).await;
            match self.look(&table, &mut follower).await {
                Ok(new) => self.print(&new, page, &widths)?,
                // The next look reaches back to the last one that succeeded.
                Err(error) => eprintln!("{}: looking again", cell(&error.to_string())),
            }
        }
    }

    /// Returns the events that were not seen.
    async fn look(
        &self,
        table: &Table,
        follower: &mut Follower,
    ) -> Result<Vec<(IndexEntry, Stored)>, TableError> {
        let look = follower.look(table, &self.filter).await?;
        let skipped = Skipped::default();
        let unseen = stream::iter(look.unseen.clone()).map(Ok);
        let new: Vec<_> = skipped
            .readable(events(table, unseen))
            .try_collect()
            .await?;
        for (entry, _) in &new {
            follower.see(entry);
        }
        follower.end(&look);
        Ok(new)
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
