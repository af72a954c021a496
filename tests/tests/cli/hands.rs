//! The command in the hands of people and scripts: secrets, JSON, and arguments that make no sense.

use providers::{AMOCRM, CLOSER, PIPEDRIVE};
use serde_json::Value;
use std::{
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdout, Output, Stdio},
    time::Duration,
};
use testkit::{
    dev::{hookkeeper, send_signal},
    request::{basic, event},
    sink::Sink,
    site::{Site, records},
};
use tokio::task::block_in_place;

/// The lines of an output, as JSON.
fn lines(output: &str) -> Vec<Value> {
    let lines = output.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Runs the command with a text as its standard input.
fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut command = hookkeeper(arguments);
    command.env_remove("HOOKKEEPER_USER");
    command.env_remove("HOOKKEEPER_KEY");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    process.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_event_has_a_handle_and_its_origin_and_an_exported_one_has_not() {
    let site = Site::start().await;
    let body = event("pipedrive", 43);
    site.put(&records(&PIPEDRIVE, &body), None).await;
    let own = ["handle", "recordedtime", "arrival", "requestid"];
    let listed = lines(&site.run(&["events", "--output", "json"])).remove(0);
    for name in own {
        assert!(listed[name].is_string(), "{name}: {listed}");
    }
    let handle = listed["handle"].as_str().unwrap();
    for arguments in [
        &["events", "show", handle, "--output", "json"][..],
        &["events", "history", "deal/43", "--output", "json"],
    ] {
        assert_eq!(lines(&site.run(arguments)).remove(0), listed);
    }
    for arguments in [&["export"][..], &["export", "--output", "json"]] {
        let exported = lines(&site.run(arguments)).remove(0);
        for (name, value) in exported.as_object().unwrap() {
            assert_eq!(&listed[name], value);
        }
        assert!(own.iter().all(|name| exported.get(name).is_none()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_that_prints_results_prints_json() {
    let site = Site::start().await;
    site.put(&records(&CLOSER, "no JSON"), None).await;
    site.put(&records(&AMOCRM, &event("amocrm", 1)), None).await;
    let since = ["--since", "2026-11-01", "--output", "json"];
    let run = |arguments: &[&str]| lines(&site.run(&[arguments, &since[..]].concat()));
    let listed = run(&["quarantine"]).remove(0);
    let handle = listed["handle"].as_str().unwrap().to_owned();
    let shown = &lines(&site.run(&["quarantine", "show", &handle, "--output", "json"]))[0];
    assert_eq!(shown["body"], "no JSON");
    assert_eq!(shown["handle"], listed["handle"]);
    let replayed = &run(&["quarantine", "replay", "--dry-run"])[0];
    assert_eq!(replayed["action"], "stays");
    assert_eq!(replayed["handle"], listed["handle"]);
    let counts = &run(&["replay", "--dry-run"])[0];
    assert_eq!(counts["read"], 1);
    let drop = ["quarantine", "drop", &handle, "--output", "json"];
    let (code, error) = site.fail(&drop);
    assert!(code == 2 && error.contains("--yes"), "{error}");
    let dropped = &lines(&site.run(&[&drop[..], &["--yes"]].concat()))[0];
    assert_eq!(dropped["action"], "dropped");
}

#[test]
fn a_time_range_that_selects_nothing_is_a_usage_error() {
    for (range, sentence) in [
        (
            ["--since", "1h", "--until", "2h"],
            "--since is later than --until",
        ),
        (
            ["--since", "2026-11-01", "--until", "2026-11-01"],
            "the time span is empty",
        ),
        (["--since", "2099-01-01", "--limit", "1"], "in the future"),
        (["--since", "1h", "--limit", "0"], "1 or more"),
    ] {
        for command in ["events", "quarantine"] {
            let arguments = [&[command, "--local=1"][..], &range].concat();
            let output = hookkeeper(&arguments).output().unwrap();
            let error = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
            assert!(error.contains(sentence), "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_read_from_standard_input() {
    let sink = Sink::start(200, Duration::ZERO).await;
    let url = format!("http://127.0.0.1:{}/", sink.port());
    let send = |provider, what, option| {
        let arguments = ["send", provider, what, "--url", &url, option, "-"];
        let output = block_in_place(|| with_input(&arguments, "user:pass:wörd\n"));
        assert!(output.status.success(), "{output:?}");
    };
    send("pipedrive", "deal.updated", "--user");
    send("closer", "created", "--key");
    let taken = sink.taken();
    assert_eq!(taken[0].headers["authorization"], basic("user:pass:wörd"));
    assert_eq!(taken[1].uri, "/?key=user%3Apass%3Aw%C3%B6rd");
    let arguments = ["send", "closer", "created", "--url", &url, "--key", "-"];
    let output = with_input(&arguments, "");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no key was entered"));
}

#[test]
fn a_credential_is_not_sent_without_tls_to_another_machine() {
    let url = "http://hooks.invalid/closer?x=secret";
    let send = ["send", "closer", "created", "--url", url, "--key", "-"];
    let output = with_input(&send, "the key\n");
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(
        error.contains("unencrypted: use https://") && !error.contains("secret"),
        "{error}"
    );
}

#[test]
fn a_key_or_password_in_a_url_is_not_sent_without_tls_and_not_printed() {
    for (url, sentence) in [
        ("http://hooks.invalid/closer?a=b&key=secret", "use https://"),
        (
            "https://user:secret@hooks.invalid/closer",
            "HOOKKEEPER_USER",
        ),
    ] {
        let output = with_input(&["send", "closer", "created", "--url", url], "");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(
            error.contains(sentence) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn a_time_range_with_an_end_only_begins_before_it() {
    for command in ["events", "quarantine"] {
        let arguments = [command, "--local=1", "--until", "2026-11-01"];
        let output = hookkeeper(&arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
}

/// A running `hookkeeper dev` with its log for people. Killed when it is dropped.
struct Dev {
    process: Child,
    log: Lines<BufReader<ChildStdout>>,
    port: String,
    greeting: String,
}

impl Dev {
    fn start() -> Self {
        let ports = ["--port", "0", "--dynamodb-port", "0", "--data", "memory"];
        let mut command = hookkeeper(&[&["dev"][..], &ports].concat());
        command
            .env_remove("HOOKKEEPER_DEV_USER")
            .env_remove("CARGO");
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut greeting = String::new();
        while !greeting.contains("Press Ctrl-C") {
            greeting += &(log.next().unwrap().unwrap() + "\n");
        }
        log.next().unwrap().unwrap();
        let (_, rest) = greeting.split_once("closer     http://127.0.0.1:").unwrap();
        let port = rest.split('/').next().unwrap().to_owned();
        Self {
            process,
            log,
            port,
            greeting,
        }
    }

    /// Sends a body, and returns the words of the line that is logged.
    fn send(&mut self, provider: &str, body: &str) -> Vec<String> {
        let local = format!("--local={}", self.port);
        with_input(&["send", provider, "--file", "-", &local], body);
        let line = self.log.next().unwrap().unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[test]
fn the_local_server_logs_a_readable_line_for_each_delivery() {
    let mut dev = Dev::start();
    let example = AMOCRM.samples.example;
    let first = dev.send("amocrm", example);
    let [
        time,
        status,
        verdict,
        milliseconds,
        unit,
        provider,
        kind,
        subject,
        handle,
    ] = &first[..]
    else {
        panic!("{first:?}")
    };
    assert!(time.ends_with('Z') && unit == "ms", "{first:?}");
    assert!(milliseconds.parse::<u32>().is_ok(), "{first:?}");
    assert_eq!([status, verdict, provider], ["200", "stored", "amocrm"]);
    assert_eq!([kind, subject], ["lead.status_changed", "lead/42"]);
    // A second paste of the printed example is the same event.
    let second = dev.send("amocrm", example);
    assert_eq!([&second[2], &second[8]], ["duplicate", handle]);
    let quarantined = dev.send("closer", "no JSON");
    assert_eq!(
        [&quarantined[2], &quarantined[6]],
        ["quarantined", "not_json"]
    );
    send_signal(&dev.process, "-INT");
    assert_eq!(dev.process.wait().unwrap().code(), Some(0));
}

#[test]
fn hints_name_the_command_as_it_was_called() {
    let dev = Dev::start();
    assert!(
        dev.greeting.contains("\n  hookkeeper send "),
        "{}",
        dev.greeting
    );
    assert!(!dev.greeting.contains("cargo"), "{}", dev.greeting);
    for (by_cargo, expected) in [
        (true, "Example: cargo hookkeeper events --local"),
        (false, "Example: hookkeeper events --local"),
    ] {
        let mut command = hookkeeper(&["events", "--help"]);
        if by_cargo {
            command.env("CARGO", "cargo");
        } else {
            command.env_remove("CARGO");
        }
        let help = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert!(help.contains(expected), "{help}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_usage_error_shows_the_usage_of_its_subcommand() {
    let site = Site::start().await;
    for (arguments, usage) in [
        (&["erase", "--yes"][..], "hookkeeper erase [OPTIONS]"),
        (
            &["quarantine", "replay", "--since", "1h", "--until", "2h"],
            "hookkeeper quarantine replay [OPTIONS]",
        ),
    ] {
        let (code, error) = site.fail(arguments);
        assert!(
            code == 2 && error.contains(&format!("Usage: {usage}")),
            "{error}"
        );
    }
}
