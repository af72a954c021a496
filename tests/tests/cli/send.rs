//! Runs `hookkeeper send` as a process: the requests that it sends, to `hookkeeper dev` and to a
//! server that records them, and its output.

mod kept;
mod said;
mod shape;
mod wire;

use models::{Delivery, Event, Timestamp};
use providers::Provider;
use serde_json::Value;
use std::{process::Output, time::Duration};
use testkit::{
    dev::hookkeeper,
    provider as provider_of,
    samples::{Sample, samples},
    sink::{Sink, Taken},
};

fn send(arguments: &[&str]) -> Output {
    hookkeeper(&["send"])
        .args(arguments)
        .env_remove("HOOKKEEPER_USER")
        .env_remove("HOOKKEEPER_DEV_USER")
        .env_remove("HOOKKEEPER_KEY")
        .output()
        .unwrap()
}

/// The JSON output of a successful command.
fn sent(arguments: &[&str]) -> Vec<Value> {
    let output = send(&[arguments, &["--output", "json"]].concat());
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A server that responds 200 to every request.
async fn sink() -> Sink {
    Sink::start(200, Duration::ZERO).await
}

/// The requests of a command that a server recorded.
fn over_the_wire(sink: &Sink, arguments: &[&str]) -> Vec<Taken> {
    sent(&[arguments, &["--url", &sink.url(arguments[0])]].concat());
    sink.taken()
}

/// The samples of a provider that can be sent: their names without the verdict, their verdicts, and
/// the samples.
fn sendable(provider: &Provider) -> Vec<(String, String, Sample)> {
    let mut sendable = Vec::new();
    for sample in samples(provider) {
        let (name, verdict) = sample.name.split_once('.').unwrap();
        let (name, verdict) = (name.to_owned(), verdict.to_owned());
        let is_sent = verdict.starts_with("stored") || verdict.starts_with("quarantined");
        // No sender can make API Gateway mark a body as base64 that it did not encode.
        if is_sent && verdict != "quarantined.not_base64" {
            sendable.push((name, verdict, sample));
        }
    }
    sendable.sort_by(|a, b| a.0.cmp(&b.0));
    sendable
}

/// The events that a provider's parser returns for a body.
fn read(provider: &str, body: &[u8]) -> Vec<Event> {
    let arrival = Timestamp::parse("2030-01-01T00:00:00Z").unwrap();
    let delivery = Delivery::new(body.to_vec(), arrival, "r");
    let items = (provider_of(provider).parse)(&delivery).unwrap();
    items.into_iter().map(Result::unwrap).collect()
}

fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<_> = items.into_iter().collect();
    items.sort();
    items
}
