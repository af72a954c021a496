//! Encoding of records as DynamoDB items, and decoding.
//!
//! | item | `pk` | `sk` |
//! |---|---|---|
//! | event | `<source>#<subject>` | `<time>#<id>` |
//! | body of a delivery with several events | `delivery#<provider>#<delivery>` | `body` |
//! | quarantined delivery | `quarantine#<provider>#<day>#<shard>` | `<arrival>#<delivery>` |
//! | chunk of one of these | `<its pk>#chunks` | `<its sk>#<hash>#<number of four digits>` |
//!
//! So the history of deal 42 is one Query in the order of the events' times, and the conditional
//! put on the key deduplicates retries. An event's CloudEvents attributes are stored under their
//! own names. `specversion` and `datacontenttype` are not stored, because they are always the same.
//!
//! If an item would be too large for DynamoDB, it has `packed` (compressed bytes) instead of `data`
//! and `body`. If it would still be too large, `packed` is split into chunks, which are items of
//! their own. The item then has `parts`, the number of chunks, and `packedhash`, the hash in their
//! keys. It is put after all of its chunks, so that an incomplete record is not visible. A chunk
//! belongs to one item and to one sequence of bytes. Two writers of one record with different bytes
//! (a retry with different white space) never mix their chunks, and removing a record finds the
//! chunks of every writer in one partition.

mod chunks;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use models::{
    Body, DataContentType, Event, EventId, Origin, ParseError, Record, SpecVersion, TimeProblem,
    Timestamp, shard,
};
use serde_json::value::RawValue;
use std::collections::HashMap;

pub use chunks::{
    MAX_CHUNK_BYTES, MAX_ITEM_BYTES, chunk_keys, chunk_prefix, decompress, is_chunk, is_owned_by,
    size,
};

/// A DynamoDB item: attribute values by name.
pub type Item = HashMap<String, AttributeValue>;

/// The error for an item that is not a record of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// An attribute is missing, or has another type or format.
    #[error("the item's `{0}` is missing or is not what this version writes")]
    Attribute(&'static str),
}

/// The primary key of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The partition key. For an event: `<source>#<subject>`.
    pub pk: String,
    /// The sort key. For an event: `<time>#<id>`.
    pub sk: String,
}

/// The sort key of a body that several events share.
const BODY: &str = "body";

impl Key {
    /// Returns the key of a record.
    #[must_use]
    pub fn from_record(record: &Record) -> Self {
        let (pk, sk) = match record {
            Record::Event { event, .. } => (
                format!("{}#{}", event.source, event.subject),
                format!("{}#{}", event.time, event.id),
            ),
            Record::Body {
                provider, delivery, ..
            } => return Self::for_body(provider, delivery),
            Record::Quarantined {
                provider,
                delivery,
                origin,
                ..
            } => {
                let pk = quarantine_pk(provider, &origin.arrival.day(), shard(delivery));
                (pk, format!("{}#{delivery}", origin.arrival))
            }
        };
        Self { pk, sk }
    }

    /// Returns the key of the body that the events of a delivery share.
    #[must_use]
    pub fn for_body(provider: &str, delivery: &str) -> Self {
        Self {
            pk: format!("delivery#{provider}#{delivery}"),
            sk: BODY.to_owned(),
        }
    }
}

/// Returns a key as the attributes of an item.
#[must_use]
pub fn key_attributes(key: &Key) -> Item {
    let attribute = |text: &str| AttributeValue::S(text.to_owned());
    Item::from([
        ("pk".to_owned(), attribute(&key.pk)),
        ("sk".to_owned(), attribute(&key.sk)),
    ])
}

/// Encodes a record as items, in the order in which they must be put: the chunks of a record that
/// is too large, then the item itself. [`stamp`] adds the attributes that depend on the time of the
/// put.
#[must_use]
pub fn encode(record: Record) -> Vec<Item> {
    let mut item = Item::new();
    let Key { pk, sk } = Key::from_record(&record);
    text(&mut item, "pk", pk);
    text(&mut item, "sk", sk);
    match record {
        Record::Event {
            event,
            origin,
            body,
        } => {
            encode_event(&mut item, event);
            encode_origin(&mut item, origin);
            match body {
                Body::Data => {}
                Body::Here(bytes) => blob(&mut item, "body", bytes),
                Body::Shared(delivery) => text(&mut item, "delivery", delivery),
            }
        }
        Record::Body {
            provider,
            delivery,
            origin,
            bytes,
        } => {
            text(&mut item, "provider", provider);
            text(&mut item, "delivery", delivery);
            encode_origin(&mut item, origin);
            blob(&mut item, "body", bytes);
        }
        Record::Quarantined {
            provider,
            delivery,
            origin,
            reason,
            bytes,
        } => {
            text(&mut item, "provider", provider);
            text(&mut item, "delivery", delivery);
            text(&mut item, "reason", reason.reason().to_owned());
            text(
                &mut item,
                "unreadable",
                serde_json::to_string(&reason).unwrap_or_default(),
            );
            encode_origin(&mut item, origin);
            blob(&mut item, "body", bytes);
        }
    }
    chunks::fit(item)
}

