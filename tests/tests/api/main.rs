//! The simulated APIs of the providers behave as their vendors document it.

mod lists;
mod log;

use axum::{
    body::Bytes,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};
use std::{env, fs, path::Path, time::Duration};
use testkit::api::{
    AmocrmApi, Api, ApiResponse, PipedriveApi,
    amocrm::{AmocrmLook, NewAmocrmWebhook},
    pipedrive::{Look, NewWebhook, Removal},
};

const NOW: Duration = Duration::from_hours(498_672);
const URL: &str = "https://hooks.example.com/pipedrive";
const DAY: Duration = Duration::from_hours(24);
const RATE: Duration = Duration::from_secs(2);

/// Sends a request to an API. Each is late enough to be within the burst limit.
fn call(api: &mut impl Api, method: &str, path: &str, body: &Value, now: Duration) -> ApiResponse {
    let body = if body.is_null() {
        Bytes::new()
    } else {
        body.to_string().into()
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", "Bearer token");
    api.respond(&request.body(body).unwrap(), now)
}

fn get(api: &mut impl Api, path: &str, now: Duration) -> ApiResponse {
    call(api, "GET", path, &Value::Null, now)
}

fn status(response: &ApiResponse) -> u16 {
    response.status().as_u16()
}

fn body(response: &ApiResponse) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

/// A sample response of a vendor. `None` without `PROVIDER_API_SAMPLES`.
fn sample(name: &str) -> Option<Value> {
    let folder = env::var_os("PROVIDER_API_SAMPLES")?;
    let text = fs::read_to_string(Path::new(&folder).join(name)).unwrap();
    Some(serde_json::from_str(&text).unwrap())
}

fn webhook() -> Value {
    json!({
        "subscription_url": URL, "event_action": "*", "event_object": "*", "name": "Hookkeeper",
        "version": "2.0", "http_auth_user": "user", "http_auth_password": "password",
    })
}

/// The names of the members of an object, and of the objects in it.
fn members(value: &Value) -> Vec<String> {
    match value {
        Value::Object(object) => {
            let names = object.iter().flat_map(|(name, value)| {
                let below = members(value).into_iter();
                let below = below.map(move |below| format!("{name}.{below}"));
                [name.clone()].into_iter().chain(below)
            });
            let mut names: Vec<_> = names.collect();
            names.sort();
            names
        }
        Value::Array(items) => items.first().map(members).unwrap_or_default(),
        _ => Vec::new(),
    }
}

#[test]
fn responses_have_the_members_of_the_vendors_samples() {
    let mut pipedrive = PipedriveApi::new("token");
    let mut amocrm = AmocrmApi::new("token");
    let webhooks = "/v1/webhooks";
    let v4 = "/api/v4/webhooks";
    let new = json!({ "destination": "https://example.test", "settings": ["add_lead"], "sort": 1 });
    let unknown = json!({ "destination": "https://unknown.test", "settings": ["add_lead"] });
    amocrm.unknown_hosts.insert("unknown.test".to_owned(), 1);
    pipedrive.unreachable.insert("http://nowhere".to_owned());
    let mut nowhere = webhook();
    nowhere["subscription_url"] = json!("http://nowhere");
    let none = Value::Null;
    let of_pipedrive = [
        (
            "POST",
            webhooks,
            &nowhere,
            400,
            "v1_webhooks_create_400_bad_url",
        ),
        ("POST", webhooks, &webhook(), 201, "v1_webhooks_create_201"),
        ("GET", webhooks, &none, 200, "v1_webhooks_list_200"),
        (
            "DELETE",
            "/v1/webhooks/7",
            &none,
            404,
            "v1_webhooks_delete_404",
        ),
        (
            "DELETE",
            "/api/v1/webhooks/1",
            &none,
            200,
            "v1_webhooks_delete_200",
        ),
    ];
    for (method, path, request, expected, name) in of_pipedrive {
        let response = call(&mut pipedrive, method, path, request, NOW);
        assert_eq!(status(&response), expected, "{method} {path}");
        if let Some(sample) = sample(&format!("pipedrive/{name}.json")) {
            assert_eq!(members(&body(&response)), members(&sample), "{name}");
        }
    }
    pipedrive.token = "another".to_owned();
    let response = call(&mut pipedrive, "GET", webhooks, &none, NOW);
    assert_eq!(status(&response), 401);
    if let Some(sample) = sample("pipedrive/v1_webhooks_list_401.json") {
        assert_eq!(body(&response), sample);
    }
    let of_amocrm = [
        (
            "POST",
            v4,
            &unknown,
            400,
            "webhooks_subscribe_400_invalid_url",
        ),
        ("POST", v4, &new, 201, "webhooks_subscribe_201"),
        ("GET", v4, &none, 200, "webhooks_list_200"),
    ];
    for (method, path, request, expected, name) in of_amocrm {
        let response = call(&mut amocrm, method, path, request, NOW);
        assert_eq!(status(&response), expected, "{method} {path}");
        if let Some(sample) = sample(&format!("amocrm/{name}.json")) {
            assert_eq!(members(&body(&response)), members(&sample), "{name}");
        }
    }
    let response = call(&mut amocrm, "DELETE", v4, &new, NOW);
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        call(&mut amocrm, "GET", v4, &none, NOW).status(),
        StatusCode::NO_CONTENT
    );
}

