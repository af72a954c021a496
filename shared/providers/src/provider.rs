//! The definition of a provider, as a value.

#[cfg(feature = "api")]
use crate::api::Api;
#[cfg(feature = "samples")]
use crate::samples::SampleRules;
use http::{HeaderMap, header::USER_AGENT};
use models::{Delivery, Parsed};
use std::time::Duration;

/// A provider of webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Provider {
    /// The name of the provider. It is the name of its folder, crate, binary, path and samples, and
    /// in capitals the prefix of its settings.
    pub name: &'static str,
    /// The time that the provider waits for a response.
    pub timeout: Duration,
    /// The schemes by which the provider's requests can be authenticated.
    pub schemes: &'static [Scheme],
    /// The header with the provider's own request id, if it sends one.
    pub request_id_header: Option<&'static str>,
    /// Words in the provider's `User-Agent`, in lower case. An unauthorized request with one of
    /// them is most likely the provider's own, sent with a credential that is not accepted. The
    /// provider counts the response against the endpoint.
    pub user_agents: &'static [&'static str],
    /// Parses a delivery into its items. Pure: no I/O, no clock.
    pub parse: fn(&Delivery) -> Parsed,
    /// The API for the provider's webhooks, if it has one.
    #[cfg(feature = "api")]
    pub api: Option<&'static Api>,
    /// How the provider's samples become other deliveries.
    #[cfg(feature = "samples")]
    pub samples: &'static SampleRules,
}

impl Provider {
    /// Whether the provider's requests can be authenticated by a scheme.
    #[must_use]
    pub fn supports(&self, scheme: Scheme) -> bool {
        self.schemes.contains(&scheme)
    }

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

/// A way to authenticate a provider's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// A user name and a password in the header `Authorization`.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc7617>
    Basic,
    /// A key in the URL (`?key=`), for a provider whose settings only have a URL.
    UrlKey,
}
