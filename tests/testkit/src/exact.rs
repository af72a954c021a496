//! The exact bytes of deliveries. The fuzz targets compile this file too.

use models::Record;

/// The exact bytes of the delivery of a record. A shared body is one of the other records.
///
/// # Panics
/// If the records do not contain the bytes.
#[must_use]
pub fn exact_bytes<'a>(record: &'a Record, others: &'a [Record]) -> &'a [u8] {
    let Some(shared) = record.shared_body() else {
        return record.exact_bytes().expect("the body of a record");
    };
    let mut others = others.iter();
    let found = others.find(|other| matches!(other, Record::Body { name, .. } if name == shared));
    let body = found.and_then(Record::exact_bytes);
    body.expect("the shared body of the delivery")
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
        if record.shared_body().is_none() {
            deliveries.push(bytes.to_vec());
        }
    }
    deliveries
}
