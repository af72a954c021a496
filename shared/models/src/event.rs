//! The event: a CloudEvent.

use crate::{Delivery, EventId, Identity, OwnTime, ParseError, Timestamp, redacted::Bytes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;

/// The maximum length of `source`, in bytes. `source` and `subject` together are a partition key,
/// which DynamoDB limits to 2048 bytes.
pub const MAX_SOURCE_BYTES: usize = 512;
/// The maximum length of `subject`, in bytes.
pub const MAX_SUBJECT_BYTES: usize = 1024;
/// The maximum length of `type`, `originaltype`, `apiversion` and `eventid`, in bytes. An item holds them
/// unchanged, so with this limit only `data` can make the item too large.
pub const MAX_TYPE_BYTES: usize = 512;

/// The `channel` of an event that was read back from a provider's API.
pub const API_CHANNEL: &str = "api";

/// One thing that happened in a CRM, as a [CloudEvent 1.0](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md).
///
/// In JSON it is the specification's structured mode, `data` byte for byte as it was kept.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Always `1.0`.
    pub specversion: SpecVersion,
    /// The same in every delivery of one event that carries its own time, another for any other content.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub id: EventId,
    /// Whose CRM: `pipedrive/<company id>`, `amocrm/<account id>`, `closer`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_SOURCE_BYTES)))]
    pub source: String,
    /// What happened, in one vocabulary over providers and versions: `com.pipedrive.deal.updated`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_TYPE_BYTES)))]
    pub r#type: String,
    /// To what: `deal/42`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_SUBJECT_BYTES)))]
    pub subject: String,
    /// When: the provider's own time, else the arrival (then `timeproblem` says why).
    pub time: Timestamp,
    /// Always `application/json`.
    pub datacontenttype: DataContentType,
    /// The page that describes `data`, if the event was read back from an API in another shape than a webhook's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String", length(max = MAX_TYPE_BYTES)))]
    pub dataschema: Option<String>,
    /// The provider's own words for `type`: `updated.deal`, `leads.status`, `ThreadCreatedEvent`.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_TYPE_BYTES)))]
    pub originaltype: String,
    /// The version of the provider's payload, where it names one: Pipedrive's `1` and `2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String", length(max = MAX_TYPE_BYTES)))]
    pub apiversion: Option<String>,
    /// Which of the provider's ways reported it, where one change comes by several: amoCRM's `account` and
    /// `digital_pipeline`. `api`: no webhook reported it, and it was read back from the provider's API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub channel: Option<String>,
    /// The provider's own id of the event, where it sends one. Two contents can have the same one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "String", length(max = MAX_TYPE_BYTES)))]
    pub eventid: Option<String>,
    /// Why `time` is the arrival, where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "TimeProblem"))]
    pub timeproblem: Option<TimeProblem>,
    /// What the provider sent of it, never re-serialised.
    pub data: Box<RawValue>,
}

/// The version of the CloudEvents specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum SpecVersion {
    /// `1.0`
    #[serde(rename = "1.0")]
    V1_0,
}

/// The media type of an event's `data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum DataContentType {
    /// `application/json`
    #[serde(rename = "application/json")]
    Json,
}

/// Why an event's `time` is its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub enum TimeProblem {
    /// The event carries no time of its own, or none that names a time zone.
    Missing,
    /// Its time is outside the years 2000 to 2099.
    OutOfRange,
}

/// The parsed fields of one event. [`Event::new`] adds the `id`.
pub struct EventDraft {
    /// As [`Event::source`].
    pub source: String,
    /// As [`Event::type`](Event#structfield.type).
    pub r#type: String,
    /// As [`Event::subject`].
    pub subject: String,
    /// The time of the event as the provider reports it.
    pub time: OwnTime,
    /// The content that the `id` is a hash of.
    pub identity: Identity,
    /// The index of the event in the delivery. It starts at 0.
    pub index: usize,
    /// As [`Event::dataschema`].
    pub dataschema: Option<String>,
    /// As [`Event::originaltype`].
    pub originaltype: String,
    /// As [`Event::apiversion`].
    pub apiversion: Option<String>,
    /// As [`Event::channel`].
    pub channel: Option<String>,
    /// As [`Event::eventid`].
    pub eventid: Option<String>,
    /// As [`Event::data`].
    pub data: Box<RawValue>,
}

