//! The items of a consumer: its state, and its name in the partition that lists all consumers.

use super::{Head, Item, ItemError, Key, Kind, Lease, from_item, to_item};
use models::Timestamp;
use serde::{Deserialize, Serialize};

/// The partition key of the names of all consumers. A sender cannot choose it: the partition key of
/// an event contains `#`.
pub(crate) const NAMES_PK: &str = "consumers";

/// A position in the order of recording: behind the event with this time and this key.
///
/// The order is that of the texts, as in DynamoDB. It is total, so that events with the same time
/// are neither skipped nor repeated.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The event's `recordedtime`, as it is stored.
    pub recordedtime: String,
    /// The event's partition key. Empty: before all events of this time.
    pub pk: String,
    /// The event's sort key.
    pub sk: String,
}

impl Position {
    /// The position before all events that were recorded at a time.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self {
            recordedtime: time.to_string(),
            pk: String::new(),
            sk: String::new(),
        }
    }

    /// The time of the position. `None` if an item has something else in `recordedtime`.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        Timestamp::parse(&self.recordedtime)
    }

    /// The key of the event. `None` for a position that is only a time.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        (!self.pk.is_empty()).then(|| Key {
            pk: self.pk.clone(),
            sk: self.sk.clone(),
        })
    }
}

/// A consumer: a position in the order of recording, which one process at a time moves forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Every event up to here was handled.
    pub position: Position,
    /// Where it began. Nothing before it is delivered.
    pub start: Position,
    /// The process that moves it.
    #[serde(flatten)]
    pub lease: Lease,
    /// The number of events in the last minutes before the position, of all types.
    pub windowcount: u64,
    /// A digest of these events.
    pub windowhash: String,
    /// The number of events that were written behind the position, and delivered late.
    pub behindcount: u64,
    /// The latest of them.
    #[serde(default)]
    pub behind: Vec<Position>,
    /// The event at which the consumer stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// The latest events that were skipped, the newest last.
    #[serde(default)]
    pub skipped: Vec<Stopped>,
}

/// An event at which a consumer stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// The event.
    pub position: Position,
    /// Why it stopped, without a value of the event.
    pub reason: String,
    /// When it stopped.
    pub time: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct ConsumerItem {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    consumer: Consumer,
}

/// Returns the key of a consumer's state.
pub(crate) fn key(name: &str) -> Key {
    Key {
        pk: format!("consumer#{name}"),
        sk: "cursor".to_owned(),
    }
}

/// Returns the key of a consumer's name in the list of all consumers.
pub(crate) fn name_key(name: &str) -> Key {
    Key {
        pk: NAMES_PK.to_owned(),
        sk: name.to_owned(),
    }
}

/// Encodes a consumer's state.
pub(crate) fn encode(consumer: &Consumer) -> Item {
    to_item(&ConsumerItem {
        head: Head::new(key(&consumer.name), Kind::Consumer, None),
        consumer: consumer.clone(),
    })
}

/// Encodes a consumer's name.
pub(crate) fn encode_name(name: &str) -> Item {
    to_item(&Head::new(name_key(name), Kind::Consumer, None))
}

/// Decodes a consumer's state.
///
/// # Errors
/// [`ItemError`].
pub(crate) fn decode(item: Item) -> Result<Consumer, ItemError> {
    match Kind::of(&item)? {
        Kind::Consumer => Ok(from_item::<ConsumerItem>(item)?.consumer),
        _ => Err(ItemError::Malformed),
    }
}
