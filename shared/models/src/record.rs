//! What is stored of a delivery.

use crate::{
    Delivery, Event, ParseError, Timestamp,
    identity::{body_name, quarantine_name},
    redacted::Bytes,
};
use std::fmt;

/// What is stored of a delivery, one item each. From the records of a delivery its exact bytes can be had back.
#[derive(Clone)]
pub enum Record {
    /// An event that was read.
    Event {
        /// The event.
        event: Event,
        /// The delivery that it came in.
        origin: Origin,
        /// Where that delivery's exact bytes are.
        body: Body,
    },
    /// The exact bytes of a delivery that carried several events, once for all of them.
    Body {
        /// The provider whose reader read it.
        provider: String,
        /// The name of the body: a hash of its provider and its bytes.
        delivery: String,
        /// The delivery.
        origin: Origin,
        /// As the provider sent them.
        bytes: Vec<u8>,
    },
    /// A delivery that could not be read.
    Quarantined {
        /// The provider whose reader could not read it.
        provider: String,
        /// The name of the delivery: a hash of its provider, its request id and its bytes.
        delivery: String,
        /// The delivery.
        origin: Origin,
        /// Why not.
        reason: ParseError,
        /// As the provider sent them.
        bytes: Vec<u8>,
    },
}

/// Of the delivery that a record came in, all but its body: what reading it again needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// As [`Delivery::arrival`].
    pub arrival: Timestamp,
    /// As [`Delivery::request_id`].
    pub request_id: String,
    /// As [`Delivery::content_type`].
    pub content_type: Option<String>,
}

/// Where the exact bytes of an event's delivery are.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// They are the event's `data`.
    Data,
    /// Here, since `data` is another form of them.
    Here(Vec<u8>),
    /// In the [`Record::Body`] of this name, since the delivery carried several events.
    Shared(String),
}

/// The most events of one delivery that are kept as events: what the table or the spool takes in its share of the time.
pub const MAX_EVENTS: usize = 500;

impl Record {
    /// Why it is quarantined, where it is.
    #[must_use]
    pub fn unreadable(&self) -> Option<&ParseError> {
        match self {
            Self::Quarantined { reason, .. } => Some(reason),
            Self::Event { .. } | Self::Body { .. } => None,
        }
    }

    /// What to store of a delivery, given what its provider's reader said of it: its events with its exact bytes, or
    /// all of it, quarantined.
    #[must_use]
    pub fn of(
        provider: &str,
        delivery: &Delivery,
        read: Result<Vec<Event>, ParseError>,
    ) -> Vec<Self> {
        let origin = || Origin {
            arrival: delivery.arrival,
            request_id: delivery.request_id.clone(),
            content_type: delivery.content_type.clone(),
        };
        let quarantined = |reason| Self::Quarantined {
            provider: provider.to_owned(),
            delivery: quarantine_name(provider, delivery),
            origin: origin(),
            reason,
            bytes: delivery.body.clone(),
        };
        match read {
            Err(reason) => vec![quarantined(reason)],
            Ok(events) if events.is_empty() => vec![quarantined(ParseError::NoEvent)],
            Ok(events) if events.len() > MAX_EVENTS => {
                vec![quarantined(ParseError::TooManyEvents { limit: MAX_EVENTS })]
            }
            Ok(events) if events.len() == 1 => {
                let of_one = |event: Event| {
                    let same = event.data.get().as_bytes() == delivery.body;
                    let body = if same {
                        Body::Data
                    } else {
                        Body::Here(delivery.body.clone())
                    };
                    Self::Event {
                        event,
                        origin: origin(),
                        body,
                    }
                };
                events.into_iter().map(of_one).collect()
            }
            Ok(events) => {
                let name = body_name(provider, &delivery.body);
                let shared = Self::Body {
                    provider: provider.to_owned(),
                    delivery: name.clone(),
                    origin: origin(),
                    bytes: delivery.body.clone(),
                };
                let of_several = |event| Self::Event {
                    event,
                    origin: origin(),
                    body: Body::Shared(name.clone()),
                };
                std::iter::once(shared)
                    .chain(events.into_iter().map(of_several))
                    .collect()
            }
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
