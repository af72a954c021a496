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
use models::{Record, Timestamp};
use providers::Provider;
use std::ops::Range;
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
        let mut replayer = Replayer::new(&table, self.dry_run);
        let mut counts = [0; 2];
        let mut tell = |outcome: &Outcome| {
            match outcome.action {
                "replayed" => counts[0] += 1,
                "stays" => counts[1] += 1,
                _ => {}
            }
            self.say(outcome)
        };
        if self.handles.is_empty() {
            let provider = self.which.provider;
            replayer.replay_all(provider, span, &mut tell).await?;
        }
        for handle in &self.handles {
            replayer.replay(handle, &mut tell).await?;
        }
        if self.output == Output::Json {
            return Ok(());
        }
        let but = if self.dry_run {
            " (dry run: nothing was changed)"
        } else {
            ""
        };
        let [read, stay] = counts;
        say!("{read} deliveries replayed, {stay} still in quarantine{but}.")?;
        Ok(())
    }

    fn say(&self, outcome: &Outcome) -> Result<(), Failure> {
        if self.output == Output::Json {
            return outcome.say_json();
        }
        let name = format!("{}  {}", outcome.handle, outcome.provider);
        if outcome.action == "finished" {
            say!("{name}  finished an interrupted removal")?;
        }
        if let Some(reason) = &outcome.reason {
            say!("{name}  stays: {}", cell(reason))?;
        }
        for event in &outcome.events {
            say!("{name}  {}  {}", cell(&event.r#type), cell(&event.subject))?;
        }
        Ok(())
    }
}

/// Replays the quarantined deliveries of a table.
pub(crate) struct Replayer<'a> {
    table: &'a Table,
    dry_run: bool,
    erasures: KnownErasures,
}

impl<'a> Replayer<'a> {
    pub(crate) fn new(table: &'a Table, dry_run: bool) -> Self {
        Self {
            table,
            dry_run,
            erasures: KnownErasures::default(),
        }
    }

    /// Replays the deliveries of a time span, the oldest first, and tells about each.
    pub(crate) async fn replay_all(
        &mut self,
        only: Option<Provider>,
        span: Range<Timestamp>,
        tell: &mut impl FnMut(&Outcome) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.dry_run {
            finish_removals(self.table, only, span.clone(), |_| true, tell).await?;
        }
        let skipped = Skipped::default();
        let all = quarantined(self.table, only, span, Order::OldestFirst, &skipped);
        let mut all = Box::pin(all);
        while let Some(delivery) = all.try_next().await? {
            tell(&self.outcome(delivery).await?)?;
        }
        skipped.report();
        Ok(())
    }

    /// Replays the delivery with a handle, and tells about it.
    pub(crate) async fn replay(
        &mut self,
        handle: &Handle,
        tell: &mut impl FnMut(&Outcome) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if !self.dry_run && finish_removal(self.table, handle, tell).await? {
            return Ok(());
        }
        let delivery = find(self.table, handle).await?;
        tell(&self.outcome(delivery).await?)
    }

    /// Parses one delivery again. It stays in quarantine unless it, or its quarantined item, can be
    /// parsed.
    async fn outcome(&mut self, mut delivery: Quarantined) -> Result<Outcome, Failure> {
        let arrival = delivery.origin.arrival;
        let erasures = self.erasures.since(self.table, arrival).await?;
        if erasures.cover_key(&delivery.key, None) {
            return Ok(stays(&delivery, "it was erased, and came back: drop it"));
        }
        let Some(bytes) = delivery.bytes.take() else {
            return Ok(stays(&delivery, BODY_MISSING));
        };
        let records = match read(&delivery.provider, &delivery.origin, bytes) {
            Ok(records) => records,
            Err(reason) => return Ok(stays(&delivery, &reason.message)),
        };
        let reason_of_item = records.iter().find_map(|record| match record {
            Record::Quarantined { index, reason, .. } if *index == delivery.index => Some(reason),
            _ => None,
        });
        if let Some(reason) = reason_of_item {
            return Ok(stays(&delivery, &reason.message));
        }
        // Other items of the delivery may have been dropped.
        let records = records
            .into_iter()
            .filter(|record| record.reason().is_none());
        let records = records.filter(|record| !erasures.cover_record(record));
        let records: Vec<Record> = records.collect();
        let events = records.iter().filter_map(made).collect();
        if !self.dry_run {
            self.table.check_clock()?;
            for record in records {
                self.table.put_record(record, self.table.expiry()).await?;
            }
            self.table.remove(&delivery.key).await?;
        }
        Ok(Outcome {
            events,
            ..Outcome::new(&delivery, "replayed")
        })
    }
}

fn stays(delivery: &Quarantined, reason: &str) -> Outcome {
    Outcome {
        reason: Some(reason.to_owned()),
        ..Outcome::new(delivery, "stays")
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
