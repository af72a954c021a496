//! Parses stored bytes again, with the parsers of this version.

use models::{Delivery, Origin, ParseError, Reason, Record};
use providers::Provider;
use std::panic::{AssertUnwindSafe, catch_unwind};
use storage::{Key, Table, TableError};

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
