//! Runs `hookkeeper replay` and `hookkeeper quarantine` as processes: they correct the events that
//! an older parser made of a delivery.

use super::SPAN;
use models::{Body, EventId, Record};
use snapbox::{assert_data_eq, str};
use std::{collections::BTreeMap, process::Stdio, time::Duration};
use storage::{Key, Stored, schema::Item};
use testkit::{
    request::event,
    site::{Site, altered, delivery, encoded, quarantined, records},
};
use tokio::task::block_in_place;

const EXPIRES: i64 = 4_102_444_800;

/// A delivery of three leads.
const THREE: &str = "leads[add][0][id]=1&leads[add][0][updated_at]=1795255200&leads[add][1][id]=2&leads[add][1][updated_at]=\
    1795255200&leads[add][2][id]=3&leads[add][2][updated_at]=1795255200&account[id]=1001";

/// All records of the table by their keys: the items and the expiry time.
async fn all(site: &Site) -> BTreeMap<Key, (Vec<Item>, Option<i64>)> {
    let mut all = BTreeMap::new();
    for record in site.table.records().await.unwrap() {
        let key = Key::from_record(&record);
        let Stored { expires, .. } = site.get(&key).await.unwrap();
        all.insert(key, (encoded(&record), expires));
    }
    all
}

