//! `hookkeeper quarantine replay`: moves the deliveries that this version can parse to the events.

use super::{
    BODY_MISSING, Made, Outcome, Quarantined, Which, find, finish_removal, finish_removals,
    quarantined,
};
use crate::{
    Failure,
    handle::Handle,
    output::{Output, cell, say},
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
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
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
                let provider = self.which.provider;
                finish_removals(&table, provider, span.clone(), |_| true, self.output).await?;
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
            if !self.dry_run && finish_removal(&table, handle, self.output).await? {
                continue;
            }
            let delivery = find(&table, handle).await?;
            outcomes.push(self.replay(&table, delivery, &mut erasures).await?);
        }
        skipped.report();
        if self.output == Output::Json {
            return Ok(());
        }
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
        mut delivery: Quarantined,
        erasures: &mut KnownErasures,
    ) -> Result<bool, Failure> {
        let erasures = erasures.since(table, delivery.origin.arrival).await?;
        if erasures.cover_key(&delivery.key, None) {
            return self.stays(&delivery, "it was erased, and came back: drop it");
        }
        let Some(bytes) = delivery.bytes.take() else {
            return self.stays(&delivery, BODY_MISSING);
        };
        let records = match read(&delivery.provider, &delivery.origin, bytes) {
            Ok(records) => records,
            Err(reason) => return self.stays(&delivery, &reason.message),
        };
        let reason_of_item = records.iter().find_map(|record| match record {
            Record::Quarantined { index, reason, .. } if *index == delivery.index => Some(reason),
            _ => None,
        });
        if let Some(reason) = reason_of_item {
            return self.stays(&delivery, &reason.message);
        }
        // Other items of the delivery may have been dropped.
        let records = records
            .into_iter()
            .filter(|record| record.reason().is_none());
        let records = records.filter(|record| !erasures.cover_record(record));
        let records: Vec<Record> = records.collect();
        let events = records.iter().filter_map(made).collect();
        self.say(&Outcome {
            events,
            ..Outcome::new(&delivery, "replayed")
        })?;
        if !self.dry_run {
            table.check_clock()?;
            for record in records {
                table.put_record(record, table.expiry()).await?;
            }
            table.remove(&delivery.key).await?;
        }
        Ok(true)
    }

    fn stays(&self, delivery: &Quarantined, reason: &str) -> Result<bool, Failure> {
        self.say(&Outcome {
            reason: Some(reason.to_owned()),
            ..Outcome::new(delivery, "stays")
        })?;
        Ok(false)
    }

    fn say(&self, action: &Outcome) -> Result<(), Failure> {
        if self.output == Output::Json {
            return action.say();
        }
        let name = format!("{}  {}", action.handle, action.provider);
        if let Some(reason) = &action.reason {
            say!("{name}  stays: {}", cell(reason))?;
        }
        for event in &action.events {
            say!("{name}  {}  {}", cell(&event.r#type), cell(&event.subject))?;
        }
        Ok(())
    }
}

fn made(record: &Record) -> Option<Made> {
    let Record::Event { event, .. } = record else {
        return None;
    };
    Some(Made {
        r#type: event.r#type.clone(),
        source: event.source.clone(),
        subject: event.subject.clone(),
        id: event.id.to_string(),
    })
}
