//! Runs `hookkeeper events` and `hookkeeper export` as processes.

mod difference;
mod export;
mod follow;
mod history;
mod json_lines;
mod terminal;

use crate::process::{Killed, PATIENCE, lines_of, wait};
use hookkeeper::{
    dev::{Data, DynamoDb},
    template::TEMPLATE,
};
use models::{Record, Timestamp};
use serde_json::Value;
use snapbox::{assert_data_eq, str};
use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpListener,
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use storage::{Key, schema};
use testkit::{
    dev::{hookkeeper, send_signal},
    request::event,
    site::{Site, altered, encoded, records},
};
use tokio::task::block_in_place;

const NOTE: &str = "leads[note][0][note][element_id]=42&leads[note][0][note][created_at]=1795255200&account[id]=1001";

/// A site with an event of each provider: the deal 1, the customer 2, and a note of the lead 42.
async fn site() -> Site {
    let site = Site::start().await;
    site.put(
        &records(&providers::PIPEDRIVE, &event("pipedrive", 1)),
        None,
    )
    .await;
    site.put(
        &records(&providers::CLOSER, &event("closer", 2)),
        Some(4_102_444_800),
    )
    .await;
    site.put(&records(&providers::AMOCRM, NOTE), None).await;
    site
}

/// The handles in a list.
fn handles(list: &str) -> Vec<String> {
    list.lines()
        .skip(1)
        .map_while(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_events_are_listed_first() {
    let site = site().await;
    assert_data_eq!(
        site.run(&["events"]),
        str![[r#"
HANDLE         RECORDED              TIME                  TYPE                             SOURCE       SUBJECT
[..]-[..]  20[..]Z  2026-11-21T10:00:00Z  com.amocrm.lead.note_added       amocrm/1001  lead/42
[..]-[..]  20[..]Z  2026-11-21T10:00:00Z  app.closer.conversation.created  closer       customer/2
[..]-46e595  20[..]Z  2026-11-21T10:00:00Z  com.pipedrive.deal.created       pipedrive/7  deal/1

"#]]
    );
    assert_data_eq!(
        site.run(&["events", "--limit", "1"]),
        str![[r#"
HANDLE         RECORDED              TIME                  TYPE                        SOURCE       SUBJECT
[..]-[..]  20[..]Z  2026-11-21T10:00:00Z  com.amocrm.lead.note_added  amocrm/1001  lead/42

Only the newest 1 are listed: use --limit for more.

"#]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_excludes_the_other_events() {
    let site = site().await;
    let listed = |arguments: &[&str]| handles(&site.run(&[&["events"], arguments].concat())).len();
    for (arguments, events) in [
        (&["--provider", "closer"][..], 1),
        (&["--type", "created"], 2),
        (&["--type", "deal.created"], 1),
        (&["--subject", "lead/42"], 1),
        (&["--subject", "deal"], 1),
        (&["--provider", "closer", "--subject", "deal"], 0),
        (&["--since", "2026-11-20", "--until", "2026-11-21"], 0),
        (&["--since", "1h"], 3),
        (&["--since", "0s"], 0),
    ] {
        assert_eq!(listed(arguments), events, "{arguments:?}");
    }
    assert_data_eq!(
        site.run(&["events", "--since", "0s"]),
        str![[r#"
No matching events since 20[..]Z (use --since to look further back).

"#]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_output_is_one_cloudevent_per_line_with_the_original_data() {
    let site = site().await;
    let printed = site.run(&["events", "--output", "json", "--provider", "pipedrive"]);
    let body = event("pipedrive", 1);
    assert!(
        printed.ends_with(&format!("\"data\":{body}}}\n")),
        "{printed}"
    );
    let event: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(
        (&event["specversion"], &event["subject"]),
        (&"1.0".into(), &"deal/1".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_shows_its_event() {
    let site = site().await;
    let list = site.run(&["events"]);
    let [_, closer, _] = &handles(&list)[..] else {
        panic!("{list}")
    };
    assert_data_eq!(
        site.run(&["events", "show", closer]),
        str![[r#"
type          app.closer.conversation.created
source        closer
subject       customer/2
time          2026-11-21T10:00:00.000000Z
id            [..]
originaltype  ThreadCreatedEvent
arrival       2026-11-21T20:43:00.000000Z
requestid     request
recordedtime  20[..]Z
expires       2100-01-01T00:00:00Z

{
  "eventType": "ThreadCreatedEvent",
  "timestamp": 1795255200000,
  "customer": {
    "id": "2",
    "firstName": "Ada"
  }
}

"#]]
    );
    assert!(
        site.run(&["events", "show", closer, "--output", "json"])
            .starts_with("{\"handle\"")
    );
    let shown = site.run(&["events", "show", closer]);
    assert_eq!(
        site.run(&["events", "show", &closer.to_uppercase()]),
        shown,
        "letters may be in either case"
    );
    let (second, _) = closer.split_once('-').unwrap();
    for (handle, code, said) in [
        (
            "zzzzzz-0",
            1,
            "no event has the handle zzzzzz-0: `cargo hookkeeper events` lists them",
        ),
        ("nothing", 2, "expected a handle as the list prints it"),
    ] {
        let (status, error) = site.fail(&["events", "show", handle]);
        assert!(status == code && error.contains(said), "{error}");
    }
    // Handles of events that are stored in the same second differ only in the id.
    site.put(&records(&providers::CLOSER, &event("closer", 3)), None)
        .await;
    site.put(&records(&providers::CLOSER, &event("closer", 4)), None)
        .await;
    let list = handles(&site.run(&["events"]));
    let alike = list.iter().filter(|it| it.starts_with(second)).count();
    if alike > 1 {
        let (code, error) = site.fail(&["events", "show", &format!("{second}-")]);
        assert!(
            code == 1 && error.contains("give more characters of the id"),
            "{error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_in_chronological_order() {
    let site = site().await;
    let update = "leads[update][0][id]=42&leads[update][0][updated_at]=1795255100&account[id]=1001";
    site.put(&records(&providers::AMOCRM, update), None).await;
    let history = site.run(&["events", "history", "lead/42"]);
    assert_data_eq!(
        history.clone(),
        str![[r#"
HANDLE         TIME                  TYPE                                      SOURCE
[..]-[..]  2026-11-21T09:58:20Z  com.amocrm.lead.updated                   amocrm/1001
[..]-[..]  2026-11-21T10:00:00Z  com.amocrm.lead.note_added                amocrm/1001

"#]]
    );
    assert_eq!(
        site.run(&["events", "history", "lead/42", "--source", "amocrm/1001"]),
        history
    );
    let json = site.run(&["events", "history", "lead/42", "--output", "json"]);
    assert_eq!(json.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_pages_of_a_result_are_read() {
    let site = Site::start().await;
    let large = "x".repeat(300_000);
    for number in 0..9 {
        let body = event("pipedrive", number).replace(
            "\"entity_id\":",
            &format!("\"note\":\"{large}\",\"entity_id\":"),
        );
        let body = body.replace(
            &format!("\"entity_id\":\"{number}\""),
            "\"entity_id\":\"1\"",
        );
        site.put(&records(&providers::PIPEDRIVE, &body), None).await;
    }
    assert_eq!(
        handles(&site.run(&["events", "history", "deal/1"])).len(),
        9
    );
    assert_eq!(site.run(&["export"]).lines().count(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_complete_and_in_the_order_of_storage_or_absent() {
    let site = Site::start().await;
    for number in 0..100 {
        site.put(&records(&providers::CLOSER, &event("closer", number)), None)
            .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.jsonl");
    assert_eq!(site.run(&["export", file.to_str().unwrap()]), "");
    let exported = fs::read_to_string(&file).unwrap();
    let subjects: Vec<String> = exported
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["subject"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        subjects,
        (0..100)
            .map(|number| format!("customer/{number}"))
            .collect::<Vec<_>>()
    );
    assert_eq!(site.run(&["export"]), exported);
    let newest_first = site.run(&["events", "--limit", "100", "--output", "json"]);
    // A listed event has the members of its item before those of the CloudEvent.
    let listed = newest_first.lines().rev();
    assert!(
        listed
            .zip(exported.lines())
            .all(|(listed, exported)| listed.ends_with(&exported[1..])),
        "{newest_first}"
    );
    assert_eq!(newest_first.lines().count(), exported.lines().count());
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "what is partial goes"
    );

    let nowhere = folder.path().join("nowhere/all.jsonl");
    let (code, error) = site.fail(&["export", nowhere.to_str().unwrap()]);
    assert!(code == 1 && error.contains("cannot write"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_ends_the_command_silently() {
    let site = Site::start().await;
    for number in 0..2_000 {
        site.put(&records(&providers::CLOSER, &event("closer", number)), None)
            .await;
    }
    let mut process = site
        .command(&["export"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (status, error) = block_in_place(|| {
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let status = process.wait().unwrap();
        let mut error = String::new();
        process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        (status, error)
    });
    assert!(status.success() && error.is_empty(), "{error}");
}

/// Puts the item of an event as if it was stored this long ago.
async fn put_late(site: &Site, record: &Record, ago: Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut item = encoded(record).pop().unwrap();
    schema::stamp(&mut item, Timestamp::from_unix(now - ago));
    site.put_item(item).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_prints_each_event_exactly_once() {
    let site = site().await;
    let mut process = Killed(
        site.command(&["events", "follow"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let lines = lines_of(&mut process);
    let next = || block_in_place(|| lines.recv_timeout(PATIENCE).unwrap());
    assert!(
        next().starts_with("HANDLE"),
        "what was there is not printed"
    );
    site.put(
        &records(&providers::PIPEDRIVE, &event("pipedrive", 10)),
        None,
    )
    .await;
    assert!(next().ends_with("deal/10"));
    // The put of the drain or the update of the index was slow.
    put_late(
        &site,
        &records(&providers::PIPEDRIVE, &event("pipedrive", 11))[0],
        Duration::from_secs(40),
    )
    .await;
    assert!(next().ends_with("deal/11"));
    for number in 12..15 {
        site.put(
            &records(&providers::PIPEDRIVE, &event("pipedrive", number)),
            None,
        )
        .await;
        assert!(
            next().ends_with(&format!("deal/{number}")),
            "once, and in order"
        );
    }
    send_signal(&process.0, "-INT");
    assert!(wait(&mut process).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn control_characters_of_a_sender_are_replaced() {
    let site = Site::start().await;
    let [record] = &records(&providers::CLOSER, &event("closer", 1))[..] else {
        panic!()
    };
    let evil = altered(record, |event| {
        event.subject = "customer/\u{1b}]0;owned\u{7}".to_owned();
    });
    site.put(&[evil], None).await;
    let list = site.run(&["events"]);
    assert!(
        list.contains("customer/\u{fffd}]0;owned\u{fffd}"),
        "{list:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_another_version_are_skipped_and_counted() {
    let site = Site::start().await;
    let key = Key {
        pk: "closer#customer/1".to_owned(),
        sk: "2026#1".to_owned(),
    };
    let now = Timestamp::from_unix(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
    let text = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let hourshard = format!("{}#0", now.hour());
    let item = [
        ("pk", &*key.pk),
        ("sk", &key.sk),
        ("kind", "event"),
        ("type", "later"),
        ("hourshard", &hourshard),
        ("recordedtime", &now.to_string()),
    ];
    let item = item.map(|(name, value)| (name.to_owned(), text(value)));
    site.put_item(item.into()).await;
    site.put(&records(&providers::CLOSER, &event("closer", 1)), None)
        .await;
    for (arguments, lines) in [
        (&["events", "--output", "json"][..], 1),
        (
            &["events", "history", "customer/1", "--source", "closer"],
            2,
        ),
        (&["replay"], 1),
    ] {
        let output = site.output(arguments);
        assert!(output.status.success(), "{arguments:?}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(stdout.lines().count(), lines, "{arguments:?}: {stdout}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let expected = "1 item was skipped: not readable by this version of Hookkeeper\n";
        assert_eq!(stderr, expected, "{arguments:?}");
    }
    let (code, error) = site.fail(&["export"]);
    assert_eq!(code, 1, "an export is complete, or fails");
    assert!(error.contains("the item cannot be read"), "{error}");

    let other = DynamoDb::start(&Data::Memory, 0, &TEMPLATE.replace("sk", "other"))
        .await
        .unwrap();
    let mut command = hookkeeper(&["events", &format!("--local={}", other.port())]);
    let error = String::from_utf8(block_in_place(|| command.output()).unwrap().stderr).unwrap();
    assert!(
        error.starts_with("error: the table hookkeeper is not one of Hookkeeper"),
        "{error}"
    );
}

/// Commands that cannot succeed, their exit status, and their error. `LOCAL` is a closed port.
const WRONG: [(&str, i32, &str); 14] = [
    ("events LOCAL", 1, "is `cargo dev` running?"),
    (
        "events --table t",
        1,
        "cannot be reached (Connection refused",
    ),
    ("events", 1, "cannot be reached (Connection refused"),
    ("events --local --table t", 2, "cannot be used with"),
    (
        "events --since yesterday --local",
        2,
        "expected a duration (30s, 15m, 2h, 7d) or a time",
    ),
    (
        "events --provider salesforce --local",
        2,
        "expected one of pipedrive, amocrm, closer",
    ),
    (
        "events LOCAL --since 1h --until 2h",
        2,
        "--since is later than --until",
    ),
    (
        "events LOCAL --since 2090-01-01",
        2,
        "--since is in the future",
    ),
    (
        "export LOCAL --since 1h --until 2h",
        2,
        "--since is later than --until",
    ),
    (
        "replay LOCAL --since 1h --until 2h",
        2,
        "--since is later than --until",
    ),
    (
        "quarantine LOCAL --since 1h --until 2h",
        2,
        "--since is later than --until",
    ),
    (
        "quarantine replay LOCAL --since 1h --until 2h",
        2,
        "--since is later than --until",
    ),
    (
        "events LOCAL --limit 0",
        2,
        "expected a whole number, 1 or more",
    ),
    (
        "quarantine LOCAL --limit 0",
        2,
        "expected a whole number, 1 or more",
    ),
];

#[test]
fn errors_are_one_sentence() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap().port();
    drop(listener);
    for (command_line, code, said) in WRONG {
        let arguments = command_line.replace("LOCAL", &format!("--local={free}"));
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let mut command = hookkeeper(&arguments);
        command
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{free}"))
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b");
        let output = command.output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{command_line}: {error}");
        assert!(error.contains(said), "{command_line}: {error}");
        assert!(code == 2 || error.lines().count() == 1, "{error}");
    }
}
