//! No text of a sender controls the terminal. A marker is put in every place where a sender can
//! put text, and goes through every command that prints such text.

use super::handles;
use crate::process::{Killed, PATIENCE, lines_of};
use models::{Delivery, Event, ParseError, Record, Timestamp};
use providers::PIPEDRIVE;
use serde_json::json;
use std::{fs, process::Stdio, time::Duration};
use testkit::{
    dev::hookkeeper,
    sink::Sink,
    site::{ARRIVAL, Site, altered},
};
use tokio::task::block_in_place;

/// Starts a new line and moves to a column, if it is printed unchanged.
const FORGED_LINE: &str = "\n\tFORGED";
/// An escape sequence in both forms, a carriage return, a line separator, bidirectional and invisible characters.
const MARKER: &str = "\u{1b}[5m\u{9b}5m\r\u{2028}\u{202e}\u{2066}\u{200b}\u{2060}\u{feff}";
/// The escape sequences that the command writes itself: bold, red, green, and reset.
const STYLES: [&str; 4] = ["\u{1b}[1m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[0m"];
/// The days around the arrival.
const SPAN: [&str; 4] = ["--since", "2026-11-20", "--until", "2026-11-23"];

fn marked(text: &str) -> String {
    format!("{text}{FORGED_LINE}{MARKER}")
}

/// A Pipedrive webhook with the marker in each value that an attribute of the event is made of.
fn body() -> String {
    let meta = json!({
        "version": marked("2.0"),
        "action": marked("create"),
        "entity": marked("deal"),
        "entity_id": marked("1"),
        "company_id": marked("7"),
        "id": marked("id"),
        "timestamp": "2026-11-21T10:00:00.000Z",
    });
    json!({ "meta": meta, "data": { marked("name"): marked("value") } }).to_string()
}

fn delivery(body: &str) -> Delivery {
    let arrival = Timestamp::parse(ARRIVAL).unwrap();
    let mut delivery = Delivery::new(body.into(), arrival, &marked("request"));
    delivery.origin.content_type = Some(marked("application/json"));
    delivery.origin.credential = Some(marked("label"));
    delivery.origin.gateway_id = Some(marked("gateway"));
    delivery
}

/// The event, as this version parses it.
fn record() -> Record {
    let delivery = delivery(&body());
    let records = Record::from_delivery(PIPEDRIVE.name, &delivery, (PIPEDRIVE.parse)(&delivery));
    records.into_iter().next().unwrap()
}

fn event() -> Event {
    let Record::Event { event, .. } = record() else {
        panic!("it is an event")
    };
    event
}

fn quarantined(body: &str) -> Record {
    let records = Record::from_delivery(PIPEDRIVE.name, &delivery(body), Err(ParseError::Panicked));
    records.into_iter().next().unwrap()
}

