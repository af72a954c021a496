//! `hookkeeper events history`: everything that happened to one subject.

use super::json;
use crate::{
    Failure,
    connection::Connection,
    handle::Handle,
    output::{Output, heading, line, say, seconds},
    span::{A_DAY, before},
};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt};
use models::{Event, Record};
use std::{collections::BTreeSet, pin::pin};
use store::{Order, Stored, Table, time::now};

/// Shows everything that happened to one subject, in the order in which it happened.
///
/// Example: cargo hookkeeper events history deal/42 --local
#[derive(Args)]
pub(crate) struct History {
    /// deal/42
    subject: String,
    /// Whose, like pipedrive/7 [default: each of which something was kept in the last 24 hours]
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    connection: Connection,
    /// What to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// In how many of the newest events sources are looked for.
const NEWEST: usize = 1_000;

const WIDTHS: [usize; 4] = [13, 20, 40, 0];

impl History {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let sources = match &self.source {
            Some(source) => [source.clone()].into(),
            None => sources(&table).await?,
        };
        let mut is_empty = true;
        for source in &sources {
            let mut history = pin!(table.history(&format!("{source}#{}", self.subject)));
            while let Some(stored) = history.try_next().await? {
                self.print(&stored, is_empty)?;
                is_empty = false;
            }
        }
        if is_empty {
            let sources = sources.into_iter().collect::<Vec<_>>().join(", ");
            let looked = if sources.is_empty() { "any source".to_owned() } else { sources };
            return Err(
                format!("nothing is kept of {} in {looked}: name another one with --source", self.subject).into()
            );
        }
        Ok(())
    }

    fn print(&self, stored: &Stored, is_first: bool) -> Result<(), Failure> {
        let Record::Event { event, .. } = &stored.record else { return Ok(()) };
        match self.output {
            Output::Json => say!("{}", json(stored)?)?,
            Output::Table => {
                if is_first {
                    say!("{}", heading(["HANDLE", "TIME", "TYPE", "SOURCE"], WIDTHS))?;
                }
                say!("{}", line(&row(stored, event), WIDTHS))?;
            }
        }
        Ok(())
    }
}

fn row(stored: &Stored, event: &Event) -> [String; 4] {
    [Handle::of_event(stored).to_string(), seconds(event.time), event.r#type.clone(), event.source.clone()]
}

/// The sources of the newest events.
async fn sources(table: &Table) -> Result<BTreeSet<String>, Failure> {
    let newest = table.kept(before(now(), A_DAY)..now(), Order::NewestFirst).take(NEWEST);
    Ok(newest.map_ok(|entry| entry.source().to_owned()).try_collect().await?)
}
