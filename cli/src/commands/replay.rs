//! `hookkeeper replay`: parses the stored bytes of events again, after a parser was extended.
//!
//! Each event is replayed separately. New records are stored before old ones are removed, so an
//! interruption loses nothing. The stored arrival time and request id are used again, so the same
//! bytes get the same ids and no event is duplicated.

use crate::{
    Failure,
    commands::events::{entries, found},
    filter::{Selection, provider_of},
    handle::Handle,
    output::{Output, cell, json_line, say},
    reading::{KnownErasures, exact_bytes, read},
    skipped::Skipped,
};
use clap::Args;
use futures_util::TryStreamExt;
use models::{Body, Event, Origin, Record};
use providers::api::change::is_read_back;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    pin::pin,
};
use storage::{Expiry, IndexEntry, Key, Order, PutOutcome, Stored, Table};

/// Parses the stored bytes of events again, and updates the events that this version parses differently.
///
/// An event keeps its id and the time at which it was recorded. An event whose key changes is moved. An event that this
/// version does not find in its delivery is unchanged.
///
/// Example: cargo hookkeeper replay --local --provider amocrm --since 7d --dry-run
#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    selection: Selection,
    /// Print what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Output format. For json, the last line has the counts
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Number of deliveries with several items whose missing records wait to be added. Events of one
/// delivery are recorded within seconds.
const MAX_PENDING: usize = 16;

#[derive(Default, Serialize)]
struct Counts {
    read: u64,
    changed: u64,
    moved: u64,
    added: u64,
    unreadable: u64,
    /// Events that this version does not parse from their deliveries.
    not_read: u64,
    /// Events whose delivery body is not in the table.
    without_body: u64,
}

impl Replay {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (table, span) = self.selection.open().await?;
        table.check_clock()?;
        let mut replayer = Replayer {
            table: &table,
            dry_run: self.dry_run,
            output: self.output,
            pending: VecDeque::new(),
            erasures: KnownErasures::default(),
            counts: Counts::default(),
        };
        let skipped = Skipped::default();
        let entries = entries(&table, span, Order::OldestFirst, &self.selection.filter);
        let found = found(&table, skipped.readable(entries));
        let mut found = pin!(skipped.readable(found));
        while let Some((entry, stored)) = found.try_next().await? {
            match stored {
                Some(stored) => replayer.replay(&entry, &stored).await?,
                None => replayer.finish_removal(&entry).await?,
            }
        }
        while replayer.add_oldest().await? {}
        let but = if self.dry_run {
            " (dry run: nothing was changed)"
        } else {
            ""
        };
        skipped.report();
        match self.output {
            Output::Table => say!("{}{but}.", replayer.counts)?,
            Output::Json => say!("{}", json_line(&replayer.counts)?)?,
        }
        match replayer.counts.without_body {
            0 => Ok(()),
            events => {
                let why = "the bodies of their deliveries are not in the table";
                Err(format!("{events} events cannot be replayed: {why}").into())
            }
        }
    }
}

struct Replayer<'a> {
    table: &'a Table,
    dry_run: bool,
    output: Output,
    pending: VecDeque<Pending>,
    erasures: KnownErasures,
    counts: Counts,
}

/// A delivery with several items, and those of its records that no stored event was found for yet.
struct Pending {
    delivery: String,
    origin: Origin,
    expires: Option<i64>,
    records: Vec<Record>,
}

