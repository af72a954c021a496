//! The providers' APIs as values: what a request contains, and what each response means.
//!
//! `PROVIDER_API_SAMPLES` names a folder of sample responses, which is not in this repository. With
//! it, a missing file fails the test; without it, the tests use the small bodies that are here.

use lambda_http::http::{Method, Response};
use providers::{
    ALL,
    amocrm::api::API as AMOCRM,
    api::{Access, AccessError, Api, ApiError, Basic, Call, Problem, Wanted, Webhook},
    pipedrive::api::API as PIPEDRIVE,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, env, fmt::Debug, fs, time::Duration};

const HTML: &str = "<!DOCTYPE html><title>Attention Required! | Cloudflare</title>";

pub(crate) fn access() -> Access {
    Access::new("https://api.example.com/", "s3cret-token").unwrap()
}

fn basic() -> Basic {
    Basic {
        user: "hookkeeper-b".to_owned(),
        password: "p4ssword".to_owned(),
    }
}

fn wanted(api: &Api) -> Wanted {
    let url = "https://hooks.example.com/x?key=k3y".to_owned();
    (api.wanted)(url, Some(basic()))
}

pub(crate) fn response(status: u16, body: &str) -> Response<Vec<u8>> {
    let body = body.as_bytes().to_vec();
    Response::builder().status(status).body(body).unwrap()
}

fn parse<T>(call: &Call<T>, status: u16, body: &str) -> Result<T, ApiError> {
    (call.parse)(&response(status, body))
}

