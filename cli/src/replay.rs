//! `hookkeeper replay`: reads the kept bytes of events again, after a reader learnt something new.
//!
//! Each event by itself, and what is new of it is put before what is old goes: an interruption loses nothing. The stored
//! arrival and request id are read too, so that the same bytes become the same ids, and nothing doubles.

use crate::{
    Failure,
    events::{entries, found},
    filter::{Selection, provider_of},
    handle::Handle,
    output::{printable, say},
    reading::{bytes, read},
};
use clap::Args;
use futures_util::TryStreamExt;
use models::{Body, Event, Record};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeSet, VecDeque},
    fmt,
    pin::pin,
};
use store::{Entry, Kept, Key, Order, Stored, Table};

/// Reads events again from the bytes that were kept, and mends those that this version reads differently.
///
/// An event whose key changes is moved. What is mended is kept anew: `events follow` prints it again.
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

/// How many deliveries of several events are remembered, so that each of them is read once.
const REMEMBERED: usize = 64;

#[derive(Default)]
struct Counts {
    read: u64,
    changed: u64,
    moved: u64,
    added: u64,
    unreadable: u64,
}

impl Replay {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (table, span) = self.selection.open().await?;
        let mut replayer =
            Replayer { table: &table, dry_run: self.dry_run, complete: VecDeque::new(), counts: Counts::default() };
        let entries = entries(&table, span, Order::OldestFirst, &self.selection.filter);
        let mut found = pin!(found(&table, entries));
        while let Some((entry, stored)) = found.try_next().await? {
            match stored {
                Some(stored) => replayer.replay(&entry, &stored).await?,
                None => replayer.finish_removal(&entry).await?,
            }
        }
        let but = if self.dry_run { ", and nothing was changed (--dry-run)" } else { "" };
        Ok(say!("{}{but}.", replayer.counts)?)
    }
}

struct Replayer<'a> {
    table: &'a Table,
    dry_run: bool,
    /// Deliveries of which every event is there.
    complete: VecDeque<String>,
    counts: Counts,
}

impl Replayer<'_> {
    async fn replay(&mut self, entry: &Entry, stored: &Stored) -> Result<(), Failure> {
        let Record::Event { event, origin, body } = &stored.record else { return Ok(()) };
        let provider = provider_of(&event.source);
        let provider =
            provider.ok_or_else(|| format!("no provider of this version has the source {}", event.source))?;
        self.counts.read += 1;
        let tell = |what: &str| say!("{}  {}  {what}", Handle::of_entry(entry), printable(&event.subject));
        let records = match read(&provider, origin, bytes(self.table, &provider, event, body).await?) {
            Ok(records) => records,
            Err(reason) => {
                self.counts.unreadable += 1;
                tell(&format!("stays as it is: {reason}"))?;
                return Ok(());
            }
        };
        let added = self.add(&records, stored, body).await?;
        if let Some(record) = records.iter().find(|record| Key::of(record) == stored.key) {
            self.counts.added += added;
            let changes = changes(&stored.record, record);
            if !changes.is_empty() {
                self.counts.changed += 1;
                self.replace(record, stored).await?;
                tell(&format!("changed: {}", changes.join(", ")))?;
            }
        } else {
            self.counts.moved += 1;
            self.remove(stored).await?;
            let events = records.iter().filter(|record| matches!(record, Record::Event { .. }));
            let keys = events.map(|record| printable(&Key::of(record).pk)).collect::<Vec<_>>();
            tell(&format!("moved to {}", keys.join(", ")))?;
        }
        Ok(())
    }

    /// Finishes the removal of an event that an earlier replay moved, where it was interrupted.
    async fn finish_removal(&self, entry: &Entry) -> Result<(), Failure> {
        if !self.dry_run && self.table.finish_removal(&entry.key).await? {
            say!("{}  its removal was interrupted, and is finished now", Handle::of_entry(entry))?;
        }
        Ok(())
    }

    /// Puts those of a delivery's records that are not there; says how many events these were.
    async fn add(&mut self, records: &[Record], stored: &Stored, body: &Body) -> Result<u64, Failure> {
        if let Body::Shared(delivery) = body {
            if self.complete.contains(delivery) {
                return Ok(0);
            }
            self.complete.truncate(REMEMBERED - 1);
            self.complete.push_front(delivery.clone());
        }
        let mut added = 0;
        for record in records.iter().filter(|record| Key::of(record) != stored.key) {
            let is_new = if self.dry_run {
                self.table.get(&Key::of(record)).await?.is_none()
            } else {
                self.table.put_until(record.clone(), stored.expires).await? == Kept::New
            };
            added += u64::from(is_new && matches!(record, Record::Event { .. }));
        }
        Ok(added)
    }

    async fn remove(&self, stored: &Stored) -> Result<(), Failure> {
        if !self.dry_run {
            self.table.remove(&stored.key).await?;
        }
        Ok(())
    }

    async fn replace(&self, record: &Record, stored: &Stored) -> Result<(), Failure> {
        if !self.dry_run {
            self.table.replace(record.clone(), stored.expires).await?;
        }
        Ok(())
    }
}

/// The attributes in which two events differ.
fn changes(old: &Record, new: &Record) -> Vec<String> {
    let (Record::Event { event: old, body: old_body, .. }, Record::Event { event: new, body: new_body, .. }) =
        (old, new)
    else {
        return Vec::new();
    };
    let attributes = |event: &Event| -> Map<String, Value> {
        let mut event = serde_json::to_value(event).unwrap_or_default();
        event.as_object_mut().map(std::mem::take).unwrap_or_default()
    };
    let (mut before, mut after) = (attributes(old), attributes(new));
    // As text: the digits of a number count.
    before.insert("data".to_owned(), old.data.get().into());
    after.insert("data".to_owned(), new.data.get().into());
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = names.into_iter().filter(|name| before.get(*name) != after.get(*name)).cloned();
    differ.chain((old_body != new_body).then(|| "body".to_owned())).collect()
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, changed, moved, added, unreadable } = self;
        write!(f, "{read} events read again: {changed} changed, {moved} moved, {added} added, {unreadable} unreadable")
    }
}
