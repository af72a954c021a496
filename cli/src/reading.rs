//! Parses stored bytes again, with the parsers of this version.

use crate::Failure;
use models::{Body, Delivery, Event, Origin, ParseError, Reason, Record};
use providers::Provider;
use std::panic::{AssertUnwindSafe, catch_unwind};
use storage::{Key, Table};

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

/// Exact bytes of the delivery that contained an event. `None` if they are in a record of their own
/// and that record is not in the table.
pub(crate) async fn bytes(
    table: &Table,
    provider: &Provider,
    event: &Event,
    body: &Body,
) -> Result<Option<Vec<u8>>, Failure> {
    match body {
        Body::Data => Ok(Some(event.data.get().as_bytes().to_vec())),
        Body::Here(bytes) => Ok(Some(bytes.clone())),
        Body::Shared(name) => shared_bytes(table, provider, name).await,
    }
}

/// Exact bytes of a delivery with several items. `None` if they are not in the table.
pub(crate) async fn shared_bytes(
    table: &Table,
    provider: &Provider,
    name: &str,
) -> Result<Option<Vec<u8>>, Failure> {
    let stored = table.get(&Key::for_body(provider.name, name)).await?;
    match stored.map(|stored| stored.record) {
        Some(Record::Body { bytes, .. }) => Ok(Some(bytes)),
        _ => Ok(None),
    }
}
