//! The state of a consumer in the table.

use super::{
    COUNTED, Consumer, ConsumerError, LEASE, Pending, Position, Start,
    window::{self, Digest, Window},
};
use crate::{
    Table, TableError,
    index::Positioned,
    lease::{Lease, Leased},
    schema::{
        self, Item, ItemError, Key,
        consumer::{self, NAMES_PK},
    },
};
use futures_util::{StreamExt, TryStreamExt};
use models::Timestamp;
use std::time::Duration;

/// How long before now a consumer of all events begins if there is none.
const EMPTY_TABLE: Duration = Duration::from_mins(1);

impl Leased for Consumer {
    fn key(&self) -> Key {
        consumer::key(&self.name)
    }

    fn lease(&self) -> &Lease {
        &self.lease
    }

    fn lease_mut(&mut self) -> &mut Lease {
        &mut self.lease
    }

    fn encode(&self) -> Item {
        consumer::encode(self)
    }

    fn decode(item: Item) -> Result<Self, ItemError> {
        consumer::decode(item)
    }
}

impl Table {
    /// Reads the state of a consumer.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn consumer(&self, name: &str) -> Result<Option<Consumer>, TableError> {
        self.leased(&consumer::key(name)).await
    }

    /// Reads the states of all consumers, in the order of their names.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn consumers(&self) -> Result<Vec<Consumer>, TableError> {
        let mut consumers = Vec::new();
        for item in self.partition(NAMES_PK.to_owned()).await? {
            let name = schema::key(&item).sk;
            consumers.extend(self.consumer(&name).await?);
        }
        Ok(consumers)
    }

    /// Counts the events that a consumer has not handled.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn pending(&self, consumer: &Consumer) -> Result<Pending, TableError> {
        let until = Position::at(self.now());
        let ahead = self.positions(consumer.position.clone(), until);
        let ahead: Vec<_> = ahead.take(COUNTED).try_collect().await?;
        let first = ahead.first();
        let (_, difference) = self.compared_window(consumer).await?;
        Ok(Pending {
            events: ahead.len(),
            oldest: first.and_then(|first| first.position.time()),
            behind: difference.written(),
        })
    }

    /// Takes the lease of a consumer. `None`: another process was faster.
    pub(super) async fn take(&self, consumer: Consumer) -> Result<Option<Consumer>, ConsumerError> {
        let now = self.now();
        if consumer.lease.is_held(now) {
            return Err(ConsumerError::Held(consumer.lease.leaseuntil));
        }
        let mut taken = consumer.clone();
        taken.lease.take(now, LEASE);
        let owner = taken.lease.owner.clone();
        let taken = self.replace_leased(&consumer, taken, owner.as_deref());
        Ok(taken.await?)
    }

    /// Creates a consumer. `None`: another process was faster.
    pub(super) async fn create(
        &self,
        name: &str,
        start: Start,
    ) -> Result<Option<Consumer>, ConsumerError> {
        let (start, position) = self.start(start).await?;
        let nothing = Window::default().digest();
        let created = Consumer {
            name: name.to_owned(),
            position,
            start,
            lease: Lease::new(self.now(), LEASE),
            windowcount: nothing.count,
            windowhash: nothing.hash,
            behindcount: 0,
            behind: Vec::new(),
            stopped: None,
            skipped: Vec::new(),
        };
        // First, so that every consumer is listed.
        let put = self.client.put_item().table_name(&self.name);
        let put = put.set_item(Some(consumer::encode_name(name)));
        put.send().await.map_err(TableError::from)?;
        Ok(self.create_leased(created).await?)
    }

    /// Returns where a consumer starts, and its first position.
    pub(super) async fn start(&self, start: Start) -> Result<(Position, Position), TableError> {
        let time = match start {
            Start::Now => self.now(),
            Start::At(time) => time,
            Start::Beginning => {
                let first = self.first_recorded().await?;
                let first = first.unwrap_or(self.now()).before(EMPTY_TABLE);
                return Ok((Position::at(Timestamp::EPOCH), Position::at(first)));
            }
        };
        Ok((Position::at(time), Position::at(time)))
    }

    /// Reads what is in the index in the last minutes before a consumer's position.
    pub(super) async fn window(&self, consumer: &Consumer) -> Result<Vec<Positioned>, TableError> {
        let start = window::start(&consumer.position, &consumer.start);
        let entries = self.positions(start, consumer.position.clone());
        entries.try_collect().await
    }

    /// Reads the window of a consumer, and compares it with the one that was saved.
    pub(super) async fn compared_window(
        &self,
        consumer: &Consumer,
    ) -> Result<(Vec<Positioned>, Difference), TableError> {
        let entries = self.window(consumer).await?;
        let found = digest(&entries);
        let difference = if is_saved(consumer, &found) {
            Difference::None
        } else {
            // Fewer events: some were removed, and others may have been written.
            let more = found.count.checked_sub(consumer.windowcount);
            Difference::Some {
                written: more.map_or(0, |more| more.max(1)),
            }
        };
        Ok((entries, difference))
    }
}

/// The difference between the window in the index and the one that was saved with the position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Difference {
    None,
    /// At least this number of events was written there since.
    Some {
        written: u64,
    },
}

impl Difference {
    /// The number of events that were written in the window since.
    pub(super) fn written(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Some { written } => written,
        }
    }
}

/// Whether a digest is the one that was saved with the position.
fn is_saved(consumer: &Consumer, found: &Digest) -> bool {
    found.count == consumer.windowcount && found.hash == consumer.windowhash
}

fn digest(entries: &[Positioned]) -> Digest {
    let mut window = Window::default();
    for entry in entries {
        window.insert(&entry.position);
    }
    window.digest()
}
