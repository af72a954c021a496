//! What the log of events of amoCRM shows as changes, and which of them no stored event reports.

use super::{
    super::api::{access, response, sample},
    FAILURES, at, event, healed, time, window, word, words,
};
use models::{Event, OwnTime};
use providers::{
    amocrm::api::{
        changes::{self, Context, Logged},
        walk::{self, Walk},
    },
    api::{ApiError, change::Window},
};
use serde_json::{Value, json, value::to_raw_value};
use std::collections::BTreeMap;

/// The events of amoCRM's log, which is read for one minute.
fn logged(entries: &Value) -> Logged {
    let window = Window {
        since: at("10:20:00"),
        until: at("10:21:00"),
    };
    let mut walk = Walk::new(window);
    while let Some(call) = walk.next(&access()) {
        let query = call.request.uri().query().unwrap();
        let body = json!({ "_embedded": { "events": entries } }).to_string();
        let page = if query.ends_with("=lead") {
            (call.parse)(&response(200, &body))
        } else {
            (call.parse)(&response(204, ""))
        };
        walk.receive(page).unwrap();
    }
    let context = Context {
        chats: BTreeMap::from([(117, "chat".to_owned())]),
        notes: BTreeMap::from([(9, to_raw_value(&json!({ "id": 9, "text": "a" })).unwrap())]),
    };
    Logged::new(&walk.finish().unwrap(), &context)
}

/// An event of the log, on a lead.
fn entry(number: usize, r#type: &str, clock: &str, after: &Value) -> Value {
    json!({
        "id": format!("event-{number}"), "type": r#type, "entity_id": 5, "entity_type": "lead",
        "created_at": at(clock).as_seconds(), "value_after": [after], "value_before": [],
    })
}

fn missing(entries: &[Value], stored: &[Event]) -> String {
    let changes = logged(&json!(entries)).changes.into_values().flatten();
    words(&changes::missing(changes.collect(), stored))
}

fn amocrm_event(word: &str, clock: &str, data: &Value) -> Event {
    let kind = format!("com.amocrm.lead.{word}");
    event(&kind, OwnTime::Given(at(clock)), data)
}

/// An event without a time of its own, which arrived at a time.
fn arrived(word: &str, clock: &str, data: &Value) -> Event {
    let mut event = event(&format!("com.amocrm.lead.{word}"), OwnTime::Missing, data);
    event.time = at(clock);
    event
}

#[test]
fn an_event_of_amocrm_is_reported_by_one_of_its_type_within_two_seconds() {
    let created = [entry(1, "lead_added", "10:20:30", &json!({}))];
    for (word, clock, expected) in [
        ("created", "10:20:27", "created 10:20:30.000000"),
        ("created", "10:20:28", ""),
        ("created", "10:20:30", ""),
        ("created", "10:20:32", ""),
        ("created", "10:20:33", "created 10:20:30.000000"),
        ("updated", "10:20:30", "created 10:20:30.000000"),
    ] {
        let stored = [amocrm_event(word, clock, &json!({}))];
        assert_eq!(missing(&created, &stored), expected, "{word} {clock}");
    }
}

#[test]
fn an_event_of_amocrm_without_a_time_arrives_within_100_minutes() {
    let deleted = [entry(1, "lead_deleted", "10:20:30", &json!({}))];
    for (clock, expected) in [
        ("10:20:27", "deleted 10:20:30.000000"),
        ("10:20:28", ""),
        ("12:00:30", ""),
        ("12:00:31", "deleted 10:20:30.000000"),
    ] {
        let stored = [arrived("deleted", clock, &json!({}))];
        assert_eq!(missing(&deleted, &stored), expected, "arrived {clock}");
    }
}

