//! Runs `hookkeeper doctor` as a process: with a healthy `hookkeeper dev`, and with a fake AWS that
//! has one problem at a time.

mod cloud;
mod troubles;

use cloud::{CREDENTIALS, Cloud, KEY};
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};
use std::{process::Command, time::Duration};
use testkit::dev::{Dev, hookkeeper};
use tokio::task::spawn_blocking;
use troubles::TROUBLES;

/// The output and the exit code of the command.
#[derive(Debug)]
struct Said {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl Said {
    /// The lines that report a failure.
    fn failing(&self) -> Vec<&str> {
        self.stdout
            .lines()
            .filter(|line| line.starts_with("FAIL"))
            .collect()
    }
}

/// The command, with only the AWS configuration of this test.
fn doctor(arguments: &[&str]) -> Command {
    let mut command = hookkeeper(&["doctor"]);
    command.args(arguments).env_clear().envs([
        ("AWS_CONFIG_FILE", "/nowhere"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("CARGO", "cargo"),
        ("AWS_REGION", "us-east-1"),
    ]);
    command
}

async fn run(mut command: Command) -> Said {
    let output = spawn_blocking(move || command.output().unwrap())
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        stdout: text(output.stdout),
        stderr: text(output.stderr),
        code: output.status.code(),
    }
}

/// The output of the command for a fake AWS.
async fn seen(cloud: Cloud, arguments: &[&str]) -> Said {
    let running = cloud.start().await;
    let mut command = doctor(&["--endpoint-url", &running.endpoint]);
    command
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "id")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    run(command).await
}

/// The output of the command with the credentials that the receivers accept.
async fn seen_by_the_owner(cloud: Cloud) -> Said {
    let [pipedrive, amocrm] = [format!("pipedrive={CREDENTIALS}"), format!("amocrm={KEY}")];
    seen(
        cloud,
        &["--credential", &pipedrive, "--credential", &amocrm],
    )
    .await
}

