//! Changes that a provider's API shows, and how its lists are read to the end.

use super::{Access, ApiError, Call};
use http::Response;
use models::{API_CHANNEL, Event, EventDraft, Identity, OwnTime, Timestamp};
use serde_json::value::RawValue;
use std::fmt;

/// The times from `since`, inclusive, until `until`, exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first time.
    pub since: Timestamp,
    /// The end.
    pub until: Timestamp,
}

/// How much of a window is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All changes.
    All,
    /// Some of the last changes, with few calls: enough to see that webhooks do not arrive.
    Newest,
}

/// What it costs at least to read the changes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Calls of the API.
    pub calls: usize,
    /// Tokens of the account's daily budget, where the provider has one.
    pub tokens: u32,
    /// The daily budget of the smallest plan. 0: there is none.
    pub budget: u32,
}

/// Reads the changes of a window. Each response decides about the next request.
pub trait Reader: fmt::Debug + Send {
    /// The next call. `None`: everything is read.
    fn next(&self, access: &Access) -> Option<Call<Response<Vec<u8>>>>;

    /// Takes the response to [`next`](Self::next).
    ///
    /// # Errors
    /// See [`WalkError`]. After [`WalkError::Api`] the request may be sent again.
    fn receive(&mut self, response: Result<Response<Vec<u8>>, ApiError>) -> Result<(), WalkError>;

    /// The lists that the token's user may not read, or that the account does not have.
    fn unread(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// What changed. Nothing if not everything is read.
    fn finish(self: Box<Self>) -> Vec<Changed>;
}

/// A subject with changes in a window.
pub struct Changed {
    /// As [`Event::subject`](models::Event::subject).
    pub subject: String,
    /// The first time of the stored events that [`missing`](Self::missing) needs.
    pub since: Timestamp,
    /// The last such time. `None`: there is none.
    pub until: Option<Timestamp>,
    /// The number of changes.
    pub count: usize,
    pub(crate) missing: FindMissing,
    pub(crate) difference: FindDifference,
}

type FindMissing = Box<dyn Fn(&[Event]) -> Vec<Change> + Send + Sync>;
type FindDifference = Box<dyn Fn(Option<&Event>) -> Difference + Send + Sync>;

/// Whether the API shows another state of a subject than its last stored event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The same state: what changed is a counter, for which there is no webhook.
    None,
    /// Another state: a webhook did not arrive.
    Found,
    /// They cannot be compared.
    Unknown,
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

impl Changed {
    /// The changes that none of the stored events of the subject reports.
    #[must_use]
    pub fn missing(&self, stored: &[Event]) -> Vec<Change> {
        (self.missing)(stored)
    }

    /// Compares the state that the API shows with the last stored event of the subject, if there is
    /// one.
    #[must_use]
    pub fn difference(&self, last: Option<&Event>) -> Difference {
        (self.difference)(last)
    }
}

impl Window {
    /// Whether a time is in the window.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        (self.since..self.until).contains(&time)
    }
}

impl Change {
    /// Whether it is a change of an existing subject, and not its creation, deletion or the like.
    #[must_use]
    pub fn is_update(&self) -> bool {
        self.r#type.ends_with(".updated")
    }

    /// The event of this change.
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
            dataschema: self.dataschema.map(str::to_owned),
            originaltype: self.originaltype,
            apiversion: self.apiversion.map(str::to_owned),
            channel: Some(API_CHANNEL.to_owned()),
            eventid: self.entry_id,
            data: self.data,
        }
    }
}

/// Whether a stored event was read back from an API.
#[must_use]
pub fn is_read_back(event: &Event) -> bool {
    event.channel.as_deref() == Some(API_CHANNEL)
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

impl fmt::Debug for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed")
            .field("subject", &self.subject)
            .field("since", &self.since)
            .field("until", &self.until)
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