impl Event {
    /// Creates an event from a draft and sets its `id` and `time`. The rule for the `id` is the
    /// same for every provider: [`identity`](crate::identity).
    ///
    /// # Errors
    /// - [`ParseError::TooLong`]: `source` is longer than [`MAX_SOURCE_BYTES`], `subject` is longer
    ///   than [`MAX_SUBJECT_BYTES`], or an attribute other than `data` is longer than
    ///   [`MAX_TYPE_BYTES`]
    /// - [`ParseError::SourceWithHash`]: `source` contains `#`
    pub fn new(delivery: &Delivery, draft: EventDraft) -> Result<Self, ParseError> {
        within("source", &draft.source, MAX_SOURCE_BYTES)?;
        if draft.source.contains('#') {
            return Err(ParseError::SourceWithHash);
        }
        within("subject", &draft.subject, MAX_SUBJECT_BYTES)?;
        within("type", &draft.r#type, MAX_TYPE_BYTES)?;
        within("originaltype", &draft.originaltype, MAX_TYPE_BYTES)?;
        let apiversion = draft.apiversion.as_deref().unwrap_or_default();
        within("apiversion", apiversion, MAX_TYPE_BYTES)?;
        let eventid = draft.eventid.as_deref().unwrap_or_default();
        within("eventid", eventid, MAX_TYPE_BYTES)?;
        let id = EventId::new(&draft.identity, draft.time, delivery, draft.index);
        let (time, timeproblem) = match draft.time {
            OwnTime::Given(time) => (time, None),
            OwnTime::Missing => (delivery.origin.arrival, Some(TimeProblem::Missing)),
            OwnTime::OutOfRange => (delivery.origin.arrival, Some(TimeProblem::OutOfRange)),
        };
        Ok(Self {
            specversion: SpecVersion::V1_0,
            id,
            source: draft.source,
            r#type: draft.r#type,
            subject: draft.subject,
            time,
            datacontenttype: DataContentType::Json,
            dataschema: draft.dataschema,
            originaltype: draft.originaltype,
            apiversion: draft.apiversion,
            channel: draft.channel,
            eventid: draft.eventid,
            timeproblem,
            data: draft.data,
        })
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            specversion,
            id,
            source,
            r#type,
            subject,
            time,
            datacontenttype,
            dataschema,
            originaltype,
            apiversion,
            channel,
            eventid,
            timeproblem,
            data,
        } = self;
        f.debug_struct("Event")
            .field("specversion", specversion)
            .field("id", id)
            .field("source", source)
            .field("type", r#type)
            .field("subject", subject)
            .field("time", time)
            .field("datacontenttype", datacontenttype)
            .field("dataschema", dataschema)
            .field("originaltype", originaltype)
            .field("apiversion", apiversion)
            .field("channel", channel)
            .field("eventid", eventid)
            .field("timeproblem", timeproblem)
            .field("data", &Bytes(data.get().len()))
            .finish()
    }
}

impl fmt::Debug for EventDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            r#type,
            subject,
            time,
            identity,
            index,
            dataschema,
            originaltype,
            apiversion,
            channel,
            eventid,
            data,
        } = self;
        f.debug_struct("EventDraft")
            .field("source", source)
            .field("type", r#type)
            .field("subject", subject)
            .field("time", time)
            .field("identity", identity)
            .field("index", index)
            .field("dataschema", dataschema)
            .field("originaltype", originaltype)
            .field("apiversion", apiversion)
            .field("channel", channel)
            .field("eventid", eventid)
            .field("data", &Bytes(data.get().len()))
            .finish()
    }
}

fn within(attribute: &str, value: &str, limit: usize) -> Result<(), ParseError> {
    if value.len() > limit {
        return Err(ParseError::TooLong {
            attribute: attribute.to_owned(),
            limit,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_is_as_long_as_its_limit_at_most() {
        let arrival = Timestamp::from_epoch(1_795_255_200).unwrap();
        let delivery = Delivery::new(Vec::new(), arrival, "r");
        let event = |attribute: &str, bytes: usize| {
            let text = |name: &str| {
                if name == attribute {
                    "x".repeat(bytes)
                } else {
                    "x".to_owned()
                }
            };
            let draft = EventDraft {
                source: text("source"),
                r#type: text("type"),
                subject: text("subject"),
                time: OwnTime::Missing,
                identity: Identity::Body {
                    content: Vec::new(),
                },
                index: 0,
                dataschema: None,
                originaltype: text("originaltype"),
                apiversion: Some(text("apiversion")),
                channel: None,
                eventid: Some(text("eventid")),
                data: RawValue::NULL.to_owned(),
            };
            Event::new(&delivery, draft).map(|_| ())
        };
        let words = ["type", "originaltype", "apiversion", "eventid"]
            .map(|attribute| (attribute, MAX_TYPE_BYTES));
        let keys = [("source", MAX_SOURCE_BYTES), ("subject", MAX_SUBJECT_BYTES)];
        for (attribute, limit) in keys.into_iter().chain(words) {
            assert_eq!(event(attribute, limit), Ok(()), "{attribute}");
            let too_long = ParseError::TooLong {
                attribute: attribute.to_owned(),
                limit,
            };
            assert_eq!(event(attribute, limit + 1), Err(too_long));
        }
    }
}
