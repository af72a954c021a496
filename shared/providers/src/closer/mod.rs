//! Closer: JSON webhooks for conversations, one event each, and the business events that a draft in
//! its documentation describes.
//!
//! Sources: <https://support.closer.app/guide/getting-deeper/push-out-data-with-webhooks>,
//! <https://support.closer.app/guide/upcoming-features-drafts/xbusiness-events-structure-json-draft>

mod payload;
#[cfg(feature = "samples")]
pub mod samples;

use crate::{Provider, Scheme};
use std::time::Duration;

/// The provider Closer.
pub const CLOSER: Provider = Provider {
    name: "closer",
    // Not documented. This is the shortest known timeout of any provider.
    timeout: Duration::from_secs(2),
    // Its settings only have a URL.
    schemes: &[Scheme::Basic, Scheme::UrlKey],
    request_id_header: None,
    // A guess: we have not seen the headers of a request from Closer.
    user_agents: &["closer"],
    parse: payload::parse,
    #[cfg(feature = "api")]
    api: None,
    #[cfg(feature = "samples")]
    samples: &samples::RULES,
};
