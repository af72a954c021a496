//! Items that a command skips because this version cannot read them.

use futures_util::{Stream, StreamExt};
use std::{
    future::ready,
    sync::atomic::{AtomicU64, Ordering},
};
use storage::TableError;

/// The number of items that a command skipped.
#[derive(Debug, Default)]
pub(crate) struct Skipped(AtomicU64);

impl Skipped {
    /// Streams the items that this version can read, and counts the others.
    pub(crate) fn readable<'a, T: 'a>(
        &'a self,
        items: impl Stream<Item = Result<T, TableError>> + 'a,
    ) -> impl Stream<Item = Result<T, TableError>> + 'a {
        items.filter(|item| ready(!self.is_skipped(item)))
    }

    fn is_skipped<T>(&self, item: &Result<T, TableError>) -> bool {
        let is_unreadable = matches!(item, Err(TableError::Item(_)));
        self.0
            .fetch_add(u64::from(is_unreadable), Ordering::Relaxed);
        is_unreadable
    }

    /// What was read of one item. Counts it if it cannot be read or a part of it is missing.
    pub(crate) fn read<T>(
        &self,
        got: Result<Option<T>, TableError>,
    ) -> Result<Option<T>, TableError> {
        match got {
            Err(TableError::Item(_) | TableError::ChunksMissing) => {
                self.0.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            got => got,
        }
    }

    /// The number of skipped items.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Prints the number of skipped items to standard error, if there are any.
    pub(crate) fn report(&self) {
        let items = match self.count() {
            0 => return,
            1 => "1 item was skipped".to_owned(),
            more => format!("{more} items were skipped"),
        };
        eprintln!("{items}: not readable by this version of Hookkeeper");
    }
}