/// Encodes a record like [`encode`]. If the record has chunks, sets the expiry of all of its items,
/// in seconds since 1970, so that it is the same whenever each is put.
#[must_use]
pub fn encode_with_expiry(record: Record, expires: Option<i64>) -> Vec<Item> {
    let mut items = encode(record);
    if items.len() > 1 {
        for item in &mut items {
            set_expiry(item, expires);
        }
    }
    items
}

/// Whether an item is an event. Its data may be in chunks.
#[must_use]
pub fn is_event(item: &Item) -> bool {
    item.contains_key("type")
}

/// Whether an item is the body that several events share. The sort key of every other record begins
/// with a time.
#[must_use]
pub fn is_shared_body(item: &Item) -> bool {
    attribute(item, "sk") == Some(BODY)
}

/// Adds the attributes that depend on the time of the put: `kept`; for an event, `hour`, which is
/// the hour and shard in the index `kept`; and `expires`, in seconds since 1970, if events expire
/// and the item does not have it already. Quarantined deliveries do not expire; they are stored
/// until they are dropped.
pub fn stamp(item: &mut Item, now: Timestamp, expires: Option<i64>) {
    if let Some(AttributeValue::S(id)) = item.get("id") {
        let hour = format!("{}#{}", now.hour(), shard(id));
        text(item, "hour", hour);
    }
    text(item, "kept", now.to_string());
    if expiry(item).is_none() {
        set_expiry(item, expires);
    }
}

/// The attribute that marks an item while it is being removed.
pub(crate) const REMOVING: &str = "removing";

/// Whether the removal of an item began. Some of its chunks may be missing.
pub(crate) fn is_being_removed(item: &Item) -> bool {
    item.contains_key(REMOVING)
}

/// Returns the key of an item.
pub(crate) fn key(item: &Item) -> Key {
    let text = |name| attribute(item, name).unwrap_or_default().to_owned();
    Key {
        pk: text("pk"),
        sk: text("sk"),
    }
}

fn set_expiry(item: &mut Item, expires: Option<i64>) {
    let stays = item.contains_key("reason") || item.contains_key("stays");
    if let (Some(expires), false) = (expires, stays) {
        item.insert("expires".to_owned(), AttributeValue::N(expires.to_string()));
    }
}

/// Returns when an item expires, in seconds since 1970. `None`: never.
#[must_use]
pub fn expiry(item: &Item) -> Option<i64> {
    item.get("expires")?.as_n().ok()?.parse().ok()
}

/// Returns the partition key of the quarantined deliveries of one provider and day, in one of the
/// [`models::SHARDS`].
#[must_use]
pub fn quarantine_pk(provider: &str, day: &str, shard: char) -> String {
    format!("quarantine#{provider}#{day}#{shard}")
}

fn encode_event(item: &mut Item, event: Event) {
    text(item, "id", event.id.to_string());
    text(item, "source", event.source);
    text(item, "type", event.r#type);
    text(item, "subject", event.subject);
    text(item, "time", event.time.to_string());
    text(item, "originaltype", event.originaltype);
    if let Some(apiversion) = event.apiversion {
        text(item, "apiversion", apiversion);
    }
    if let Some(channel) = event.channel {
        text(item, "channel", channel);
    }
    if let Some(problem) = event.timeproblem {
        text(item, "timeproblem", time_problem(problem).to_owned());
    }
    text(item, "data", Box::<str>::from(event.data).into_string());
}

fn encode_origin(item: &mut Item, origin: Origin) {
    text(item, "arrival", origin.arrival.to_string());
    text(item, "requestid", origin.request_id);
    if let Some(content_type) = origin.content_type {
        text(item, "contenttype", content_type);
    }
}

fn text(item: &mut Item, name: &str, value: String) {
    item.insert(name.to_owned(), AttributeValue::S(value));
}

fn blob(item: &mut Item, name: &str, value: Vec<u8>) {
    item.insert(name.to_owned(), AttributeValue::B(Blob::new(value)));
}

/// Decodes the record of an item. If the item has chunks, call [`decompress`] first.
///
/// # Errors
/// [`ItemError::Attribute`]: [`encode`] did not make this item.
pub fn decode(mut item: Item) -> Result<Record, ItemError> {
    let origin = decode_origin(&mut item)?;
    let pk = take(&mut item, "pk")?;
    if pk.starts_with("delivery#") {
        return Ok(Record::Body {
            provider: take(&mut item, "provider")?,
            delivery: take(&mut item, "delivery")?,
            origin,
            bytes: take_bytes(&mut item, "body")?,
        });
    }
    if pk.starts_with("quarantine#") {
        return Ok(Record::Quarantined {
            provider: take(&mut item, "provider")?,
            delivery: take(&mut item, "delivery")?,
            origin,
            reason: decode_reason(&mut item)?,
            bytes: take_bytes(&mut item, "body")?,
        });
    }
    let body = match (take(&mut item, "delivery"), take_bytes(&mut item, "body")) {
        (Ok(delivery), _) => Body::Shared(delivery),
        (Err(_), Ok(bytes)) => Body::Here(bytes),
        (Err(_), Err(_)) => Body::Data,
    };
    Ok(Record::Event {
        event: decode_event(&mut item)?,
        origin,
        body,
    })
}

fn decode_event(item: &mut Item) -> Result<Event, ItemError> {
    let data =
        RawValue::from_string(take(item, "data")?).map_err(|_| ItemError::Attribute("data"))?;
    Ok(Event {
        specversion: SpecVersion::V1_0,
        id: EventId::from_stored(take(item, "id")?),
        source: take(item, "source")?,
        r#type: take(item, "type")?,
        subject: take(item, "subject")?,
        time: take_time(item, "time")?,
        datacontenttype: DataContentType::Json,
        originaltype: take(item, "originaltype")?,
        apiversion: take(item, "apiversion").ok(),
        channel: take(item, "channel").ok(),
        timeproblem: decode_time_problem(item),
        data,
    })
}

fn time_problem(problem: TimeProblem) -> &'static str {
    match problem {
        TimeProblem::Missing => "missing",
        TimeProblem::Absurd => "absurd",
    }
}

