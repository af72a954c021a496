//! `hookkeeper quarantine replay`: moves the deliveries that this version can parse to the events.

use super::{BODY_MISSING, Quarantined, Which, find, finish_removal, finish_removals, quarantined};
use crate::{
    Failure,
    handle::Handle,
    output::{cell, say},
    reading::{KnownErasures, read},
    skipped::Skipped,
    span::A_WEEK,
};
use clap::Args;
use futures_util::TryStreamExt;
use models::Record;
use std::pin::pin;
use storage::{Order, Table};

/// Parses quarantined deliveries again, and stores the events of those that this version can parse.
///
/// Events are stored before the delivery is removed from quarantine, with ids that are the same each time. So an
/// interruption loses and duplicates nothing.
///
/// Example: cargo hookkeeper quarantine replay --local --provider closer --dry-run
#[derive(Args)]
pub(super) struct Replay {
    /// Handles of the deliveries [default: all that --provider and --since select]
    handles: Vec<Handle>,
    #[command(flatten)]
    which: Which,
    /// Print what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Replay {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let span = self.which.span.resolve(A_WEEK)?;
        let table = self.which.connection.table().await?;
        let skipped = Skipped::default();
        let mut erasures = KnownErasures::default();
        let mut outcomes = Vec::new();
        if self.handles.is_empty() {
            if !self.dry_run {
                finish_removals(&table, self.which.provider, span.clone(), |_| true).await?;
            }
            let mut all = pin!(quarantined(
                &table,
                self.which.provider,
                span,
                Order::OldestFirst,
                &skipped,
            ));
            while let Some(delivery) = all.try_next().await? {
                outcomes.push(self.replay(&table, delivery, &mut erasures).await?);
            }
        }
        for handle in &self.handles {
            if !self.dry_run && finish_removal(&table, handle).await? {
                continue;
            }
            let delivery = find(&table, handle).await?;
            outcomes.push(self.replay(&table, delivery, &mut erasures).await?);
        }
        skipped.report();
        let but = if self.dry_run {
            " (dry run: nothing was changed)"
        } else {
            ""
        };
        let read = outcomes.iter().filter(|is_read| **is_read).count();
        let stay = outcomes.len() - read;
        say!("{read} deliveries replayed, {stay} still in quarantine{but}.")?;
        Ok(())
    }

    /// Parses one delivery again. Returns whether it, or its quarantined item, could be parsed.
    async fn replay(
        &self,
        table: &Table,
        delivery: Quarantined,
        erasures: &mut KnownErasures,
    ) -> Result<bool, Failure> {
        let name = format!("{}  {}", delivery.handle, delivery.provider.name);
        let erasures = erasures.since(table, delivery.origin.arrival).await?;
        if erasures.cover_key(&delivery.key, None) {
            return stays(&name, "it was erased, and came back: drop it");
        }
        let Some(bytes) = delivery.bytes else {
            return stays(&name, BODY_MISSING);
        };
        let records = match read(&delivery.provider, &delivery.origin, bytes) {
            Ok(records) => records,
            Err(reason) => return stays(&name, &reason.message),
        };
        let reason_of_item = records.iter().find_map(|record| match record {
            Record::Quarantined { index, reason, .. } if *index == delivery.index => Some(reason),
            _ => None,
        });
        if let Some(reason) = reason_of_item {
            return stays(&name, &reason.message);
        }
        // Other items of the delivery may have been dropped.
        let records = records
            .into_iter()
            .filter(|record| record.reason().is_none());
        let records = records.filter(|record| !erasures.cover_record(record));
        let records: Vec<Record> = records.collect();
        for record in &records {
            if let Record::Event { event, .. } = record {
                say!("{name}  {}  {}", cell(&event.r#type), cell(&event.subject))?;
            }
        }
        if !self.dry_run {
            table.check_clock()?;
            for record in records {
                table.put_record(record, table.expiry()).await?;
            }
            table.remove(&delivery.key).await?;
        }
        Ok(true)
    }
}

fn stays(name: &str, reason: &str) -> Result<bool, Failure> {
    say!("{name}  stays: {}", cell(reason))?;
    Ok(false)
}
