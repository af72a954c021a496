//! `hookkeeper consume` and `hookkeeper consumers`: each event is handed over, and the position is
//! kept.

use crate::process::{Killed, lines_of, wait};
use providers::{CLOSER, PIPEDRIVE};
use serde_json::Value;
use std::{process::Stdio, time::Duration};
use storage::schema::{self, Item};
use testkit::{
    dev::send_signal,
    request::event,
    sink::Sink,
    site::{Site, encoded, records},
};
use tokio::task::block_in_place;

/// A table with the events of the deals 0 to `count - 1`, in this order.
async fn site(count: u32) -> Site {
    let site = Site::start().await;
    for number in 0..count {
        put(
            &site,
            number,
            Duration::from_secs(3_600 - u64::from(number)),
        )
        .await;
    }
    site
}

/// Puts the event of a deal, recorded some time ago.
async fn put(site: &Site, deal: u32, ago: Duration) {
    for item in items(site, deal, ago) {
        site.put_item(item).await;
    }
}

fn items(site: &Site, deal: u32, ago: Duration) -> Vec<Item> {
    let record = &records(&PIPEDRIVE, &event("pipedrive", deal))[0];
    let mut items = encoded(record);
    for item in &mut items {
        schema::stamp(item, site.table.now().before(ago));
    }
    items
}

/// The subjects of events in JSON Lines.
fn subjects(lines: &[u8]) -> Vec<String> {
    let text = String::from_utf8(lines.to_vec()).unwrap();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    events
        .map(|event: Value| event["subject"].as_str().unwrap().to_owned())
        .collect()
}

fn deals(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    let numbers = numbers.into_iter();
    numbers.map(|number| format!("deal/{number}")).collect()
}

/// The only line of `consumers --output json`.
fn listed(site: &Site) -> Value {
    let line = site.run(&["consumers", "--output", "json"]);
    serde_json::from_str(&line).unwrap()
}

const ONCE: [&str; 3] = ["consume", "warehouse", "--once"];

