//! `hookkeeper guard`: passes over the APIs of the providers, over real connections.

use crate::process::{Killed, lines_of, wait};
use guardian::{Secret, parameter};
use models::Timestamp;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};
use std::process::{Command, Output, Stdio};
use storage::guardian::{Completeness, Gap, KnownWebhook};
use testkit::{
    api::{AmocrmApi, Api, ApiServer, PipedriveApi, pipedrive::NewWebhook},
    dev::send_signal,
    live_stack::LiveStack,
    site::Site,
};
use tokio::task::block_in_place;

const URL: &str = "https://hooks.example.com/hook";

/// The command for an account without a stack.
fn command<A: Api>(site: &Site, server: &ApiServer<A>, arguments: &[&str]) -> Command {
    let mut command = site.command(&["guard", "--url", URL, "--api-url", &server.url()]);
    command
        .args(arguments)
        .env_remove("AMOCRM_API_TOKEN")
        .env_remove("PIPEDRIVE_API_TOKEN");
    command
}

fn pipedrive(site: &Site, server: &ApiServer<PipedriveApi>, arguments: &[&str]) -> Command {
    let mut command = command(site, server, arguments);
    command
        .env("PIPEDRIVE_API_TOKEN", "t0ken")
        .env("HOOKKEEPER_USER", "hookkeeper:p4ssword");
    command
}

/// Runs it to its end. Returns its exit status and its lines.
fn run(mut command: Command) -> (i32, Vec<Value>) {
    let output: Output = block_in_place(|| command.output().unwrap());
    let said = String::from_utf8_lossy(&output.stdout);
    let all = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    for secret in ["t0ken", "p4ssword", "k3y"] {
        assert!(!all.contains(secret), "{all}");
    }
    let lines = said.lines().map(|line| serde_json::from_str(line).unwrap());
    (output.status.code().unwrap(), lines.collect())
}

