//! An event as an entry of a `PutEvents` request.

use aws_sdk_eventbridge::{primitives::DateTime, types::PutEventsRequestEntry};
use models::{Event, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, value::RawValue};
use storage::{
    Key,
    schema::{Item, ItemError, ItemEvent, decode_new_event, key},
};

/// Maximum size of `Detail` in bytes. EventBridge takes 1 MB, but many targets take 256 KB.
///
/// Source: <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html>
pub const MAX_DETAIL_BYTES: usize = 250_000;
/// Maximum size of `Source` in bytes.
const MAX_SOURCE_BYTES: usize = 256;
/// Maximum size of `DetailType` in bytes.
const MAX_TYPE_BYTES: usize = 128;
/// Size of `Time` in an entry, in bytes.
const TIME_BYTES: usize = 14;

/// Everything but the unreserved characters of a URI.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc3986#section-2.3>
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// An event that is to be published.
pub struct Outgoing {
    key: Key,
    /// The event, whose `data` is only in `detail`.
    event: Event,
    /// The structured CloudEvent.
    detail: String,
    has_data: bool,
}

impl Outgoing {
    /// Prepares an event of a table. If it is too large with `data`, it refers to its item instead.
    #[must_use]
    pub fn new(key: Key, mut event: Event, table: &str) -> Self {
        let detail = serde_json::to_string(&event).unwrap_or_default();
        event.data = RawValue::NULL.to_owned();
        let mut outgoing = Self {
            key,
            event,
            detail,
            has_data: true,
        };
        if outgoing.detail.len() > MAX_DETAIL_BYTES {
            outgoing.remove_data(table);
        }
        outgoing
    }

    /// Prepares the event of an item in the table's stream. Returns `None` for an item that is not
    /// a new event. An event whose data is in chunks, or too large, refers to its item.
    ///
    /// # Errors
    /// [`ItemError`]: this version cannot read the item.
    pub fn from_item(item: Item, table: &str) -> Result<Option<Self>, ItemError> {
        let key = key(&item);
        let Some(ItemEvent { event, has_data }) = decode_new_event(item, MAX_DETAIL_BYTES)? else {
            return Ok(None);
        };
        let mut outgoing = Self::new(key, event, table);
        if !has_data {
            outgoing.remove_data(table);
        }
        Ok(Some(outgoing))
    }

    /// Replaces `data` by `dataref`, a reference to the item in the table.
    ///
    /// Source: <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/dataref.md>
    pub(crate) fn remove_data(&mut self, table: &str) {
        let mut members = serde_json::to_value(&self.event).unwrap_or_default();
        if let Value::Object(members) = &mut members {
            members.remove("data");
            members.insert("dataref".to_owned(), dataref(table, &self.key).into());
        }
        self.detail = members.to_string();
        self.has_data = false;
    }

    /// The key of the event's item.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The event's `id`.
    #[must_use]
    pub fn id(&self) -> String {
        self.event.id.to_string()
    }

    /// Whether it is published with its `data`, and not with `dataref`.
    #[must_use]
    pub fn has_data(&self) -> bool {
        self.has_data
    }

    fn source(&self) -> &str {
        cut(&self.event.source, MAX_SOURCE_BYTES)
    }

    fn detail_type(&self) -> &str {
        cut(&self.event.r#type, MAX_TYPE_BYTES)
    }

    /// The size of the entry in bytes, as EventBridge counts it.
    pub(crate) fn bytes(&self) -> usize {
        self.source().len() + self.detail_type().len() + self.detail.len() + TIME_BYTES
    }

    pub(crate) fn entry(&self, bus: &str) -> PutEventsRequestEntry {
        PutEventsRequestEntry::builder()
            .event_bus_name(bus)
            .source(self.source())
            .detail_type(self.detail_type())
            .time(date_time(self.event.time))
            .detail(&self.detail)
            .build()
    }
}

/// The beginning of a text, of whole characters.
fn cut(text: &str, bytes: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes)).unwrap_or(text)
}

/// `dynamodb:///<table>/<pk>/<sk>`
fn dataref(table: &str, key: &Key) -> String {
    let [table, pk, sk] =
        [table, &key.pk, &key.sk].map(|part| utf8_percent_encode(part, RESERVED).to_string());
    format!("dynamodb:///{table}/{pk}/{sk}")
}

fn date_time(time: Timestamp) -> DateTime {
    DateTime::from_nanos(i128::from(time.as_micros()) * 1_000).unwrap_or(DateTime::from_secs(0))
}