fn decode_time_problem(item: &mut Item) -> Option<TimeProblem> {
    let word = take(item, "timeproblem").ok()?;
    [TimeProblem::Missing, TimeProblem::Absurd]
        .into_iter()
        .find(|problem| time_problem(*problem) == word)
}

fn decode_origin(item: &mut Item) -> Result<Origin, ItemError> {
    Ok(Origin {
        arrival: take_time(item, "arrival")?,
        request_id: take(item, "requestid")?,
        content_type: take(item, "contenttype").ok(),
    })
}

fn decode_reason(item: &mut Item) -> Result<ParseError, ItemError> {
    serde_json::from_str(&take(item, "unreadable")?).map_err(|_| ItemError::Attribute("unreadable"))
}

/// Returns a text attribute.
pub(crate) fn attribute<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(|text| &**text)
}

fn take(item: &mut Item, name: &'static str) -> Result<String, ItemError> {
    match item.remove(name) {
        Some(AttributeValue::S(text)) => Ok(text),
        _ => Err(ItemError::Attribute(name)),
    }
}

fn take_time(item: &mut Item, name: &'static str) -> Result<Timestamp, ItemError> {
    Timestamp::parse(&take(item, name)?).ok_or(ItemError::Attribute(name))
}

fn take_bytes(item: &mut Item, name: &'static str) -> Result<Vec<u8>, ItemError> {
    match item.remove(name) {
        Some(AttributeValue::B(blob)) => Ok(blob.into_inner()),
        _ => Err(ItemError::Attribute(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::Delivery;

    fn items(read: Result<Vec<Event>, ParseError>) -> Vec<Item> {
        let delivery = Delivery {
            body: b"body".to_vec(),
            content_type: None,
            arrival: Timestamp::from_epoch(1_795_255_200).unwrap(),
            request_id: "r-1".to_owned(),
        };
        Record::from_delivery("closer", &delivery, read)
            .into_iter()
            .flat_map(encode)
            .collect()
    }

    fn event(id: &str) -> Event {
        let event = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"closer","type":"t","subject":"s/1","datacontenttype":
            "application/json","time":"2026-11-21T10:00:00.000000Z","originaltype":"T","data":{{}}}}"#
        );
        serde_json::from_str(&event).unwrap()
    }

    #[test]
    fn events_expire_after_the_retention_and_what_could_not_be_read_never() {
        let now = Timestamp::from_epoch(1_795_260_000).unwrap();
        let day = Some(1_795_346_400);
        let expires = |mut item: Item, at| {
            stamp(&mut item, now, at);
            item.remove("expires")
                .map(|expires| expires.as_n().unwrap().clone())
        };
        for item in items(Ok(vec![event("a"), event("b")])) {
            assert_eq!(
                expires(item.clone(), day).as_deref(),
                Some("1795346400"),
                "{item:?}"
            );
            assert_eq!(expires(item, None), None);
        }
        for item in items(Err(ParseError::NoEvent)) {
            assert_eq!(expires(item, day), None);
        }
    }

    #[test]
    fn events_alone_are_in_the_index_of_what_was_kept_when() {
        let now = Timestamp::from_epoch(1_795_260_000).unwrap();
        let hours = |items: Vec<Item>| -> Vec<Option<String>> {
            let stamped = items.into_iter().map(|mut item| {
                stamp(&mut item, now, None);
                assert_eq!(
                    take(&mut item, "kept").unwrap(),
                    "2026-11-21T11:20:00.000000Z"
                );
                take(&mut item, "hour").ok()
            });
            stamped.collect()
        };
        let [None, Some(one), Some(other)] = &hours(items(Ok(vec![event("a"), event("b")])))[..]
        else {
            panic!()
        };
        assert!(
            one.starts_with("2026-11-21T11#")
                && other.starts_with("2026-11-21T11#")
                && one != other
        );
        assert_eq!(hours(items(Err(ParseError::NoEvent))), [None]);
    }
}
