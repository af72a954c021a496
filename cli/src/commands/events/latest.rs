//! `hookkeeper events latest`: shows the newest event of one subject.

use super::{history::Search, json, show::print};
use crate::{
    Failure,
    output::{Output, say},
};
use clap::Args;
use storage::Key;

/// Shows the event of one subject with the latest time, with its data.
///
/// Without --source, the subject is searched in each source that has an event of the last 24 hours. If nothing is found,
/// older sources are searched, day by day. If several sources have the subject, the latest event of each is shown.
///
/// Example: cargo hookkeeper events latest deal/42 --local
#[derive(Args)]
pub(crate) struct Latest {
    #[command(flatten)]
    search: Search,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Latest {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let table = self.search.table().await?;
        let print = async |source: &str| {
            let pk = Key::history_pk(source, &self.search.subject);
            let Some(stored) = table.latest(&pk).await? else {
                return Ok(false);
            };
            match self.output {
                Output::Json => say!("{}", json(&stored)?)?,
                Output::Table => print(&stored)?,
            }
            Ok(true)
        };
        self.search.sources(&table, print).await
    }
}
