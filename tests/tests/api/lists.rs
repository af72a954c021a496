//! The simulated lists of Pipedrive behave as its documentation says.

use super::{DAY, NOW, RATE, body, get, members, sample, status};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::api::{
    PipedriveApi,
    pipedrive::{DealStatus, Look, ObjectId, ObjectKind},
};

/// A company with an object of each kind, archived ones included.
fn company() -> PipedriveApi {
    let mut api = PipedriveApi::new("token");
    for kind in ObjectKind::ALL {
        api.objects.create(kind, NOW);
        let id = api.objects.create(kind, NOW);
        if matches!(kind, ObjectKind::Deal | ObjectKind::Lead) {
            api.objects.archive(id, NOW);
        }
    }
    api
}

/// The ids in a list.
fn ids(api: &mut PipedriveApi, path: &str, now: Duration) -> Vec<u64> {
    let list = body(&get(api, path, now));
    let rows = list["data"].as_array().unwrap().iter();
    rows.map(|row| row["id"].as_u64().unwrap()).collect()
}

#[test]
fn objects_have_members_of_the_vendors_samples() {
    let mut api = company();
    for (number, (path, name)) in (0..).zip([
        ("/api/v2/deals", "v2_deals_list_200"),
        ("/api/v2/deals/archived", "v2_deals_archived_list_200"),
        ("/api/v2/persons", "v2_persons_list_200"),
        ("/api/v2/organizations", "v2_organizations_list_200"),
        ("/api/v2/activities", "v2_activities_list_200"),
        ("/api/v2/products", "v2_products_list_200"),
        ("/api/v2/pipelines", "v2_pipelines_list_200"),
        ("/api/v2/stages", "v2_stages_list_200"),
        ("/v1/leads", "v1_leads_list_200"),
        ("/v1/leads/archived", "v1_leads_archived_list_200"),
        ("/v1/notes", "v1_notes_list_200"),
    ]) {
        let path = format!("{path}?limit=1");
        let response = get(&mut api, &path, NOW + RATE * number);
        assert_eq!(status(&response), 200, "{path}");
        let list = body(&response);
        assert_eq!(list["data"].as_array().unwrap().len(), 1, "{path}");
        let Some(sample) = sample(&format!("pipedrive/{name}.json")) else {
            continue;
        };
        let row = list["data"][0].as_object().unwrap();
        let known = sample["data"][0].as_object().unwrap();
        for (name, value) in row.iter().filter(|(name, _)| name.len() < 40) {
            assert!(known.contains_key(name), "{path} has no {name}");
            if name.ends_with("_time") && value.is_string() {
                let length = known[name].as_str().unwrap().len();
                assert_eq!(value.as_str().unwrap().len(), length, "{path}: {value}");
            }
        }
        if let Some(known) = sample.get("additional_data") {
            let additional = members(&list["additional_data"]);
            // Where the last page of notes ends is not said.
            let known = members(known);
            assert!(additional.iter().all(|name| known.contains(name)), "{path}");
        }
    }
}

#[test]
fn a_list_of_version_2_is_filtered_sorted_and_divided_into_pages() {
    let mut api = PipedriveApi::new("token");
    for number in (0..5).rev() {
        let id = api.objects.create(ObjectKind::Person, NOW);
        api.objects.touch(id, NOW + DAY * number);
    }
    let deal = api.objects.create(ObjectKind::Deal, NOW);
    api.objects.set_status(deal, DealStatus::Won, NOW);
    let edge = "2026-11-23T00:00:00Z";
    let until = "2026-11-25T00:00:00Z";
    let window = format!("updated_since={edge}&updated_until={until}");
    for (query, expected) in [
        ("persons?limit=2", vec![1, 2]),
        ("persons?sort_by=update_time", vec![5, 4, 3, 2, 1]),
        ("persons?sort_direction=desc&limit=1", vec![5]),
        ("persons?ids=2,4,9", vec![2, 4]),
        (&format!("persons?{window}"), vec![2, 3]),
        ("deals", vec![1]),
        ("deals?status=open,lost", vec![]),
        ("stages?updated_since=2030-01-01T00:00:00Z", vec![]),
    ] {
        let path = format!("/api/v2/{query}");
        assert_eq!(ids(&mut api, &path, NOW + DAY * 5), expected, "{query}");
    }
    for invalid in [
        "limit=501",
        "limit=0",
        "sort_by=name",
        "cursor=1",
        "updated_since=1",
    ] {
        let path = format!("/api/v2/persons?{invalid}");
        let response = get(&mut api, &path, NOW + DAY * 6);
        assert_eq!(status(&response), 400, "{invalid}");
    }
    let mut path = "/api/v2/persons?limit=2&sort_by=update_time&sort_direction=desc".to_owned();
    let mut pages = Vec::new();
    loop {
        let page = body(&get(&mut api, &path, NOW + DAY * 7));
        pages.push(page["data"].as_array().unwrap().len());
        let Some(cursor) = page["additional_data"]["next_cursor"].as_str() else {
            break;
        };
        path = format!("{}&cursor={cursor}", path.split("&cursor").next().unwrap());
    }
    assert_eq!(pages, [2, 2, 1]);
}

