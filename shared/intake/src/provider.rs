//! What a provider is: a value.

use models::{Delivery, Event, Unreadable};
use std::time::Duration;

/// A provider of webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// Its one name: folder, crate, binary, path, samples, and in capitals the prefix of its settings.
    pub name: &'static str,
    /// How long it waits for an answer.
    pub patience: Duration,
    /// What its settings can make it send.
    pub credentials: Credentials,
    /// The header with its own id of a request, where it sends one.
    pub request_id_header: Option<&'static str>,
    /// Splits one delivery into the events that it carries. Pure: no I/O, no clock.
    pub read: fn(&Delivery) -> Result<Vec<Event>, Unreadable>,
}

/// How a provider can show who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// With a user name and a password.
    Basic,
    /// With these, or, where its settings have no such fields, with a key in the URL: `?key=`.
    BasicOrKey,
}
