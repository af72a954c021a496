//! What Pipedrive's API shows as changes, and which of them no stored event reports.

use super::{
    super::api::{access, response, sample},
    FAILURES, at, event, healed, time, window, word, words,
};
use models::{Event, EventId, OwnTime, Timestamp};
use providers::{
    PIPEDRIVE,
    api::change::{Change, Difference, Window},
    pipedrive::api::{
        changes::Object,
        walk::{self, Walk},
    },
};
use serde_json::{Value, json};
use testkit::corpus;

/// Walks through Pipedrive's lists, of which those at a path have these rows.
fn objects(window: Window, path: &str, rows: &Value) -> Vec<Object> {
    let mut walk = Walk::new(window);
    while let Some(call) = walk.next(&access()) {
        let is_it = call.request.uri().path() == path;
        let data = if is_it { rows.clone() } else { json!([]) };
        let body = json!({ "success": true, "data": data });
        let page = (call.parse)(&response(200, &body.to_string()));
        walk.receive(page).unwrap();
    }
    walk.finish().unwrap()
}

/// A deal with these members beside its id.
fn deal(members: &Value) -> Object {
    let mut deal = json!({ "id": 42 });
    deal.as_object_mut()
        .unwrap()
        .extend(members.as_object().unwrap().clone());
    let mut objects = objects(window(), "/api/v2/deals", &json!([deal]));
    objects.remove(0)
}

/// Stored events of a deal: `updated 10:00:00.5`, or `healed updated 10:00:00`.
fn stored(words: &str) -> Vec<Event> {
    let events = words.split(", ").filter(|word| !word.is_empty());
    let events = events.map(|words| {
        let (words, clock) = words.rsplit_once(' ').unwrap();
        let word = words.trim_start_matches("healed ");
        let kind = format!("com.pipedrive.deal.{word}");
        let mut event = event(&kind, OwnTime::Given(at(clock)), &json!({}));
        event.channel = words.starts_with("healed").then(|| "api".to_owned());
        event
    });
    events.collect()
}

#[test]
fn a_change_of_pipedrive_is_missing_if_no_stored_event_reports_it() {
    let old = json!({
        "add_time": "2026-01-01T08:00:00Z",
        "update_time": "2026-11-21T10:20:30Z",
    });
    let deleted = json!({
        "add_time": "2026-01-01T08:00:00Z",
        "update_time": "2026-11-21T10:20:30Z",
        "status": "deleted",
    });
    let new = json!({
        "add_time": "2026-11-21T10:20:30Z",
        "update_time": "2026-11-21T10:20:29Z",
    });
    let changed = json!({
        "add_time": "2026-11-21T10:10:00Z",
        "update_time": "2026-11-21T10:20:30Z",
    });
    let later = json!({
        "add_time": "2026-11-21T10:10:00Z",
        "update_time": "2026-11-21T11:20:30Z",
    });
    let new_and_deleted = json!({
        "add_time": "2026-11-21T10:20:30Z",
        "update_time": "2026-11-21T10:20:31Z",
        "is_deleted": true,
    });
    let before = json!({
        "add_time": "2026-11-21T09:59:59Z",
        "update_time": "2026-11-21T10:00:00Z",
    });
    for (object, events, expected) in [
        // A webhook's time is in the second of `update_time`, or later.
        (&old, "", "updated 10:20:30.000000"),
        (&old, "updated 10:20:29.999", "updated 10:20:30.000000"),
        (&old, "updated 10:20:30", ""),
        (&old, "updated 10:20:30.998", ""),
        (&old, "merged 10:25:44", ""),
        // An event that was read back stands for its own change alone.
        (&old, "healed updated 10:20:30", ""),
        (&old, "healed updated 10:20:31", "updated 10:20:30.000000"),
        (&old, "healed created 10:20:30", "updated 10:20:30.000000"),
        // A deletion needs its own event.
        (&deleted, "updated 10:20:30.5", "deleted 10:20:30.000000"),
        (&deleted, "deleted 10:20:29", ""),
        (&deleted, "deleted 10:20:27", "deleted 10:20:30.000000"),
        (&deleted, "healed deleted 10:20:30", ""),
        (&deleted, "deleted 10:40:00", ""),
        // A new object is one event, whichever of its times is later.
        (&new, "", "created 10:20:30.000000"),
        (&new, "created 10:20:29.4", ""),
        (&new, "healed created 10:20:30", ""),
        (&new, "updated 10:20:29.4", "created 10:20:30.000000"),
        // A changed object can miss both, or either.
        (
            &changed,
            "",
            "created 10:10:00.000000, updated 10:20:30.000000",
        ),
        (&changed, "created 10:10:00.2", "updated 10:20:30.000000"),
        (
            &changed,
            "healed created 10:10:00",
            "updated 10:20:30.000000",
        ),
        (&changed, "updated 10:20:30.2", "created 10:10:00.000000"),
        (&changed, "created 10:10:00.2, updated 10:20:30.2", ""),
        // A change after the window is left to the next one, but not the creation before it.
        (&later, "", "created 10:10:00.000000"),
        (&later, "created 10:10:00.2", ""),
        (
            &new_and_deleted,
            "",
            "created 10:20:30.000000, deleted 10:20:31.000000",
        ),
        // A creation before the window does not stand for a change in it.
        (&before, "", "updated 10:00:00.000000"),
    ] {
        let missing = deal(object).missing(window(), &stored(events));
        assert_eq!(words(&missing), expected, "{object}, stored: {events:?}");
    }
}

