//! Compares the observable behavior with golden files: the stored items, the status and the log
//! line of every sample and corpus body, the help of every command, and the resources and outputs
//! of the template.
//!
//! A refactoring changes none of it. After an intended change,
//! `UPDATE_GOLDEN=1 cargo test --test oracle` writes the files again (with `WEBHOOK_CORPUS` set,
//! those of the corpus too). Read their diff.
//!
//! For a corpus body, the golden file contains only a digest of the result.

use aws_sdk_dynamodb::types::AttributeValue;
use base64::{Engine, engine::general_purpose::STANDARD};
use hookkeeper::{
    dev::TABLE,
    template::{TEMPLATE, parse},
};
use providers::Provider;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, HashMap},
    env,
    fmt::Write,
    fs,
    path::Path,
};
use testkit::{
    corpus, dev::hookkeeper, request::Request, runtime_api::Function, samples::samples, site::Site,
    workspace,
};

/// The real binary of one provider's function with a table in memory.
struct Observed {
    function: Function,
    lines: usize,
    site: Site,
}

impl Observed {
    async fn start(provider: &Provider) -> Self {
        let site = Site::start().await;
        Self {
            function: site.spawn(provider).await,
            lines: 0,
            site,
        }
    }

    /// The result of one event: the status, the log line and all stored items. The table is empty
    /// again afterwards.
    async fn observe(&mut self, event: Vec<u8>) -> Value {
        let status = self.function.invoke(event).await.status();
        let stdout = self.function.stdout();
        let new: Vec<Value> = stdout.lines().skip(self.lines).map(log_line).collect();
        self.lines += new.len();
        json!({ "status": status, "log": new, "items": self.take_items().await })
    }

    async fn take_items(&self) -> Vec<Value> {
        let client = self.site.client();
        let scanned = client.scan().table_name(TABLE).consistent_read(true);
        let scanned = scanned
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .unwrap();
        let mut items = BTreeMap::new();
        for item in scanned {
            let key = ["pk", "sk"].map(|name| item[name].clone());
            let delete = client
                .delete_item()
                .table_name(TABLE)
                .key("pk", key[0].clone());
            delete.key("sk", key[1].clone()).send().await.unwrap();
            items.insert(key.map(|value| value.as_s().unwrap().clone()), plain(&item));
        }
        items.into_values().collect()
    }
}

/// A log line without the values that differ between runs: the duration and the time.
fn log_line(line: &str) -> Value {
    let mut line: Value = serde_json::from_str(line).unwrap();
    line["latency_ms"] = Value::Null;
    if let Some(metadata) = line.get_mut("_aws") {
        metadata["Timestamp"] = Value::Null;
    }
    sorted(line)
}

/// An item as JSON without the time of the put: bytes as base64.
fn plain(item: &HashMap<String, AttributeValue>) -> Value {
    let values = item.iter().map(|(name, value)| {
        let value = match (&**name, value) {
            ("recordedtime", AttributeValue::S(_)) => Value::Null,
            // The shard depends only on the id.
            ("hourshard", AttributeValue::S(text)) => text.split_once('#').unwrap().1.into(),
            (_, AttributeValue::S(text)) => text.clone().into(),
            (_, AttributeValue::N(number)) => json!({ "N": number }),
            (_, AttributeValue::B(bytes)) => json!({ "B": STANDARD.encode(bytes) }),
            (_, other) => panic!("{name} is {other:?}"),
        };
        (name.clone(), value)
    });
    sorted(values.collect::<Map<_, _>>().into())
}

fn sorted(mut value: Value) -> Value {
    value.sort_all_objects();
    value
}

fn digest(text: &str) -> String {
    hex::encode(Sha256::digest(text))[..32].to_owned()
}

/// Compares with a golden file, or writes it.
fn compare(file: &str, observed: &str) {
    let path = workspace(Path::new("tests/golden").join(file));
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, observed).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let mut lines = golden.lines().zip(observed.lines());
    let differing = lines.find(|(golden, observed)| golden != observed);
    assert!(golden == observed, "{file} differs: {differing:#?}");
}

#[tokio::test]
async fn every_sample_is_stored_answered_and_logged_as_before() {
    for provider in providers::ALL {
        let mut observed = Observed::start(&provider).await;
        let mut golden = String::new();
        for sample in samples(&provider) {
            let result = observed.observe(sample.json).await;
            writeln!(golden, "{}", sample.name).unwrap();
            for part in ["status", "log", "items"] {
                for line in result[part]
                    .as_array()
                    .unwrap_or(&vec![result[part].clone()])
                {
                    writeln!(golden, "  {part} {line}").unwrap();
                }
            }
        }
        compare(&format!("observed/{}.txt", provider.name), &golden);
    }
}

#[tokio::test]
async fn every_corpus_body_is_stored_answered_and_logged_as_before() {
    let Some(rows) = corpus::rows() else { return };
    let mut golden = String::new();
    for provider in providers::ALL {
        let mut observed = Observed::start(&provider).await;
        for row in rows.iter().filter(|row| row.provider == provider.name) {
            let request = Request::post_bytes(provider.name, &row.body)
                .authorization("Basic bG9jYWw6bG9jYWw=")
                .header("content-type", row.content_type());
            let result = observed.observe(request.0.to_string().into_bytes()).await;
            writeln!(golden, "{} {}", digest(&result.to_string()), row.file).unwrap();
        }
    }
    compare("observed/corpus.txt", &golden);
}

#[test]
fn the_help_of_every_command_is_unchanged() {
    let mut golden = String::new();
    add_help(&mut golden, &[]);
    compare("observed/help.txt", &golden);
}

/// The help of a command, and of all commands below it.
fn add_help(golden: &mut String, command: &[&str]) {
    let output = hookkeeper(command)
        .arg("--help")
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    writeln!(golden, "$ hookkeeper {} --help\n{help}", command.join(" ")).unwrap();
    let commands = help
        .split_once("Commands:\n")
        .map_or("", |(_, rest)| rest.split("\n\n").next().unwrap());
    for line in commands.lines() {
        let name = line.trim_start().split(' ').next().unwrap();
        let is_command = line.starts_with("  ") && !line.starts_with("   ") && name != "help";
        if is_command {
            add_help(golden, &[command, &[name]].concat());
        }
    }
}

#[test]
fn the_template_makes_the_same_resources_and_outputs() {
    let template = parse(TEMPLATE).unwrap();
    let mut golden = String::new();
    for section in [
        "Parameters",
        "Conditions",
        "Globals",
        "Resources",
        "Outputs",
    ] {
        for (name, value) in template[section].as_object().unwrap() {
            let kind = value["Type"].as_str().unwrap_or_default();
            writeln!(
                golden,
                "{section} {name} {kind} {}",
                digest(&sorted(value.clone()).to_string())
            )
            .unwrap();
        }
    }
    compare("observed/template.txt", &golden);
}
