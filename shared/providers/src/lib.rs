//! Everything that is known about each provider, without I/O. The twin modules have the same files: `payload` makes events of
//! a webhook's body, `samples` makes deliveries for tests and for `hookkeeper send`.

pub mod amocrm;
pub mod closer;
pub mod pipedrive;
mod provider;
#[cfg(feature = "samples")]
pub mod samples;

pub use amocrm::AMOCRM;
pub use closer::CLOSER;
pub use pipedrive::PIPEDRIVE;
pub use provider::{Credentials, Provider};

/// All providers: the one list of them.
pub const ALL: [Provider; 3] = [PIPEDRIVE, AMOCRM, CLOSER];
