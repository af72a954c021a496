//! The stored form, version 1: the items of the table.
//!
//! | kind | `pk` | `sk` |
//! |---|---|---|
//! | `event` | `<source>#<subject>` | `<time>#<id>` |
//! | `body` | `delivery#<provider>#<delivery>` | `body` |
//! | `quarantine` | `quarantine#<provider>#<day>#<shard>` | `<arrival>#<delivery>#<index>` |
//! | `chunk` | `<its owner's pk>#chunks` | `<its owner's sk>#<hash>#<number of four digits>` |
//! | `erasure` | `erasure#<day of the erasure>` | `record#<hash>` or `subject#<hash>`: [`erasure`] |
//! | `consumer` | `consumer#<name>` | `cursor`; and in the list of all: `consumers`, `<name>` |
//! | `guardian` | `guardian#<account>` | `state`; and in the list of all: `guardians`, `<account>` |
//!
//! So the history of deal 42 is one Query in the order of the events' times, and the conditional
//! put on the key deduplicates retries. An event's CloudEvents attributes are stored under their
//! own names. `specversion` and `datacontenttype` are not stored, because they are always the same.
//!
//! Every item has `kind` and `v`, and code decides by these two alone: a sender chooses subjects,
//! and with them partition keys. An attribute that this version does not know is ignored.
//!
//! The texts of an item, `data` and `body`, are compressed above a size. If an item would still be
//! too large for DynamoDB, they are in chunks, which are items of their own.

pub(crate) mod consumer;
mod content;
pub mod erasure;
pub(crate) mod guardian;
mod key;
mod lease;

use aws_sdk_dynamodb::types::AttributeValue;
use content::{Content, Texts};
use models::{
    Body, DataContentType, Event, EventId, Origin, Reason, Record, SpecVersion, TimeProblem,
    Timestamp, shard,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;
use serde_json::value::RawValue;
use std::{collections::HashMap, mem, time::Duration};

pub use content::{MAX_CHUNK_BYTES, chunk_keys, chunk_owner, chunk_prefix, is_chunk, is_owned_by};
pub use erasure::Erased;
pub use key::{EventKey, Key, key_attributes, quarantine_pk};
pub use lease::Lease;

/// A DynamoDB item: attribute values by name.
pub type Item = HashMap<String, AttributeValue>;

/// The version of the stored form that this code writes and reads.
pub const VERSION: u32 = 1;

/// The attribute that marks an item while it is being removed.
pub(crate) const REMOVING: &str = "removing";

/// The attribute that marks an event that a replay moved to another key.
const MOVED: &str = "moved";

/// Why an item is not a record. The texts contain no value of the item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ItemError {
    /// Its `kind` or its `v` is not one that this version reads.
    #[error("the item is of another version of Hookkeeper, or of other software")]
    OtherVersion,
    /// An attribute is missing, or has another type or format.
    #[error("the item lacks an attribute, or has one of another type or format")]
    Malformed,
    /// The chunks are incomplete, or they are not the item's.
    #[error("the item does not match its chunks")]
    Chunks,
}

/// How new items are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How long events are stored. `None`: they never expire.
    pub retention: Option<Duration>,
    /// How long quarantined deliveries are stored. `None`: they never expire.
    pub quarantine: Option<Duration>,
    /// Texts that are longer, in bytes, are compressed.
    pub compress_above: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            retention: None,
            quarantine: None,
            compress_above: 4096,
        }
    }
}

/// When records expire, in seconds since 1970. `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    /// An event.
    pub event: Option<i64>,
    /// A quarantined delivery.
    pub quarantine: Option<i64>,
}

impl Expiry {
    /// The expiry of records that are stored now.
    #[must_use]
    pub fn at(now: Timestamp, policy: &Policy) -> Self {
        Self {
            event: policy.retention.map(|age| seconds_after(now, age)),
            quarantine: policy.quarantine.map(|age| seconds_after(now, age)),
        }
    }

    /// The same expiry for events and quarantined deliveries.
    #[must_use]
    pub fn same(expires: Option<i64>) -> Self {
        Self {
            event: expires,
            quarantine: expires,
        }
    }

    /// A shared body is stored as long as any record that can name it.
    fn of(self, record: &Record) -> Option<i64> {
        match record {
            Record::Event { .. } => self.event,
            Record::Quarantined { .. } => self.quarantine,
            Record::Body { .. } => Some(self.event?.max(self.quarantine?)),
        }
    }
}

