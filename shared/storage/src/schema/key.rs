//! The keys of items.

use super::{Item, attribute};
use aws_sdk_dynamodb::types::AttributeValue;
use models::{Event, Record, Timestamp, shard};
use serde::{Deserialize, Serialize};

/// The primary key of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    /// The partition key. For an event: `<source>#<subject>`.
    pub pk: String,
    /// The sort key. For an event: `<time>#<id>`.
    pub sk: String,
}

/// The parts of an event's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKey {
    /// The event's `source`. It contains no `#`.
    pub source: String,
    /// The event's `subject`.
    pub subject: String,
    /// The event's `time`.
    pub time: Timestamp,
    /// The event's `id`.
    pub id: String,
}

impl EventKey {
    /// Parses the key of an event. Returns `None` for another key.
    #[must_use]
    pub fn parse(key: &Key) -> Option<Self> {
        let (source, subject) = key.pk.split_once('#')?;
        let (time, id) = key.sk.split_once('#')?;
        Some(Self {
            source: source.to_owned(),
            subject: subject.to_owned(),
            time: Timestamp::parse(time)?,
            id: id.to_owned(),
        })
    }
}

impl From<&Event> for EventKey {
    fn from(event: &Event) -> Self {
        Self {
            source: event.source.clone(),
            subject: event.subject.clone(),
            time: event.time,
            id: event.id.to_string(),
        }
    }
}

impl From<&EventKey> for Key {
    fn from(key: &EventKey) -> Self {
        Self {
            pk: Self::history_pk(&key.source, &key.subject),
            sk: format!("{}#{}", key.time, key.id),
        }
    }
}

/// The sort key of a body that several records share.
const BODY: &str = "body";

impl Key {
    /// Returns the key of a record.
    #[must_use]
    pub fn from_record(record: &Record) -> Self {
        match record {
            Record::Event { event, .. } => Self::from(&EventKey::from(event)),
            Record::Body { provider, name, .. } => Self::for_body(provider, name),
            Record::Quarantined {
                provider,
                name,
                index,
                origin,
                ..
            } => Self {
                pk: quarantine_pk(provider, &origin.arrival.day(), shard(name)),
                sk: format!("{}#{name}#{index}", origin.arrival),
            },
        }
    }

    /// Returns the key of the body that the records of a delivery share.
    #[must_use]
    pub fn for_body(provider: &str, name: &str) -> Self {
        Self {
            pk: format!("delivery#{provider}#{name}"),
            sk: BODY.to_owned(),
        }
    }

    /// Returns the partition key of all events of a subject.
    #[must_use]
    pub fn history_pk(source: &str, subject: &str) -> String {
        format!("{source}#{subject}")
    }
}

/// Returns the partition key of the quarantined deliveries of one provider and day, in one of the
/// [`models::SHARDS`].
#[must_use]
pub fn quarantine_pk(provider: &str, day: &str, shard: char) -> String {
    format!("quarantine#{provider}#{day}#{shard}")
}

/// Returns a key as the attributes of an item.
#[must_use]
pub fn key_attributes(key: &Key) -> Item {
    Item::from([
        ("pk".to_owned(), AttributeValue::S(key.pk.clone())),
        ("sk".to_owned(), AttributeValue::S(key.sk.clone())),
    ])
}

/// Returns the key of an item.
pub(super) fn of(item: &Item) -> Key {
    Key {
        pk: attribute(item, "pk").unwrap_or_default().to_owned(),
        sk: attribute(item, "sk").unwrap_or_default().to_owned(),
    }
}

/// Returns the provider and the name of a shared body, from its partition key.
pub(super) fn of_body(pk: &str) -> Option<(&str, &str)> {
    pk.strip_prefix("delivery#")?.split_once('#')
}

/// Returns the provider of a quarantined delivery, from its partition key.
pub(super) fn provider_of_quarantine(pk: &str) -> Option<&str> {
    pk.strip_prefix("quarantine#")?.split('#').next()
}

/// Returns the name of a quarantined delivery and the position of the item, from its sort key.
pub(super) fn of_quarantined(sk: &str) -> Option<(&str, usize)> {
    let (_arrival, rest) = sk.split_once('#')?;
    let (name, index) = rest.split_once('#')?;
    Some((name, index.parse().ok()?))
}