#[test]
fn an_event_of_amocrm_reports_one_change_and_that_of_its_second_first() {
    let twice = [
        entry(1, "lead_restored", "10:20:30", &json!({})),
        entry(2, "lead_restored", "10:20:31", &json!({})),
    ];
    let first = amocrm_event("restored", "10:20:30", &json!({}));
    let second = amocrm_event("restored", "10:20:31", &json!({}));
    let stored = [first.clone()];
    assert_eq!(missing(&twice, &stored), "restored 10:20:31.000000");
    let stored = [second.clone()];
    assert_eq!(missing(&twice, &stored), "restored 10:20:30.000000");
    assert_eq!(missing(&twice, &[second, first]), "");
}

#[test]
fn a_change_of_status_of_amocrm_is_reported_by_one_to_the_same_status() {
    let status = |id: u32| json!({ "lead_status": { "id": id, "pipeline_id": 1 } });
    let changes = [
        entry(1, "lead_status_changed", "10:20:30", &status(1)),
        entry(2, "lead_status_changed", "10:20:31", &status(2)),
    ];
    let to_first = json!({ "status_id": "1" });
    let to_second = json!({ "status_id": "2" });
    let stored = [amocrm_event("status_changed", "10:20:31", &to_first)];
    assert_eq!(missing(&changes, &stored), "status_changed 10:20:31.000000");
    let stored = [amocrm_event("status_changed", "10:20:31", &to_second)];
    assert_eq!(missing(&changes, &stored), "status_changed 10:20:30.000000");
    let stored = [arrived("status_changed", "10:50:00", &to_second)];
    assert_eq!(missing(&changes, &stored), "status_changed 10:20:30.000000");
}

#[test]
fn a_note_of_amocrm_is_reported_by_the_same_note() {
    let note = |id: u32| json!({ "note": { "id": id } });
    let item = json!({ "note": { "id": "9", "element_id": "5" } });
    let stored = [amocrm_event("note_added", "10:25:00", &item)];
    let written = [
        entry(1, "common_note_added", "10:20:30", &note(9)),
        entry(2, "outgoing_call", "10:20:31", &note(10)),
    ];
    assert_eq!(missing(&written, &stored), "note_added 10:20:31.000000");
    // The digital pipeline does not name the note.
    let visit = [entry(1, "site_visit_note_added", "10:20:30", &note(9))];
    let visited = [arrived("site_visit", "10:21:00", &json!({}))];
    assert_eq!(missing(&visit, &visited), "");
    // The note that a creation names is another event.
    let created = [entry(1, "lead_added", "10:20:30", &note(9))];
    assert_eq!(missing(&created, &stored), "created 10:20:30.000000");
}

#[test]
fn a_message_of_amocrm_is_reported_by_the_same_message() {
    let message = |id: &str| json!({ "message": { "id": id, "talk_id": 117 } });
    let sent = [
        entry(1, "incoming_chat_message", "10:20:30", &message("a")),
        entry(2, "outgoing_chat_message", "10:20:31", &message("b")),
    ];
    let late = OwnTime::Given(at("10:29:00"));
    let incoming = event("com.amocrm.message.created", late, &json!({ "id": "a" }));
    let outgoing = json!({ "id": "b" });
    let outgoing = event("com.amocrm.outgoing_message.created", late, &outgoing);
    let stored = [outgoing, incoming];
    assert_eq!(missing(&sent, &stored[1..]), "created 10:20:31.000000");
    assert_eq!(missing(&sent, &stored), "");
}

#[test]
fn another_responsible_user_of_amocrm_is_reported_by_either_type() {
    let changed = |entity: &str| {
        let mut entry = entry(1, "entity_responsible_changed", "10:20:30", &json!({}));
        entry["entity_type"] = json!(entity);
        [entry]
    };
    let contact = |word: &str| {
        let kind = format!("com.amocrm.contact.{word}");
        [event(&kind, OwnTime::Given(at("10:20:30")), &json!({}))]
    };
    for word in ["updated", "responsible_changed"] {
        assert_eq!(missing(&changed("contact"), &contact(word)), "", "{word}");
    }
    let stored = [amocrm_event("updated", "10:20:30", &json!({}))];
    let expected = "responsible_changed 10:20:30.000000";
    assert_eq!(missing(&changed("lead"), &stored), expected);
}