#[test]
fn a_second_healing_of_pipedrive_finds_nothing() {
    let changed = json!({
        "add_time": "2026-11-21T10:10:00Z",
        "update_time": "2026-11-21T10:20:30Z",
        "next_activity_id": 1,
    });
    let mut counted = changed.clone();
    counted["next_activity_id"] = json!(2);
    let first = deal(&changed).missing(window(), &[]);
    let again = deal(&counted).missing(window(), &[]);
    let ids = |changes: &[Change]| -> Vec<EventId> {
        changes
            .iter()
            .map(|change| healed(change.clone()).id)
            .collect()
    };
    assert_eq!(ids(&first), ids(&again));
    assert_ne!(ids(&first)[0], ids(&first)[1]);
    let stored: Vec<Event> = first.into_iter().map(healed).collect();
    assert_eq!(words(&deal(&counted).missing(window(), &stored)), "");
}

#[test]
fn the_compared_events_begin_before_the_earliest_change() {
    for (added, expected) in [
        ("10:20:31", "10:20:28"),
        ("10:10:00", "10:09:58"),
        ("08:00:00", "10:20:28"),
    ] {
        let members = json!({
            "add_time": format!("2026-11-21T{added}Z"),
            "update_time": "2026-11-21T10:20:30.500Z",
        });
        assert_eq!(
            deal(&members).compared_since(window()),
            at(expected),
            "added at {added}"
        );
    }
}

