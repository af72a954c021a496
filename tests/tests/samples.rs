//! Sends every sample of `events/` through the request path: it must get the verdict in its file
//! name (`events/README.md`), and the stored records must equal `tests/golden/<provider>.json`.
//!
//! After an intended change, `UPDATE_GOLDEN=1 cargo test` overwrites the golden files. Read their
//! diff: an event whose `id` changed will be stored twice.

use base64::{Engine, engine::general_purpose::STANDARD};
use ingest::Verdict;
use lambda_http::{aws_lambda_events::apigw::ApiGatewayV2httpRequest, http::HeaderValue};
use models::{Body, Record};
use providers::Provider;
use serde_json::{Value, json};
use std::{collections::BTreeMap, env, fs, path::Path, process::Command, slice};
use testkit::{
    house::{Stored, bytes, deliver},
    workspace,
};

struct Sample {
    /// The file name without the extension.
    name: String,
    event: ApiGatewayV2httpRequest,
}

impl Sample {
    /// The expected verdict: its name after the first dot.
    fn expected(&self) -> &str {
        self.name
            .split_once('.')
            .unwrap_or_else(|| panic!("{} says no verdict", self.name))
            .1
    }

    /// The body that the provider sent.
    fn body(&self) -> Vec<u8> {
        let text = self.event.body.clone().unwrap_or_default();
        let decoded = self
            .event
            .is_base64_encoded
            .then(|| STANDARD.decode(&text).ok())
            .flatten();
        decoded.unwrap_or(text.into_bytes())
    }

    /// The same, sent again five minutes later.
    fn again(&self) -> ApiGatewayV2httpRequest {
        let mut event = self.event.clone();
        event.request_context.time_epoch += 300_000;
        event.request_context.request_id = Some("another".to_owned());
        if let Some(id) = event.headers.get_mut("x-amocrm-requestid") {
            *id = HeaderValue::from_static("another");
        }
        event
    }
}

fn samples(provider: Provider) -> Vec<Sample> {
    let folder = workspace("events").join(provider.name);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut samples: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            let event = serde_json::from_str(&fs::read_to_string(&path).unwrap());
            let event = event.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            Sample {
                name: path.file_stem().unwrap().to_string_lossy().into_owned(),
                event,
            }
        })
        .collect();
    samples.sort_by(|a, b| a.name.cmp(&b.name));
    samples
}

/// A verdict in the words of the samples' names.
fn words(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Stored {
            events: 1,
            duplicates: 0,
        } => "stored".to_owned(),
        Verdict::Stored {
            events,
            duplicates: 0,
        } => format!("stored.{events}"),
        Verdict::Quarantined { reason, .. } => format!("quarantined.{}", reason.code),
        other => other.word().to_owned(),
    }
}

#[tokio::test]
async fn every_sample_ends_as_its_name_says_and_is_stored_as_the_golden_file_says() {
    for provider in providers::ALL {
        let mut golden = BTreeMap::new();
        for sample in samples(provider) {
            let name = format!("{}/{}", provider.name, sample.name);
            let (verdicts, stored) = deliver(provider, slice::from_ref(&sample.event)).await;
            assert_eq!(words(&verdicts[0]), sample.expected(), "{name}");
            let status = if sample.expected() == "unauthorized" {
                401
            } else {
                200
            };
            assert_eq!(verdicts[0].response().status_code, status, "{name}");
            for bytes in bytes(&stored) {
                assert_eq!(bytes, sample.body(), "{name}: not the bytes that were sent");
            }
            golden.insert(sample.name, stored.iter().map(snapshot).collect());
        }
        compare(provider, &golden);
    }
}

