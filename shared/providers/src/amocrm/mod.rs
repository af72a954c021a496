//! amoCRM, also sold as Kommo: form-encoded webhooks of the account and of the digital pipeline,
//! any number of events each.
//!
//! Sources: <https://www.amocrm.ru/developers/content/crm_platform/webhooks-format>,
//! <https://developers.kommo.com/docs/webhooks-general>, <https://developers.kommo.com/docs/webhooks-dp>

#[cfg(feature = "api")]
pub mod api;
pub mod form;
mod payload;
#[cfg(feature = "samples")]
pub mod samples;

use crate::{Provider, Scheme};
use std::time::Duration;

/// The provider amoCRM.
pub const AMOCRM: Provider = Provider {
    name: "amocrm",
    // amoCRM counts a response as invalid after this time.
    timeout: Duration::from_secs(2),
    // Its settings only have a URL.
    schemes: &[Scheme::Basic, Scheme::UrlKey],
    request_id_header: Some("x-amocrm-requestid"),
    user_agents: &["amocrm", "kommo"],
    parse: payload::parse,
    #[cfg(feature = "api")]
    api: Some(&api::API),
    #[cfg(feature = "samples")]
    samples: &samples::RULES,
};
