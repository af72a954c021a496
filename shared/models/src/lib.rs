//! What is kept: a delivery, the events read from it, the records made of them. No I/O, no clock, no AWS.
//!
//! A provider's reader turns a [`Delivery`] into [`Event`]s or says why it cannot ([`ParseError`]); [`Record::of`] turns
//! either into what is stored, so that nothing of a delivery is ever lost.

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

pub use delivery::Delivery;
pub use event::{
    DataContentType, Event, EventDraft, MAX_SOURCE_BYTES, MAX_SUBJECT_BYTES, MAX_TYPE_BYTES,
    SpecVersion, TimeProblem,
};
pub use hash::{SHARDS, hash, hex, shard};
pub use identity::{EventId, Identity};
pub use parse_error::ParseError;
pub use record::{Body, MAX_EVENTS, Origin, Record};
#[cfg(feature = "schema")]
pub use schema::schema;
pub use timestamp::{OwnTime, Timestamp};