/// The content of a table with these records, which this version makes.
async fn all_of(
    records: &[Record],
    expires: Option<i64>,
) -> BTreeMap<Key, (Vec<Item>, Option<i64>)> {
    let site = Site::start().await;
    site.put(records, expires).await;
    all(&site).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_parses_differently_is_changed_in_place() {
    let site = Site::start().await;
    let new = records(&providers::CLOSER, &event("closer", 1));
    let old = altered(&new[0], |event| {
        event.r#type = "app.closer.thread.opened".to_owned();
    });
    site.put(&[old], Some(EXPIRES)).await;
    let before = all(&site).await;
    assert_data_eq!(
        site.run(&["replay", "--dry-run"]),
        str![[r#"
[..]  customer/1  changed: type
1 events replayed: 1 changed, 0 moved, 0 added, 0 unreadable (dry run: nothing was changed).

"#]]
    );
    assert_eq!(all(&site).await, before);
    assert!(
        site.run(&["replay"])
            .ends_with("1 events replayed: 1 changed, 0 moved, 0 added, 0 unreadable.\n")
    );
    assert_eq!(all(&site).await, all_of(&new, Some(EXPIRES)).await);
    assert_data_eq!(
        site.run(&["replay"]),
        str![[r#"
1 events replayed: 0 changed, 0 moved, 0 added, 0 unreadable.

"#]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_key_changes_is_moved() {
    let site = Site::start().await;
    let new = records(&providers::PIPEDRIVE, &event("pipedrive", 1));
    let old = altered(&new[0], |event| event.subject = "thing/1".to_owned());
    site.put(&[old], Some(EXPIRES)).await;
    assert_data_eq!(
        site.run(&["replay"]),
        str![[r#"
[..]-46e595  thing/1  moved to pipedrive/7#deal/1
1 events replayed: 0 changed, 1 moved, 0 added, 0 unreadable.

"#]]
    );
    assert_eq!(all(&site).await, all_of(&new, Some(EXPIRES)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_one_delivery_are_moved_each_to_the_key_of_its_item() {
    let new = records(&providers::AMOCRM, THREE);
    let moved = |record: &Record| match record {
        Record::Event { .. } => altered(record, |event| {
            event.subject = event.subject.replace("lead", "thing");
        }),
        other => other.clone(),
    };
    for (old, counts) in [
        (
            [
                new[0].clone(),
                moved(&new[1]),
                new[2].clone(),
                new[3].clone(),
            ],
            "1 moved, 0 added",
        ),
        (
            [&new[0], &new[1], &new[2], &new[3]].map(moved),
            "3 moved, 0 added",
        ),
    ] {
        let site = Site::start().await;
        site.put(&old, Some(EXPIRES)).await;
        let before = all(&site).await;
        let counts = format!("3 events replayed: 0 changed, {counts}, 0 unreadable");
        let printed = site.run(&["replay", "--dry-run"]);
        assert!(printed.contains(&counts), "{printed}");
        assert_eq!(all(&site).await, before);
        let printed = site.run(&["replay"]);
        assert!(
            printed.contains("thing/1  moved to amocrm/1001#lead/1\n") && printed.contains(&counts),
            "{printed}"
        );
        assert_eq!(all(&site).await, all_of(&new, Some(EXPIRES)).await);
    }
}

/// Cases: an item that this version does not find, two items that are indistinguishable, and a
/// delivery that was parsed as one event.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_this_version_cannot_find_in_its_delivery_is_unchanged() {
    let three = records(&providers::AMOCRM, THREE);
    let overlooked = altered(&three[1], |event| {
        event.id = EventId::from_stored("another".to_owned());
        event.subject = "thing/9".to_owned();
        event.data = serde_json::value::RawValue::from_string(r#"{"id":"9"}"#.to_owned()).unwrap();
    });
    let twice = records(
        &providers::AMOCRM,
        "leads[add][0][id]=1&leads[add][1][id]=1",
    );
    let one_of_two = altered(&twice[1], |event| {
        event.id = EventId::from_stored("another".to_owned());
        event.subject = "thing/9".to_owned();
    });
    let Record::Event { event, origin, .. } = overlooked.clone() else {
        panic!()
    };
    let alone = Record::Event {
        event,
        origin,
        body: models::Body::Here(THREE.into()),
    };
    for (old, new) in [(overlooked, &three), (one_of_two, &twice), (alone, &three)] {
        let site = Site::start().await;
        // A delivery of one event has no separate body record; its stored events contain the body.
        site.put(new, Some(EXPIRES)).await;
        site.put(std::slice::from_ref(&old), Some(EXPIRES)).await;
        let before = all(&site).await;
        let printed = site.run(&["replay"]);
        assert!(
            printed
                .contains("thing/9  unchanged: this version finds no such event in its delivery\n"),
            "{printed}"
        );
        assert!(
            printed.ends_with("0 changed, 0 moved, 0 added, 0 unreadable, 1 not found any more.\n"),
            "{printed}"
        );
        assert_eq!(all(&site).await, before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_stored_body_is_reported_and_the_others_are_replayed() {
    let site = Site::start().await;
    let three = records(&providers::AMOCRM, THREE);
    let one = records(&providers::CLOSER, &event("closer", 1));
    site.put(&three[1..], None).await;
    site.put(
        &[altered(&one[0], |event| {
            event.originaltype = "old".to_owned();
        })],
        None,
    )
    .await;
    for options in [&["replay", "--dry-run"][..], &["replay"]] {
        let output = site.output(options);
        let (printed, error) = (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        );
        let missing = "unchanged: the body of its delivery is not in the table\n";
        assert_eq!(printed.matches(missing).count(), 3, "{printed}");
        assert!(
            printed.contains("customer/1  changed: originaltype\n"),
            "{printed}"
        );
        let counts =
            "4 events replayed: 1 changed, 0 moved, 0 added, 0 unreadable, 3 without a body";
        assert!(printed.contains(counts), "{printed}");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            error,
            "error: 3 events cannot be replayed: the bodies of their deliveries are not in the table\n"
        );
    }
    let right: Vec<_> = three[1..].iter().chain(&one).cloned().collect();
    assert_eq!(all(&site).await, all_of(&right, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_an_older_parser_missed_is_added_to_its_delivery() {
    let site = Site::start().await;
    let new = records(&providers::AMOCRM, THREE);
    site.put(&new[..3], None).await;
    assert_eq!(new.len(), 4, "a body and three events");
    assert!(
        site.run(&["replay"])
            .ends_with("2 events replayed: 0 changed, 0 moved, 1 added, 0 unreadable.\n")
    );
    assert_eq!(all(&site).await, all_of(&new, None).await);
}

/// The first attempt stored some events and not the body. The retry has another request id.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_stores_the_missing_body_of_a_half_stored_attempt() {
    let site = Site::start().await;
    let first = records(&providers::AMOCRM, THREE);
    assert!(
        matches!(first[0], Record::Body { .. }),
        "the body comes first"
    );
    site.put(&first[1..3], None).await;
    let mut retry = delivery(THREE);
    retry.origin.request_id = "another request".to_owned();
    let retried = Record::from_delivery("amocrm", &retry, (providers::AMOCRM.parse)(&retry));
    site.put(&retried, None).await;
    let stored = site.table.records().await.unwrap();
    assert_eq!(stored.len(), 4, "a body and three events: {stored:#?}");
    for record in &stored {
        let Record::Event {
            body: Body::Shared(name),
            ..
        } = record
        else {
            continue;
        };
        let body = site
            .get(&Key::for_body("amocrm", name))
            .await
            .map(|stored| stored.record);
        assert!(
            matches!(body, Some(Record::Body { bytes, .. }) if bytes == THREE.as_bytes()),
            "{record:?}"
        );
    }
    assert!(
        site.run(&["replay"])
            .ends_with("3 events replayed: 0 changed, 0 moved, 0 added, 0 unreadable.\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_longer_parses_is_unchanged() {
    let site = Site::start().await;
    let Record::Event { event, origin, .. } = &records(&providers::AMOCRM, &event("amocrm", 1))[0]
    else {
        panic!()
    };
    let body = Body::Here(b"no form".to_vec());
    site.put(
        &[Record::Event {
            event: event.clone(),
            origin: origin.clone(),
            body,
        }],
        None,
    )
    .await;
    let before = all(&site).await;
    assert_data_eq!(
        site.run(&["replay"]),
        str![[r#"
[..]  lead/1  unchanged: the body has none of the shapes that amocrm sends
1 events replayed: 0 changed, 0 moved, 0 added, 1 unreadable.

"#]]
    );
    assert_eq!(all(&site).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_limits_which_events_are_replayed() {
    let site = Site::start().await;
    let new = records(&providers::CLOSER, &event("closer", 1));
    site.put(
        &[altered(&new[0], |event| {
            event.originaltype = "old".to_owned();
        })],
        None,
    )
    .await;
    for filter in [
        &["--provider", "amocrm"][..],
        &["--until", "1h"],
        &["--subject", "customer/2"],
    ] {
        let printed = site.run(&[&["replay", "--since", "2h"], filter].concat());
        assert!(
            printed.starts_with("0 events replayed"),
            "{filter:?}: {printed}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_parse_now_leave_the_quarantine() {
    let site = Site::start().await;
    site.put(
        &[
            quarantined(&providers::AMOCRM, THREE),
            quarantined(&providers::CLOSER, "no json"),
        ],
        None,
    )
    .await;
    assert_data_eq!(
        site.run(&[&["quarantine"], &SPAN[..]].concat()),
        str![[r#"
HANDLE         ARRIVAL               PROVIDER  BYTES  REASON
[..]-[..]  2026-11-21T20:43:00Z  [..]
[..]-[..]  2026-11-21T20:43:00Z  [..]

"#]]
    );
    let before = all(&site).await;
    assert_data_eq!(
        site.run(&[&["quarantine", "replay", "--dry-run"], &SPAN[..]].concat()),
        str![[r#"
[..]  amocrm  com.amocrm.lead.created  lead/1
[..]  amocrm  com.amocrm.lead.created  lead/2
[..]  amocrm  com.amocrm.lead.created  lead/3
[..]  closer  stays: the body is not JSON (line 1, column 2)
1 deliveries replayed, 1 still in quarantine (dry run: nothing was changed).

"#]]
    );
    assert_eq!(all(&site).await, before);
    let replay = || site.run(&[&["quarantine", "replay"], &SPAN[..]].concat());
    assert!(replay().ends_with("1 deliveries replayed, 1 still in quarantine.\n"));
    let mut right = records(&providers::AMOCRM, THREE);
    right.push(quarantined(&providers::CLOSER, "no json"));
    assert_eq!(all(&site).await, all_of(&right, None).await);
    assert!(
        replay().ends_with("0 deliveries replayed, 1 still in quarantine.\n"),
        "again"
    );
    assert_eq!(all(&site).await, all_of(&right, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_delivery_is_shown_replayed_and_dropped_by_its_handle() {
    let site = Site::start().await;
    let odd = "\u{1b}[2J\n<html>";
    let records = [
        quarantined(&providers::CLOSER, odd),
        quarantined(&providers::CLOSER, &event("closer", 1)),
    ];
    site.put(&records, None).await;
    let list = site.run(&[
        "quarantine",
        "--since",
        "2026-11-20",
        "--until",
        "2026-11-23",
        "--output",
        "json",
    ]);
    let list: Vec<serde_json::Value> = list
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let handle = |bytes: usize| {
        list.iter().find(|it| it["bytes"] == bytes).unwrap()["handle"]
            .as_str()
            .unwrap()
    };
    let (bad, good) = (handle(odd.len()), handle(event("closer", 1).len()));
    assert_data_eq!(
        site.run(&["quarantine", "show", bad]),
        str![[r#"
provider      closer
reason        the parser panicked
arrival       2026-11-21T20:43:00.000000Z
requestid     request
contenttype   
bytes         11

�[2J
<html>

"#]]
    );
    assert_data_eq!(
        site.run(&["quarantine", "show", bad, "--hex"])
            .lines()
            .last()
            .unwrap()
            .to_owned(),
        str!["00000000  1b 5b 32 4a 0a 3c 68 74 6d 6c 3e                 .[2J.<html>"]
    );
    assert_eq!(site.run(&["quarantine", "show", bad, "--raw"]), odd);
    assert!(
        site.run(&["quarantine", "replay", good])
            .ends_with("1 deliveries replayed, 0 still in quarantine.\n")
    );

    let (code, error) = site.fail(&["quarantine", "drop", bad]);
    assert_eq!(
        (code, &*error),
        (1, "error: stdin is not a terminal: pass --yes to confirm\n")
    );
    assert!(
        site.run(&["quarantine", "drop", bad, "--yes"])
            .ends_with("Dropped 1.\n")
    );
    let (code, error) = site.fail(&["quarantine", "drop", bad, "--yes"]);
    assert!(
        code == 1 && error.contains("no quarantined delivery has the handle"),
        "{error}"
    );
    assert_eq!(
        all(&site).await,
        all_of(
            &testkit::site::records(&providers::CLOSER, &event("closer", 1)),
            None
        )
        .await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_quarantine_is_read_page_by_page() {
    let site = Site::start().await;
    let bodies: Vec<_> = (0..40)
        .map(|number| format!("{number}{}", "x".repeat(300_000)))
        .collect();
    site.put(
        &bodies
            .iter()
            .map(|body| quarantined(&providers::CLOSER, body))
            .collect::<Vec<_>>(),
        None,
    )
    .await;
    let list = site.run(&[
        "quarantine",
        "--since",
        "2026-11-20",
        "--until",
        "2026-11-23",
        "--limit",
        "100",
        "--output",
        "json",
    ]);
    assert_eq!(list.lines().count(), 40);
}

/// After the command is killed at any moment, a second run gives the same result.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_replay_neither_loses_nor_duplicates_events() {
    let site = Site::start().await;
    let mut right = Vec::new();
    for number in 0..60 {
        let new = records(&providers::PIPEDRIVE, &event("pipedrive", number));
        site.put(
            &[altered(&new[0], |event| {
                event.subject = format!("thing/{number}");
            })],
            Some(EXPIRES),
        )
        .await;
        right.extend(new);
        let body = event("closer", number);
        site.put(&[quarantined(&providers::CLOSER, &body)], None)
            .await;
    }
    let expected = all_of(&right, Some(EXPIRES)).await;
    let mut closer = Vec::new();
    for number in 0..60 {
        closer.extend(records(&providers::CLOSER, &event("closer", number)));
    }
    let mut interrupted = 0;
    let quarantine = [&["quarantine", "replay"], &SPAN[..]].concat();
    for command in [&["replay", "--since", "10m"][..], &quarantine] {
        for millis in (100..600).step_by(50) {
            let mut process = site.command(command).stdout(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            interrupted += usize::from(process.try_wait().unwrap().is_none());
            process.kill().unwrap();
            block_in_place(|| process.wait()).unwrap();
            let known = all(&site).await.len();
            assert!(
                (120..=121).contains(&known),
                "{known} after {command:?} for {millis} ms"
            );
        }
        assert!(!site.run(command).is_empty());
    }
    assert!(interrupted > 4, "only {interrupted} were");
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .chain(all_of(&closer, None).await)
        .collect();
    assert_eq!(all(&site).await, expected);
}
