//! Sends every sample through the shipped binaries. The id of an event, and so the key that
//! deduplicates a retry, must not depend on the features that tests and commands enable in the
//! crates that they share with the functions.

use hookkeeper::{
    dev::{Data, DynamoDb},
    template::TEMPLATE,
};
use providers::Scheme;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};
use storage::{Client, Key, Table};
use testkit::{
    house::{KEY, key},
    request::accepted,
    runtime_api::{Answer, Environment, Function, shipped},
    workspace,
};

#[tokio::test]
async fn shipped_binaries_store_every_sample_under_its_golden_key() {
    for provider in providers::ALL {
        let dynamodb = DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap();
        let prefix = provider.name.to_uppercase();
        let mut environment = Environment::of(provider.name, &dynamodb.endpoint()).with(
            &format!("{prefix}_CREDENTIALS"),
            accepted("local", "local:local"),
        );
        if provider.supports(Scheme::UrlKey) {
            environment = environment.with(&format!("{prefix}_KEYS"), accepted("url", KEY));
        }
        let mut function = Function::spawn(shipped(provider.name), &environment).await;
        for file in fs::read_dir(workspace("events").join(provider.name)).unwrap() {
            let path = file.unwrap().path();
            let answer = function.invoke(fs::read(&path).unwrap()).await;
            assert!(
                matches!(answer, Answer::Response(_)),
                "{}: {answer:?}",
                path.display()
            );
        }
        let table = Table::new(&Client::background(), &dynamodb.settings());
        let kept: BTreeSet<_> = table.records().await.unwrap().iter().map(key).collect();
        assert_eq!(kept, golden(provider.name), "{}", provider.name);
    }
}

/// The keys of all stored records of a provider's samples.
fn golden(provider: &str) -> BTreeSet<Key> {
    let golden = fs::read_to_string(workspace(format!("tests/golden/{provider}.json"))).unwrap();
    let golden: BTreeMap<String, Vec<Value>> = serde_json::from_str(&golden).unwrap();
    let text = |record: &Value, name| record[name].as_str().unwrap().to_owned();
    golden
        .values()
        .flatten()
        .map(|record| Key {
            pk: text(record, "pk"),
            sk: text(record, "sk"),
        })
        .collect()
}
