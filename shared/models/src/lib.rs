//! Data model: a delivery, the events parsed from it, and the records stored for it. No I/O, no
//! clock, no AWS.
//!
//! A provider's parser turns a [`Delivery`] into [`Event`]s, or returns a [`ParseError`]: for the
//! whole delivery, or for one item of it.
//! [`Record::from_delivery`] turns either result into records, so that nothing of a delivery is ever
//! lost.

mod delivery;
mod event;
mod hash;
pub mod identity;
pub mod json;
mod parse_error;
mod record;
mod redacted;
#[cfg(feature = "schema")]
mod schema;
mod timestamp;

pub use delivery::{Delivery, Origin};
pub use event::{
    API_CHANNEL, DataContentType, Event, EventDraft, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES,
    MAX_TYPE_BYTES, SpecVersion, TimeProblem,
};
pub use hash::{SHARDS, hash, shard};
pub use identity::{EventId, Identity};
pub use parse_error::{ParseError, Reason};
pub use record::{Body, MAX_EVENTS, Parsed, Record};
#[cfg(feature = "schema")]
pub use schema::schema;
pub use timestamp::{OwnTime, Timestamp};
