//! Records: the items that are stored for a delivery.

use crate::{
    Delivery, Event, Origin, ParseError, Reason,
    identity::{body_name, quarantine_name},
    redacted::Bytes,
};
use std::fmt;

/// The result of parsing a delivery: its items in order, each an event or the reason why it could
/// not be parsed; or the reason why none of it could be parsed.
pub type Parsed = Result<Vec<Result<Event, ParseError>>, ParseError>;

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
    /// The exact bytes of a delivery with several items, stored once for all of them.
    Body {
        /// The provider whose parser parsed the delivery.
        provider: String,
        /// The name of the body: a hash of its provider and its bytes.
        name: String,
        /// The delivery.
        origin: Origin,
        /// The body as the provider sent it.
        bytes: Vec<u8>,
    },
    /// A delivery that could not be parsed, or one item of it.
    Quarantined {
        /// The provider whose parser could not parse it.
        provider: String,
        /// The name of the delivery: a hash of its provider, its request id and its bytes.
        name: String,
        /// The position of the item in the delivery, counted from 0. 0 for a whole delivery.
        index: usize,
        /// The delivery.
        origin: Origin,
        /// The reason why it could not be parsed.
        reason: Reason,
        /// The location of the delivery's exact bytes, never [`Body::Data`].
        body: Body,
    },
}

/// The location of the exact bytes of a record's delivery.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// The bytes are the event's `data`.
    Data,
    /// The bytes are here, because `data` has another form or there is none.
    Here(Vec<u8>),
    /// The bytes are in the [`Record::Body`] of this name, because the delivery has several items.
    Shared(String),
}

/// The maximum number of items that are stored from one delivery. The table or the fallback queue
/// takes this many within its time budget.
pub const MAX_EVENTS: usize = 500;

impl Record {
    /// Creates the records of a delivery from the result of its provider's parser, with its exact
    /// bytes: its events, and its quarantined items. If no item is an event, the delivery is
    /// quarantined as a whole, with the reason of its first item.
    #[must_use]
    pub fn from_delivery(provider: &str, delivery: &Delivery, parsed: Parsed) -> Vec<Self> {
        let quarantined = |reason: &ParseError| {
            let body = Body::Here(delivery.body.clone());
            vec![Self::quarantined(provider, delivery, 0, reason, body)]
        };
        let mut items = match parsed {
            Err(reason) => return quarantined(&reason),
            Ok(items) => items,
        };
        if items.len() > MAX_EVENTS {
            return quarantined(&ParseError::TooManyEvents { limit: MAX_EVENTS });
        }
        if !items.iter().any(Result::is_ok) {
            let first = items.into_iter().find_map(Result::err);
            return quarantined(&first.unwrap_or(ParseError::NoEvent));
        }
        if items.len() > 1 {
            return Self::several_items(provider, delivery, items);
        }
        let only = items.pop().and_then(Result::ok);
        let record = only.map(|event| Self::only_event(delivery, event));
        record.into_iter().collect()
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
            origin: delivery.origin.clone(),
            body,
        }
    }

    fn several_items(
        provider: &str,
        delivery: &Delivery,
        items: Vec<Result<Event, ParseError>>,
    ) -> Vec<Self> {
        let name = body_name(provider, &delivery.body);
        let mut records = vec![Self::Body {
            provider: provider.to_owned(),
            name: name.clone(),
            origin: delivery.origin.clone(),
            bytes: delivery.body.clone(),
        }];
        for (index, item) in items.into_iter().enumerate() {
            let body = Body::Shared(name.clone());
            records.push(match item {
                Ok(event) => Self::Event {
                    event,
                    origin: delivery.origin.clone(),
                    body,
                },
                Err(reason) => Self::quarantined(provider, delivery, index, &reason, body),
            });
        }
        records
    }

    fn quarantined(
        provider: &str,
        delivery: &Delivery,
        index: usize,
        reason: &ParseError,
        body: Body,
    ) -> Self {
        Self::Quarantined {
            provider: provider.to_owned(),
            name: quarantine_name(provider, delivery),
            index,
            origin: delivery.origin.clone(),
            reason: Reason::from(reason),
            body,
        }
    }

    /// Whether the record is an event.
    #[must_use]
    pub fn is_event(&self) -> bool {
        matches!(self, Self::Event { .. })
    }

    /// The delivery of the record.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        match self {
            Self::Event { origin, .. }
            | Self::Body { origin, .. }
            | Self::Quarantined { origin, .. } => origin,
        }
    }

    /// Returns the exact bytes of the delivery, or `None` if they are in a body that several records
    /// share.
    #[must_use]
    pub fn exact_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Body { bytes, .. } => Some(bytes),
            Self::Event { event, body, .. } => match body {
                Body::Data => Some(event.data.get().as_bytes()),
                Body::Here(bytes) => Some(bytes),
                Body::Shared(_) => None,
            },
            Self::Quarantined { body, .. } => match body {
                Body::Here(bytes) => Some(bytes),
                Body::Data | Body::Shared(_) => None,
            },
        }
    }

    /// Returns the name of the body that the record shares with others, if it does.
    #[must_use]
    pub fn shared_body(&self) -> Option<&str> {
        match self {
            Self::Event { body, .. } | Self::Quarantined { body, .. } => match body {
                Body::Shared(name) => Some(name),
                Body::Data | Body::Here(_) => None,
            },
            Self::Body { .. } => None,
        }
    }

    /// Returns the reason for quarantine, or `None` if the record is not quarantined.
    #[must_use]
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Quarantined { reason, .. } => Some(reason),
            Self::Event { .. } | Self::Body { .. } => None,
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
                name,
                origin,
                bytes,
            } => f
                .debug_struct("Body")
                .field("provider", provider)
                .field("name", name)
                .field("origin", origin)
                .field("bytes", &Bytes(bytes.len()))
                .finish(),
            Self::Quarantined {
                provider,
                name,
                index,
                origin,
                reason,
                body,
            } => f
                .debug_struct("Quarantined")
                .field("provider", provider)
                .field("name", name)
                .field("index", index)
                .field("origin", origin)
                .field("reason", reason)
                .field("body", body)
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
