//! Where records are kept: one DynamoDB table, and a queue beside it for what the table does not take in time.
//!
//! The only crate of a function that names the AWS SDK.

mod client;
mod failure;
pub mod item;
mod kept;
mod removal;
mod settings;
mod spool;
mod store;
mod table;
pub mod time;
mod trust;

pub use client::Client;
pub use failure::Failure;
pub use item::Key;
pub use kept::{Entry, Order};
pub use settings::{Settings, SettingsError};
pub use spool::{Message, NoItem, Spool};
pub use store::{Outcome, Store};
pub use table::{Kept, Stored, Table, TableError};
pub use trust::network;
