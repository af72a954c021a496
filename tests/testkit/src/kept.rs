//! Restores the original deliveries from the records of a table.

use models::{Body, Record};
use storage::Table;

/// The exact bodies of all deliveries in a table, in no order.
pub async fn bodies(table: &Table) -> Vec<Vec<u8>> {
    let records = table.records().await.unwrap();
    let shared = |name: &str| {
        records
            .iter()
            .any(|it| matches!(it, Record::Body { delivery, .. } if delivery == name))
    };
    let body = |record: &Record| match record {
        Record::Event {
            event,
            body: Body::Data,
            ..
        } => Some(event.data.get().as_bytes().to_vec()),
        Record::Event {
            body: Body::Shared(delivery),
            ..
        } => {
            assert!(shared(delivery), "an event's body is not there");
            None
        }
        Record::Event {
            body: Body::Here(bytes),
            ..
        }
        | Record::Body { bytes, .. }
        | Record::Quarantined { bytes, .. } => Some(bytes.clone()),
    };
    records.iter().filter_map(body).collect()
}
