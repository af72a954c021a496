//! Parses stored bytes again, with the parsers of this version.

use crate::Failure;
use models::{Body, Delivery, Event, Origin, ParseError, Record};
use providers::Provider;
use std::panic::{AssertUnwindSafe, catch_unwind};
use storage::{Key, Table};

/// Records that this version stores for a delivery with this origin (arrival time, request id,
/// content type). The result is the same on each call.
pub(crate) fn read(
    provider: &Provider,
    origin: &Origin,
    body: Vec<u8>,
) -> Result<Vec<Record>, ParseError> {
    let delivery = Delivery {
        body,
        content_type: origin.content_type.clone(),
        arrival: origin.arrival,
        request_id: origin.request_id.clone(),
    };
    let read = catch_unwind(AssertUnwindSafe(|| (provider.parse)(&delivery)))
        .unwrap_or(Err(ParseError::Panicked));
    let records = Record::from_delivery(provider.name, &delivery, read);
    match records.iter().find_map(Record::parse_error) {
        Some(reason) => Err(reason.clone()),
        None => Ok(records),
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
    let delivery = match body {
        Body::Data => return Ok(Some(event.data.get().as_bytes().to_vec())),
        Body::Here(bytes) => return Ok(Some(bytes.clone())),
        Body::Shared(delivery) => delivery,
    };
    let stored = table.get(&Key::for_body(provider.name, delivery)).await?;
    match stored.map(|stored| stored.record) {
        Some(Record::Body { bytes, .. }) => Ok(Some(bytes)),
        _ => Ok(None),
    }
}
