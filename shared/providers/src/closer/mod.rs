//! Closer: JSON webhooks of conversations, one event each, and the business events of its documentation's draft.
//!
//! Sources: <https://support.closer.app/guide/getting-deeper/push-out-data-with-webhooks>,
//! <https://support.closer.app/guide/upcoming-features-drafts/xbusiness-events-structure-json-draft>

mod payload;
#[cfg(feature = "samples")]
pub mod samples;
mod wire;

use crate::{Credentials, Provider};
use std::time::Duration;

/// What Closer is.
pub const CLOSER: Provider = Provider {
    name: "closer",
    // Nothing is documented: the shortest that any provider is known to wait.
    timeout: Duration::from_secs(2),
    // Its settings have a URL alone.
    credentials: Credentials::BasicOrKey,
    request_id_header: None,
    // A guess: no request of Closer has been seen with its headers.
    user_agents: &["closer"],
    read: payload::read,
};
