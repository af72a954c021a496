//! Records: the items that are stored for a delivery.

use crate::{
    Delivery, Event, ParseError, Timestamp,
    identity::{body_name, quarantine_name},
    redacted::Bytes,
};
use std::fmt;

/// A record of a delivery. Each record is stored as one item. The records of a delivery contain its
/// exact bytes.
#[derive(Clone)]
pub enum Record {
    /// An event that was parsed.
    Event {
        /// The event.
        event: Event,
        /// The delivery that carried the event.
        origin: Origin,
        /// The location of the delivery's exact bytes.
        body: Body,
    },
    /// The exact bytes of a delivery that carried several events, stored once for all of them.
    Body {
        /// The provider whose parser parsed the delivery.
        provider: String,
        /// The name of the body: a hash of its provider and its bytes.
        delivery: String,
        /// The delivery.
        origin: Origin,
        /// The body as the provider sent it.
        bytes: Vec<u8>,
    },
    /// A delivery that could not be parsed.
    Quarantined {
        /// The provider whose parser could not parse the delivery.
        provider: String,
        /// The name of the delivery: a hash of its provider, its request id and its bytes.
        delivery: String,
        /// The delivery.
        origin: Origin,
        /// The reason why it could not be parsed.
        reason: ParseError,
        /// The body as the provider sent it.
        bytes: Vec<u8>,
    },
}

/// The delivery of a record, without its body. With the body it is sufficient to parse the delivery
/// again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// As [`Delivery::arrival`].
    pub arrival: Timestamp,
    /// As [`Delivery::request_id`].
    pub request_id: String,
    /// As [`Delivery::content_type`].
    pub content_type: Option<String>,
}

/// The location of the exact bytes of an event's delivery.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// The bytes are the event's `data`.
    Data,
    /// The bytes are here, because `data` has another form.
    Here(Vec<u8>),
    /// The bytes are in the [`Record::Body`] of this name, because the delivery carried several
    /// events.
    Shared(String),
}

/// The maximum number of events that are stored from one delivery. The table or the fallback queue
/// takes this many within its time budget.
pub const MAX_EVENTS: usize = 500;

impl Record {
    /// Creates the records of a delivery from the result of its provider's parser. They are the
    /// delivery's events with its exact bytes, or the whole delivery, quarantined.
    #[must_use]
    pub fn from_delivery(
        provider: &str,
        delivery: &Delivery,
        parsed: Result<Vec<Event>, ParseError>,
    ) -> Vec<Self> {
        let mut events = match parsed {
            Err(reason) => return vec![Self::quarantined(provider, delivery, reason)],
            Ok(events) => events,
        };
        if events.len() > MAX_EVENTS {
            let reason = ParseError::TooManyEvents { limit: MAX_EVENTS };
            return vec![Self::quarantined(provider, delivery, reason)];
        }
        match (events.pop(), events.is_empty()) {
            (None, _) => vec![Self::quarantined(provider, delivery, ParseError::NoEvent)],
            (Some(event), true) => vec![Self::only_event(delivery, event)],
            (Some(last), false) => {
                events.push(last);
                Self::several_events(provider, delivery, events)
            }
        }
    }

    fn quarantined(provider: &str, delivery: &Delivery, reason: ParseError) -> Self {
        Self::Quarantined {
            provider: provider.to_owned(),
            delivery: quarantine_name(provider, delivery),
            origin: Origin::from(delivery),
            reason,
            bytes: delivery.body.clone(),
        }
    }

    fn only_event(delivery: &Delivery, event: Event) -> Self {
        let is_data = event.data.get().as_bytes() == delivery.body;
        let body = if is_data {
            Body::Data
        } else {
            Body::Here(delivery.body.clone())
        };
        Self::Event {
            event,
            origin: Origin::from(delivery),
            body,
        }
    }

    fn several_events(provider: &str, delivery: &Delivery, events: Vec<Event>) -> Vec<Self> {
        let name = body_name(provider, &delivery.body);
        let mut records = vec![Self::Body {
            provider: provider.to_owned(),
            delivery: name.clone(),
            origin: Origin::from(delivery),
            bytes: delivery.body.clone(),
        }];
        records.extend(events.into_iter().map(|event| Self::Event {
            event,
            origin: Origin::from(delivery),
            body: Body::Shared(name.clone()),
        }));
        records
    }

    /// Whether the record is an event.
    #[must_use]
    pub fn is_event(&self) -> bool {
        matches!(self, Self::Event { .. })
    }

    /// Returns the reason for quarantine, or `None` if the record is not quarantined.
    #[must_use]
    pub fn parse_error(&self) -> Option<&ParseError> {
        match self {
            Self::Quarantined { reason, .. } => Some(reason),
            Self::Event { .. } | Self::Body { .. } => None,
        }
    }
}

impl From<&Delivery> for Origin {
    fn from(delivery: &Delivery) -> Self {
        Self {
            arrival: delivery.arrival,
            request_id: delivery.request_id.clone(),
            content_type: delivery.content_type.clone(),
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event {
                event,
                origin,
                body,
            } => f
                .debug_struct("Event")
                .field("event", event)
                .field("origin", origin)
                .field("body", body)
                .finish(),
            Self::Body {
                provider,
                delivery,
                origin,
                bytes,
            } => f
                .debug_struct("Body")
                .field("provider", provider)
                .field("delivery", delivery)
                .field("origin", origin)
                .field("bytes", &Bytes(bytes.len()))
                .finish(),
            Self::Quarantined {
                provider,
                delivery,
                origin,
                reason,
                bytes,
            } => f
                .debug_struct("Quarantined")
                .field("provider", provider)
                .field("delivery", delivery)
                .field("origin", origin)
                .field("reason", reason)
                .field("bytes", &Bytes(bytes.len()))
                .finish(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data => f.write_str("Data"),
            Self::Here(bytes) => f.debug_tuple("Here").field(&Bytes(bytes.len())).finish(),
            Self::Shared(name) => f.debug_tuple("Shared").field(name).finish(),
        }
    }
}
