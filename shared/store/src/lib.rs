//! Where records are kept: one DynamoDB table, one item each.
//!
//! The only crate of a function that names the AWS SDK.

pub mod item;
mod settings;
mod table;

pub use settings::{Settings, SettingsError};
pub use table::{Entry, Kept, Table, TableError};
