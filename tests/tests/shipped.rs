//! Sends every sample through the shipped binaries. The id of an event, and so the key that
//! deduplicates a retry, must not depend on the features that tests and commands enable in the
//! crates that they share with the functions.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};
use storage::Key;
use testkit::{
    runtime_api::{Answer, Function, shipped},
    samples::samples,
    site::Site,
    workspace,
};

#[tokio::test]
async fn shipped_binaries_store_every_sample_under_its_golden_key() {
    for provider in providers::ALL {
        let site = Site::start().await;
        let environment = site.environment(&provider);
        let mut function = Function::spawn(shipped(provider.name), &environment).await;
        for sample in samples(&provider) {
            let answer = function.invoke(sample.json).await;
            assert!(
                matches!(answer, Answer::Response(_)),
                "{}: {answer:?}",
                sample.name
            );
        }
        let stored = site.stored().await.into_iter();
        let keys: BTreeSet<_> = stored.map(|stored| stored.key).collect();
        assert_eq!(keys, golden(provider.name), "{}", provider.name);
    }
}

/// The keys of all stored records of a provider's samples.
fn golden(provider: &str) -> BTreeSet<Key> {
    let golden = fs::read_to_string(workspace(format!("tests/golden/{provider}.json"))).unwrap();
    let golden: BTreeMap<String, Vec<Value>> = serde_json::from_str(&golden).unwrap();
    let keys = golden.values().flatten().map(|record| {
        let [pk, sk] = ["pk", "sk"].map(|name| record[name].as_str().unwrap().to_owned());
        Key { pk, sk }
    });
    keys.collect()
}
