//! Erased records stay erased: the drain and the commands ask here before they store a record that
//! arrived before an erasure.

use crate::{
    Table, TableError,
    index::days,
    schema::{self, Erased, EventKey, Item, Key, erasure},
};
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use models::{Record, Timestamp};
use std::{collections::HashMap, time::Duration};

/// How many days are read concurrently.
const CONCURRENT_DAYS: usize = 16;
/// 2026-01-01. No earlier version erased anything.
const FIRST_SECOND: u64 = 1_767_225_600;

/// The erasures of some days.
#[derive(Debug, Clone, Default)]
pub struct Erasures {
    /// The sort keys of erased records and subjects, and when each was erased last.
    times: HashMap<String, Timestamp>,
}

impl Erasures {
    /// Whether an item was erased, its record or its subject, after it had arrived.
    #[must_use]
    pub fn cover(&self, item: &Item) -> bool {
        let key = schema::key(item);
        let owner = schema::is_chunk(item).then(|| schema::chunk_owner(&key));
        let key = owner.flatten().unwrap_or(key);
        self.cover_key(&key, schema::arrival(item))
    }

    /// Whether a record was erased, or its subject, after it had arrived.
    #[must_use]
    pub fn cover_record(&self, record: &Record) -> bool {
        self.cover_key(&Key::from_record(record), Some(record.origin().arrival))
    }

    /// Whether the record with a key was erased, or its subject, after its arrival if that is known.
    /// Without it, only the record itself is compared.
    #[must_use]
    pub fn cover_key(&self, key: &Key, arrival: Option<Timestamp>) -> bool {
        let has_record = self.has(&Erased::Record(key), arrival);
        let (Some(_), Some(event)) = (arrival, EventKey::parse(key)) else {
            return has_record;
        };
        let subject = &*event.subject;
        let provider = event.source.split('/').next();
        let mut sources = [Some(&*event.source), provider, None].into_iter();
        has_record || sources.any(|source| self.has(&Erased::Subject { source, subject }, arrival))
    }

    /// Whether something was erased, after this arrival if it is known.
    fn has(&self, erased: &Erased, arrival: Option<Timestamp>) -> bool {
        let time = self.times.get(&erased.sk());
        time.is_some_and(|time| arrival.is_none_or(|arrival| arrival <= *time))
    }

    fn add(&mut self, item: &Item) {
        if let Some(time) = erasure::time(item) {
            let erased = self.times.entry(schema::key(item).sk).or_insert(time);
            *erased = time.max(*erased);
        }
    }
}

impl Table {
    /// Notes an erasure, so that nothing stores again what was erased.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn put_erasure(&self, erased: &Erased<'_>) -> Result<(), TableError> {
        let put = self.client.put_item().table_name(&self.name);
        let item = erasure::encode(erased, self.now());
        put.set_item(Some(item)).send().await?;
        Ok(())
    }

    /// Reads the erasures since a time: one query for each day. A record can only have been erased
    /// after its arrival.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn erasures(&self, since: Timestamp) -> Result<Erasures, TableError> {
        let first = Timestamp::from_unix(Duration::from_secs(FIRST_SECOND));
        let now = self.now();
        let days = days(&(since.max(first).min(now)..now));
        let days = stream::iter(days).map(|day| self.partition(erasure::pk(&day)).boxed());
        let mut days = days.buffer_unordered(CONCURRENT_DAYS);
        let mut erasures = Erasures::default();
        while let Some(items) = days.try_next().await? {
            for item in &items {
                erasures.add(item);
            }
        }
        Ok(erasures)
    }

    /// Removes the chunks of an item that is not stored because it was erased. If the table has the
    /// item, it arrived again after the erasure, and keeps them.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn remove_chunks_of_erased(&self, item: &Item) -> Result<(), TableError> {
        let chunks = schema::chunk_keys(item);
        if chunks.is_empty() || self.has(schema::key(item)).await? {
            return Ok(());
        }
        for chunk in &chunks {
            self.delete(chunk).await?;
        }
        Ok(())
    }
}
