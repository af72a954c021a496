//! `hookkeeper mcp`: an assistant reads what the commands print, and can do nothing else.

use crate::process::{Killed, PATIENCE, lines_of, wait};
use providers::{CLOSER, PIPEDRIVE};
use serde_json::{Value, json};
use std::{
    io::Write,
    process::{ChildStdin, Stdio},
    sync::mpsc::Receiver,
};
use testkit::{
    request::event,
    site::{Site, records},
};
use tokio::task::block_in_place;

/// A client of the protocol version 2025-11-25. It writes its messages itself.
struct Assistant {
    process: Killed,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Number of requests so far.
    requests: u64,
    /// What the server said of itself.
    server: Value,
}

impl Assistant {
    fn start(site: &Site) -> Self {
        let mut command = site.command(&["mcp"]);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Killed(piped.spawn().unwrap());
        let mut assistant = Self {
            stdin: process.0.stdin.take(),
            lines: lines_of(&mut process),
            process,
            requests: 0,
            server: Value::Null,
        };
        let client = json!({ "name": "test", "version": "1" });
        let hello =
            json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
        assistant.server = assistant.ask("initialize", &hello)["result"].take();
        assistant.say(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        assistant
    }

    fn say(&mut self, message: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{message}").unwrap();
    }

    /// The response to a request. Every line of standard output is one.
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.requests += 1;
        let id = self.requests;
        self.say(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        let line = block_in_place(|| self.lines.recv_timeout(PATIENCE).unwrap());
        let response: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(response["id"], id, "{response}");
        response
    }

    fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        self.ask(
            "tools/call",
            &json!({ "name": tool, "arguments": arguments }),
        )
    }

    /// The texts of a result, and whether it is an error.
    fn result(&mut self, tool: &str, arguments: &Value) -> (Vec<String>, bool) {
        let response = self.call(tool, arguments);
        let result = &response["result"];
        let content = result["content"].as_array().unwrap().iter();
        let texts = content.map(|block| block["text"].as_str().unwrap().to_owned());
        (texts.collect(), result["isError"].as_bool().unwrap())
    }

    /// The only text of a result that is not an error.
    fn text(&mut self, tool: &str, arguments: &Value) -> String {
        let (mut texts, is_error) = self.result(tool, arguments);
        assert!(!is_error && texts.len() == 1, "{texts:?}");
        texts.remove(0)
    }
}