#[test]
fn all_updates_of_a_second_are_one_change_of_amocrm() {
    let none = json!({});
    let updates = [
        entry(3, "sale_field_changed", "10:20:30", &none),
        entry(2, "entity_tag_added", "10:20:30", &none),
        entry(4, "custom_field_188087_value_changed", "10:20:31", &none),
        entry(5, "contact_linked", "10:20:31", &none),
    ];
    let all = "updated 10:20:30.000000, updated 10:20:31.000000";
    assert_eq!(missing(&updates, &[]), all);
    let stored = [amocrm_event("updated", "10:20:31", &none)];
    assert_eq!(missing(&updates, &stored), "updated 10:20:30.000000");

    let changes = logged(&json!(updates)).changes.into_values().flatten();
    let changes = changes::missing(changes.collect(), &[]);
    let event = healed(changes[0].clone());
    assert_eq!(
        event.eventid.as_deref(),
        Some("event-2"),
        "the first of its second"
    );
    let data: Value = serde_json::from_str(event.data.get()).unwrap();
    let types = [&data["events"][0]["type"], &data["events"][1]["type"]];
    assert_eq!(types, ["entity_tag_added", "sale_field_changed"]);

    let stored: Vec<Event> = changes.into_iter().map(healed).collect();
    assert_eq!(missing(&updates, &stored), "");
    let late = entry(1, "name_field_changed", "10:20:30", &none);
    let more: Vec<Value> = [late].into_iter().chain(updates).collect();
    assert_eq!(missing(&more, &stored), "", "an update that appeared late");
}

#[test]
fn a_second_healing_of_amocrm_finds_nothing() {
    let none = json!({});
    let entries = [
        entry(1, "lead_added", "10:20:30", &none),
        entry(2, "lead_deleted", "10:20:30", &none),
        entry(3, "lead_restored", "10:20:30", &none),
        entry(4, "lead_restored", "10:20:30", &none),
    ];
    let changes = logged(&json!(entries)).changes.into_values().flatten();
    let stored: Vec<Event> = changes.map(|logged| healed(logged.change)).collect();
    assert_eq!(stored.len(), 4);
    assert_ne!(stored[2].id, stored[3].id);
    assert_eq!(missing(&entries, &stored), "");
}