/// Asserts that an output has no character that a terminal does not print as text.
fn assert_text(arguments: &[&str], output: &[u8]) {
    let mut text = String::from_utf8(output.to_vec()).unwrap();
    for style in STYLES {
        text = text.replace(style, "");
    }
    let is_forbidden = |char: &char| {
        (char.is_control() && !matches!(char, '\n' | '\t'))
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    assert_eq!(
        text.chars().find(is_forbidden),
        None,
        "{arguments:?} printed {text:?}"
    );
    for forged in ["\n\t", "\tFORGED"] {
        assert!(
            !text.contains(forged),
            "{arguments:?} printed a line of the sender's: {text:?}"
        );
    }
}

/// Runs a command as on a terminal, and checks its output. The exit code does not matter.
fn check(site: &Site, arguments: &[&str]) {
    let mut command = site.command(arguments);
    let output = block_in_place(|| command.env("CLICOLOR_FORCE", "1").output().unwrap());
    assert!(
        !output.stdout.is_empty() || !output.stderr.is_empty(),
        "{arguments:?} prints nothing"
    );
    assert_text(arguments, &output.stdout);
    assert_text(arguments, &output.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_list_or_error_prints_a_control_character_of_a_sender() {
    let site = Site::start().await;
    site.put(
        &[
            record(),
            quarantined(&body()),
            quarantined(&format!("no JSON {MARKER}")),
        ],
        None,
    )
    .await;
    let event = handles(&site.run(&["events"])).remove(0);
    let deliveries = handles(&site.run(&[&["quarantine"], &SPAN[..]].concat()));
    let subject = self::event().subject;
    check(&site, &["events"]);
    check(&site, &["events", "--limit", "1"]);
    check(&site, &["events", "--output", "json"]);
    check(&site, &["events", "show", &event]);
    check(&site, &["events", "show", &event, "--output", "json"]);
    check(&site, &["events", "history", &subject]);
    check(&site, &["events", "history", &subject, "--output", "json"]);
    check(
        &site,
        &[
            "events",
            "history",
            &subject,
            "--source",
            &marked("pipedrive/8"),
        ],
    );
    check(&site, &["events", "history", "deal/none"]);
    check(&site, &["export"]);
    check(&site, &[&["quarantine"], &SPAN[..]].concat());
    check(
        &site,
        &[&["quarantine", "--output", "json"], &SPAN[..]].concat(),
    );
    for delivery in &deliveries {
        check(&site, &["quarantine", "show", delivery]);
        check(&site, &["quarantine", "show", delivery, "--hex"]);
        check(&site, &["quarantine", "drop", delivery]);
    }
    check(
        &site,
        &[&["quarantine", "replay", "--dry-run"], &SPAN[..]].concat(),
    );
    check(
        &site,
        &[
            "quarantine",
            "drop",
            &deliveries[0],
            &deliveries[1],
            "--yes",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_replay_prints_a_control_character_of_a_sender() {
    let alterations: [fn(&mut Event); 4] = [
        |event| event.r#type = "changed".to_owned(),
        |event| event.subject = marked("moved/1"),
        |event| event.source = marked("unknown"),
        |event| event.id = models::EventId::from_stored(marked("")),
    ];
    for alter in alterations {
        let site = Site::start().await;
        site.put(&[altered(&record(), alter)], None).await;
        check(&site, &["events"]);
        check(&site, &["replay", "--dry-run"]);
        check(&site, &["replay"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_follower_prints_a_control_character_of_a_sender() {
    let site = Site::start().await;
    for output in ["table", "json"] {
        let arguments = ["events", "follow", "--output", output];
        let mut command = site.command(&arguments);
        let command = command.env("CLICOLOR_FORCE", "1").stdout(Stdio::piped());
        let mut process = Killed(command.spawn().unwrap());
        let lines = lines_of(&mut process);
        let mut printed = String::new();
        for number in 0.. {
            // An event that is there when the follower starts is not printed.
            let record = altered(&record(), |event| {
                event.subject = format!("{output}{number}{}", event.subject);
            });
            site.put(&[record], None).await;
            let wait = if number < 60 {
                Duration::from_secs(1)
            } else {
                PATIENCE
            };
            printed.extend(block_in_place(|| lines.recv_timeout(wait)).map(|line| line + "\n"));
            if printed.contains(output) {
                break;
            }
        }
        assert_text(&arguments, printed.as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_report_of_what_was_sent_prints_a_control_character_of_a_sender() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    fs::write(&file, body()).unwrap();
    for status in [200, 500] {
        let sink = Sink::start(status, Duration::ZERO).await;
        for output in ["table", "json"] {
            let url = sink.url("pipedrive");
            let arguments = [
                "send",
                "pipedrive",
                "--file",
                file.to_str().unwrap(),
                "--url",
                &url,
                "--output",
                output,
            ];
            let mut command = hookkeeper(&arguments);
            let printed = block_in_place(|| command.env("CLICOLOR_FORCE", "1").output().unwrap());
            assert!(!printed.stdout.is_empty());
            assert_text(&arguments, &printed.stdout);
            assert_text(&arguments, &printed.stderr);
        }
    }
}
