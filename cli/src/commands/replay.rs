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
    output::{cell, say},
    reading::{bytes, read},
};
use clap::Args;
use futures_util::TryStreamExt;
use models::{Body, Event, Origin, Record};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    pin::pin,
};
use storage::{Expiry, IndexEntry, Key, Order, PutOutcome, Stored, Table};

/// Reads events again from the bytes that were kept, and mends those that this version reads differently.
///
/// An event whose key changes is moved. One that this version does not read from its delivery any more stays as it is.
/// What is mended is kept anew: `events follow` prints it again.
///
/// Example: cargo hookkeeper replay --local --provider amocrm --since 7d --dry-run
#[derive(Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    selection: Selection,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

/// Number of deliveries with several events that are remembered, so that the records of each are
/// added only once.
const REMEMBERED: usize = 64;

#[derive(Default)]
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
            complete: VecDeque::new(),
            counts: Counts::default(),
        };
        let entries = entries(&table, span, Order::OldestFirst, &self.selection.filter);
        let mut found = pin!(found(&table, entries));
        while let Some((entry, stored)) = found.try_next().await? {
            match stored {
                Some(stored) => replayer.replay(&entry, &stored).await?,
                None => replayer.finish_removal(&entry).await?,
            }
        }
        let but = if self.dry_run {
            " (dry run: nothing was changed)"
        } else {
            ""
        };
        say!("{}{but}.", replayer.counts)?;
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
    complete: VecDeque<Complete>,
    counts: Counts,
}

/// Delivery with several events that are all in the table.
struct Complete {
    delivery: String,
    origin: Origin,
    /// Keys of the events that this run added.
    added: BTreeSet<Key>,
}

impl Replayer<'_> {
    async fn replay(&mut self, entry: &IndexEntry, stored: &Stored) -> Result<(), Failure> {
        let Record::Event {
            event,
            origin,
            body,
        } = &stored.record
        else {
            return Ok(());
        };
        let provider = provider_of(&event.source);
        let provider = provider.ok_or_else(|| {
            format!(
                "no provider of this version has the source {}",
                event.source
            )
        })?;
        self.counts.read += 1;
        let Some(bytes) = bytes(self.table, &provider, event, body).await? else {
            self.counts.without_body += 1;
            return tell(
                entry,
                event,
                "unchanged: the body of its delivery is not in the table",
            );
        };
        let records = match read(&provider, origin, bytes) {
            Ok(records) => records,
            Err(reason) => {
                self.counts.unreadable += 1;
                return tell(entry, event, &format!("unchanged: {}", reason.message));
            }
        };
        let added = self.add(&records, stored).await?;
        self.counts.added += u64::try_from(added.len())?;
        let Some(record) = same_event(&records, stored) else {
            self.counts.not_read += 1;
            return tell(
                entry,
                event,
                "unchanged: this version finds no such event in its delivery",
            );
        };
        if Key::from_record(record) != stored.key {
            self.move_to(record, stored, &added).await?;
            return tell(
                entry,
                event,
                &format!("moved to {}", Key::from_record(record).pk),
            );
        }
        let changes = changes(&stored.record, record);
        if changes.is_empty() {
            return Ok(());
        }
        self.counts.changed += 1;
        self.replace(record, stored).await?;
        tell(entry, event, &format!("changed: {}", changes.join(", ")))
    }

    /// Finishes the removal of an event that an earlier replay moved, if it was interrupted.
    async fn finish_removal(&self, entry: &IndexEntry) -> Result<(), Failure> {
        if !self.dry_run && self.table.finish_removal(&entry.key).await? {
            say!(
                "{}  finished an interrupted removal",
                Handle::for_entry(entry)
            )?;
        }
        Ok(())
    }

    /// Stores the records of a delivery that are missing. Returns the keys of those that are
    /// events.
    async fn add(&mut self, records: &[Record], stored: &Stored) -> Result<BTreeSet<Key>, Failure> {
        let shared = shared(stored);
        if shared.is_some_and(|(delivery, origin)| self.complete(delivery, origin).is_some()) {
            return Ok(BTreeSet::new());
        }
        let mut added = BTreeSet::new();
        for record in records
            .iter()
            .filter(|record| Key::from_record(record) != stored.key)
        {
            let is_new = if self.dry_run {
                self.table.get(&Key::from_record(record)).await?.is_none()
            } else {
                self.table
                    .put_record(record.clone(), Expiry::same(stored.expires))
                    .await?
                    == PutOutcome::Inserted
            };
            if is_new && matches!(record, Record::Event { .. }) {
                added.insert(Key::from_record(record));
            }
        }
        if let Some((delivery, origin)) = shared {
            self.complete.truncate(REMEMBERED - 1);
            self.complete.push_front(Complete {
                delivery: delivery.to_owned(),
                origin: origin.clone(),
                added: added.clone(),
            });
        }
        Ok(added)
    }

    fn complete(&mut self, delivery: &str, origin: &Origin) -> Option<&mut Complete> {
        self.complete
            .iter_mut()
            .find(|complete| complete.delivery == delivery && complete.origin == *origin)
    }

    /// Stores an event with its new key, unless [`Self::add`] did, and removes the old one. It
    /// counts as moved and not as added.
    async fn move_to(
        &mut self,
        record: &Record,
        stored: &Stored,
        added: &BTreeSet<Key>,
    ) -> Result<(), Failure> {
        let key = Key::from_record(record);
        let was_added = match shared(stored) {
            Some((delivery, origin)) => self
                .complete(delivery, origin)
                .is_some_and(|complete| complete.added.remove(&key)),
            None => added.contains(&key),
        };
        self.counts.moved += 1;
        self.counts.added -= u64::from(was_added);
        if !self.dry_run {
            self.table.put_moved(record.clone(), stored).await?;
            self.table.remove(&stored.key).await?;
        }
        Ok(())
    }

    async fn replace(&self, record: &Record, stored: &Stored) -> Result<(), Failure> {
        if !self.dry_run {
            self.table.replace(record.clone(), stored).await?;
        }
        Ok(())
    }
}

fn tell(entry: &IndexEntry, event: &Event, what: &str) -> Result<(), Failure> {
    let line = format!("{}  {}  {what}", Handle::for_entry(entry), event.subject);
    Ok(say!("{}", cell(&line))?)
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

/// Record that this version makes from the same item as a stored event, if it can be determined. It
/// is the first of these that exists:
/// - the record with the same key,
/// - the only event of a delivery that had only one event before,
/// - the only event with the same item and the same original type.
fn same_event<'a>(records: &'a [Record], stored: &Stored) -> Option<&'a Record> {
    let Record::Event {
        event: old, body, ..
    } = &stored.record
    else {
        return None;
    };
    if let Some(record) = records
        .iter()
        .find(|record| Key::from_record(record) == stored.key)
    {
        return Some(record);
    }
    let events: Vec<&Record> = records
        .iter()
        .filter(|record| matches!(record, Record::Event { .. }))
        .collect();
    if let ([only], Body::Data | Body::Here(_)) = (&events[..], body) {
        return Some(only);
    }
    let same_item: Vec<&Record> = events
        .into_iter()
        .filter(|record| is_of_item(record, old))
        .collect();
    match same_item[..] {
        [only] => Some(only),
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