const JSON: [&str; 3] = ["--once", "--output", "json"];

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_webhook_is_created_and_its_account_is_then_ok() {
    let site = Site::start().await;
    let server = ApiServer::start(PipedriveApi::new("t0ken")).await;
    let created = json!({
        "provider": "pipedrive", "account": "5155039", "finding": "missing", "action": "created",
        "webhook": 1,
    });
    assert_eq!(run(pipedrive(&site, &server, &JSON)), (0, vec![created]));
    let wanted = server.api().webhooks[0].wanted.clone();
    let expected = NewWebhook {
        name: "Hookkeeper".to_owned(),
        http_auth_user: Some("hookkeeper".to_owned()),
        http_auth_password: Some("p4ssword".to_owned()),
        ..NewWebhook::all(URL)
    };
    assert_eq!(wanted, expected);
    let ok = json!({
        "provider": "pipedrive", "account": "5155039", "finding": "ok", "action": "none",
    });
    assert_eq!(run(pipedrive(&site, &server, &JSON)), (0, vec![ok]));
    let guardians = site.table.guardians().await.unwrap();
    assert_eq!(guardians.len(), 1);
    assert_eq!(guardians[0].account, "pipedrive/5155039");
    assert_eq!(guardians[0].webhooks[0].user.as_deref(), Some("hookkeeper"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_finding_is_exit_status_1() {
    let site = Site::start().await;
    let server = ApiServer::start(PipedriveApi::new("t0ken")).await;
    let arguments = [&JSON[..], &["--dry-run"]].concat();
    let (status, lines) = run(pipedrive(&site, &server, &arguments));
    assert_eq!((status, lines.len()), (1, 1));
    assert_eq!(lines[0]["finding"], "missing");
    assert_eq!(lines[0]["action"], "none");
    assert!(server.api().webhooks.is_empty());
    assert_eq!(site.table.guardians().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_amocrm_has_its_key_in_the_url() {
    let site = Site::start().await;
    let server = ApiServer::start(AmocrmApi::new("t0ken")).await;
    let mut command = command(&site, &server, &JSON);
    command
        .env("AMOCRM_API_TOKEN", "t0ken")
        .env("HOOKKEEPER_KEY", "k3y")
        .env_remove("HOOKKEEPER_USER");
    let (status, lines) = run(command);
    assert_eq!((status, &lines[0]["action"]), (0, &json!("created")));
    let destination = server.api().webhooks[0].wanted.destination.clone();
    assert_eq!(destination, format!("{URL}?key=k3y"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_another_process_holds_is_exit_status_75() {
    let site = Site::start().await;
    let server = ApiServer::start(PipedriveApi::new("t0ken")).await;
    let _guard = site.table.guard("pipedrive/5155039").await.unwrap();
    assert_eq!(run(pipedrive(&site, &server, &JSON)), (75, vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_that_do_not_fit_are_exit_status_2() {
    let site = Site::start().await;
    let server = ApiServer::start(PipedriveApi::new("t0ken")).await;
    // Without a URL, without a token that tells the provider, and for a provider without an API.
    let without_url = site.command(&["guard", "--once"]);
    let without_provider = command(&site, &server, &["--once"]);
    let closer = command(&site, &server, &["closer", "--once"]);
    for command in [without_url, without_provider, closer] {
        assert_eq!(run(command).0, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_does_not_tell_the_account_is_a_finding() {
    let site = Site::start().await;
    let server = ApiServer::start(PipedriveApi::new("another")).await;
    let (status, lines) = run(pipedrive(&site, &server, &JSON));
    assert_eq!((status, lines.len()), (1, 1));
    let finding = json!({
        "provider": "pipedrive", "account": null, "finding": "unauthorized", "action": "none",
        "reason": lines[0]["reason"],
    });
    assert_eq!(lines[0], finding);
    for (status, body) in [(503, ""), (502, "<html>"), (200, "<html>"), (200, "{}")] {
        server.respond_next(status, "text/html", body);
        let (exit, lines) = run(pipedrive(&site, &server, &JSON));
        assert_eq!(
            (exit, &lines[0]["finding"]),
            (1, &json!("malformed")),
            "{status} {body}"
        );
    }
    let mut refused = pipedrive(&site, &server, &[]);
    let mut process = Killed(refused.stdout(Stdio::piped()).spawn().unwrap());
    let lines = lines_of(&mut process);
    let line = block_in_place(|| lines.recv().unwrap());
    assert!(line.starts_with("pipedrive/?  unauthorized"), "{line}");
    assert!(process.0.try_wait().unwrap().is_none(), "it goes on");
    send_signal(&process.0, "-INT");
    assert!(wait(&mut process).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_once_it_goes_on_until_ctrl_c() {
    let site = Site::start().await;
    let server = ApiServer::start(PipedriveApi::new("t0ken")).await;
    let mut command = pipedrive(&site, &server, &[]);
    let mut process = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = lines_of(&mut process);
    let line = block_in_place(|| lines.recv().unwrap());
    let created = "pipedrive/5155039  missing: the webhook 1 is created";
    assert_eq!(line, created);
    assert!(process.0.try_wait().unwrap().is_none());
    send_signal(&process.0, "-INT");
    assert!(wait(&mut process).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_shows_the_webhooks_of_each_account() {
    let site = Site::start().await;
    let shown = || {
        let mut command = site.command(&["doctor", "--gateway-port", "1"]);
        let output = block_in_place(|| command.output().unwrap());
        let said = String::from_utf8(output.stdout).unwrap();
        let lines = said.lines().filter(|line| line.contains("webhook"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(shown(), [""; 0]);
    let time = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
    let webhook = KnownWebhook {
        id: 12,
        user: None,
        dead: None,
        delivered: Some(time),
        status: Some(200),
    };
    for (account, finding) in [("amocrm/3", "dead"), ("pipedrive/7", "ok")] {
        let mut guard = site.table.guard(account).await.unwrap();
        guard.state.webhooks = vec![webhook.clone()];
        guard.state.listed = Some(time);
        guard.state.finding = finding.to_owned();
        if finding == "dead" {
            guard.state.webhooks[0].dead = Some("disabled".to_owned());
            guard.state.since = Some(time);
            guard.state.reason = Some("the account is not paid for (402)".to_owned());
            guard.state.gaps = vec![Gap {
                from: time,
                until: time,
                reason: "dead".to_owned(),
            }];
        } else {
            guard.state.completeness = Some(Completeness {
                until: time,
                shown: 120,
                stored: 119,
                healed: 3,
            });
        }
        guard.release().await.unwrap();
    }
    assert_data_eq!(
        shown().join("\n"),
        str![[r"
FAIL  webhook            amocrm/3: dead, since 2026-11-21T10:00:00Z, the account is not paid for (402), webhook 12 disabled, last delivery 2026-11-21T10:00:00Z (200), gap since 2026-11-21T10:00:00Z to be read back, looked at 2026-11-21T10:00:00Z: see the guardian's alarms in docs/operations.md
ok    webhook            pipedrive/7: ok, webhook 12 alive, last delivery 2026-11-21T10:00:00Z (200), 119 of 120 changes stored in the day until 2026-11-21T10:00:00Z, 3 of them read back, looked at 2026-11-21T10:00:00Z
"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_accounts_of_a_stack_are_those_with_a_secret() {
    let stack = LiveStack::start(&[]).await;
    let server = ApiServer::start(PipedriveApi::new("t0ken")).await;
    let (status, lines) = run(stack.command(&["guard", "--once", "--output", "json"]));
    assert_eq!((status, lines), (1, vec![]), "without an account");
    let secret = Secret {
        api_token: "t0ken".to_owned(),
        api_url: Some(server.url()),
        webhook_url: URL.to_owned(),
        user: Some("hookkeeper".to_owned()),
        password: Some("p4ssword".to_owned()),
    };
    let name = parameter("/hookkeeper/hookkeeper/", "pipedrive", "5155039");
    let value = serde_json::to_string(&secret).unwrap();
    stack.state().secrets.insert(name, value);
    let (status, lines) = run(stack.command(&["guard", "--once", "--output", "json"]));
    assert_eq!((status, &lines[0]["action"]), (0, &json!("created")));
    assert_eq!(server.api().webhooks.len(), 1);
    for (provider, expected) in [("pipedrive", 0), ("amocrm", 1)] {
        let (status, _) = run(stack.command(&["guard", provider, "--once", "--output", "json"]));
        assert_eq!(status, expected, "{provider}");
    }
}
