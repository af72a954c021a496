//! `hookkeeper quarantine drop`: removes quarantined deliveries for good.

use super::{find, finish_removal};
use crate::{
    Failure,
    confirm::confirmed,
    connection::Connection,
    handle::Handle,
    output::{cell, say},
};
use clap::Args;

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
}

impl Drop {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let mut finished = 0;
        let mut found = Vec::new();
        for handle in &self.handles {
            if finish_removal(&table, handle).await? {
                finished += 1;
                continue;
            }
            let delivery = find(&table, handle).await?;
            say!(
                "{}  {}  {} bytes  {}",
                delivery.handle,
                delivery.provider.name,
                delivery.bytes.as_ref().map_or(0, Vec::len),
                cell(&delivery.reason.message)
            )?;
            found.push(delivery.key);
        }
        let question = format!("Drop {} for good?", found.len());
        if !found.is_empty() && !self.yes && !confirmed(&question)? {
            return Err("nothing was dropped".into());
        }
        for key in &found {
            table.remove(key).await?;
        }
        say!("Dropped {}.", found.len() + finished)?;
        Ok(())
    }
}