impl Replayer<'_> {
    async fn replay(&mut self, entry: &IndexEntry, stored: &Stored) -> Result<(), Failure> {
        let Record::Event { event, origin, .. } = &stored.record else {
            return Ok(());
        };
        // It was no webhook, so there is nothing to parse.
        if is_read_back(event) {
            return Ok(());
        }
        let provider = provider_of(&event.source);
        let provider = provider.ok_or_else(|| {
            format!(
                "no provider of this version has the source {}",
                event.source
            )
        })?;
        self.counts.read += 1;
        let Some(bytes) = exact_bytes(self.table, &provider, &stored.record).await? else {
            let shared = stored.record.shared_body();
            let body = shared.map(|name| Key::for_body(provider.name, name));
            let erasures = self.erasures.since(self.table, origin.arrival).await?;
            if body.is_some_and(|body| erasures.cover_key(&body, None)) {
                return self.tell(
                    entry,
                    event,
                    "unchanged",
                    "the body of its delivery was erased",
                );
            }
            self.counts.without_body += 1;
            return self.tell(
                entry,
                event,
                "unchanged",
                "the body of its delivery is not in the table",
            );
        };
        let records = match read(&provider, origin, bytes) {
            Ok(records) => records,
            Err(reason) => {
                self.counts.unreadable += 1;
                return self.tell(entry, event, "unchanged", &reason.message);
            }
        };
        let (record, others) = same_event(records, stored);
        self.add_later(stored, record.as_ref(), others).await?;
        if let Some(record) = record {
            return self.update(entry, stored, event, record).await;
        }
        self.counts.not_read += 1;
        self.tell(
            entry,
            event,
            "unchanged",
            "this version finds no such event in its delivery",
        )
    }

    /// Stores an event as this version parses it, under its old id.
    async fn update(
        &mut self,
        entry: &IndexEntry,
        stored: &Stored,
        event: &Event,
        mut record: Record,
    ) -> Result<(), Failure> {
        if let Record::Event { event: parsed, .. } = &mut record {
            parsed.id = event.id.clone();
        }
        let key = Key::from_record(&record);
        if key != stored.key {
            if self.erasures.cover(self.table, &record).await? {
                return self.tell(
                    entry,
                    event,
                    "unchanged",
                    "the event that it becomes was erased",
                );
            }
            self.counts.moved += 1;
            if !self.dry_run {
                self.table.put_moved(record, stored).await?;
                self.table.remove(&stored.key).await?;
            }
            return self.tell(entry, event, "moved", &format!("to {}", key.pk));
        }
        let changes = changes(&stored.record, &record);
        if changes.is_empty() {
            return Ok(());
        }
        self.counts.changed += 1;
        if !self.dry_run {
            self.table.replace(record, stored).await?;
        }
        self.tell(entry, event, "changed", &changes.join(", "))
    }

    /// Prints what happened to an event.
    fn tell(
        &self,
        entry: &IndexEntry,
        event: &Event,
        action: &'static str,
        detail: &str,
    ) -> Result<(), Failure> {
        let handle = Handle::for_entry(entry).to_string();
        let subject = &event.subject;
        if self.output == Output::Json {
            let line = Line {
                handle,
                source: &event.source,
                subject,
                action,
                detail,
            };
            return Ok(say!("{}", json_line(&line)?)?);
        }
        let joint = if action == "moved" { " " } else { ": " };
        let line = format!("{handle}  {subject}  {action}{joint}{detail}");
        Ok(say!("{}", cell(&line))?)
    }

    /// Finishes the removal of an event that an earlier replay moved, if it was interrupted.
    async fn finish_removal(&self, entry: &IndexEntry) -> Result<(), Failure> {
        if !self.dry_run && self.table.finish_removal(&entry.key).await? {
            let handle = Handle::for_entry(entry).to_string();
            match self.output {
                Output::Table => say!("{handle}  finished an interrupted removal")?,
                Output::Json => say!(
                    "{}",
                    json_line(&json!({ "handle": handle, "action": "finished" }))?
                )?,
            }
        }
        Ok(())
    }

    /// Notes the records of a delivery that may be missing. They are added after its other stored
    /// events were replayed: one of them may be an event that moves.
    async fn add_later(
        &mut self,
        stored: &Stored,
        replayed: Option<&Record>,
        others: Vec<Record>,
    ) -> Result<(), Failure> {
        let Some((delivery, origin)) = shared(stored) else {
            return self.add(others, stored.expires).await;
        };
        let mut pending = self.pending.iter_mut();
        let known =
            pending.find(|pending| pending.delivery == delivery && pending.origin == *origin);
        if let Some(known) = known {
            let replayed = replayed.map(Key::from_record);
            known
                .records
                .retain(|record| Some(Key::from_record(record)) != replayed);
            return Ok(());
        }
        self.pending.push_front(Pending {
            delivery: delivery.to_owned(),
            origin: origin.clone(),
            expires: stored.expires,
            records: others,
        });
        if self.pending.len() > MAX_PENDING {
            self.add_oldest().await?;
        }
        Ok(())
    }

    /// Adds the missing records of the delivery that waits longest. Returns whether there was one.
    async fn add_oldest(&mut self) -> Result<bool, Failure> {
        let Some(oldest) = self.pending.pop_back() else {
            return Ok(false);
        };
        self.add(oldest.records, oldest.expires).await?;
        Ok(true)
    }

    /// Stores records that are missing, unless they were erased.
    async fn add(&mut self, records: Vec<Record>, expires: Option<i64>) -> Result<(), Failure> {
        for record in records {
            if self.erasures.cover(self.table, &record).await? {
                continue;
            }
            let is_event = record.is_event();
            let is_new = if self.dry_run {
                self.table.get(&Key::from_record(&record)).await?.is_none()
            } else {
                let put = self.table.put_record(record, Expiry::same(expires));
                put.await? == PutOutcome::Inserted
            };
            self.counts.added += u64::from(is_new && is_event);
        }
        Ok(())
    }
}

