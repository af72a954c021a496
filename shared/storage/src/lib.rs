//! Storage of records: one DynamoDB table, and an SQS queue for items that the table does not
//! accept in time.
//!
//! In a function, only this crate uses the SDKs of DynamoDB and SQS.

mod backlog;
pub mod budget;
mod client;
mod clock;
pub mod consumer;
mod dead_letter_queue;
mod erasures;
mod failure;
pub mod guardian;
mod index;
mod lease;
mod queue;
mod removal;
pub mod schema;
mod settings;
mod store;
mod table;
mod tls;

pub use backlog::{Backlog, Messages};
pub use client::Client;
pub use consumer::{Consumer, Cursor, Position};
pub use dead_letter_queue::DeadLetterQueue;
pub use erasures::Erasures;
pub use failure::Failure;
pub use guardian::Guardian;
pub use index::{IndexEntry, Order};
pub use lease::Lease;
pub use queue::{FallbackQueue, InvalidMessage, Message, QueuedItem};
pub use schema::{Erased, EventKey, Expiry, Key, Policy};
pub use settings::{Settings, SettingsError, endpoint, require};
pub use store::{Outcome, Store};
pub use table::{PutOutcome, Scanned, Stored, Table, TableError};
pub use tls::network;
