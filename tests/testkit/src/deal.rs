//! Pipedrive deals of any size: as in real accounts, most of a large one is custom fields.

use serde_json::{Map, Value, json};

/// The provider's id of the event in the body of a webhook v2.
pub const EVENT_ID: &str = "9b3c1d52-52a8-45c8-9f6e-d9cfae9a8d11";

const WORDS: [&str; 24] = [
    "account", "annual", "boats", "callback", "contract", "delivery", "discount", "expects",
    "follow", "harbour", "invoice", "manager", "meeting", "northern", "offer", "partner", "price",
    "quarter", "renewal", "shipment", "signed", "terms", "waiting", "winter",
];

/// The body of a webhook v2 for a deal, of about this many bytes: never fewer, and at most a custom
/// field more. The same number makes the same body.
#[must_use]
pub fn of_size(bytes: usize) -> String {
    with_fields(bytes, v2)
}

/// The same as a webhook v1, which has the custom fields before and after the change.
#[must_use]
pub fn v1_of_size(bytes: usize) -> String {
    with_fields(bytes, v1)
}

fn with_fields(bytes: usize, body: fn(&Map<String, Value>) -> String) -> String {
    let mut random = fastrand::Rng::with_seed(1);
    let mut fields = Map::new();
    loop {
        let body = body(&fields);
        if body.len() >= bytes {
            return body;
        }
        // A field takes 40 bytes at least.
        for _ in 0..((bytes - body.len()) / 160).max(1) {
            let key: String = (0..40).map(|_| random.digit(16)).collect();
            fields.insert(key, field(&mut random));
        }
    }
}

/// The value of a custom field. In real accounts, many are empty.
fn field(random: &mut fastrand::Rng) -> Value {
    match random.u8(..8) {
        0..3 => Value::Null,
        3 => json!({ "type": "enum", "id": random.u16(1..2_000) }),
        4 => {
            json!({ "type": "date", "value": format!("2026-{:02}-{:02}", random.u8(1..13), random.u8(1..29)) })
        }
        5 => json!({ "type": "monetary", "value": random.u32(..1_000_000), "currency": "EUR" }),
        6 => json!({ "type": "varchar", "value": words(random, 3) }),
        _ => json!({ "type": "text", "value": words(random, 14) }),
    }
}

fn words(random: &mut fastrand::Rng, count: usize) -> String {
    let words = (0..count).map(|_| WORDS[random.usize(..WORDS.len())]);
    words.collect::<Vec<_>>().join(" ")
}

fn v1(fields: &Map<String, Value>) -> String {
    let object = |stage_id: u32, update_time: &str| {
        let mut object = json!({
            "active": true, "add_time": "2026-09-01 08:15:00", "currency": "EUR", "deleted": false, "id": 42,
            "org_id": 771, "owner_name": "Ada Lovelace", "person_id": 5512, "pipeline_id": 1,
            "stage_id": stage_id, "status": "open", "title": "Gig boats for the northern harbour",
            "update_time": update_time, "value": 125_000, "weighted_value": 125_000,
        });
        for (key, value) in fields {
            // Webhooks v1 have the values alone.
            object[key] = value
                .get("value")
                .or(value.get("id"))
                .cloned()
                .unwrap_or_default();
        }
        object
    };
    json!({
        "v": 1, "event": "updated.deal", "retry": 0, "matches_filters": { "current": [], "previous": [] },
        "meta": {
            "v": 1, "action": "updated", "object": "deal", "id": 42, "company_id": 7_654_321,
            "user_id": 12_345_678, "host": "example.pipedrive.com", "timestamp": 1_795_293_779,
            "timestamp_micro": 1_795_293_779_871_000_i64, "webhook_id": "87654",
        },
        "current": object(4, "2026-11-21 20:42:59"),
        "previous": object(3, "2026-11-19 12:00:00"),
    })
    .to_string()
}

fn v2(fields: &Map<String, Value>) -> String {
    json!({
        "meta": {
            "action": "change", "company_id": "7654321", "correlation_id": "4d2f9d7e-17c5-4bdf-a5a7-5fd1d5a7f0b1",
            "entity_id": "42", "entity": "deal", "id": EVENT_ID,
            "is_bulk_edit": false, "timestamp": "2026-11-21T20:42:59.871Z", "type": "application",
            "user_id": "12345678", "version": "2.0", "webhook_id": "87654", "webhook_owner_id": "12345678",
            "change_source": "app", "permitted_user_ids": ["12345678"], "attempt": 1, "host": "example.pipedrive.com",
        },
        "data": {
            "add_time": "2026-09-01T08:15:00Z", "channel": null, "close_time": null, "creator_user_id": 12_345_678,
            "currency": "EUR", "custom_fields": fields, "expected_close_date": "2026-12-15", "id": 42,
            "is_archived": false, "label": null, "label_ids": [], "lost_reason": null, "lost_time": null,
            "next_activity_id": 981, "org_id": 771, "origin": "ManuallyCreated", "owner_id": 12_345_678,
            "person_id": 5512, "pipeline_id": 1, "probability": null, "stage_change_time": "2026-11-21T20:42:59Z",
            "stage_id": 4, "status": "open", "title": "Gig boats for the northern harbour",
            "update_time": "2026-11-21T20:42:59Z", "value": 125_000, "visible_to": "3", "won_time": null,
        },
        "previous": { "stage_id": 3, "stage_change_time": "2026-11-02T10:00:00Z", "update_time": "2026-11-19T12:00:00Z" },
    })
    .to_string()
}
