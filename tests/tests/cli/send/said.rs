//! Compares the output of the command with `tests/snapshots/send/`.
//! `SNAPSHOTS=overwrite cargo test --test cli send::` overwrites these files.

use super::text;
use snapbox::{Assert, Data};
use std::{net::TcpListener, time::Duration};
use testkit::{
    dev::{Dev, hookkeeper},
    sink::Sink,
    workspace,
};

/// The commands as a user types them, and their output.
fn transcript<'a>(commands: impl IntoIterator<Item = &'a str>) -> String {
    let one = |command: &str| {
        let arguments: Vec<_> = command.split(' ').collect();
        let mut command_line = hookkeeper(&arguments);
        let output = command_line
            .env_remove("HOOKKEEPER_USER")
            .env_remove("HOOKKEEPER_DEV_USER")
            .env_remove("HOOKKEEPER_KEY")
            .output()
            .unwrap();
        let printed = text(&output.stdout) + text(&output.stderr).as_str();
        let printed: Vec<_> = printed.lines().map(str::trim_end).collect();
        format!(
            "$ hookkeeper {command}\n{}\n[exit code {}]\n",
            printed.join("\n"),
            output.status.code().unwrap()
        )
    };
    commands.into_iter().map(one).collect::<Vec<_>>().join("\n")
}

/// Compares a transcript with its snapshot. The snapshot has `[..]` for values that change in each
/// run. They stay when the snapshot is overwritten.
fn assert_is(transcript: &str, snapshot: &str) {
    let expected = Data::read_from(
        &workspace(format!("tests/snapshots/send/{snapshot}.txt")),
        None,
    );
    Assert::new()
        .action_env("SNAPSHOTS")
        .eq(transcript, expected);
}

#[test]
fn the_help_matches_its_snapshot() {
    assert_is(&transcript(["send --help"]), "help");
}

#[test]
fn the_list_matches_its_snapshot() {
    assert_is(
        &transcript(["send --list closer", "send --list closer --output json"]),
        "list",
    );
    assert!(
        transcript(["send --list"]).contains("v2_delete_person"),
        "what else Pipedrive sends"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_output_of_accepted_deliveries_matches_its_snapshot() {
    let dev = Dev::start("memory");
    let local = format!("--local={}", dev.port());
    let commands = [
        format!("send pipedrive deal.updated --set deal.id=4711 {local}"),
        format!("send pipedrive truncated {local}"),
        format!("send amocrm leads_add --set lead.id=42 --batch 3 --duplicate {local}"),
        format!("send amocrm dp_status --set lead.id=42 --output json {local}"),
        format!("send pipedrive v2_change_deal --set deal.id=4711 --output json {local}"),
        format!("send pipedrive v2_without_a_time --set deal.id=4711 --output json {local}"),
        format!("send pipedrive truncated --output json {local}"),
        format!("send closer created --count 20 --rate 200 {local}"),
    ];
    let said = transcript(commands.iter().map(|command| &**command));
    assert_is(&said.replace(&local, "--local"), "taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_not_accepted_is_one_sentence_and_exit_code_1() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let dev = Dev::start("memory");
    let nobody = format!("--url http://{free}/closer?token=SECRET");
    let stranger = format!("--url http://127.0.0.1:{}/closer", dev.port());
    let closed = "send closer closed --set customer.id=c-1";
    let mut commands = vec![
        format!("{closed} --local={}", free.port()),
        format!("{closed} --local={} --output json", free.port()),
        format!("{closed} {nobody}"),
        format!("{closed} {stranger}"),
        format!("send closer --file /nowhere/body {stranger}"),
    ];
    let mut sinks = Vec::new();
    for status in [401, 404, 413, 503, 500] {
        let sink = Sink::start(status, Duration::ZERO).await;
        commands.push(format!(
            "{closed} --duplicate --key SECRET --url {}",
            sink.url("closer")
        ));
        sinks.push(sink);
    }
    let mut said = transcript(commands.iter().map(|command| &**command));
    assert!(
        said.lines()
            .all(|line| line.starts_with('$') || !line.contains("SECRET")),
        "{said}"
    );
    for port in sinks
        .iter()
        .map(Sink::port)
        .chain([free.port(), dev.port()])
    {
        said = said.replace(&port.to_string(), "9000");
    }
    assert_is(&said, "failed");
}

#[test]
fn wrong_arguments_are_exit_code_2() {
    let commands = [
        "send",
        "send salesforce deal.updated",
        "send pipedrive",
        "send pipedrive deal.updatd",
        "send pipedrive v2_remove_deal",
        "send pipedrive deal.updated --set deal.stage_id",
        "send pipedrive deal.updated --set deal.stage=3",
        "send pipedrive deal.updated --set stage=3",
        "send pipedrive deal.updated --set deal.stage_id=won",
        "send pipedrive deal.updated --set deal.id=x",
        "send pipedrive truncated --set deal.id=1",
        "send closer created --batch 2",
        "send amocrm contacts_delete_without_a_number --batch 2",
        "send amocrm json --batch 2",
        "send pipedrive deal.updated --url https://h.example/pipedrive --key k",
        "send pipedrive deal.updated --key k",
        "send pipedrive deal.updated --url localhost",
        "send pipedrive deal.updated --url http://h.example --local",
        "send pipedrive deal.updated --rate 0",
        "send pipedrive deal.updated --count 0",
        "send pipedrive deal.updated --file x",
        "send pipedrive --file x --set deal.id=1",
        "send pipedrive deal.updated --list",
    ];
    let said = transcript(commands);
    assert_eq!(said.matches("[exit code 2]").count(), commands.len());
    assert_is(&said, "usage");
}
