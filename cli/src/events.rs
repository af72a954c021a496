//! `hookkeeper events`: what was kept, newest first.

use crate::Failure;
use clap::Args;
use hookkeeper::local::TABLE;
use models::{SHARDS, Timestamp};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::{Client, Entry, Settings, Table};

/// Lists the events that `cargo dev` kept, newest first.
///
/// Example: cargo hookkeeper events --hours 2
#[derive(Args)]
pub(crate) struct Events {
    /// The port of `cargo dev`'s DynamoDB, on 127.0.0.1
    #[arg(long, default_value_t = 8000)]
    dynamodb_port: u16,
    /// How many hours to look back
    #[arg(long, default_value_t = 24)]
    hours: u32,
    /// How many events to list at the most
    #[arg(long, default_value_t = 20)]
    limit: usize,
}

impl Events {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let endpoint = format!("http://127.0.0.1:{}", self.dynamodb_port);
        let table = Table::new(&Client::patient(), &Settings::local(TABLE, endpoint.clone()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut entries = Vec::new();
        for hours in 0..=self.hours {
            if entries.len() >= self.limit {
                break;
            }
            let then = now.saturating_sub(Duration::from_secs(3_600 * u64::from(hours)));
            let hour = entries_of(&table, &Timestamp::from_unix(then).hour(), self.limit).await;
            entries.extend(hour.map_err(|error| format!("{error} at {endpoint}: is `cargo dev` running?"))?);
        }
        entries.truncate(self.limit);
        print(&entries, self.hours);
        Ok(())
    }
}

/// The newest events that were kept in an hour.
async fn entries_of(table: &Table, hour: &str, limit: usize) -> Result<Vec<Entry>, store::TableError> {
    let mut entries = Vec::new();
    for shard in SHARDS {
        entries.extend(table.entries(hour, shard, limit).await?);
    }
    entries.sort_by(|a, b| b.kept.cmp(&a.kept));
    entries.truncate(limit);
    Ok(entries)
}

fn print(entries: &[Entry], hours: u32) {
    if entries.is_empty() {
        println!("Nothing was kept in the last {hours} hours.");
        return;
    }
    let width = entries.iter().map(|entry| entry.r#type.len()).max().unwrap_or_default();
    println!("{:<27}  {:<27}  {:<width$}  SOURCE#SUBJECT", "KEPT", "TIME", "TYPE");
    for Entry { pk, sk, r#type, kept } in entries {
        let time = sk.split('#').next().unwrap_or_default();
        println!("{kept:<27}  {time:<27}  {type:<width$}  {pk}");
    }
}