#[test]
fn pipedrive_refuses_no_duplicate_and_forty_one_webhooks() {
    let mut api = PipedriveApi::new("token");
    for number in 0..41 {
        let response = call(
            &mut api,
            "POST",
            "/v1/webhooks",
            &webhook(),
            NOW + RATE * number,
        );
        let expected = if number < 40 { 201 } else { 422 };
        assert_eq!(status(&response), expected, "{number}");
    }
}

#[test]
fn amocrm_replaces_the_settings_of_a_destination_and_refuses_a_hundred_and_one() {
    let mut api = AmocrmApi::new("token");
    let path = "/api/v4/webhooks";
    for (number, settings) in [["add_lead"], ["update_lead"]].into_iter().enumerate() {
        let new = json!({ "destination": URL, "settings": settings });
        let response = call(&mut api, "POST", path, &new, NOW);
        assert_eq!(
            (status(&response), api.webhooks.len()),
            (201, 1),
            "{number}"
        );
    }
    assert_eq!(api.webhooks[0].wanted.settings, ["update_lead"]);
    for number in 1..=100 {
        let new = json!({ "destination": format!("{URL}/{number}"), "settings": ["add_lead"] });
        let response = call(&mut api, "POST", path, &new, NOW + RATE * number);
        assert_eq!(status(&response), if number < 100 { 201 } else { 422 });
    }
}

#[test]
fn a_disabled_webhook_is_enabled_by_a_post_only_in_one_variant() {
    for post_enables in [true, false] {
        let mut api = AmocrmApi::new("token");
        api.post_enables = post_enables;
        let id = api.add(NewAmocrmWebhook::new(URL, &["add_lead"]), NOW);
        for second in 0..=100 {
            assert!(!api.webhook(id).is_disabled);
            api.record(id, Some(503), NOW + Duration::from_secs(second));
        }
        assert!(api.webhook(id).is_disabled);
        assert!(api.targets("add_lead", NOW).is_empty());
        let new = json!({ "destination": URL, "settings": ["add_lead"] });
        call(&mut api, "POST", "/api/v4/webhooks", &new, NOW);
        assert_eq!(api.webhook(id).is_disabled, !post_enables);
        call(&mut api, "DELETE", "/api/v4/webhooks", &new, NOW);
        call(&mut api, "POST", "/api/v4/webhooks", &new, NOW);
        assert!(!api.webhooks[0].is_disabled);
    }
}

#[test]
fn an_unknown_setting_is_refused_by_its_index_or_its_name() {
    let new = json!({ "destination": URL, "settings": ["add_lead", "add_dragon"] });
    for (look, expected, named) in [
        (AmocrmLook::Amocrm, 400, "settings.1"),
        (AmocrmLook::Kommo, 422, "add_dragon"),
    ] {
        let mut api = AmocrmApi::new("token");
        api.look = look;
        let response = call(&mut api, "POST", "/api/v4/webhooks", &new, NOW);
        assert_eq!(status(&response), expected);
        assert!(body(&response).to_string().contains(named));
        assert!(api.webhooks.is_empty());
    }
}

