//! Sends every sample of `events/` through the request path: it must get the verdict in its file
//! name (`events/README.md`), and the stored records must equal `tests/golden/<provider>.json`.
//!
//! After an intended change, `UPDATE_GOLDEN=1 cargo test` overwrites the golden files. Read their
//! diff: an event whose `id` changed will be stored twice.

use ingest::Verdict;
use lambda_http::{aws_lambda_events::apigw::ApiGatewayV2httpRequest, http::HeaderValue};
use models::{Body, Record};
use providers::Provider;
use serde_json::{Value, json};
use std::{collections::BTreeMap, env, fs, path::Path, process::Command, slice};
use storage::Stored;
use testkit::{
    deployment::deliver,
    exact::exact_bytes,
    samples::{Sample, samples},
    workspace,
};

/// The same delivery, sent again five minutes later.
fn sent_again(sample: &Sample) -> ApiGatewayV2httpRequest {
    let mut event = sample.event.clone();
    event.request_context.time_epoch += 300_000;
    event.request_context.request_id = Some("another".to_owned());
    if let Some(id) = event.headers.get_mut("x-amocrm-requestid") {
        *id = HeaderValue::from_static("another");
    }
    event
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
        for sample in samples(&provider) {
            let name = format!("{}/{}", provider.name, sample.name);
            let (verdicts, stored) = deliver(provider, slice::from_ref(&sample.event)).await;
            assert_eq!(words(&verdicts[0]), sample.expected(), "{name}");
            let status = if sample.expected() == "unauthorized" {
                401
            } else {
                200
            };
            assert_eq!(verdicts[0].response().status_code, status, "{name}");
            let records: Vec<_> = stored.iter().map(|stored| stored.record.clone()).collect();
            for record in &records {
                let bytes = exact_bytes(record, &records);
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
        for sample in samples(&provider) {
            let name = format!("{}/{}", provider.name, sample.name);
            // The same request twice is one delivery.
            let (_, stored) =
                deliver(provider, &[sample.event.clone(), sample.event.clone()]).await;
            let (verdicts, both) =
                deliver(provider, &[sample.event.clone(), sent_again(&sample)]).await;
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
    snapshot["pk"] = stored.key.pk.clone().into();
    snapshot["sk"] = stored.key.sk.clone().into();
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