fn seconds_after(now: Timestamp, age: Duration) -> i64 {
    now.as_seconds().saturating_add_unsigned(age.as_secs())
}

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Event,
    Body,
    Quarantine,
    Chunk,
    Erasure,
    Consumer,
    Guardian,
}

impl Kind {
    /// Returns the kind of an item of this version.
    fn of(item: &Item) -> Result<Self, ItemError> {
        let version = item.get("v").and_then(|version| version.as_n().ok());
        if version.map(String::as_str) != Some("1") {
            return Err(ItemError::OtherVersion);
        }
        match attribute(item, "kind") {
            Some("event") => Ok(Self::Event),
            Some("body") => Ok(Self::Body),
            Some("quarantine") => Ok(Self::Quarantine),
            Some("chunk") => Ok(Self::Chunk),
            Some("erasure") => Ok(Self::Erasure),
            Some("consumer") => Ok(Self::Consumer),
            Some("guardian") => Ok(Self::Guardian),
            _ => Err(ItemError::OtherVersion),
        }
    }
}

/// The attributes that every item begins with.
#[derive(Serialize, Deserialize)]
struct Head {
    pk: String,
    sk: String,
    kind: Kind,
    v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<i64>,
}

impl Head {
    fn new(key: Key, kind: Kind, expires: Option<i64>) -> Self {
        Self {
            pk: key.pk,
            sk: key.sk,
            kind,
            v: VERSION,
            expires,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct EventItem {
    #[serde(flatten)]
    head: Head,
    id: String,
    source: String,
    r#type: String,
    subject: String,
    time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dataschema: Option<String>,
    #[serde(default)]
    originaltype: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    apiversion: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    eventid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeproblem: Option<TimeProblem>,
    /// The name of the body that several events share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    origin: OriginAttributes,
}

#[derive(Serialize, Deserialize)]
struct BodyItem {
    #[serde(flatten)]
    head: Head,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    origin: OriginAttributes,
}

#[derive(Serialize, Deserialize)]
struct QuarantineItem {
    #[serde(flatten)]
    head: Head,
    reason: String,
    #[serde(default)]
    message: String,
    /// The name of the body that several items share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delivery: Option<String>,
    #[serde(flatten)]
    content: Content,
    #[serde(flatten)]
    origin: OriginAttributes,
}

#[derive(Serialize, Deserialize)]
struct ChunkItem {
    #[serde(flatten)]
    head: Head,
    /// The arrival of its owner, by which the drain knows whether it was erased since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arrival: Option<Timestamp>,
    compressed: ByteBuf,
}

#[derive(Serialize, Deserialize)]
struct OriginAttributes {
    arrival: Timestamp,
    #[serde(default)]
    requestid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gatewayid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contenttype: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

impl From<Origin> for OriginAttributes {
    fn from(origin: Origin) -> Self {
        Self {
            arrival: origin.arrival,
            requestid: origin.request_id,
            gatewayid: origin.gateway_id,
            contenttype: origin.content_type,
            credential: origin.credential,
        }
    }
}

impl From<OriginAttributes> for Origin {
    fn from(attributes: OriginAttributes) -> Self {
        Self {
            arrival: attributes.arrival,
            request_id: attributes.requestid,
            gateway_id: attributes.gatewayid,
            content_type: attributes.contenttype,
            credential: attributes.credential,
        }
    }
}

/// Encodes a record as items, in the order in which they must be put: its chunks, then the item
/// itself. [`stamp`] adds the attributes that depend on the time of the put.
#[must_use]
pub fn encode(record: Record, expiry: Expiry, compress_above: usize) -> Vec<Item> {
    let key = Key::from_record(&record);
    let expires = expiry.of(&record);
    let arrival = record.origin().arrival;
    let content = |texts: Texts| Content::new(texts, &key, arrival, expires, compress_above);
    match record {
        Record::Event {
            event,
            origin,
            body,
        } => {
            let data = Some(Box::<str>::from(event.data).into_string());
            let (body, delivery) = match body {
                Body::Data => (None, None),
                Body::Here(bytes) => (Some(bytes), None),
                Body::Shared(delivery) => (None, Some(delivery)),
            };
            let (chunks, content) = content(Texts { data, body });
            let item = EventItem {
                head: Head::new(key, Kind::Event, expires),
                id: event.id.to_string(),
                source: event.source,
                r#type: event.r#type,
                subject: event.subject,
                time: event.time,
                dataschema: event.dataschema,
                originaltype: event.originaltype,
                apiversion: event.apiversion,
                channel: event.channel,
                eventid: event.eventid,
                timeproblem: event.timeproblem,
                delivery,
                content,
                origin: origin.into(),
            };
            with_chunks(chunks, &item)
        }
        Record::Body { origin, bytes, .. } => {
            let (chunks, content) = content(Texts::from_body(bytes));
            let item = BodyItem {
                head: Head::new(key, Kind::Body, expires),
                content,
                origin: origin.into(),
            };
            with_chunks(chunks, &item)
        }
        Record::Quarantined {
            origin,
            reason,
            body,
            ..
        } => {
            let (texts, delivery) = match body {
                Body::Data => (Texts::default(), None),
                Body::Here(bytes) => (Texts::from_body(bytes), None),
                Body::Shared(delivery) => (Texts::default(), Some(delivery)),
            };
            let (chunks, content) = content(texts);
            let item = QuarantineItem {
                head: Head::new(key, Kind::Quarantine, expires),
                reason: reason.code,
                message: reason.message,
                delivery,
                content,
                origin: origin.into(),
            };
            with_chunks(chunks, &item)
        }
    }
}

fn with_chunks(mut chunks: Vec<Item>, item: &impl Serialize) -> Vec<Item> {
    chunks.push(to_item(item));
    chunks
}

/// A struct of texts, numbers and bytes always becomes an item.
fn to_item(item: &impl Serialize) -> Item {
    serde_dynamo::to_item(item).unwrap_or_default()
}

fn from_item<T: DeserializeOwned>(item: Item) -> Result<T, ItemError> {
    serde_dynamo::from_item(item).map_err(|_| ItemError::Malformed)
}

/// Decodes the record of an item and its chunks, in their order.
///
/// # Errors
/// [`ItemError`]: [`encode`] did not make these items.
pub fn decode(item: Item, chunks: Vec<Item>) -> Result<Record, ItemError> {
    match Kind::of(&item)? {
        Kind::Event => decode_event(from_item(item)?, chunks),
        Kind::Body => decode_body(from_item(item)?, chunks),
        Kind::Quarantine => decode_quarantined(from_item(item)?, chunks),
        Kind::Chunk | Kind::Erasure | Kind::Consumer | Kind::Guardian => Err(ItemError::Malformed),
    }
}

fn decode_event(mut item: EventItem, chunks: Vec<Item>) -> Result<Record, ItemError> {
    let texts = mem::take(&mut item.content).into_texts(chunks)?;
    let data = texts.data.ok_or(ItemError::Malformed)?;
    let body = match (item.delivery.take(), texts.body) {
        (Some(delivery), _) => Body::Shared(delivery),
        (None, Some(bytes)) => Body::Here(bytes),
        (None, None) => Body::Data,
    };
    let (event, origin) = item.into_event(json(data)?);
    Ok(Record::Event {
        event,
        origin,
        body,
    })
}

fn json(text: String) -> Result<Box<RawValue>, ItemError> {
    RawValue::from_string(text).map_err(|_| ItemError::Malformed)
}

impl EventItem {
    fn into_event(self, data: Box<RawValue>) -> (Event, Origin) {
        let event = Event {
            specversion: SpecVersion::V1_0,
            id: EventId::from_stored(self.id),
            source: self.source,
            r#type: self.r#type,
            subject: self.subject,
            time: self.time,
            datacontenttype: DataContentType::Json,
            dataschema: self.dataschema,
            originaltype: self.originaltype,
            apiversion: self.apiversion,
            channel: self.channel,
            eventid: self.eventid,
            timeproblem: self.timeproblem,
            data,
        };
        (event, self.origin.into())
    }
}

/// An event that was decoded from its item alone.
#[derive(Debug, Clone)]
pub struct ItemEvent {
    /// The event. Its `data` is `null` if `has_data` is false.
    pub event: Event,
    /// Whether `data` is in the item, and not longer than the limit.
    pub has_data: bool,
}

/// Decodes the event of an item in the table's stream, without its chunks, and with `data` up to a
/// limit in bytes. Returns `None` for an item of another kind, and for an event that a replay moved:
/// it is not new.
///
/// # Errors
/// [`ItemError`]: the event is of another version, or [`encode`] did not make it.
pub fn decode_new_event(item: Item, max_data: usize) -> Result<Option<ItemEvent>, ItemError> {
    if attribute(&item, "kind") != Some("event") {
        return Ok(None);
    }
    Kind::of(&item)?;
    if item.get(MOVED) == Some(&AttributeValue::Bool(true)) {
        return Ok(None);
    }
    let mut item: EventItem = from_item(item)?;
    let data = mem::take(&mut item.content).into_data_up_to(max_data)?;
    let has_data = data.is_some();
    let data = data.map_or_else(|| Ok(RawValue::NULL.to_owned()), json)?;
    let (event, _) = item.into_event(data);
    Ok(Some(ItemEvent { event, has_data }))
}

fn decode_body(item: BodyItem, chunks: Vec<Item>) -> Result<Record, ItemError> {
    let (provider, name) = key::of_body(&item.head.pk).ok_or(ItemError::Malformed)?;
    let texts = item.content.into_texts(chunks)?;
    Ok(Record::Body {
        provider: provider.to_owned(),
        name: name.to_owned(),
        origin: item.origin.into(),
        bytes: texts.body.unwrap_or_default(),
    })
}

fn decode_quarantined(item: QuarantineItem, chunks: Vec<Item>) -> Result<Record, ItemError> {
    let provider = key::provider_of_quarantine(&item.head.pk).ok_or(ItemError::Malformed)?;
    let (name, index) = key::of_quarantined(&item.head.sk).ok_or(ItemError::Malformed)?;
    let texts = item.content.into_texts(chunks)?;
    let body = match item.delivery {
        Some(delivery) => Body::Shared(delivery),
        None => Body::Here(texts.body.unwrap_or_default()),
    };
    Ok(Record::Quarantined {
        provider: provider.to_owned(),
        name: name.to_owned(),
        index,
        origin: item.origin.into(),
        reason: Reason {
            code: item.reason,
            message: item.message,
        },
        body,
    })
}

/// Whether this version can put and read an item. The drain leaves any other in the queue.
#[must_use]
pub fn is_known(item: &Item) -> bool {
    Kind::of(item).is_ok()
}

/// Whether an item is an event. Its data may be in chunks.
#[must_use]
pub fn is_event(item: &Item) -> bool {
    Kind::of(item) == Ok(Kind::Event)
}

/// Whether an item is the body that several records share.
#[must_use]
pub fn is_shared_body(item: &Item) -> bool {
    Kind::of(item) == Ok(Kind::Body)
}

/// Whether an item is a record, and neither a part of one nor the state of Hookkeeper itself. An
/// item of another version may be one.
#[must_use]
pub fn may_be_record(item: &Item) -> bool {
    !matches!(
        Kind::of(item),
        Ok(Kind::Chunk | Kind::Erasure | Kind::Consumer | Kind::Guardian)
    )
}

/// Returns when the delivery of an item arrived. A chunk of an earlier release does not have this
/// time.
#[must_use]
pub fn arrival(item: &Item) -> Option<Timestamp> {
    Timestamp::parse(attribute(item, "arrival")?)
}

/// Adds the time at which an event is recorded: `recordedtime`, and `hourshard`, its hour and its
/// shard in the index `by_recordedtime`. An item that has them already, and every item that is not
/// an event, stays as it is.
pub fn stamp(item: &mut Item, recorded: Timestamp) {
    if !is_event(item) || item.contains_key("recordedtime") {
        return;
    }
    let id = attribute(item, "id").unwrap_or_default();
    let hourshard = format!("{}#{}", recorded.hour(), shard(id));
    put_text(item, "hourshard", hourshard);
    put_text(item, "recordedtime", recorded.to_string());
}

/// Marks an event that a replay moved to another key. It was delivered under its old key already.
pub(crate) fn mark_moved(item: &mut Item) {
    if is_event(item) {
        item.insert(MOVED.to_owned(), AttributeValue::Bool(true));
    }
}

/// Whether a replay moved an event to its key.
pub(crate) fn is_moved(item: &Item) -> bool {
    item.contains_key(MOVED)
}

/// Returns when an event was recorded. `None` for an item that is not an event.
pub(crate) fn recorded(item: &Item) -> Option<Timestamp> {
    Timestamp::parse(attribute(item, "recordedtime")?)
}

/// Whether the removal of an item began. Some of its chunks may be missing.
pub(crate) fn is_being_removed(item: &Item) -> bool {
    item.contains_key(REMOVING)
}

/// Returns when an item expires, in seconds since 1970. `None`: never.
#[must_use]
pub fn expiry(item: &Item) -> Option<i64> {
    item.get("expires")?.as_n().ok()?.parse().ok()
}

/// Returns a text attribute.
pub(crate) fn attribute<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(|text| &**text)
}

fn put_text(item: &mut Item, name: &str, value: String) {
    item.insert(name.to_owned(), AttributeValue::S(value));
}

/// Returns the key of an item. A part that the item does not have is empty.
#[must_use]
pub fn key(item: &Item) -> Key {
    key::of(item)
}

#[cfg(test)]
mod tests;
