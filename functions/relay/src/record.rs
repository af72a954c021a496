//! Records of the table's stream.

use crate::{DeadLetter, Outgoing};
use models::json::Lenient;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use storage::schema::{Item, ItemError};

/// The payload of an invocation: the records of a batch, or `None` if it is not a stream event. A
/// single record that cannot be read must not make the batch fail.
pub struct Payload(pub(crate) Option<Vec<Record>>);

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = Lenient::<StreamEvent>::deserialize(deserializer)?;
        let records = event.0.map(|event| event.records.into_iter());
        Ok(Self(records.map(|records| {
            records
                .map(|record| serde_json::from_str(record.get()).unwrap_or_default())
                .collect()
        })))
    }
}

/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
#[derive(Deserialize)]
struct StreamEvent {
    #[serde(rename = "Records")]
    records: Vec<Box<RawValue>>,
}

/// A change of an item.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Record {
    event_name: Lenient<String>,
    dynamodb: Lenient<Change>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "PascalCase")]
struct Change {
    keys: Lenient<serde_dynamo::Item>,
    new_image: Lenient<serde_dynamo::Item>,
    sequence_number: Lenient<String>,
}

/// What is to be done with a record.
pub(crate) enum Task {
    /// Nothing: it is not a new event.
    Skip,
    Publish(Box<Outgoing>),
    /// This version cannot read it.
    GiveUp(DeadLetter),
}

impl Record {
    /// Reads a record: its sequence number, and what is to be done with it.
    pub(crate) fn read(self, table: &str) -> (String, Task) {
        let change = self.dynamodb.0.unwrap_or_default();
        let sequence_number = change.sequence_number.0.unwrap_or_default();
        if self.event_name.0.as_deref() != Some("INSERT") {
            return (sequence_number, Task::Skip);
        }
        let keys = Item::from(change.keys.0.unwrap_or_default());
        let Some(image) = change.new_image.0.map(Item::from) else {
            let letter = DeadLetter::unreadable(&keys, ItemError::Malformed);
            return (sequence_number, Task::GiveUp(letter));
        };
        let task = match Outgoing::from_item(image, table) {
            Ok(None) => Task::Skip,
            Ok(Some(event)) => Task::Publish(Box::new(event)),
            Err(error) => Task::GiveUp(DeadLetter::unreadable(&keys, error)),
        };
        (sequence_number, task)
    }
}