/// A site with a deal and a delivery that could not be parsed.
async fn site() -> Site {
    let site = Site::start().await;
    let deal = records(&PIPEDRIVE, &event("pipedrive", 42));
    let unreadable = records(&CLOSER, "unreadable");
    for records in [deal, unreadable] {
        site.put(&records, None).await;
    }
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_what_the_command_prints() {
    let site = site().await;
    let mut assistant = Assistant::start(&site);
    assert_eq!(assistant.server["serverInfo"]["name"], "hookkeeper");

    let events = assistant.text("events", &json!({ "subject": "deal", "limit": 5 }));
    assert_eq!(events, site.run(&["events", "--output", "json"]));
    let event: Value = serde_json::from_str(&events).unwrap();
    let handle = event["handle"].as_str().unwrap();
    let shown = assistant.text("events_show", &json!({ "handle": handle }));
    assert_eq!(shown, events);
    let history = json!({ "subject": "deal/42", "source": "pipedrive/7", "diff": true });
    let history = assistant.text("events_history", &history);
    let command = ["events", "history", "deal/42", "--diff", "--output", "json"];
    assert_eq!(history, site.run(&command));

    let nothing = assistant.text("events", &json!({ "subject": "person" }));
    assert!(
        nothing.starts_with("No matching events since "),
        "{nothing}"
    );

    let since = json!({ "provider": "closer", "since": "2026-11-20" });
    let listed = assistant.text("quarantine", &since);
    let delivery: Value = serde_json::from_str(&listed).unwrap();
    let shown = json!({ "handle": delivery["handle"] });
    let shown = assistant.text("quarantine_show", &shown);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["body"], "unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_checks_of_the_doctor_are_a_result() {
    let site = site().await;
    let mut assistant = Assistant::start(&site);
    let (texts, is_error) = assistant.result("doctor", &json!({}));
    assert!(!is_error, "{texts:?}");
    let mut findings = texts[0].lines().map(serde_json::from_str::<Value>);
    let table = findings.find_map(|finding| finding.ok().filter(|it| it["check"] == "table"));
    assert_eq!(table.unwrap()["verdict"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tool_only_reads() {
    let site = site().await;
    let before = site.stored().await.len();
    let mut assistant = Assistant::start(&site);
    let tools = assistant.ask("tools/list", &json!({}));
    let tools = tools["result"]["tools"].as_array().unwrap();
    let names: Vec<_> = tools.iter().map(|tool| tool["name"].clone()).collect();
    let expected = [
        "events",
        "events_show",
        "events_history",
        "quarantine",
        "quarantine_show",
        "doctor",
    ];
    assert_eq!(names, expected);
    for tool in tools {
        assert_eq!(tool["annotations"]["readOnlyHint"], true, "{tool}");
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{tool}");
    }
    for refused in ["erase", "quarantine_drop", "quarantine drop", "--help", ""] {
        let response = assistant.call(refused, &json!({}));
        assert_eq!(
            response["error"]["message"],
            format!("there is no tool {refused}")
        );
    }
    let option = assistant.result(
        "events_history",
        &json!({ "subject": "--help", "source": "pipedrive/7" }),
    );
    assert!(option.0[0].contains("no events of --help"), "{option:?}");
    assert_eq!(site.stored().await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_an_error_that_says_what_to_do() {
    let site = site().await;
    let mut assistant = Assistant::start(&site);
    for (tool, arguments, message) in [
        ("events", json!({ "limit": 0 }), "1 or more"),
        (
            "events",
            json!({ "provider": "x" }),
            "expected one of pipedrive",
        ),
        ("events_show", json!({}), "<HANDLE>"),
        (
            "events_show",
            json!({ "handle": "tcxk8q-4ad6a8" }),
            "tcxk8q-4ad6a8",
        ),
    ] {
        let (texts, is_error) = assistant.result(tool, &arguments);
        assert!(is_error && texts.len() == 1, "{texts:?}");
        assert!(texts[0].contains(message), "{texts:?}");
    }
    let unknown = assistant.call("events", &json!({ "table": "another" }));
    let message = &unknown["error"]["message"];
    assert_eq!(message, "events has no argument table");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_goes_on_says_so() {
    let site = Site::start().await;
    for deal in 1..=3 {
        let records = records(&PIPEDRIVE, &event("pipedrive", deal));
        site.put(&records, None).await;
    }
    let mut assistant = Assistant::start(&site);
    let (texts, _) = assistant.result("events", &json!({ "limit": 2 }));
    assert_eq!(texts[0].lines().count(), 2);
    let note = "Only the newest 2 are listed: use --limit for more.\n";
    assert_eq!(texts[1], note);
    let (texts, _) = assistant.result("events", &json!({ "limit": 4 }));
    assert_eq!(texts.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_result_is_cut_after_an_event_and_says_so() {
    let site = Site::start().await;
    for deal in 1..=4 {
        let long = event("pipedrive", deal).replace(
            "{\"id\"",
            &format!("{{\"x\":\"{}\",\"id\"", "é".repeat(40_000)),
        );
        site.put(&records(&PIPEDRIVE, &long), None).await;
    }
    let mut assistant = Assistant::start(&site);
    let (texts, is_error) = assistant.result("events", &json!({}));
    assert!(!is_error && texts.len() == 2, "{} texts", texts.len());
    assert!(texts[1].contains("left out"), "{}", texts[1]);
    let lines = texts[0].lines().map(serde_json::from_str::<Value>);
    let subjects: Vec<_> = lines
        .map(|event| event.unwrap()["subject"].clone())
        .collect();
    assert_eq!(subjects, ["deal/4", "deal/3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_with_its_input() {
    let site = Site::start().await;
    let mut assistant = Assistant::start(&site);
    assistant.stdin = None;
    assert!(wait(&mut assistant.process).success());

    let output = site.output(&["mcp"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("an assistant starts this command"),
        "{stderr}"
    );
}
