//! Test harness shared by the tests that cover all providers.

pub mod benchmark;
pub mod corpus;
pub mod deal;
pub mod dev;
pub mod house;
pub mod kept;
pub mod proxy;
pub mod request;
pub mod runtime_api;
mod sdk;
pub mod simulation;
pub mod sink;
pub mod site;
pub mod sqs;
pub mod stores;
pub mod world;

use std::path::{Path, PathBuf};

/// A path in the workspace: cargo runs tests in the folder of their package. An absolute one stays what it is.
#[must_use]
pub fn workspace(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The Rust in the documentation is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/events.md")]
struct EventsPage;
