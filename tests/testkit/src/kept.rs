//! Restores the original deliveries from the records of a table.

use models::{Body, Record};
use storage::Table;

/// The exact bodies of all deliveries in a table, in no order.
pub async fn bodies(table: &Table) -> Vec<Vec<u8>> {
    let records = table.records().await.unwrap();
    let shared = |name: &str| {
        records
            .iter()
            .any(|it| matches!(it, Record::Body { name: stored, .. } if stored == name))
    };
    for record in &records {
        if let Record::Event {
            body: Body::Shared(delivery),
            ..
        }
        | Record::Quarantined {
            body: Body::Shared(delivery),
            ..
        } = record
        {
            assert!(shared(delivery), "an event's body is not there");
        }
    }
    records.iter().filter_map(bytes).collect()
}

/// The exact body of the delivery of a record. `None` for an event that shares its body with others:
/// another record has it.
#[must_use]
pub fn bytes(record: &Record) -> Option<Vec<u8>> {
    match record {
        Record::Event {
            event,
            body: Body::Data,
            ..
        } => Some(event.data.get().as_bytes().to_vec()),
        Record::Event {
            body: Body::Shared(_),
            ..
        }
        | Record::Quarantined {
            body: Body::Data | Body::Shared(_),
            ..
        } => None,
        Record::Event {
            body: Body::Here(bytes),
            ..
        }
        | Record::Body { bytes, .. }
        | Record::Quarantined {
            body: Body::Here(bytes),
            ..
        } => Some(bytes.clone()),
    }
}
