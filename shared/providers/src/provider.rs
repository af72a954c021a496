//! The definition of a provider, as a value.

use http::{HeaderMap, header::USER_AGENT};
use models::{Delivery, Event, ParseError};
use std::time::Duration;

/// A provider of webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// The name of the provider. It is the name of its folder, crate, binary, path and samples, and
    /// in capitals the prefix of its settings.
    pub name: &'static str,
    /// The time that the provider waits for a response.
    pub timeout: Duration,
    /// The credentials that the provider's settings support.
    pub credentials: Credentials,
    /// The header with the provider's own request id, if it sends one.
    pub request_id_header: Option<&'static str>,
    /// Words in the provider's `User-Agent`, in lower case. An unauthorized request with one of
    /// them is most likely the provider's own, sent with a credential that is not accepted. The
    /// provider counts the response against the endpoint.
    pub user_agents: &'static [&'static str],
    /// Parses a delivery into the events that it carries. Pure: no I/O, no clock.
    pub read: fn(&Delivery) -> Result<Vec<Event>, ParseError>,
}

impl Provider {
    /// Returns `true` if the `User-Agent` of a request names this provider.
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

/// The credentials that a provider can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// A user name and a password.
    Basic,
    /// A user name and a password, or a key in the URL (`?key=`) if the provider's settings have no
    /// fields for them.
    BasicOrKey,
}