#[test]
fn a_list_of_version_1_has_positions() {
    let mut api = PipedriveApi::new("token");
    for number in 0..3 {
        api.objects.create(ObjectKind::Note, NOW + DAY * number);
        api.objects.create(ObjectKind::Lead, NOW + DAY * number);
    }
    let later = NOW + DAY * 9;
    let page = body(&get(
        &mut api,
        "/v1/notes?start=0&limit=2&sort=id%20DESC",
        later,
    ));
    assert_eq!(page["data"][0]["id"], 3);
    let pagination = json!({
        "start": 0, "limit": 2, "more_items_in_collection": true, "next_start": 2,
    });
    assert_eq!(page["additional_data"]["pagination"], pagination);
    let page = body(&get(&mut api, "/v1/leads?start=2", later));
    let position = json!({ "start": 2, "limit": 100, "more_items_in_collection": false });
    assert_eq!(page["additional_data"], position);
    assert_eq!(page["data"][0]["title"], "lead 3, version 1");
    api.look = Look::Other;
    let page = body(&get(&mut api, "/v1/leads?start=3", later));
    assert_eq!(page["data"], Value::Null);
}

#[test]
fn a_deleted_deal_is_listed_for_thirty_days_and_nothing_else_that_is_deleted() {
    let mut api = company();
    for kind in ObjectKind::ALL {
        api.objects.delete(ObjectId { kind, number: 1 }, NOW + DAY);
    }
    for path in [
        "persons",
        "organizations",
        "activities",
        "products",
        "pipelines",
        "stages",
    ] {
        let path = format!("/api/v2/{path}");
        assert_eq!(ids(&mut api, &path, NOW + DAY * 2), [2], "{path}");
    }
    assert_eq!(ids(&mut api, "/v1/notes", NOW + DAY * 3), [2]);
    assert_eq!(ids(&mut api, "/api/v2/deals", NOW + DAY * 3), [0; 0]);
    let deleted = "/api/v2/deals?status=deleted";
    let list = body(&get(&mut api, deleted, NOW + DAY * 30));
    let deal = &list["data"][0];
    assert_eq!(
        (&deal["status"], &deal["is_deleted"]),
        (&json!("deleted"), &json!(true))
    );
    assert_eq!(deal["update_time"], "2026-11-22T00:00:00Z");
    assert_eq!(ids(&mut api, deleted, NOW + DAY * 31), [0; 0]);
}

#[test]
fn a_change_without_a_webhook_moves_the_time_alone() {
    let mut api = company();
    let id = ObjectId {
        kind: ObjectKind::Person,
        number: 1,
    };
    api.notices();
    let before = body(&get(&mut api, "/api/v2/persons", NOW));
    api.objects.touch(id, NOW + DAY);
    let mut after = body(&get(&mut api, "/api/v2/persons", NOW));
    assert!(api.notices().is_empty());
    assert_ne!(after, before);
    after["data"][0]["update_time"] = before["data"][0]["update_time"].clone();
    assert_eq!(after, before);
    api.objects
        .change(id, NOW + DAY * 2 + Duration::from_millis(998));
    let notices = api.notices();
    assert_eq!(notices[0].kind, "change.person");
    let notice: Value = serde_json::from_str(&notices[0].body).unwrap();
    assert_eq!(notice["meta"]["timestamp"], "2026-11-23T00:00:00.998Z");
    assert_eq!(notice["data"]["update_time"], "2026-11-23T00:00:00Z");
    assert_eq!(notice["previous"]["name"], "person 1, version 1");
}