/// Line for programs about one event.
#[derive(Serialize)]
struct Line<'a> {
    handle: String,
    source: &'a str,
    subject: &'a str,
    /// `unchanged`, `changed` or `moved`.
    action: &'static str,
    detail: &'a str,
}

/// Delivery that an event shares with other events.
fn shared(stored: &Stored) -> Option<(&str, &Origin)> {
    match &stored.record {
        Record::Event {
            body: Body::Shared(delivery),
            origin,
            ..
        } => Some((delivery, origin)),
        _ => None,
    }
}

/// Splits the records of a delivery: the one that this version makes from the same item as a stored
/// event, if it can be determined, and all others. It is the first of these that exists:
/// - the event with the same id,
/// - the only event of a delivery that had only one event before,
/// - the only event with the same item and the same original type.
fn same_event(mut records: Vec<Record>, stored: &Stored) -> (Option<Record>, Vec<Record>) {
    let index = index_of_same_event(&records, stored);
    (index.map(|index| records.remove(index)), records)
}

fn index_of_same_event(records: &[Record], stored: &Stored) -> Option<usize> {
    let Record::Event {
        event: old, body, ..
    } = &stored.record
    else {
        return None;
    };
    let has_same_id =
        |record: &Record| matches!(record, Record::Event { event, .. } if event.id == old.id);
    if let Some(index) = records.iter().position(has_same_id) {
        return Some(index);
    }
    let events = records.iter().enumerate();
    let events: Vec<(usize, &Record)> = events.filter(|(_, record)| record.is_event()).collect();
    if let ([(index, _)], Body::Data | Body::Here(_)) = (&events[..], body) {
        return Some(*index);
    }
    let mut of_item = events
        .into_iter()
        .filter(|(_, record)| is_of_item(record, old));
    match (of_item.next(), of_item.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

/// Whether a record is an event of the same item as another event.
fn is_of_item(record: &Record, other: &Event) -> bool {
    let Record::Event { event, .. } = record else {
        return false;
    };
    event.data.get() == other.data.get() && event.originaltype == other.originaltype
}

/// Names of the attributes that differ between two events.
fn changes(old: &Record, new: &Record) -> Vec<String> {
    let (
        Record::Event {
            event: old,
            body: old_body,
            ..
        },
        Record::Event {
            event: new,
            body: new_body,
            ..
        },
    ) = (old, new)
    else {
        return Vec::new();
    };
    let [before, after] = [old, new].map(attributes);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .cloned();
    differ
        .chain((old_body != new_body).then(|| "body".to_owned()))
        .collect()
}

/// Attributes of an event, with `data` as text, because the digits of a number matter.
fn attributes(event: &Event) -> Map<String, Value> {
    let mut attributes = match serde_json::to_value(event) {
        Ok(Value::Object(attributes)) => attributes,
        _ => Map::new(),
    };
    attributes.insert("data".to_owned(), event.data.get().into());
    attributes
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            read,
            changed,
            moved,
            added,
            unreadable,
            not_read,
            without_body,
        } = self;
        write!(
            f,
            "{read} events replayed: {changed} changed, {moved} moved, {added} added, \
            {unreadable} unreadable"
        )?;
        if *not_read > 0 {
            write!(f, ", {not_read} not found any more")?;
        }
        if *without_body > 0 {
            write!(f, ", {without_body} without a body")?;
        }
        Ok(())
    }
}