#[tokio::test]
async fn a_healthy_dev_server_passes() {
    let dev = Dev::start("memory");
    let [local, port] = [
        format!("--local={}", dev.dynamodb_port()),
        format!("--gateway-port={}", dev.port()),
    ];
    let said = run(doctor(&[&local, &port])).await;
    assert_data_eq!(
        said.stdout,
        str![[r"
skip  stack              (`cargo dev` has none)
ok    table              hookkeeper is ACTIVE, with the template's keys and indexes
ok    expiry             by the attribute expires
skip  fallback queue     (`cargo dev` has none)
skip  dead-letter queue  (`cargo dev` has none)
ok    pipedrive          200 to an authenticated probe in [..] ms (the first in [..] ms, at most 3333 ms), 401 without credentials
ok    amocrm             200 to an authenticated probe in [..] ms (the first in [..] ms, at most 666 ms), 401 without credentials
ok    closer             200 to an authenticated probe in [..] ms (the first in [..] ms, at most 666 ms), 401 without credentials
ok    clock              this machine's clock is [..] s ahead

"]]
    );
    assert_eq!((said.code, &*said.stderr), (Some(0), ""));

    let said = run(doctor(&[
        &local,
        &port,
        "--output",
        "json",
        "--credential",
        "amocrm=another:one",
    ]))
    .await;
    let lines: Vec<Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines[0],
        json!({ "check": "stack", "verdict": "skip", "text": "`cargo dev` has none" })
    );
    assert_eq!(
        (&lines[5]["check"], &lines[5]["verdict"]),
        (&json!("pipedrive"), &json!("ok"))
    );
    assert_eq!(
        (&lines[6]["check"], &lines[6]["verdict"]),
        (&json!("amocrm"), &json!("fail"))
    );
    assert!(
        lines[6]["advice"]
            .as_str()
            .unwrap()
            .contains("in HOOKKEEPER_DEV_USER,")
    );
    assert_eq!(
        (said.code, &*said.stderr),
        (
            Some(1),
            "error: 1 of 9 checks failed: see the advice after each one\n"
        )
    );
    assert!(
        dev.table().records().await.unwrap().is_empty(),
        "a probe is kept"
    );
}

#[tokio::test]
async fn a_dev_server_that_is_not_running_fails_with_advice() {
    let said = run(doctor(&["--local=1", "--gateway-port=1"])).await;
    assert_data_eq!(
        said.stdout,
        str![[r"
skip  stack              (`cargo dev` has none)
FAIL  table              nothing answers on 127.0.0.1:1: start `cargo dev`, or name the port of its DynamoDB with --local=PORT
skip  expiry             (the table cannot be described)
skip  fallback queue     (`cargo dev` has none)
skip  dead-letter queue  (`cargo dev` has none)
FAIL  pipedrive          http://127.0.0.1:1/pipedrive does not answer ([..]): start `cargo dev`, or name the port of its receivers with --gateway-port
FAIL  amocrm             http://127.0.0.1:1/amocrm does not answer ([..]): start `cargo dev`, or name the port of its receivers with --gateway-port
FAIL  closer             http://127.0.0.1:1/closer does not answer ([..]): start `cargo dev`, or name the port of its receivers with --gateway-port
skip  clock              (no response has a Date header)

"]]
    );
    assert_eq!(
        (said.code, &*said.stderr),
        (
            Some(1),
            "error: 4 of 9 checks failed: see the advice after each one\n"
        )
    );

    // AWS without credentials. The clock is still checked: a wrong clock looks like wrong
    // credentials.
    let cloud = Cloud {
        behind: 301,
        ..Cloud::healthy()
    }
    .start()
    .await;
    let said = run(doctor(&["--endpoint-url", &cloud.endpoint])).await;
    assert_data_eq!(
        said.stdout,
        str![[r"
FAIL  stack              the stack hookkeeper cannot be described ([..]credential[..]): look at AWS's credentials and region (--profile, --region), or do without with --local or --table
skip  table              (the stack cannot be described)
skip  expiry             (the stack cannot be described)
skip  fallback queue     (the stack cannot be described)
skip  dead-letter queue  (the stack cannot be described)
skip  pipedrive          (the stack cannot be described)
skip  amocrm             (the stack cannot be described)
skip  closer             (the stack cannot be described)
FAIL  clock              this machine's clock is [..] s ahead: synchronize the clock: AWS rejects signatures that are 5 minutes off

"]]
    );
}

#[tokio::test]
async fn a_healthy_stack_passes() {
    let said = seen_by_the_owner(Cloud::healthy()).await;
    assert_data_eq!(
        said.stdout.clone(),
        str![[r"
ok    stack              hookkeeper is UPDATE_COMPLETE
ok    template           it has the resources of version [..]
ok    resources          all [..] that its parameters select exist
ok    table              hookkeeper-Table is ACTIVE, with the template's keys and indexes
ok    expiry             by the attribute expires
ok    fallback queue     empty
ok    dead-letter queue  empty
ok    pipedrive          200 to an authenticated probe in [..] ms (the first in [..] ms, at most 3333 ms), 401 without credentials
ok    amocrm             200 to an authenticated probe in [..] ms (the first in [..] ms, at most 666 ms), 401 without credentials
skip  closer             (the stack does not have this provider)
ok    clock              this machine's clock is [..] s ahead

"]]
    );
    assert_eq!((said.code, &*said.stderr), (Some(0), ""));
}

#[tokio::test]
async fn without_credentials_a_url_is_checked_by_unauthenticated_requests() {
    let said = seen(Cloud::healthy(), &[]).await;
    assert_data_eq!(
        said.stdout.lines().nth(7).unwrap().to_owned(),
        str![
            "ok    pipedrive          200 to a GET in [..] ms (the first in [..] ms, at most 3333 ms), 401 without credentials (--credential probes it as the provider does)"
        ]
    );
    assert_eq!((said.code, &*said.stderr), (Some(0), ""));
}

#[tokio::test]
async fn credentials_are_read_from_the_environment_too() {
    let cloud = Cloud::healthy().start().await;
    let mut command = doctor(&[
        "--endpoint-url",
        &cloud.endpoint,
        "--credential",
        "amocrm=user:pass",
    ]);
    command.envs([
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    command.envs([
        ("HOOKKEEPER_PIPEDRIVE", "user:wrong"),
        ("HOOKKEEPER_AMOCRM", "wrong"),
        ("HOOKKEEPER_CLOSER", ""),
    ]);
    let said = run(command).await;
    let [failing] = said.failing()[..] else {
        panic!("{said:?}")
    };
    assert!(
        failing.contains("/pipedrive answers 401 to an authenticated probe"),
        "{failing}"
    );
    assert!(!said.stdout.contains("wrong"), "a secret is printed");
}

#[tokio::test]
async fn a_table_can_be_checked_without_a_stack() {
    let said = seen(Cloud::healthy(), &["--table", "hookkeeper-Table"]).await;
    assert_data_eq!(
        said.stdout.clone(),
        str![[r"
skip  stack              (--table does not use a stack)
ok    table              hookkeeper-Table is ACTIVE, with the template's keys and indexes
ok    expiry             by the attribute expires
skip  fallback queue     (--table does not use a stack)
skip  dead-letter queue  (--table does not use a stack)
skip  pipedrive          (--table does not use a stack)
skip  amocrm             (--table does not use a stack)
skip  closer             (--table does not use a stack)
ok    clock              this machine's clock is [..] s ahead

"]]
    );
}

#[tokio::test]
async fn each_problem_is_reported_with_advice() {
    for (make, expected) in TROUBLES {
        let mut cloud = Cloud::healthy();
        make(&mut cloud);
        let said = seen_by_the_owner(cloud).await;
        let [failing] = said.failing()[..] else {
            panic!("{expected}: {said:?}")
        };
        assert_data_eq!(failing.to_owned(), expected.to_owned());
        assert_eq!(said.code, Some(1), "{expected}");
        assert!(
            said.stderr.starts_with("error: 1 of ") && said.stderr.lines().count() == 1,
            "{}",
            said.stderr
        );
    }
}

#[tokio::test]
async fn every_url_that_accepts_unauthenticated_requests_fails() {
    let said = seen(
        Cloud {
            stranger: 200,
            ..Cloud::healthy()
        },
        &[],
    )
    .await;
    let [pipedrive, amocrm] = said.failing()[..] else {
        panic!("{said:?}")
    };
    assert!(amocrm.contains(
        "/amocrm answers 200 and not 401 to a POST with a body and no credentials: anybody who knows the URL can deliver to it"
    ));
    assert!(
        pipedrive.contains(
            "/pipedrive answers 200 and not 401 to a POST with a body and no credentials"
        )
    );
}

#[tokio::test]
async fn a_slow_cold_start_passes() {
    let mut cloud = Cloud::healthy();
    cloud
        .delays
        .get_mut()
        .unwrap()
        .insert("amocrm", vec![Duration::from_millis(700)]);
    let said = seen_by_the_owner(cloud).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    let line = said.stdout.lines().nth(8).unwrap();
    assert_data_eq!(
        line.to_owned(),
        str![
            "ok    amocrm             200 to an authenticated probe in [..] ms (the first in 7[..] ms, at most 666 ms), 401 without credentials"
        ]
    );
}

#[tokio::test]
async fn a_missing_stack_fails_with_advice() {
    let said = seen(Cloud::healthy(), &["--stack", "another"]).await;
    assert_data_eq!(
        said.failing().join("\n"),
        str![
            "FAIL  stack              there is no stack another: deploy it, or name another one with --stack, --profile or --region"
        ]
    );
}

#[tokio::test]
async fn wrong_arguments_are_rejected_with_the_reason() {
    let table: [(&[&str], &str); 4] = [
        (
            &["--credential", "salesforce=a:b"],
            "expected one of pipedrive, amocrm, closer",
        ),
        (
            &["--credential", "pipedrive"],
            "expected PROVIDER=USER:PASSWORD or PROVIDER=KEY",
        ),
        (
            &["--credential", "pipedrive=key"],
            "pipedrive sends USER:PASSWORD, and no key",
        ),
        (&["--gateway-port", "9000"], "--local"),
    ];
    for (arguments, sentence) in table {
        let said = run(doctor(arguments)).await;
        assert_eq!((said.code, &*said.stdout), (Some(2), ""), "{arguments:?}");
        assert!(said.stderr.contains(sentence), "{}", said.stderr);
    }
}
