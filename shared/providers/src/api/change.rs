//! Changes that a provider's API shows, and how its lists are read to the end.

use super::ApiError;
use models::{Event, EventDraft, Identity, OwnTime, Timestamp};
use serde_json::value::RawValue;
use std::fmt;

/// The channel of an event that was read back from an API.
pub const CHANNEL: &str = "api";

/// The times from `since`, inclusive, until `until`, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first time.
    pub since: Timestamp,
    /// The end.
    pub until: Timestamp,
}

/// A change that an API shows: an event that was or was not delivered.
#[derive(Clone)]
pub struct Change {
    /// As [`Event::subject`](models::Event::subject).
    pub subject: String,
    /// As [`Event::type`](models::Event#structfield.type).
    pub r#type: String,
    /// The time of the change as the API reports it.
    pub time: Timestamp,
    /// The provider's word for the change. Without one, the path of the list.
    pub originaltype: String,
    /// As [`Event::apiversion`](models::Event::apiversion).
    pub apiversion: Option<&'static str>,
    /// The id in the provider's log of events, if it has a log.
    pub entry_id: Option<String>,
    /// The page that describes `data`, if its shape is not that of a webhook.
    pub dataschema: Option<&'static str>,
    /// The data of the event.
    pub data: Box<RawValue>,
}

impl Window {
    /// Whether a time is in the window.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        (self.since..self.until).contains(&time)
    }
}

impl Change {
    /// The event of this change, without its `dataschema`.
    #[must_use]
    pub fn draft(self, source: String) -> EventDraft {
        let identity = match &self.entry_id {
            Some(entry_id) => Identity::HealedEntry {
                source: source.clone(),
                entry_id: entry_id.clone(),
            },
            None => Identity::HealedState {
                source: source.clone(),
                subject: self.subject.clone(),
                r#type: self.r#type.clone(),
                time: self.time,
            },
        };
        EventDraft {
            source,
            r#type: self.r#type,
            subject: self.subject,
            time: OwnTime::Given(self.time),
            identity,
            index: 0,
            originaltype: self.originaltype,
            apiversion: self.apiversion.map(str::to_owned),
            channel: Some(CHANNEL.to_owned()),
            eventid: self.entry_id,
            data: self.data,
        }
    }
}

/// Whether a stored event was read back from an API.
pub(crate) fn is_read_back(event: &Event) -> bool {
    event.channel.as_deref() == Some(CHANNEL)
}

/// Without the data, which is personal.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("subject", &self.subject)
            .field("type", &self.r#type)
            .field("time", &self.time)
            .finish_non_exhaustive()
    }
}

/// Why lists are not read to the end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// A request failed. It may be sent again.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A list has more pages than Hookkeeper reads.
    #[error("{list} has more than {limit} pages")]
    TooManyPages {
        /// The list.
        list: &'static str,
        /// The maximum number of pages.
        limit: u32,
    },
}
