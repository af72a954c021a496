//! Finds events soon after they are stored, for a person who watches. Nothing is saved.

use crate::{commands::events::entries, filter::Filter, skipped::Skipped};
use futures_util::TryStreamExt;
use models::Timestamp;
use std::{collections::HashSet, future::ready, time::Duration};
use storage::{IndexEntry, Order, Table, TableError};

/// Time between two looks at the index.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// How far each look reaches back before the previous one. An event appears in the index later than
/// its `recordedtime`: the drain's put may take 15 s, clocks differ, and the index is written after
/// the table.
const OVERLAP: Duration = Duration::from_mins(1);

/// Events that were seen, as far back as the next look reaches.
#[derive(Debug)]
pub(crate) struct Follower {
    looked: Timestamp,
    /// When they were recorded, and their ids. A replay that moves an event to another key keeps
    /// both.
    seen: HashSet<(Timestamp, String)>,
}

/// The events that a look found and that were not seen, in the order of `recordedtime`.
#[derive(Debug)]
pub(crate) struct Look {
    time: Timestamp,
    pub(crate) unseen: Vec<IndexEntry>,
}

impl Follower {
    /// Follows the events that are stored from now on.
    pub(crate) async fn from_now(table: &Table, filter: &Filter) -> Result<Self, TableError> {
        let mut follower = Self {
            looked: table.now(),
            seen: HashSet::new(),
        };
        let look = follower.look(table, filter).await?;
        for entry in &look.unseen {
            follower.see(entry);
        }
        Ok(follower)
    }

    /// Follows the events that were stored since a time.
    pub(crate) fn since(time: Timestamp) -> Self {
        Self {
            looked: time.after(OVERLAP),
            seen: HashSet::new(),
        }
    }

    /// Looks for events that were not seen.
    pub(crate) async fn look(&self, table: &Table, filter: &Filter) -> Result<Look, TableError> {
        let time = table.now();
        // The clock of the machine that stores events may be ahead of ours.
        let span = self.reach()..time.after(OVERLAP);
        // A look reaches back a minute, so an item of another version would be reported each time.
        let skipped = Skipped::default();
        let recorded = skipped.readable(entries(table, span, Order::OldestFirst, filter));
        let unseen = recorded.try_filter(|entry| ready(!self.has_seen(entry)));
        Ok(Look {
            time,
            unseen: unseen.try_collect().await?,
        })
    }

    /// Marks an event as seen.
    pub(crate) fn see(&mut self, entry: &IndexEntry) {
        self.seen.insert((entry.recorded, entry.event.id.clone()));
    }

    fn has_seen(&self, entry: &IndexEntry) -> bool {
        let key = (entry.recorded, entry.event.id.clone());
        self.seen.contains(&key)
    }

    /// Ends a look whose events are all seen. The next one begins where it began.
    pub(crate) fn end(&mut self, look: &Look) {
        self.looked = self.looked.max(look.time);
        let reach = self.reach();
        self.seen.retain(|(recorded, _)| *recorded >= reach);
    }

    /// Earliest time of the next look.
    pub(crate) fn reach(&self) -> Timestamp {
        self.looked.before(OVERLAP)
    }
}