#[test]
fn ten_failures_ban_a_webhook_of_pipedrive_for_thirty_minutes() {
    let mut api = PipedriveApi::new("token");
    let id = api.add(NewWebhook::all(URL), NOW);
    for _ in 0..10 {
        assert_eq!(api.targets("change.deal", NOW).len(), 1);
        api.record(id, Some(401), NOW);
    }
    let banned_until = NOW + Duration::from_mins(30);
    assert!(api.targets("change.deal", NOW).is_empty());
    assert_eq!(api.targets("change.deal", banned_until).len(), 1);
    let response = call(&mut api, "GET", "/v1/webhooks", &Value::Null, NOW);
    assert_eq!(
        body(&response)["data"][0]["is_active"],
        1,
        "a ban is not shown"
    );
}

#[test]
fn three_days_without_success_remove_a_webhook_of_pipedrive() {
    for removal in [Removal::Vanishes, Removal::StaysInactive] {
        for look in [Look::Specification, Look::Other] {
            let mut api = PipedriveApi::new("token");
            (api.removal, api.look) = (removal, look);
            let id = api.add(NewWebhook::all(URL), NOW);
            api.record(id, None, NOW + DAY * 3);
            assert_eq!(api.targets("change.deal", NOW + DAY * 3).len(), 1);
            let later = NOW + DAY * 3 + RATE;
            api.record(id, None, later);
            assert!(api.targets("change.deal", later).is_empty());
            let list = body(&call(&mut api, "GET", "/v1/webhooks", &Value::Null, later));
            let data = &list["data"];
            match (removal, look) {
                (Removal::Vanishes, Look::Specification) => assert_eq!(*data, json!([])),
                (Removal::Vanishes, Look::Other) => assert_eq!(*data, json!(null)),
                (Removal::StaysInactive, Look::Specification) => {
                    assert_eq!(data[0]["is_active"], 0);
                }
                (Removal::StaysInactive, Look::Other) => assert_eq!(data[0]["is_active"], false),
            }
        }
    }
}

#[test]
fn a_client_that_goes_on_after_429_is_blocked_with_html() {
    let list = |api: &mut dyn FnMut(Duration) -> ApiResponse, limit: usize| {
        for _ in 0..limit {
            assert!(api(NOW).status().is_success());
        }
        assert_eq!(status(&api(NOW)), 429);
        let blocked = api(NOW);
        assert_eq!(status(&blocked), 403);
        assert!(
            blocked.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/html")
        );
        assert_eq!(status(&api(NOW + RATE * 2)), 403);
        assert!(api(NOW + Duration::from_mins(2)).status().is_success());
    };
    let mut pipedrive = PipedriveApi::new("token");
    let none = Value::Null;
    list(
        &mut |now| call(&mut pipedrive, "GET", "/v1/webhooks", &none, now),
        20,
    );
    let mut amocrm = AmocrmApi::new("token");
    list(
        &mut |now| call(&mut amocrm, "GET", "/api/v4/webhooks", &none, now),
        7,
    );
}

#[test]
fn the_daily_budget_of_pipedrive_is_spent_by_the_published_costs() {
    let mut api = PipedriveApi::new("token");
    for number in 0..3_000 {
        let response = call(
            &mut api,
            "GET",
            "/v1/webhooks",
            &Value::Null,
            NOW + RATE * number,
        );
        assert_eq!(status(&response), 200, "{number}");
    }
    let last = call(
        &mut api,
        "GET",
        "/v1/users/me",
        &Value::Null,
        NOW + RATE * 3_000,
    );
    assert_eq!((status(&last), api.spent), (429, 30_000));
    assert_ne!(
        last.headers()["x-ratelimit-remaining"],
        "0",
        "the burst is not the cause"
    );
    assert_eq!(
        status(&call(
            &mut api,
            "GET",
            "/v1/users/me",
            &Value::Null,
            NOW + DAY
        )),
        200
    );
    assert_eq!(api.spent, 2);
}

#[test]
fn webhooks_of_others_cannot_be_deleted_at_pipedrive() {
    let mut api = PipedriveApi::new("token");
    let id = api.add_foreign(NewWebhook::all("https://other.example"), NOW);
    let path = format!("/v1/webhooks/{id}");
    let response = call(&mut api, "DELETE", &path, &Value::Null, NOW);
    assert_eq!((status(&response), api.webhooks.len()), (403, 1));
    if let Some(sample) = sample("pipedrive/v1_webhooks_delete_403.json") {
        assert_eq!(body(&response), sample);
    }
}
