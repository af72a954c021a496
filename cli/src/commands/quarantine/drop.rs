//! `hookkeeper quarantine drop`: removes quarantined deliveries for good.

use super::{Outcome, find, finish_removal};
use crate::{
    Failure,
    confirm::confirmed,
    connection::Connection,
    handle::Handle,
    output::{Output, cell, say},
};
use clap::Args;
use storage::Table;

/// Deletes quarantined deliveries permanently, after confirmation.
///
/// If it is interrupted, run it again: it finishes what it began.
///
/// Example: cargo hookkeeper quarantine drop tcxk8q-a3f41c --local
#[derive(Args)]
pub(super) struct Drop {
    /// Handles of the deliveries, as the list prints them
    #[arg(required = true)]
    handles: Vec<Handle>,
    #[command(flatten)]
    connection: Connection,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Output format (json: with --yes only)
    #[arg(long, value_enum, default_value_t = Output::Table)]
    #[arg(requires_if("json", "yes"))]
    output: Output,
}

impl Drop {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let mut dropped = 0;
        let mut found = Vec::new();
        let mut tell = |outcome: &Outcome| self.say(outcome);
        for handle in &self.handles {
            if finish_removal(&table, handle, &mut tell).await? {
                dropped += 1;
                continue;
            }
            let delivery = find(&table, handle).await?;
            if self.output == Output::Table {
                say!(
                    "{}  {}  {} bytes  {}",
                    delivery.handle,
                    delivery.provider.name,
                    delivery.bytes.as_ref().map_or(0, Vec::len),
                    cell(&delivery.reason.message)
                )?;
            }
            found.push(delivery);
        }
        let question = format!("Drop {} for good?", found.len());
        if !found.is_empty() && !self.yes && !confirmed(&question)? {
            return Err("nothing was dropped".into());
        }
        for delivery in found {
            table.remove(&delivery.key).await?;
            self.say(&Outcome::new(&delivery, "dropped"))?;
            dropped += 1;
        }
        if self.output == Output::Table {
            say!("Dropped {dropped}.")?;
        }
        Ok(())
    }

    fn say(&self, outcome: &Outcome) -> Result<(), Failure> {
        if self.output == Output::Json {
            return outcome.say_json();
        }
        if outcome.action == "finished" {
            let Outcome {
                handle, provider, ..
            } = outcome;
            say!("{handle}  {provider}  finished an interrupted removal")?;
        }
        Ok(())
    }
}

/// Deletes the delivery with a handle, or what an interrupted deletion left of it.
pub(crate) async fn drop(table: &Table, handle: &Handle) -> Result<(), Failure> {
    if !finish_removal(table, handle, &mut |_| Ok(())).await? {
        let delivery = find(table, handle).await?;
        table.remove(&delivery.key).await?;
    }
    Ok(())
}