#[tokio::test(flavor = "multi_thread")]
async fn events_are_printed_once_in_the_order_of_recording() {
    let site = site(60).await;
    let first = site.output(&ONCE);
    assert_eq!(first.status.code(), Some(0));
    assert_eq!(subjects(&first.stdout), deals(0..60));
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals(0..0));
    put(&site, 60, Duration::from_secs(5)).await;
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals([60]));
    let consumer = listed(&site);
    assert_eq!(consumer["pending"], 0);
    assert_eq!(consumer["lag_seconds"], 0);
    assert_eq!(consumer["running"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_consumer_begins_where_it_is_told() {
    let site = site(10).await;
    let taken = |name, from: &[&str]| {
        let arguments = [&["consume", name, "--once"], from].concat();
        subjects(&site.output(&arguments).stdout)
    };
    assert_eq!(taken("all", &[]), deals(0..10));
    assert_eq!(taken("new", &["--from", "now"]), deals(0..0));
    assert_eq!(
        taken("late", &["--from", "3594s"]).last(),
        deals([9]).last()
    );
    assert_eq!(taken("future", &["--from", "2099-01-01"]), deals(0..0));
    assert_eq!(taken("some", &["--subject", "deal/7"]), deals([7]));
    assert_eq!(taken("some", &[]), deals(0..0), "the filter is not kept");
    let names = site.run(&["consumers", "--output", "json"]);
    assert_eq!(names.lines().count(), 5);
    let (code, error) = site.fail(&["consume", "Name", "--once"]);
    assert!(code == 2 && error.contains("a-z"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_the_event_on_its_standard_input() {
    let site = site(3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events");
    let command = format!("cat >> {}", file.display());
    let progress = site.run(&[&ONCE[..], &["--exec", &command]].concat());
    assert!(progress.contains("3 events handled"), "{progress}");
    let lines = std::fs::read(&file).unwrap();
    assert_eq!(subjects(&lines), deals(0..3));
    let exported = site.run(&["export", "--since", "1d"]);
    assert_eq!(String::from_utf8(lines).unwrap(), exported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_fails_stops_the_consumer_at_its_event() {
    let site = site(5).await;
    let refuses = "! grep -q deal/2";
    let failing = [&ONCE[..], &["--exec", refuses, "--attempts", "2"]].concat();
    let (code, error) = site.fail(&failing);
    assert_eq!(code, 1);
    assert!(error.contains("ended with exit code 1"), "{error}");
    let handle = error.split("stopped at event ").nth(1).unwrap();
    let handle = handle.split(':').next().unwrap();
    let shown = site.run(&["events", "show", handle, "--output", "json"]);
    assert_eq!(subjects(shown.as_bytes()), deals([2]));
    let consumer = listed(&site);
    assert_eq!(consumer["pending"], 3);
    assert_eq!(
        consumer["stopped"]["reason"],
        "the command ended with exit code 1"
    );
    // Again at the same event, until it is skipped.
    assert_eq!(site.fail(&failing).0, 1);
    assert!(
        site.run(&["consumers", "skip", "warehouse"])
            .contains(handle)
    );
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals([3, 4]));
    assert_eq!(
        listed(&site)["skipped"][0]["position"]["pk"],
        "pipedrive/7#deal/2"
    );
    let (code, error) = site.fail(&["consumers", "skip", "warehouse"]);
    assert!(code == 1 && error.contains("has not stopped"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_unavailable_gets_the_event_again() {
    let site = site(2).await;
    let sink = Sink::answering(&[503, 429, 408, 500, 204]).await;
    let url = sink.url("hook");
    let progress = site.run(&[&ONCE[..], &["--forward-to", &url]].concat());
    assert!(progress.contains("2 events handled"), "{progress}");
    let taken = sink.taken();
    let bodies: Vec<_> = taken.iter().map(|taken| subjects(&taken.body)).collect();
    let expected = [0, 0, 0, 0, 0, 1].map(|number| deals([number]));
    assert_eq!(bodies, expected);
    for taken in &taken {
        assert_eq!(
            taken.headers["content-type"],
            "application/cloudevents+json"
        );
        assert!(taken.headers["hookkeeper-handle"].contains('-'));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_stops_the_consumer() {
    let site = site(3).await;
    let sink = Sink::answering(&[200, 422]).await;
    let url = sink.url("hook?key=secret");
    let (code, error) = site.fail(&[&ONCE[..], &["--forward-to", &url]].concat());
    assert_eq!(code, 1);
    assert!(error.contains("the server answered 422"), "{error}");
    assert!(!error.contains("secret"), "{error}");
    assert_eq!(listed(&site)["pending"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_at_a_time_holds_a_consumer() {
    let site = site(1).await;
    let mut command = site.command(&["consume", "warehouse"]);
    let mut process = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = lines_of(&mut process);
    let next = || block_in_place(|| lines.recv_timeout(Duration::from_secs(30)).unwrap());
    assert_eq!(subjects(next().as_bytes()), deals([0]));
    for arguments in [&ONCE[..], &["consumers", "reset", "warehouse"]] {
        let (code, error) = site.fail(arguments);
        assert_eq!(code, 75, "{error}");
        assert!(
            error.contains("another process holds the consumer"),
            "{error}"
        );
    }
    assert_eq!(listed(&site)["running"], true);
    put(&site, 1, Duration::ZERO).await;
    assert_eq!(subjects(next().as_bytes()), deals([1]));
    send_signal(&process.0, "-INT");
    assert_eq!(wait(&mut process).code(), Some(0));
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals(0..0));
}

/// Interrupts the first delivery to a command, and returns what the next run gets.
async fn after_an_interruption(then: &str) -> Vec<String> {
    let site = site(3).await;
    let folder = tempfile::tempdir().unwrap();
    let begun = folder.path().join("begun");
    let exec = format!("touch {}; sleep 1; {then}", begun.display());
    let arguments = ["consume", "warehouse", "--attempts", "1", "--exec", &exec];
    let mut process = Killed(site.command(&arguments).spawn().unwrap());
    while !begun.exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    send_signal(&process.0, "-INT");
    assert_eq!(wait(&mut process).code(), Some(0));
    subjects(&site.output(&ONCE).stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_interrupted_counts_if_it_ends_well() {
    assert_eq!(after_an_interruption("true").await, deals([1, 2]));
    assert_eq!(after_an_interruption("false").await, deals(0..3));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_since_the_last_commit_come_again_after_a_crash() {
    let site = site(7).await;
    // The fifth command ends the consumer at once, after two batches of two.
    let kill = "grep -q deal/4 && kill -9 $PPID; true";
    let arguments = [
        "consume",
        "warehouse",
        "--once",
        "--batch",
        "2",
        "--exec",
        kill,
    ];
    assert_eq!(site.output(&arguments).status.code(), None);
    let (code, _) = site.fail(&ONCE);
    assert_eq!(code, 75, "the lease of the killed process");
    let left = loop {
        let output = site.output(&ONCE);
        if output.status.success() {
            break subjects(&output.stdout);
        }
        assert_eq!(output.status.code(), Some(75));
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(left, deals(4..7));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_another_version_stops_the_consumer() {
    let site = site(2).await;
    let mut item = items(&site, 2, Duration::from_mins(1)).remove(0);
    let version = aws_sdk_dynamodb::types::AttributeValue::N("2".to_owned());
    item.insert("v".to_owned(), version);
    site.put_item(item).await;
    put(&site, 3, Duration::from_secs(30)).await;
    for expected in [deals(0..2), deals(0..0)] {
        let output = site.output(&ONCE);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(subjects(&output.stdout), expected);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("another version of Hookkeeper"), "{error}");
        assert!(error.contains("pipedrive/7#deal/2"), "{error}");
    }
    let skipped = site.run(&["consumers", "skip", "warehouse"]);
    assert!(skipped.contains("skips"), "{skipped}");
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals([3]));
    assert_eq!(listed(&site)["skipped"][0]["reason"], "other_version");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_written_behind_the_position_is_reported_and_delivered() {
    let site = site(3).await;
    put(&site, 3, Duration::from_secs(5)).await;
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals(0..4));
    assert_eq!(listed(&site)["behind"], 0);
    put(&site, 4, Duration::from_mins(10)).await;
    assert_eq!(listed(&site)["behind"], 1);
    let again = subjects(&site.output(&ONCE).stdout);
    assert!(again.contains(&"deal/4".to_owned()), "{again:?}");
    assert_eq!(listed(&site)["behind"], 1);
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals(0..0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_can_be_moved_and_deleted() {
    let site = site(4).await;
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals(0..4));
    let moved = site.run(&["consumers", "reset", "warehouse", "--from", "3598s"]);
    assert!(moved.contains("continues at"), "{moved}");
    let again = subjects(&site.output(&ONCE).stdout);
    assert!(
        again.len() < 4 && again.last() == deals([3]).last(),
        "{again:?}"
    );
    let moved = site.run(&["consumers", "reset", "warehouse"]);
    assert!(moved.contains("continues at"), "{moved}");
    assert_eq!(subjects(&site.output(&ONCE).stdout), deals(0..4));
    let deleted = site.run(&["consumers", "delete", "warehouse", "--output", "json"]);
    assert_eq!(deleted.trim(), r#"{"deleted":"warehouse"}"#);
    assert_eq!(site.run(&["consumers", "--output", "json"]), "");
    for command in ["skip", "reset", "delete"] {
        let (code, error) = site.fail(&["consumers", command, "warehouse"]);
        assert!(
            code == 1 && error.contains("there is no consumer warehouse"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_event_is_handed_over_whole() {
    let site = Site::start().await;
    let long = testkit::noise_text(900_000);
    let body = event("closer", 1).replacen('{', &format!(r#"{{"long":"{long}","#), 1);
    site.put(&records(&CLOSER, &body), None).await;
    let output = site.output(&[&ONCE[..], &["--delay", "0s"]].concat());
    let taken: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(taken["data"]["long"], long);
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_json_on_request() {
    let site = site(30).await;
    let json = ["--exec", "cat > /dev/null", "--output", "json"];
    let lines = site.run(&[&ONCE[..], &json].concat());
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    assert_eq!(last["handled"], 30);
    let (code, error) = site.fail(&[&ONCE[..], &["--output", "json"]].concat());
    assert!(code == 2 && error.contains("JSON already"), "{error}");
}
