//! The simulated log of amoCRM behaves as its documentation says.

use super::{DAY, NOW, RATE, body, get, members, sample, status};
use axum::http::StatusCode;
use serde_json::Value;
use std::time::Duration;
use testkit::api::{
    AmocrmApi,
    amocrm::{AmocrmLook, EntityKind},
};

/// An account with an event of each kind of entity, and a message.
fn account() -> AmocrmApi {
    let mut api = AmocrmApi::new("token");
    let ids = EntityKind::ALL.map(|kind| api.entities.create(kind, NOW));
    api.entities.note(ids[0], NOW);
    api.entities.receive_message(ids[0], ids[1], NOW);
    api
}

fn events(api: &mut AmocrmApi, query: &str, now: Duration) -> Vec<Value> {
    let response = get(api, &format!("/api/v4/events?{query}"), now);
    if response.status() == StatusCode::NO_CONTENT {
        return Vec::new();
    }
    let list = body(&response);
    list["_embedded"]["events"].as_array().unwrap().clone()
}

#[test]
fn the_log_its_notes_and_talks_have_members_of_the_vendors_samples() {
    let mut api = account();
    let sent = &events(&mut api, "filter[type]=incoming_chat_message", NOW)[0];
    let talk = sent["value_after"][0]["message"]["talk_id"].to_string();
    for (path, name) in [
        ("events?limit=1&filter[type]=lead_added", "events_list_200"),
        ("leads/notes?limit=1", "notes_list_200"),
        (&format!("talks/{talk}"), "talks_get_200"),
    ] {
        let response = get(&mut api, &format!("/api/v4/{path}"), NOW);
        assert_eq!(status(&response), 200, "{path}");
        let Some(sample) = sample(&format!("amocrm/{name}.json")) else {
            continue;
        };
        let known = members(&sample);
        let mut unknown = members(&body(&response));
        unknown.retain(|name| !known.contains(name));
        assert_eq!(unknown, [""; 0], "{path}");
    }
    let unknown = get(&mut api, "/api/v4/talks/1", NOW);
    assert_eq!(status(&unknown), 404);
}

#[test]
fn the_log_is_filtered_and_has_the_newest_event_first() {
    let mut api = AmocrmApi::new("token");
    let lead = api.entities.create(EntityKind::Lead, NOW);
    let contact = api.entities.create(EntityKind::Contact, NOW + RATE);
    let sent = NOW + RATE * 2 + Duration::from_millis(692);
    api.entities.receive_message(lead, contact, sent);
    api.entities.move_lead(lead, NOW + RATE * 3);
    let from = NOW.as_secs();
    let span = |to: u64| format!("filter[created_at][from]={from}&filter[created_at][to]={to}");
    let (added, status) = (["contact_added", "lead_added"], "lead_status_changed");
    let message = "incoming_chat_message";
    for (number, (query, expected)) in (0..).zip([
        ("", vec![status, message, added[0], added[1]]),
        ("filter[entity][]=lead", vec![status, added[1]]),
        ("filter[entity][0]=contact", vec![message, added[0]]),
        ("filter[entity][]=customer", vec![]),
        ("filter[type]=lead_added,contact_added", added.to_vec()),
        (&span(from + 2), added.to_vec()),
        (&span(from + 1), vec![added[1]]),
        ("limit=3&page=2", vec![added[1]]),
        ("limit=3&page=3", vec![]),
    ]) {
        let events = events(&mut api, query, NOW + DAY + RATE * number);
        let types: Vec<&str> = events
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        assert_eq!(types, expected, "{query}");
    }
    let of_contact = "filter[type]=incoming_chat_message";
    let message = &events(&mut api, of_contact, NOW + DAY * 2)[0];
    assert_eq!(message["entity_type"], "lead");
    assert_eq!(message["created_at"], from + 4);
    api.entities.delete(lead, NOW + DAY * 2);
    let message = &events(&mut api, of_contact, NOW + DAY * 3)[0];
    assert_eq!(message["entity_type"], "contact");
}

#[test]
fn a_page_of_the_log_links_to_the_next_one() {
    let mut api = account();
    let count = events(&mut api, "", NOW).len();
    let mut path = "/api/v4/events?limit=2".to_owned();
    let mut pages = Vec::new();
    let mut now = NOW;
    loop {
        now += RATE;
        let page = body(&get(&mut api, &path, now));
        pages.push(page["_embedded"]["events"].as_array().unwrap().len());
        let Some(next) = page["_links"]["next"]["href"].as_str() else {
            break;
        };
        path = next.replace("https://example.amocrm.ru", "");
    }
    assert_eq!(pages.iter().sum::<usize>(), count);
    assert_eq!(pages.len(), count.div_ceil(2));
}

#[test]
fn an_event_can_appear_late() {
    let mut api = AmocrmApi::new("token");
    api.entities.log.delay = RATE;
    api.entities.create(EntityKind::Lead, NOW);
    assert_eq!(events(&mut api, "", NOW + RATE / 2), [] as [Value; 0]);
    let shown = &events(&mut api, "", NOW + RATE)[0];
    assert_eq!(shown["created_at"], NOW.as_secs());
}

#[test]
fn the_log_has_no_customers_without_them_and_only_leads_at_kommo() {
    let customers = "/api/v4/events?filter[entity][]=customer";
    for (look, has_customers, expected) in [
        (AmocrmLook::Amocrm, true, 200),
        (AmocrmLook::Amocrm, false, 400),
        (AmocrmLook::Kommo, true, 400),
    ] {
        let mut api = account();
        api.look = look;
        api.entities.has_customers = has_customers;
        assert_eq!(status(&get(&mut api, customers, NOW)), expected);
        let unknown = "/api/v4/events?filter[type]=dragon_added";
        assert_eq!(status(&get(&mut api, unknown, NOW)), 400);
        let events = events(&mut api, "", NOW);
        let is_lead = events.iter().all(|event| event["entity_type"] == "lead");
        assert_eq!(is_lead, look == AmocrmLook::Kommo);
    }
}
