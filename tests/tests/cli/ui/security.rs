//! Who may use the page, and that text of a sender is never markup.

use super::{Page, handles, values};
use serde_json::json;
use testkit::site::{Site, altered, records};

#[tokio::test(flavor = "multi_thread")]
async fn another_host_another_page_and_a_request_without_the_token_are_refused() {
    let site = Site::start().await;
    let page = Page::start(&site);
    let own = format!("host: {}", page.address);
    let port = page.address.rsplit(':').next().unwrap();
    for path in [
        "/",
        "/api/events",
        "/api/activity",
        "/overview",
        "/quarantine",
        "/assets/page.js",
        "/nothing",
    ] {
        for headers in [
            &["host: evil.example"][..],
            &[&format!("host: evil.example:{port}")],
            &["host: 127.0.0.1.evil.example"],
            &[&own, "origin: https://evil.example"],
            &[&own, "origin: null"],
            &[&own, "origin: http://127.0.0.1:1"],
            // A tunnel that names this machine as the host.
            &[&own, "x-forwarded-for: 203.0.113.7"],
            &[&own, "forwarded: for=203.0.113.7"],
            &[&own, "cf-connecting-ip: 203.0.113.7"],
        ] {
            let answer = page.request("GET", path, headers);
            assert_eq!(answer.status, 403, "{path} {headers:?}");
            assert!(
                !answer.headers.contains("access-control-"),
                "{}",
                answer.headers
            );
        }
    }
    for host in ["localhost", "127.0.0.1", "[::1]:9100"] {
        let host = format!("host: {host}");
        assert_eq!(page.request("GET", "/", &[&host]).status, 200, "{host}");
    }
    let origin = format!("origin: http://{}", page.address);
    assert_eq!(page.request("GET", "/", &[&own, &origin]).status, 200);

    let html = page.html("/");
    let (_, rest) = html
        .split_once(r#"name="hookkeeper-token" content=""#)
        .unwrap();
    let token = rest.split('"').next().unwrap();
    assert_eq!(token.len(), 64);
    let wrong = "0".repeat(64);
    for token in [None, Some(""), Some(&*wrong), Some(&token[..63])] {
        let header = format!("x-hookkeeper-token: {}", token.unwrap_or_default());
        let headers: &[&str] = if token.is_some() {
            &[&own, &header]
        } else {
            &[&own]
        };
        for path in ["/api/events", "/api/quarantine/drop", "/api/nothing", "/"] {
            for method in ["POST", "PUT", "DELETE"] {
                let answer = page.request(method, path, headers);
                assert_eq!(answer.status, 403, "{method} {path} {token:?}");
            }
        }
    }
    // Without --write, the token changes nothing in the table.
    let header = format!("x-hookkeeper-token: {token}");
    for action in ["replay", "drop"] {
        let path = format!("/api/quarantine/{action}");
        let answer = page.request("POST", &path, &[&own, &header]);
        assert_eq!(answer.status, 403);
        let message = r#"{"message":"this page only reads: start it with --write"}"#;
        assert_eq!(answer.body, message);
    }
    let path = "/api/samples/send";
    let answer = page.request("POST", path, &[&own, &header]);
    assert_eq!(answer.status, 404, "{}", answer.body);
    let other = Page::start(&site);
    assert!(
        !other.html("/").contains(token),
        "each process has its own token"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_forbids_scripts_and_requests_of_others() {
    let site = Site::start().await;
    let page = Page::start(&site);
    let own = format!("host: {}", page.address);
    for (path, headers) in [
        ("/", &[&*own][..]),
        ("/api/events", &[&own]),
        ("/nothing", &[&own]),
        ("/", &["host: evil.example"]),
    ] {
        let answer = page.request("GET", path, headers);
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cache-control: no-store",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(
                answer.headers.contains(header),
                "{path}: {}",
                answer.headers
            );
        }
        assert!(!answer.headers.contains("unsafe"), "{}", answer.headers);
    }
    let html = page.html("/");
    assert!(
        !html.contains("style=") && !html.contains("<style"),
        "{html}"
    );
}

/// Text that is markup, ends an attribute, or is a link that runs a script.
const HOSTILE: &str = r#"javascript:"'><script>evil()</script><img src=x onerror=evil()>"#;

#[tokio::test(flavor = "multi_thread")]
async fn text_of_a_sender_is_never_markup() {
    let site = Site::start().await;
    for (second, value) in [(10, "a"), (11, "b")] {
        let hostile = format!("{HOSTILE}{value}");
        let meta = json!({ "action": HOSTILE, "entity": HOSTILE, "entity_id": HOSTILE,
            "company_id": HOSTILE, "id": "9b3c1d52-52a8-45c8-9f6e-d9cfae9a8d11", "version": "2.0",
            "timestamp": format!("2026-11-21T10:18:{second}Z") });
        let mut data = json!({ "id": 42, "list": [hostile, { HOSTILE: hostile }] });
        data[HOSTILE] = json!({ HOSTILE: hostile });
        data[&hostile] = json!(hostile);
        let body = json!({ "data": data, "meta": meta, HOSTILE: HOSTILE }).to_string();
        let records = records(&providers::PIPEDRIVE, &body);
        let record = altered(&records[0], |event| {
            event.channel = Some(HOSTILE.to_owned());
            event.eventid = Some(HOSTILE.to_owned());
            event.originaltype = HOSTILE.to_owned();
        });
        site.put(&[record], None).await;
    }
    let quarantined = format!("{{\"a\": {HOSTILE}");
    site.put(&records(&providers::CLOSER, &quarantined), None)
        .await;
    site.put(
        &records(&providers::CLOSER, &json!({ HOSTILE: HOSTILE }).to_string()),
        None,
    )
    .await;
    let page = Page::start(&site);
    let list = page.html("/");
    let handles = handles(&list);
    assert_eq!(handles.len(), 2);
    let links = values(&list, "href");
    let mut entities = links.iter().filter(|url| url.starts_with("/entities/"));
    let entity = *entities.next().unwrap();
    let event = format!("/events/{}", handles[0]);
    let encoded = "%22%27%3E%3Cscript%3Eevil()%3C%2Fscript%3E";
    for path in [
        "/",
        &event,
        entity,
        "/quarantine?since=2026-11-01",
        &format!("/?type={encoded}&subject={encoded}&since={encoded}&q={encoded}"),
        &format!("/?limit=1&q=evil&subject=x{encoded}"),
        &format!("/?provider={encoded}"),
        &format!("/?after={encoded}"),
        &format!("/events/{encoded}"),
        &format!("/entities/{encoded}/{encoded}"),
        &format!("/{encoded}"),
    ] {
        let answer = page.get(path);
        assert!(answer.headers.contains("content-type: text/html"), "{path}");
        let lower = answer.body.to_lowercase();
        assert_eq!(
            lower.matches("<script").count(),
            1,
            "{path}: {}",
            answer.body
        );
        assert!(!lower.contains("<img"), "{path}: {}", answer.body);
        for url in values(&answer.body, "href") {
            assert!(url.starts_with('/'), "{path}: {url}");
        }
    }
    for path in [&event, entity] {
        let html = page.html(path);
        assert!(
            html.contains("&lt;script&gt;evil()"),
            "{path} does not show it: {html}"
        );
    }
    let quarantine = page.html("/quarantine?since=2026-11-01");
    assert_eq!(quarantine.matches("quarantine-row").count(), 2);
    assert!(quarantine.contains("&lt;script&gt;evil()"), "{quarantine}");
    let answer = page.get("/api/events");
    assert!(
        answer.headers.contains("content-type: application/json"),
        "{}",
        answer.headers
    );
}
