//! The `hookkeeper` command as a library: the one list of providers, and a whole Hookkeeper on this machine.

pub mod gateway;
pub mod local;
pub mod template;

use intake::Provider;

/// All providers. A fourth one is a row here.
pub const PROVIDERS: [Provider; 3] = [pipedrive::PIPEDRIVE, amocrm::AMOCRM, closer::CLOSER];
