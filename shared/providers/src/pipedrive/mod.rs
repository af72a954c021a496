//! Pipedrive: JSON webhooks, versions 1 and 2, one event each.
//!
//! Sources: <https://pipedrive.readme.io/docs/guide-for-webhooks>,
//! <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>,
//! <https://pipedrive.readme.io/docs/webhooks-v2-migration-guide>

#[cfg(feature = "api")]
pub mod api;
mod payload;
#[cfg(feature = "samples")]
pub mod samples;

use crate::{Provider, Scheme};
use std::time::Duration;

/// The provider Pipedrive.
pub const PIPEDRIVE: Provider = Provider {
    name: "pipedrive",
    // Pipedrive counts a failure after this time.
    timeout: Duration::from_secs(10),
    // Its settings have fields for a user name and a password.
    schemes: &[Scheme::Basic],
    request_id_header: None,
    user_agents: &["pipedrive"],
    parse: payload::parse,
    #[cfg(feature = "api")]
    api: Some(&api::API),
    #[cfg(feature = "samples")]
    samples: &samples::RULES,
};
