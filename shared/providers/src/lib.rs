//! Everything that is known about each provider, without I/O. The modules of all providers have the
//! same files: `payload` parses a webhook's body into events, `api` manages a provider's webhooks
//! and reads back what changed, `samples` makes deliveries for tests and for `hookkeeper send`.

pub mod amocrm;
#[cfg(feature = "api")]
pub mod api;
pub mod closer;
pub mod pipedrive;
mod provider;
#[cfg(feature = "samples")]
pub mod samples;

pub use amocrm::AMOCRM;
pub use closer::CLOSER;
pub use pipedrive::PIPEDRIVE;
pub use provider::{Provider, Scheme};

/// All providers. This is the only list of them.
pub const ALL: [Provider; 3] = [PIPEDRIVE, AMOCRM, CLOSER];
