//! Parses stored bytes again, with the parsers of this version.

use crate::span::A_DAY;
use models::{Delivery, Origin, ParseError, Reason, Record, Timestamp};
use providers::Provider;
use std::panic::{AssertUnwindSafe, catch_unwind};
use storage::{Erasures, Key, Table, TableError};

/// Records that this version stores for a delivery with this origin. The result is the same on each
/// call.
///
/// # Errors
/// The reason, if this version quarantines the delivery as a whole.
pub(crate) fn read(
    provider: &Provider,
    origin: &Origin,
    body: Vec<u8>,
) -> Result<Vec<Record>, Reason> {
    let delivery = Delivery {
        body,
        origin: origin.clone(),
    };
    let parsed = catch_unwind(AssertUnwindSafe(|| (provider.parse)(&delivery)))
        .unwrap_or(Err(ParseError::Panicked));
    let records = Record::from_delivery(provider.name, &delivery, parsed);
    match &records[..] {
        [Record::Quarantined { reason, .. }] => Err(reason.clone()),
        _ => Ok(records),
    }
}

/// The erasures since the earliest arrival that a replay has met.
#[derive(Default)]
pub(crate) struct KnownErasures {
    since: Option<Timestamp>,
    erasures: Erasures,
}

impl KnownErasures {
    /// The erasures that can cover what arrived at a time.
    pub(crate) async fn since(
        &mut self,
        table: &Table,
        arrival: Timestamp,
    ) -> Result<&Erasures, TableError> {
        if self.since.is_none_or(|since| arrival < since) {
            // A day earlier, because the arrivals of a replay are only roughly in order.
            let since = arrival.before(A_DAY);
            self.erasures = table.erasures(since).await?;
            self.since = Some(since);
        }
        Ok(&self.erasures)
    }

    /// Whether a record was erased.
    pub(crate) async fn cover(
        &mut self,
        table: &Table,
        record: &Record,
    ) -> Result<bool, TableError> {
        let erasures = self.since(table, record.origin().arrival).await?;
        Ok(erasures.cover_record(record))
    }
}

/// Exact bytes of the delivery of a record. `None` if they are in a record of their own and that
/// record is not in the table.
pub(crate) async fn exact_bytes(
    table: &Table,
    provider: &Provider,
    record: &Record,
) -> Result<Option<Vec<u8>>, TableError> {
    let Some(shared) = record.shared_body() else {
        return Ok(record.exact_bytes().map(<[u8]>::to_vec));
    };
    let stored = table.get(&Key::for_body(provider.name, shared)).await?;
    let bytes = stored.and_then(|stored| Some(stored.record.exact_bytes()?.to_vec()));
    Ok(bytes)
}
