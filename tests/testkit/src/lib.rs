//! Test harness shared by the tests that cover all providers.

pub mod api;
pub mod benchmark;
pub mod corpus;
pub mod deal;
pub mod deployment;
pub mod dev;
pub mod event_bridge;
pub mod exact;
pub mod live_stack;
pub mod proxy;
pub mod request;
pub mod runtime_api;
pub mod samples;
mod sdk;
pub mod simulation;
pub mod sink;
pub mod site;
pub mod sqs;
pub mod stores;
pub mod stream;
pub mod world;

use fastrand::Rng;
use providers::Provider;
use std::path::{Path, PathBuf};

/// A path in the workspace. Cargo runs tests in the folder of their package. An absolute path is
/// unchanged.
#[must_use]
pub fn workspace(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

/// The provider with a name.
#[must_use]
pub fn provider(name: &str) -> Provider {
    let mut all = providers::ALL.into_iter();
    let found = all.find(|provider| provider.name == name);
    found.unwrap_or_else(|| panic!("there is no provider {name}"))
}

/// Bytes that no compression makes shorter. They are the same in each run.
#[must_use]
pub fn noise(length: usize) -> Vec<u8> {
    let mut random = Rng::with_seed(1);
    (0..length).map(|_| random.u8(..)).collect()
}

/// Text of letters and digits that compresses to three quarters. It is the same in each run.
#[must_use]
pub fn noise_text(length: usize) -> String {
    let mut random = Rng::with_seed(1);
    (0..length).map(|_| random.alphanumeric()).collect()
}

/// The Rust in the documentation is compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/consume.md")]
struct ConsumePage;