/// A sample of the folder that `PROVIDER_API_SAMPLES` names.
pub(crate) fn sample(file: &str) -> Option<String> {
    let Some(folder) = env::var_os("PROVIDER_API_SAMPLES").map(testkit::workspace) else {
        println!("PROVIDER_API_SAMPLES is not set: {file} is not read");
        return None;
    };
    let path = folder.join(file);
    let text = fs::read_to_string(&path);
    Some(text.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// One word for an error.
pub(crate) fn word(error: &ApiError) -> &'static str {
    match error {
        ApiError::Unauthorized => "unauthorized",
        ApiError::Forbidden => "forbidden",
        ApiError::Unpaid => "unpaid",
        ApiError::NotFound => "not_found",
        ApiError::RateLimited { .. } => "rate_limited",
        ApiError::Limit => "limit",
        ApiError::Invalid(_) => "invalid",
        ApiError::Malformed(_) => "malformed",
        ApiError::Unavailable(_) => "unavailable",
        ApiError::NoResponse(_) => "no_response",
    }
}

/// Asserts the result of a sample, in words.
#[track_caller]
fn assert_sample<T: Debug>(call: &Call<T>, file: &str, expected: &str) {
    let Some(body) = sample(file) else { return };
    let name = file.rsplit('/').next().unwrap_or_default();
    let status = name.split(['_', '.']).find_map(|word| word.parse().ok());
    let status = status.expect("the file name has the status");
    let said = match parse(call, status, &body) {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("{}: {error}", word(&error)),
    };
    assert_eq!(said, expected, "{file}");
}

#[test]
fn the_samples_mean_what_their_documentation_says() {
    let user = (PIPEDRIVE.account)(&access());
    assert_sample(
        &user,
        "pipedrive/v1_users_me_200.json",
        "Account { id: \"54235233\", domain: Some(\"pipedrive-12g53f\"), is_admin: Some(true) }",
    );
    let unauthorized = "unauthorized: the API does not accept the token (401)";
    assert_sample(&user, "pipedrive/v1_users_me_401.json", unauthorized);
    let list = (PIPEDRIVE.list)(&access());
    let one = "Webhook { id: 1, kind: \"added.activityType 2.0\", dead: None, .. }";
    assert_sample(
        &list,
        "pipedrive/v1_webhooks_list_200.json",
        &format!("[{one}]"),
    );
    assert_sample(&list, "pipedrive/v1_webhooks_list_401.json", unauthorized);
    let create = (PIPEDRIVE.create)(&access(), &wanted(&PIPEDRIVE));
    for (file, expected) in [
        ("v1_webhooks_create_201.json", one),
        (
            "v1_webhooks_create_400_bad_url.json",
            "invalid: the API refuses the request: subscription_url: invalid or non-reachable URL",
        ),
        ("v1_webhooks_create_401.json", unauthorized),
        (
            "error_400_generic.json",
            "invalid: the API refuses the request: ?: <text>",
        ),
    ] {
        assert_sample(&create, &format!("pipedrive/{file}"), expected);
    }
    let delete = (PIPEDRIVE.delete)(&access(), &webhook(7));
    for (file, expected) in [
        ("v1_webhooks_delete_200.json", "()"),
        (
            "v1_webhooks_delete_403.json",
            "forbidden: the token's user is not allowed to do this (403)",
        ),
        ("v1_webhooks_delete_404.json", "not_found: not found (404)"),
    ] {
        assert_sample(&delete, &format!("pipedrive/{file}"), expected);
    }
    assert_sample(
        &(AMOCRM.list)(&access()),
        "amocrm/webhooks_list_200.json",
        "[Webhook { id: 839656, kind: \"\", dead: None, .. }, \
         Webhook { id: 849193, kind: \"\", dead: Some(\"disabled\"), .. }]",
    );
    let create = (AMOCRM.create)(&access(), &wanted(&AMOCRM));
    assert_sample(
        &create,
        "amocrm/webhooks_subscribe_201.json",
        "Webhook { id: 1056949, kind: \"\", dead: None, .. }",
    );
    assert_sample(
        &create,
        "amocrm/webhooks_subscribe_400_invalid_url.json",
        "invalid: the API refuses the request: destination.destination: Invalid URL",
    );
    assert_sample(
        &create,
        "amocrm/error_400_validation.json",
        "invalid: the API refuses the request: custom_fields_values.0.field_id: \
         The value you selected is not a valid choice.",
    );
    // The page is not valid JSON.
    let malformed = "malformed: the API's response cannot be read: not JSON";
    assert_sample(
        &(AMOCRM.account)(&access()),
        "amocrm/account_200.txt",
        malformed,
    );
}

#[test]
fn requests_have_the_documented_members() {
    let call = (PIPEDRIVE.create)(&access(), &wanted(&PIPEDRIVE));
    let request: Value = serde_json::from_slice(call.request.body()).unwrap();
    let expected = json!({
        "subscription_url": "https://hooks.example.com/x?key=k3y",
        "event_action": "*",
        "event_object": "*",
        "name": "Hookkeeper",
        "version": "2.0",
        "http_auth_user": "hookkeeper-b",
        "http_auth_password": "p4ssword",
    });
    assert_eq!(request, expected);
    if let Some(sample) = sample("pipedrive/v1_webhooks_create_request.json") {
        let sample: Value = serde_json::from_str(&sample).unwrap();
        assert_eq!(members(&request), members(&sample));
    }
    let call = (AMOCRM.create)(&access(), &wanted(&AMOCRM));
    let request: Value = serde_json::from_slice(call.request.body()).unwrap();
    assert_eq!(request["destination"], wanted(&AMOCRM).url);
    assert_eq!(request["settings"].as_array().map(Vec::len), Some(37));
    for (api, header, value) in [
        (&PIPEDRIVE, "x-api-token", "s3cret-token"),
        (&AMOCRM, "authorization", "Bearer s3cret-token"),
    ] {
        let requests = [
            (api.account)(&access()).request,
            (api.list)(&access()).request,
            (api.create)(&access(), &wanted(api)).request,
            (api.delete)(&access(), &webhook(7)).request,
        ];
        for request in requests {
            let token = &request.headers()[header];
            assert_eq!(token, value);
            assert!(token.is_sensitive());
            assert!(!request.uri().to_string().contains("s3cret"));
        }
    }
    let delete = (PIPEDRIVE.delete)(&access(), &webhook(7)).request;
    assert_eq!(delete.method(), Method::DELETE);
    assert_eq!(delete.uri(), "https://api.example.com/v1/webhooks/7");
    let delete = (AMOCRM.delete)(&access(), &webhook(7)).request;
    assert_eq!(delete.uri(), "https://api.example.com/api/v4/webhooks");
    assert_eq!(
        delete.body(),
        br#"{"destination":"https://hooks.example.com/7"}"#
    );
}

fn members(object: &Value) -> BTreeSet<&String> {
    object.as_object().unwrap().keys().collect()
}

fn webhook(id: u64) -> Webhook {
    Webhook {
        id,
        url: format!("https://hooks.example.com/{id}"),
        kind: String::new(),
        topics: BTreeSet::new(),
        user: None,
        name: None,
        dead: None,
        created: None,
        last_delivery: None,
        last_status: None,
    }
}

#[test]
fn every_status_that_is_no_success_is_an_error_for_every_provider() {
    let limited = |wait: Option<u64>| ApiError::RateLimited {
        wait: wait.map(Duration::from_secs),
    };
    for api in ALL.iter().filter_map(|provider| provider.api) {
        let list = (api.list)(&access());
        for (status, body, expected) in [
            (401, "", ApiError::Unauthorized),
            (402, "{}", ApiError::Unpaid),
            (403, "{\"detail\":\"Forbidden\"}", ApiError::Forbidden),
            // A firewall of the provider, after 429 was ignored.
            (403, HTML, limited(None)),
            (404, HTML, ApiError::NotFound),
            (429, "", limited(None)),
            (429, HTML, limited(None)),
            (500, "{}", ApiError::Unavailable(500)),
            (503, HTML, ApiError::Unavailable(503)),
            (302, "", ApiError::Malformed("an unexpected status")),
            (200, HTML, ApiError::Malformed("not JSON")),
            (200, "", ApiError::Malformed("not JSON")),
            (200, "[]", ApiError::Malformed("JSON of another shape")),
            (200, "null", ApiError::Malformed("JSON of another shape")),
        ] {
            assert_eq!(parse(&list, status, body), Err(expected), "{status} {body}");
        }
        let mut response = response(429, "{}");
        let headers = response.headers_mut();
        headers.insert("retry-after", "7".parse().unwrap());
        assert_eq!((list.parse)(&response), Err(limited(Some(7))));
    }
}

#[test]
fn pipedrive_reports_which_of_its_limits_is_reached() {
    let list = (PIPEDRIVE.list)(&access());
    for (remaining, expected) in [("0", Some(2)), ("17", None)] {
        let mut response = response(429, "Request over limit");
        let headers = response.headers_mut();
        headers.insert("x-ratelimit-remaining", remaining.parse().unwrap());
        headers.insert("x-ratelimit-reset", "2".parse().unwrap());
        let wait = expected.map(Duration::from_secs);
        assert_eq!(
            (list.parse)(&response),
            Err(ApiError::RateLimited { wait }),
            "{remaining} requests remain in the window"
        );
    }
    let create = (PIPEDRIVE.create)(&access(), &wanted(&PIPEDRIVE));
    for body in [
        "",
        r#"{"success":false,"error":"too many webhooks"}"#,
        r#"{"success":false,"errors":{"webhooks":["limit reached"]}}"#,
    ] {
        assert_eq!(parse(&create, 422, body), Err(ApiError::Limit));
    }
    let refused = r#"{"success":false,"errors":{"version":["unknown"]}}"#;
    let problem = Problem {
        path: Some("version".to_owned()),
        reason: Some("unknown".to_owned()),
    };
    assert_eq!(
        parse(&create, 422, refused),
        Err(ApiError::Invalid(vec![problem]))
    );
}

#[test]
fn only_a_well_formed_success_is_a_list() {
    let list = (PIPEDRIVE.list)(&access());
    for body in [
        r#"{"success":true,"data":null}"#,
        r#"{"success":true}"#,
        r#"{"status":"ok","success":true,"data":[]}"#,
    ] {
        assert_eq!(parse(&list, 200, body), Ok(Vec::new()), "{body}");
    }
    for body in [
        r#"{"data":[]}"#,
        r#"{"success":false,"data":[]}"#,
        r#"{"success":true,"data":{}}"#,
        r#"{"success":true,"data":[null]}"#,
        r#"{"success":true,"data":[{"subscription_url":"https://x.example"}]}"#,
        r#"{"success":true,"data":[{"id":1}]}"#,
        r#"{"success":true,"data":[{"id":"1/2","subscription_url":"https://x.example"}]}"#,
    ] {
        let error = parse(&list, 200, body).unwrap_err();
        assert!(matches!(error, ApiError::Malformed(_)), "{body}: {error}");
    }
    let list = (AMOCRM.list)(&access());
    assert_eq!(parse(&list, 204, ""), Ok(Vec::new()));
    let empty = r#"{"_total_items":0,"_embedded":{"webhooks":[]}}"#;
    assert_eq!(parse(&list, 200, empty), Ok(Vec::new()));
    for body in [
        "{}",
        r#"{"_total_items":0}"#,
        r#"{"_embedded":{"webhooks":null}}"#,
        r#"{"_embedded":{"webhooks":[{"id":1,"destination":"https://x.example"}]}}"#,
    ] {
        let error = parse(&list, 200, body).unwrap_err();
        assert!(matches!(error, ApiError::Malformed(_)), "{body}: {error}");
    }
}

#[test]
fn a_pipedrive_webhook_is_read_in_every_form_that_was_seen() {
    let list = (PIPEDRIVE.list)(&access());
    for (members, is_alive) in [
        (r#""is_active":1"#, true),
        (r#""is_active":true,"remove_time":null"#, true),
        (r#""is_active":"1""#, true),
        (r#""is_active":0"#, false),
        (r#""is_active":false"#, false),
        (
            r#""is_active":1,"remove_time":"2026-11-21 10:00:00""#,
            false,
        ),
        (r#""name":null"#, true),
    ] {
        let webhooks = parse(&list, 200, &listed(members)).unwrap();
        assert_eq!(webhooks[0].dead.is_none(), is_alive, "{members}");
    }
    for time in [
        r#""2026-11-21T10:00:00.000Z""#,
        r#""2026-11-21T13:00:00+03:00""#,
        r#""2026-11-21 10:00:00""#,
        "1795255200",
        r#""1795255200000""#,
    ] {
        let body = listed(&format!("\"last_delivery_time\":{time}"));
        let webhooks = parse(&list, 200, &body).unwrap();
        let delivered = webhooks[0].last_delivery.map(|time| time.to_string());
        assert_eq!(delivered.as_deref(), Some("2026-11-21T10:00:00.000000Z"));
    }
    for (status, expected) in [("200", Some(200)), ("\"503\"", Some(503)), ("null", None)] {
        let body = listed(&format!("\"last_http_status\":{status}"));
        assert_eq!(parse(&list, 200, &body).unwrap()[0].last_status, expected);
    }
    for (user, expected) in [
        (r#""http_auth_user":"hookkeeper""#, Some("hookkeeper")),
        (r#""http_auth_user":null"#, Some("")),
        (r#""http_auth_user":"****""#, None),
        (r#""version":"2.0""#, None),
    ] {
        let webhooks = parse(&list, 200, &listed(user)).unwrap();
        assert_eq!(webhooks[0].user.as_deref(), expected, "{user}");
    }
}

/// A list of one webhook with more members.
fn listed(members: &str) -> String {
    let webhook = format!(r#"{{"id":1,"subscription_url":"https://x.example",{members}}}"#);
    format!(r#"{{"success":true,"data":[{webhook}]}}"#)
}

#[test]
fn a_pipedrive_user_is_an_administrator_of_sales_or_of_everything() {
    let account = (PIPEDRIVE.account)(&access());
    for (members, is_admin) in [
        (r#""access":[{"app":"sales","admin":true}]"#, true),
        (r#""access":[{"app":"global","admin":1}]"#, true),
        (
            r#""access":[{"app":"account_settings","admin":true}]"#,
            false,
        ),
        (r#""access":[{"app":"sales","admin":false}]"#, false),
        (r#""is_admin":1"#, true),
        (r#""access":null"#, false),
    ] {
        let body = format!(r#"{{"success":true,"data":{{"company_id":"7",{members}}}}}"#);
        let account = parse(&account, 200, &body).unwrap();
        assert_eq!(account.id, "7");
        assert_eq!(account.is_admin, Some(is_admin), "{members}");
    }
    let nobody = r#"{"success":true,"data":null}"#;
    assert_eq!(
        parse(&account, 200, nobody),
        Err(ApiError::Malformed("no user"))
    );
}

#[test]
fn an_amocrm_account_has_an_id() {
    let account = (AMOCRM.account)(&access());
    let parsed = parse(&account, 200, r#"{"id":1231414,"subdomain":"example"}"#).unwrap();
    assert_eq!(parsed.id, "1231414");
    assert_eq!(parsed.domain.as_deref(), Some("example"));
    assert_eq!(
        parse(&account, 200, "{}"),
        Err(ApiError::Malformed("no account"))
    );
}

#[test]
fn the_codes_that_amocrm_refuses_are_found() {
    let wanted = wanted(&AMOCRM);
    let number = wanted.topics.iter().position(|code| code == "delete_talk");
    let number = number.unwrap();
    let undocumented = [
        "add_message",
        "add_outgoing_message",
        "add_unsorted",
        "delete_talk",
        "delete_unsorted",
        "update_unsorted",
    ];
    for (path, detail, expected) in [
        (
            &*format!("settings.{number}"),
            "unknown",
            &["delete_talk"][..],
        ),
        ("settings", "add_talk is not valid", &["add_talk"]),
        ("settings", "The value is not valid", &undocumented),
        ("destination.destination", "Invalid URL", &[]),
    ] {
        let body = json!({
            "validation-errors": [{ "errors": [{ "path": path, "detail": detail }] }],
        });
        for status in [400, 422] {
            let create = (AMOCRM.create)(&access(), &wanted);
            let error = parse(&create, status, &body.to_string()).unwrap_err();
            let refused = (AMOCRM.refused)(&error, &wanted);
            assert!(refused.iter().eq(expected), "{path}: {refused:?}");
        }
    }
    assert!((AMOCRM.refused)(&ApiError::Forbidden, &wanted).is_empty());
}

#[test]
fn neither_an_error_nor_debug_output_contains_a_secret() {
    let body = json!({
        "validation-errors": [{ "errors": [{
            "path": "destination",
            "detail": "https://hooks.example.com/x?key=k3y is not valid",
        }] }],
    });
    let create = (AMOCRM.create)(&access(), &wanted(&AMOCRM));
    let error = parse(&create, 400, &body.to_string()).unwrap_err();
    let shown = format!("{error} {error:?} {:?} {:?}", access(), basic());
    let webhook = Webhook {
        url: wanted(&AMOCRM).url,
        ..webhook(1)
    };
    let shown = format!("{shown} {webhook:?} {:?}", wanted(&PIPEDRIVE));
    for secret in ["k3y", "p4ssword", "s3cret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn an_access_needs_a_url_and_a_token_that_fit_into_a_request() {
    for url in ["", "api.example.com", "ftp://example.com", "https://x/?a=1"] {
        let access = Access::new(url, "token");
        assert_eq!(access.unwrap_err(), AccessError::Url, "{url}");
    }
    for token in ["", "a\nb", "ключ"] {
        let access = Access::new("https://api.example.com", token);
        assert_eq!(access.unwrap_err(), AccessError::Token);
    }
}