#[tokio::test]
async fn a_repeated_event_is_stored_again_only_if_it_has_no_time_of_its_own() {
    for provider in providers::ALL {
        for sample in samples(provider) {
            let name = format!("{}/{}", provider.name, sample.name);
            // The same request twice is one delivery.
            let (_, stored) =
                deliver(provider, &[sample.event.clone(), sample.event.clone()]).await;
            let (verdicts, both) = deliver(provider, &[sample.event.clone(), sample.again()]).await;
            let folding = stored.iter().filter(|stored| folds(&stored.record)).count();
            // Events with a time or without one share the same body.
            let bodies = stored
                .iter()
                .filter(|stored| matches!(stored.record, Record::Body { .. }))
                .count();
            let once = folding + bodies;
            assert_eq!(
                both.len(),
                once + 2 * (stored.len() - once),
                "{name}: {both:#?}"
            );
            if let Verdict::Stored { duplicates, .. } = verdicts[1] {
                assert_eq!(duplicates, folding, "{name}");
            }
        }
    }
}

/// Whether a record is an event that carries its own time.
fn folds(record: &Record) -> bool {
    matches!(record, Record::Event { event, .. } if event.timeproblem.is_none())
}

/// A record without its bytes, but with their location.
fn snapshot(stored: &Stored) -> Value {
    let mut snapshot = match &stored.record {
        Record::Event { event, body, .. } => {
            let mut snapshot = serde_json::to_value(event).unwrap();
            snapshot.as_object_mut().unwrap().remove("data");
            snapshot["bytes"] = match body {
                Body::Data => "data",
                Body::Here(_) => "here",
                Body::Shared(_) => "shared",
            }
            .into();
            snapshot
        }
        Record::Body { .. } => json!({ "bytes": "here" }),
        Record::Quarantined { reason, body, .. } => json!({
            "bytes": if matches!(body, Body::Here(_)) { "here" } else { "shared" },
            "reason": reason.code,
            "message": reason.message,
        }),
    };
    snapshot["pk"] = stored.pk.clone().into();
    snapshot["sk"] = stored.sk.clone().into();
    // The features of a build determine whether a map keeps the order of its keys.
    snapshot.sort_all_objects();
    snapshot
}

fn compare(provider: Provider, stored: &BTreeMap<String, Vec<Value>>) {
    let path = workspace(format!("tests/golden/{}.json", provider.name));
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, serde_json::to_string_pretty(stored).unwrap() + "\n").unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let golden: BTreeMap<String, Vec<Value>> = serde_json::from_str(&golden).unwrap_or_default();
    let names = golden
        .keys()
        .chain(stored.keys().filter(|name| !golden.contains_key(*name)));
    for name in names {
        assert_eq!(
            stored.get(name),
            golden.get(name),
            "{}/{name} is not what {} says",
            provider.name,
            path.display()
        );
    }
}

/// `cli/build.rs` as a program. Cargo compiles it once and may reuse it after the clone is copied
/// or moved.
fn build_script(folder: &Path) -> Command {
    let source = workspace("cli/build.rs");
    let program = folder.join("build-script");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut compile = Command::new(rustc);
    compile
        .args(["--edition", "2024", "-o"])
        .arg(&program)
        .arg(&source);
    let compiled = compile
        .env("CARGO_MANIFEST_DIR", workspace("cli"))
        .output()
        .unwrap();
    assert!(
        compiled.status.success(),
        "{}",
        String::from_utf8_lossy(&compiled.stderr)
    );
    let mut run = Command::new(program);
    run.env("OUT_DIR", folder);
    run
}

#[test]
fn a_copied_clone_embeds_its_own_samples() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy/cli");
    let samples = folder.path().join("copy/events/pipedrive");
    fs::create_dir_all(&copy).unwrap();
    fs::create_dir_all(&samples).unwrap();
    fs::write(samples.join("of_the_copy.stored.json"), "{}").unwrap();
    let mut script = build_script(folder.path());
    let output = script.env("CARGO_MANIFEST_DIR", &copy).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let embedded = fs::read_to_string(folder.path().join("samples.rs")).unwrap();
    let names: Vec<&str> = embedded
        .lines()
        .filter_map(|line| line.split('"').nth(3))
        .collect();
    assert_eq!(names, ["of_the_copy.stored"], "{embedded}");
}

#[test]
fn a_build_without_samples_names_the_folder_that_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty/cli");
    let output = build_script(folder.path())
        .env("CARGO_MANIFEST_DIR", &empty)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains(&*empty.join("../events").to_string_lossy()),
        "{said}"
    );
}
