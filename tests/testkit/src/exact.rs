//! The exact bytes of deliveries. The fuzz targets compile this file too.

use models::{Body, Record};

/// The exact bytes of the delivery of a record. A shared body is one of the other records.
///
/// # Panics
/// If the records do not contain the bytes.
#[must_use]
pub fn exact_bytes<'a>(record: &'a Record, others: &'a [Record]) -> &'a [u8] {
    match record {
        Record::Body { bytes, .. } => bytes,
        Record::Event { event, body, .. } if *body == Body::Data => event.data.get().as_bytes(),
        Record::Event { body, .. } | Record::Quarantined { body, .. } => match body {
            Body::Here(bytes) => bytes,
            Body::Shared(name) => shared_body(others, name),
            Body::Data => panic!("a quarantined delivery has no data"),
        },
    }
}

fn shared_body<'a>(records: &'a [Record], shared: &str) -> &'a [u8] {
    let found = records.iter().find_map(|record| match record {
        Record::Body { name, bytes, .. } if name == shared => Some(bytes),
        _ => None,
    });
    found.expect("the shared body of the delivery")
}

/// The exact bytes of each delivery of these records. Records that share a body are one delivery.
///
/// # Panics
/// If a shared body is missing.
#[must_use]
pub fn deliveries(records: &[Record]) -> Vec<Vec<u8>> {
    let mut deliveries = Vec::new();
    for record in records {
        let bytes = exact_bytes(record, records);
        if !shares_body(record) {
            deliveries.push(bytes.to_vec());
        }
    }
    deliveries
}

fn shares_body(record: &Record) -> bool {
    match record {
        Record::Event { body, .. } | Record::Quarantined { body, .. } => {
            matches!(body, Body::Shared(_))
        }
        Record::Body { .. } => false,
    }
}
