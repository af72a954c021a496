//! What a provider is: a value.

use http::{HeaderMap, header::USER_AGENT};
use models::{Delivery, Event, ParseError};
use std::time::Duration;

/// A provider of webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// Its one name: folder, crate, binary, path, samples, and in capitals the prefix of its settings.
    pub name: &'static str,
    /// How long it waits for an answer.
    pub timeout: Duration,
    /// What its settings can make it send.
    pub credentials: Credentials,
    /// The header with its own id of a request, where it sends one.
    pub request_id_header: Option<&'static str>,
    /// Words of the `User-Agent` that it sends, in small letters. A refusal that bears one is most likely the provider's own,
    /// with a credential that is not accepted, and counts there against the endpoint.
    pub user_agents: &'static [&'static str],
    /// Splits one delivery into the events that it carries. Pure: no I/O, no clock.
    pub read: fn(&Delivery) -> Result<Vec<Event>, ParseError>,
}

impl Provider {
    /// Whether a request says of itself that it comes from this provider.
    #[must_use]
    pub fn is_named_by(&self, headers: &HeaderMap) -> bool {
        let user_agent = headers
            .get(USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let user_agent = user_agent.to_ascii_lowercase();
        self.user_agents
            .iter()
            .any(|word| user_agent.contains(word))
    }
}

/// How a provider can show who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// With a user name and a password.
    Basic,
    /// With these, or, where its settings have no such fields, with a key in the URL: `?key=`.
    BasicOrKey,
}