#[test]
fn the_types_of_amocrms_log_are_those_of_its_webhooks() {
    for (r#type, entity, expected) in [
        ("lead_added", "lead", "lead.created lead/5"),
        ("contact_deleted", "contact", "contact.deleted contact/5"),
        ("company_restored", "company", "company.restored company/5"),
        ("lead_status_changed", "lead", "lead.status_changed lead/5"),
        (
            "entity_responsible_changed",
            "lead",
            "lead.responsible_changed lead/5",
        ),
        (
            "entity_responsible_changed",
            "contact",
            "contact.updated contact/5",
        ),
        (
            "custom_field_188087_value_changed",
            "company",
            "company.updated company/5",
        ),
        ("entity_linked", "contact", "contact.updated contact/5"),
        ("lead_unlinked", "contact", "contact.updated contact/5"),
        (
            "customer_status_changed",
            "customer",
            "customer.updated customer/5",
        ),
        ("incoming_call", "contact", "contact.note_added contact/5"),
        ("outgoing_mail", "lead", "lead.note_added lead/5"),
        ("incoming_mail", "lead", "lead.mail_in lead/5"),
        ("site_visit_note_added", "lead", "lead.site_visit lead/5"),
        ("task_added", "task", "task.created task/5"),
        ("task_completed", "task", "task.updated task/5"),
        ("task_deleted", "task", "task.deleted task/5"),
        (
            "incoming_chat_message",
            "contact",
            "message.created chat/chat",
        ),
        ("talk_created", "lead", "talk.created talk/117"),
        ("talk_closed", "talk", "talk.updated talk/5"),
        // The webhook has another subject, which the event does not show.
        ("task_added", "lead", "skipped task_added"),
        // No webhook reports it.
        ("common_note_deleted", "lead", "skipped common_note_deleted"),
        ("robot_replied", "lead", "skipped robot_replied"),
        ("entity_merged", "", "skipped entity_merged"),
    ] {
        let value = json!({ "message": { "id": "m", "talk_id": 117 }, "note": { "id": 9 } });
        let mut entry = entry(1, r#type, "10:20:30", &value);
        entry["entity_type"] = json!(entity);
        let logged = logged(&json!([entry]));
        let changes = logged.changes.values().flatten().map(|logged| {
            let kind = logged.change.r#type.strip_prefix("com.amocrm.").unwrap();
            format!("{kind} {}", logged.change.subject)
        });
        let skipped = logged.skipped.keys().map(|word| format!("skipped {word}"));
        let said: Vec<String> = changes.chain(skipped).collect();
        assert_eq!(said, [expected], "{type} of a {entity}");
    }
}

#[test]
fn a_note_that_was_read_back_has_its_text() {
    let note = entry(
        1,
        "common_note_added",
        "10:20:30",
        &json!({ "note": { "id": 9 } }),
    );
    let change = logged(&json!([note]))
        .changes
        .remove("lead/5")
        .unwrap()
        .remove(0)
        .change;
    assert_eq!(change.dataschema, Some(changes::DATA_SCHEMA));
    let event = healed(change);
    assert_eq!(event.channel.as_deref(), Some("api"));
    assert_eq!(event.originaltype, "common_note_added");
    let data: Value = serde_json::from_str(event.data.get()).unwrap();
    assert_eq!(data["note"]["text"], "a");
    assert_eq!(data["events"][0]["entity_id"], 5);
}

#[test]
fn the_milliseconds_are_those_of_the_id_if_it_is_of_the_same_second() {
    for (id, expected) in [
        ("01kysdbvsnt5n43xgp5hmp2k77", "2026-07-30T11:43:12.693000Z"),
        ("01KYSDBVSNT5N43XGP5HMP2K77", "2026-07-30T11:43:12.693000Z"),
        ("01kysdbzzzt5n43xgp5hmp2k77", "2026-07-30T11:43:12.000000Z"),
        ("01kysdbvsut5n43xgp5hmp2k77", "2026-07-30T11:43:12.000000Z"),
        ("7", "2026-07-30T11:43:12.000000Z"),
    ] {
        let mut entry = entry(1, "lead_added", "10:20:30", &json!({}));
        entry["id"] = json!(id);
        entry["created_at"] = json!(1_785_411_792);
        let changes = logged(&json!([entry])).changes;
        assert_eq!(changes["lead/5"][0].change.time, time(expected), "{id}");
    }
}

#[test]
fn a_failed_request_is_not_an_empty_log() {
    let others = [
        (200, r#"{"_embedded":{}}"#, "malformed"),
        (200, r#"{"_embedded":{"events":[{"id":"a"}]}}"#, "malformed"),
        (
            200,
            r#"{"_embedded":{"events":[{"created_at":1}]}}"#,
            "malformed",
        ),
    ];
    for (status, body, expected) in FAILURES.into_iter().chain(others) {
        let mut walk = Walk::new(window());
        let page = (walk.next(&access()).unwrap().parse)(&response(status, body));
        // Customers are the first kind that is read, and an account may refuse them.
        let expected = if status == 400 { "read" } else { expected };
        assert_eq!(word(walk.receive(page)), expected, "{status} {body}");
        assert!(walk.finish().is_none(), "{status} {body}");
    }
}

#[test]
fn an_account_may_refuse_customers_and_nothing_else() {
    let mut walk = Walk::new(window());
    let all = walk.requests();
    walk.receive(Err(ApiError::Invalid(Vec::new()))).unwrap();
    assert!(walk.requests() < all);
    let error = walk.receive(Err(ApiError::Invalid(Vec::new())));
    assert_eq!(word(error), "invalid");
}

#[test]
fn the_samples_of_amocrm_are_a_page_notes_and_a_talk() {
    let Some(events) = sample("amocrm/events_list_200.json") else {
        return;
    };
    let call = Walk::new(window()).next(&access()).unwrap();
    let page = (call.parse)(&response(200, &events)).unwrap();
    assert_eq!(format!("{page:?}"), "Page { entries: 1, has_next: true }");
    let notes = walk::notes(&access(), "company", &[42_709_325, 42_709_842].into());
    let path = notes.request.uri().to_string();
    assert!(path.contains("/api/v4/companies/notes?"), "{path}");
    assert!(path.contains("filter%5Bid%5D%5B%5D=42709842"), "{path}");
    let body = sample("amocrm/notes_list_200.json").unwrap();
    let notes = (notes.parse)(&response(200, &body)).unwrap();
    assert_eq!(
        notes.into_keys().collect::<Vec<_>>(),
        [42_709_325, 42_709_842]
    );
    let talk = walk::talk(&access(), 117);
    let body = sample("amocrm/talks_get_200.json").unwrap();
    let chat = (talk.parse)(&response(200, &body)).unwrap();
    assert_eq!(chat, "88278e98-2b8d-4ae2-a5f0-bfab511cd621");
}

#[test]
fn the_sample_events_of_amocrm_have_a_type_or_are_skipped() {
    let Some(real) = sample("amocrm/events_lead_status_changed_real.json") else {
        return;
    };
    let real: Value = serde_json::from_str(&real).unwrap();
    let logged_real = logged(&json!([real]));
    let change = &logged_real.changes["lead/34079577"][0].change;
    assert_eq!(change.time, time("2026-07-30T11:43:12.693Z"));

    let types = sample("amocrm/events_types_real.json").unwrap();
    let types: Value = serde_json::from_str(&types).unwrap();
    let types = types["_embedded"]["events_types"].as_array().unwrap();
    let entries: Vec<Value> = types
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let key = row["key"].as_str().unwrap();
            let mut entry = entry(number, key, "10:20:30", &json!({ "talk": { "id": 117 } }));
            if key.starts_with("task_") {
                entry["entity_type"] = json!("task");
            }
            entry
        })
        .collect();
    let skipped = logged(&json!(entries)).skipped;
    let skipped: Vec<&str> = skipped.keys().map(String::as_str).collect();
    let without_a_webhook = [
        "ai_result",
        "common_note_deleted",
        "conversation_answered",
        "dropbox_attachment",
        "entity_direct_message",
        "intent_identified",
        "invoice_created",
        "invoice_paid",
        "key_action_completed",
        "meta_chat_subscription_added",
        "meta_chat_subscription_removed",
        "nps_rate_added",
        "page_mention",
        "picture_closed",
        "picture_opened",
        "robot_replied",
        "segment_created",
        "talk_missed_event",
        "transaction_added",
        "video_closed",
        "video_opened",
        "zoom_conference",
    ];
    assert_eq!(skipped, without_a_webhook);

    let shapes = sample("amocrm/events_value_shapes.json").unwrap();
    let shapes: BTreeMap<String, Value> = serde_json::from_str(&shapes).unwrap();
    for (types, values) in shapes {
        for word in types.split(" [").next().unwrap().split(',') {
            let mut entry = entry(1, word, "10:20:30", &json!({}));
            entry["value_after"] = values["value_after"].clone();
            logged(&json!([entry]));
        }
    }
}