#[test]
fn an_object_of_pipedrive_is_an_event_with_the_paths_of_a_webhook() {
    let note = json!([{
        "id": 7, "active_flag": false, "content": "1.10", "amount": 1.10,
        "add_time": "2026-11-21 10:01:00", "update_time": "2026-11-21 10:02:00",
    }]);
    let note = objects(window(), "/v1/notes", &note).remove(0);
    let changes = note.missing(window(), &[]);
    assert_eq!(
        words(&changes),
        "created 10:01:00.000000, deleted 10:02:00.000000"
    );
    let event = healed(changes[1].clone());
    assert_eq!(event.r#type, "com.pipedrive.note.deleted");
    assert_eq!(event.subject, "note/7");
    assert_eq!(event.channel.as_deref(), Some("api"));
    assert_eq!(event.apiversion.as_deref(), Some("1"));
    assert_eq!(event.originaltype, "/v1/notes");
    let data: Value = serde_json::from_str(event.data.get()).unwrap();
    assert_eq!(data["data"]["content"], "1.10");
    assert!(
        event.data.get().contains("\"amount\":1.1"),
        "{}",
        event.data
    );
}

#[test]
fn the_newest_state_of_an_object_in_two_lists_counts() {
    let mut walk = Walk::new(window());
    while let Some(call) = walk.next(&access()) {
        let second = match call.request.uri().path() {
            "/api/v2/deals" => 30,
            "/api/v2/deals/archived" => 20,
            _ => 0,
        };
        let row = json!([{ "id": 42, "update_time": format!("2026-11-21T10:00:{second}Z") }]);
        let data = if second > 0 { row } else { json!([]) };
        let body = json!({ "success": true, "data": data }).to_string();
        walk.receive((call.parse)(&response(200, &body))).unwrap();
    }
    let objects = walk.finish().unwrap();
    assert_eq!(objects.len(), 1);
    assert_eq!(
        words(&objects[0].missing(window(), &[])),
        "updated 10:00:30.000000"
    );
}

#[test]
fn reading_every_list_once_costs_less_than_the_budget_leaves() {
    let (least, most) = walk::tokens(0);
    assert_eq!((least, most), (160, 160));
    assert_eq!(walk::tokens(501), (160, 240));
    // The list of webhooks is read every 15 minutes.
    let webhooks = 24 * 4 * 10;
    assert!(webhooks + least <= walk::TOKENS_PER_DAY / 20);
    let mut walk = Walk::new(window());
    let mut tokens = 0;
    while let Some(call) = walk.next(&access()) {
        tokens += call.tokens;
        let body = r#"{"success":true,"data":null}"#;
        walk.receive((call.parse)(&response(200, body))).unwrap();
    }
    assert_eq!(tokens, least);
}

#[test]
fn the_sample_lists_of_pipedrive_are_objects() {
    let always = Window {
        since: Timestamp::EPOCH,
        until: at("12:00:00"),
    };
    let mut walk = Walk::new(always);
    let mut shown = Vec::new();
    while let Some(call) = walk.next(&access()) {
        let path = call.request.uri().path().to_owned();
        let file = path
            .replace("/api/v2/", "v2_")
            .replace("/v1/", "v1_")
            .replace('/', "_");
        let Some(body) = sample(&format!("pipedrive/{file}_list_200.json")) else {
            return;
        };
        shown.push(path.clone());
        // The cursor of the sample would lead to the same page for ever.
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["additional_data"] = Value::Null;
        walk.receive((call.parse)(&response(200, &body.to_string())))
            .unwrap();
    }
    assert_eq!(shown.len(), walk::LISTS.len());
    let objects = walk.finish().unwrap();
    let said: Vec<String> = objects
        .iter()
        .map(|object| {
            format!(
                "{}: {}",
                object.subject,
                words(&object.missing(always, &[]))
            )
        })
        .collect();
    let expected = [
        "activity/1: created 00:00:00.000000",
        "deal/1: created 00:00:00.000000",
        "lead/adf21080-0e10-11eb-879b-05d71fb426ec: created 11:30:36.551000",
        "note/1: created 13:59:21.000000, updated 14:26:11.000000",
        "organization/1: created 00:00:00.000000",
        "person/1: created 00:00:00.000000",
        "pipeline/1: created 00:00:00.000000",
        "product/1: created 11:36:49.000000",
        "stage/1: created 00:00:00.000000",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_failed_request_is_not_an_empty_list_of_pipedrive() {
    let others = [
        (200, r#"{"success":false,"data":[]}"#, "malformed"),
        (200, r#"{"success":true,"data":{}}"#, "malformed"),
        (200, r#"{"success":true,"data":[null]}"#, "malformed"),
        (
            200,
            r#"{"success":true,"data":[{"add_time":"2026-11-21 10:00:00"}]}"#,
            "malformed",
        ),
        (200, r#"{"success":true,"data":[{"id":1}]}"#, "malformed"),
    ];
    for (status, body, expected) in FAILURES.into_iter().chain(others) {
        let mut walk = Walk::new(window());
        // A list that cannot be read is left out, but not every list.
        let failed = loop {
            let call = walk.next(&access()).unwrap();
            let received = walk.receive((call.parse)(&response(status, body)));
            if received.is_err() {
                break received;
            }
        };
        assert_eq!(word(failed), expected, "{status} {body}");
        assert!(walk.finish().is_none(), "{status} {body}");
    }
}

#[test]
fn captured_leads_and_notes_have_the_times_that_they_show() {
    let always = Window {
        since: Timestamp::EPOCH,
        until: at("12:00:00"),
    };
    for (path, file, expected) in [
        (
            "/v1/leads",
            "lead",
            "created 15:05:14.977000, updated 11:47:18.002000",
        ),
        ("/v1/notes", "note", "created 08:24:35.000000"),
    ] {
        let Some(row) = sample(&format!("pipedrive/real_v1_{file}.json")) else {
            return;
        };
        let row: Value = serde_json::from_str(&row).unwrap();
        let object = objects(always, path, &json!([row])).remove(0);
        assert_eq!(words(&object.missing(always, &[])), expected, "{file}");
    }
}

#[test]
fn the_sample_lists_of_pipedrive_have_the_next_page() {
    let call = Walk::new(window()).next(&access()).unwrap();
    for (file, status, expected) in [
        ("v2_deals_list_200", 200, "rows: 1, cursor: Some(\"eyJ"),
        (
            "v1_leads_list_200",
            200,
            "rows: 1, cursor: None, has_more: None",
        ),
        (
            "v1_notes_list_200",
            200,
            "rows: 1, cursor: None, has_more: Some(true)",
        ),
        ("v1_leads_get_404", 404, "Err(NotFound)"),
    ] {
        let Some(body) = sample(&format!("pipedrive/{file}.json")) else {
            return;
        };
        let page = format!("{:?}", (call.parse)(&response(status, &body)));
        assert!(page.contains(expected), "{file}: {page}");
    }
}

fn in_one_second(one: Timestamp, other: Timestamp) -> bool {
    one.whole_second() == other.whole_second()
}

#[test]
fn the_events_of_the_corpus_report_the_objects_in_them() {
    let Some(rows) = corpus::rows() else { return };
    let (mut objects_with_time, mut in_its_second) = (0, 0);
    let rows = rows.iter().filter(|row| row.provider == PIPEDRIVE.name);
    for row in rows.filter(|row| !row.is_malformed()) {
        let body: Value = serde_json::from_slice(&row.body).unwrap();
        let object = [&body["data"], &body["current"]]
            .into_iter()
            .find(|object| !object.is_null());
        let Some(object) = object else { continue };
        let Some(updated) = object["update_time"].as_str() else {
            continue;
        };
        let in_utc = format!("{}Z", updated.replace(' ', "T").trim_end_matches('Z'));
        let events = row.read(&row.body).unwrap();
        objects_with_time += 1;
        in_its_second += usize::from(in_one_second(events[0].time, time(&in_utc)));

        let entity = events[0].subject.split('/').next().unwrap();
        let list = walk::LISTS.iter().find(|list| list.object == entity);
        let list = list.unwrap_or_else(|| panic!("{}: no list of {entity}", row.file));
        let always = Window {
            since: Timestamp::EPOCH,
            until: at("12:00:00"),
        };
        let object = objects(always, list.path, &json!([object])).remove(0);
        assert_eq!(object.subject, events[0].subject, "{}", row.file);
        let missing = object.missing(always, &events);
        let states = missing
            .iter()
            .filter(|change| !change.r#type.ends_with(".created"));
        assert_eq!(words(states), "", "{}", row.file);
    }
    // The others are a merge, which does not change the survivor, and a pipeline of 2017.
    assert_eq!((in_its_second, objects_with_time), (62, 64));
}

#[test]
fn a_counter_is_no_difference_from_the_last_event() {
    let shown = deal(&json!({
        "title": "Deal", "value": 100, "status": "open", "is_archived": false, "labels": [1],
        "custom_fields": { "3d0f": "blue", "91ac": null, "77aa": 5 }, "followers_count": 2,
        "last_activity_id": 7, "stage_change_time": null, "update_time": "2026-11-21T10:20:30Z",
        "only_in_the_list": null,
    }));
    let same = json!({
        "id": 42, "title": "Deal", "value": "100", "status": "open", "is_archived": false,
        "labels": [1], "followers_count": 1, "last_activity_id": 6,
        "custom_fields": {
            "3d0f": { "type": "varchar", "value": "blue" }, "91ac": null,
            "77aa": { "type": "double", "value": 5 },
        },
        "update_time": "2026-11-21T09:00:00Z", "only_in_the_webhook": null,
    });
    let with = |pointer: &str, value: Value| {
        let mut object = same.clone();
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    let cases = [
        (json!({ "data": same }), Difference::None),
        (json!({ "current": same, "v": 1 }), Difference::None),
        (
            json!({ "data": with("/title", json!("Other")) }),
            Difference::Found,
        ),
        (
            json!({ "data": with("/is_archived", json!(1)) }),
            Difference::Found,
        ),
        (
            json!({ "data": with("/custom_fields/3d0f/value", json!("red")) }),
            Difference::Found,
        ),
        (
            json!({ "data": with("/labels", json!([1, 2])) }),
            Difference::Unknown,
        ),
        (
            json!({ "data": with("/only_in_the_webhook", json!(1)) }),
            Difference::Unknown,
        ),
        (
            json!({ "data": null, "previous": same }),
            Difference::Unknown,
        ),
        (json!({ "data": { "id": 42 } }), Difference::Unknown),
        (json!([]), Difference::Unknown),
    ];
    for (data, difference) in cases {
        let time = OwnTime::Given(at("10:00:00"));
        let last = event("com.pipedrive.deal.updated", time, &data);
        assert_eq!(shown.difference(&last), difference, "{data}");
    }
}
