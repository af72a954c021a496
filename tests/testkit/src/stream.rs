//! Batches of the table's stream, as Lambda passes them to the relay.
//!
//! Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>

use serde_json::{Value, json};
use storage::schema::Item;

/// A change of an item. Its number becomes its sequence number.
#[must_use]
pub fn change(event_name: &str, number: usize, item: &Item) -> Value {
    let keys = ["pk", "sk"].map(|name| (name.to_owned(), item[name].clone()));
    json!({
        "eventID": number.to_string(), "eventName": event_name, "eventVersion": "1.1",
        "eventSource": "aws:dynamodb", "awsRegion": "us-east-1",
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/hookkeeper/stream/2026",
        "dynamodb": {
            "ApproximateCreationDateTime": 1_795_255_200, "SizeBytes": 1,
            "StreamViewType": "NEW_IMAGE", "SequenceNumber": sequence_number(number),
            "Keys": serde_dynamo::Item::from(Item::from(keys)),
            "NewImage": serde_dynamo::Item::from(item.clone()),
        },
    })
}

/// A batch in which each of these items is new.
#[must_use]
pub fn batch(items: &[Item]) -> String {
    let changes = items.iter().enumerate();
    batch_of(changes.map(|(number, item)| change("INSERT", number, item)))
}

/// A batch of records.
#[must_use]
pub fn batch_of(records: impl IntoIterator<Item = Value>) -> String {
    let records: Vec<Value> = records.into_iter().collect();
    json!({ "Records": records }).to_string()
}

/// The sequence number of a record. It has more digits than an integer of 64 bits.
#[must_use]
pub fn sequence_number(number: usize) -> String {
    format!("4421584500000000017450{number:05}")
}
