//! `hookkeeper ui`: the page over a table, over HTTP. No script runs here: the page works without.

mod activity;
mod browser;
mod security;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
};
use storage::Key;
use testkit::{
    request::event,
    site::{Site, records},
};
use tokio::task::block_in_place;

/// A running `hookkeeper ui`. Killed when it is dropped.
struct Page {
    process: Child,
    address: String,
}

/// A response: its status, its headers in lower case, and its body.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Page {
    fn start(site: &Site) -> Self {
        Self::start_with(site, &[])
    }

    fn start_with(site: &Site, arguments: &[&str]) -> Self {
        let mut command = site.command(&[&["ui", "--port", "0"], arguments].concat());
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let ready = block_in_place(|| stdout.lines().next().unwrap().unwrap());
        let (_, url) = ready.split_once("http://").unwrap();
        let address = url.strip_suffix('/').unwrap().to_owned();
        assert!(address.starts_with("127.0.0.1:"), "{ready}");
        Self { process, address }
    }

    /// Sends a request with these headers beside its length.
    fn request(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        let headers: String = headers.iter().flat_map(|header| [header, "\r\n"]).collect();
        let answer = block_in_place(|| {
            let mut stream = TcpStream::connect(&self.address).unwrap();
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\n{headers}content-length: 0\r\nconnection: close\r\n\r\n"
            )
            .unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            String::from_utf8(answer).unwrap()
        });
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let headers = head.to_lowercase();
        let is_chunked = headers.contains("transfer-encoding: chunked");
        let body = if is_chunked {
            joined(body)
        } else {
            body.to_owned()
        };
        Answer {
            status: head[9..12].parse().unwrap(),
            headers,
            body,
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.request("GET", path, &[&format!("host: {}", self.address)])
    }

    /// The body of a page that must exist.
    fn html(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.body
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.html(path)).unwrap()
    }

    /// The answer of the API to a query.
    fn api(&self, query: &str) -> Value {
        self.json(&format!("/api/events?{query}"))
    }

    /// The handles that the list has for a query.
    fn handles(&self, query: &str) -> Vec<String> {
        handles(&self.html(&format!("/?{query}")))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A body that was sent in chunks.
fn joined(chunks: &str) -> String {
    let mut body = String::new();
    let mut rest = chunks;
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        body.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
    body
}

/// The values of an attribute, in their order.
fn values<'a>(html: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(r#"{attribute}=""#);
    let after = html.split(&start).skip(1);
    after.map(|rest| rest.split('"').next().unwrap()).collect()
}

fn handles(html: &str) -> Vec<String> {
    let handles = values(html, "data-handle").into_iter();
    handles.map(str::to_owned).collect()
}

/// The address of the next page.
fn next(html: &str) -> Option<String> {
    let (_, rest) = html.split_once(r#"rel="next" href=""#)?;
    let (url, _) = rest.split_once('"').unwrap();
    Some(url.replace("&amp;", "&"))
}

async fn put(site: &Site, provider: &str, number: u32) {
    let provider = testkit::provider(provider);
    let body = event(provider.name, number);
    site.put(&records(&provider, &body), None).await;
}

/// The handles of `hookkeeper events` with these options, which are the oracle.
fn listed(site: &Site, options: &[&str]) -> Vec<String> {
    let command = [&["events", "--output", "json", "--limit", "5000"], options].concat();
    let lines = site.run(&command);
    let events = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let handle = |event: Value| event["handle"].as_str().unwrap().to_owned();
    events.map(handle).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_has_the_filters_of_the_command() {
    let site = Site::start().await;
    for number in 1..=3 {
        for provider in ["pipedrive", "amocrm", "closer"] {
            put(&site, provider, number).await;
        }
    }
    let page = Page::start(&site);
    for (query, options) in [
        ("", &[][..]),
        ("provider=&type=", &[]),
        ("provider=closer", &["--provider", "closer"]),
        ("type=deal.created", &["--type", "deal.created"]),
        ("subject=deal%2F2", &["--subject", "deal/2"]),
        (
            "since=2020-01-01&until=2020-01-02",
            &["--since", "2020-01-01", "--until", "2020-01-02"],
        ),
        (
            "provider=amocrm&since=1h",
            &["--provider", "amocrm", "--since", "1h"],
        ),
    ] {
        let expected = listed(&site, options);
        assert_eq!(page.handles(query), expected, "{query}");
        let answer = page.api(query);
        let events = answer["events"].as_array().unwrap();
        let of_api: Vec<_> = events
            .iter()
            .map(|event| event["handle"].as_str().unwrap())
            .collect();
        assert_eq!(of_api, expected, "{query}");
    }
    let answer = page.get("/?provider=nobody&since=tomorrow");
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("provider: expected one of pipedrive"),
        "{}",
        answer.body
    );
    assert!(
        answer.body.contains(r#"value="tomorrow""#),
        "{}",
        answer.body
    );
    let answer = page.get("/api/events?since=tomorrow");
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.starts_with(r#"{"message":"since: expected"#),
        "{}",
        answer.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_has_the_events_of_the_command() {
    let site = Site::start().await;
    put(&site, "pipedrive", 1).await;
    put(&site, "closer", 2).await;
    let page = Page::start(&site);
    let lines = site.run(&["events", "--output", "json"]);
    let events: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        page.api(""),
        json!({ "events": events, "after": null, "skipped": 0 })
    );
    assert_eq!(page.api("limit=1")["events"], json!([events[0]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_cannot_be_read_are_counted() {
    let site = Site::start().await;
    put(&site, "closer", 1).await;
    put(&site, "closer", 2).await;
    let record = &records(&providers::CLOSER, &event("closer", 1))[0];
    let client = site.client();
    let update = client.update_item().table_name(hookkeeper::dev::TABLE);
    let key = Key::from_record(record);
    let update = update
        .key("pk", AttributeValue::S(key.pk))
        .key("sk", AttributeValue::S(key.sk))
        .update_expression("SET v = :v")
        .expression_attribute_values(":v", AttributeValue::N("99".to_owned()));
    update.send().await.unwrap();
    let page = Page::start(&site);
    for query in ["", "q=customer"] {
        let answer = page.api(query);
        assert_eq!(answer["skipped"], 1, "{query}: {answer}");
        assert_eq!(answer["events"].as_array().unwrap().len(), 1);
    }
    let html = page.html("/?q=customer");
    assert!(html.contains("Items that cannot be read: 1."), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_found_in_the_data_and_the_body() {
    let site = Site::start().await;
    for name in ["Анна", "Boris"] {
        let body = json!({ "customer": { "id": name, "firstName": name },
            "timestamp": 1_795_428_000_789_u64, "eventType": "ThreadCreatedEvent" });
        let body = body
            .to_string()
            .replace("Анна", r"\u0410\u043d\u043d\u0430");
        site.put(&records(&providers::CLOSER, &body), None).await;
    }
    let page = Page::start(&site);
    assert_eq!(page.handles("").len(), 2);
    assert_eq!(page.handles("q=%D0%B0%D0%BD%D0%BD%D0%B0").len(), 1);
    assert_eq!(
        page.api("q=boris")["events"][0]["subject"],
        "customer/Boris"
    );
    assert!(page.handles("q=nobody").is_empty());
    assert!(page.html("/?q=nobody").contains("match the filter"));
}

/// The events of one delivery are recorded at the same time, so a page can end within it.
#[tokio::test(flavor = "multi_thread")]
async fn pages_have_each_of_a_thousand_events_once() {
    let site = Site::start().await;
    for number in 0..900 {
        put(&site, "closer", number).await;
    }
    let items = (0..100).map(|id| format!("leads[add][{id}][id]={id}"));
    let body = items.collect::<Vec<_>>().join("&") + "&account[id]=1001";
    let recorded = site.table.now();
    for record in records(&providers::AMOCRM, &body) {
        for item in testkit::site::encoded(&record) {
            site.table.put(item, recorded).await.unwrap();
        }
    }
    let page = Page::start(&site);
    let mut expected = listed(&site, &[]);
    assert_eq!(expected.len(), 1_000);
    for limit in [70, 400] {
        let mut url = Some(format!("/?limit={limit}"));
        let mut seen = Vec::new();
        while let Some(path) = url {
            let html = page.html(&path);
            let handles = handles(&html);
            assert!(handles.len() <= limit);
            seen.extend(handles);
            url = next(&html);
        }
        assert_eq!(seen.len(), 1_000);
        // The command has no order for events of one time.
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected);
    }
    let first = page.api("limit=600");
    let after = first["after"].as_str().unwrap();
    let rest = page.api(&format!("limit=500&after={after}"));
    assert_eq!(
        first["events"].as_array().unwrap().len(),
        500,
        "the largest page"
    );
    assert_eq!(rest["events"].as_array().unwrap().len(), 500);
    assert_eq!(rest["after"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_its_payload_bytes_and_a_curl_command_without_a_credential() {
    let site = Site::start().await;
    let body = r#"{"customer": {"id":"c'1", "n": 12345678901234567890123},  "timestamp":1795428000789,"eventType":"ThreadCreatedEvent"}"#;
    site.put(&records(&providers::CLOSER, body), None).await;
    let page = Page::start(&site);
    let handle = page.handles("").remove(0);
    let html = page.html(&format!("/events/{handle}"));
    assert!(html.contains(r#"data-testid="payload""#));
    assert!(
        html.contains(r#"<span class="literal">12345678901234567890123</span>"#),
        "{html}"
    );
    let escaped = body.replace('"', "&quot;");
    assert!(html.contains(&escaped), "{html}");
    let quoted = escaped.replace('\'', r"'\''");
    let curl = format!("curl -u USER:PASSWORD --data-raw '{quoted}' http://127.0.0.1:9000/closer");
    assert!(html.contains(&curl), "{html}");
    let file = page.get(&format!("/events/{handle}/body"));
    assert_eq!(file.body, body);
    assert!(
        file.headers
            .contains("content-type: application/octet-stream")
    );
    assert!(file.headers.contains("content-disposition: attachment"));
    assert!(html.contains("/entities/closer/customer%2Fc%271"), "{html}");

    for (path, status) in [
        ("/events/tcxk8q-4ad6a8", 404),
        ("/events/nothing", 400),
        ("/entities/closer/customer%2Fc-2", 404),
        ("/nothing", 404),
    ] {
        assert_eq!(page.get(path).status, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_shows_the_difference_of_each_event_to_the_one_before() {
    let site = Site::start().await;
    for (second, data) in [
        (10, json!({ "id": 42, "stage_id": 3, "note": "a" })),
        (11, json!({ "id": 42, "stage_id": 4, "title": "Sloop" })),
    ] {
        let meta = json!({ "action": "change", "entity": "deal", "entity_id": "42", "company_id": "7",
            "id": format!("9b3c1d52-52a8-45c8-9f6e-d9cfae9a8d{second}"), "version": "2.0",
            "timestamp": format!("2026-11-21T10:18:{second}Z") });
        let body = json!({ "data": data, "previous": {}, "meta": meta }).to_string();
        site.put(&records(&providers::PIPEDRIVE, &body), None).await;
    }
    let page = Page::start(&site);
    for path in [
        "/entities/pipedrive%2F7/deal%2F42",
        "/entities/pipedrive/7/deal/42",
    ] {
        let html = page.html(path);
        let found: Vec<_> = values(&html, "data-testid");
        assert_eq!(found, ["diff-removed", "diff-changed", "diff-added"]);
        let changed = "stage_id</span>: <del>3</del> → <ins>4</ins>";
        assert!(html.contains(changed), "{html}");
        assert!(
            html.contains("title</span>: <ins>&quot;Sloop&quot;</ins>"),
            "{html}"
        );
        assert_eq!(
            html.matches("There is nothing to compare it with").count(),
            1
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quarantine_marks_the_position_of_the_error() {
    let site = Site::start().await;
    let page = Page::start(&site);
    assert!(page.html("/quarantine").contains("There are none"));
    site.put(&records(&providers::CLOSER, "{\"a\":\n  <b>}"), None)
        .await;
    site.put(&records(&providers::CLOSER, "{}"), None).await;
    let html = page.html("/quarantine?since=2026-11-01");
    assert_eq!(html.matches(r#"data-testid="quarantine-row""#).count(), 2);
    let marked = "{&quot;a&quot;:\n  <mark data-testid=\"error-position\">&lt;</mark>b&gt;}";
    assert!(html.contains(marked), "{html}");
    assert!(html.contains("(line 2, column 3)"), "{html}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_list_says_what_to_do_next() {
    let site = Site::start().await;
    let page = Page::start(&site);
    let html = page.html("/");
    assert!(
        html.contains("hookkeeper send pipedrive deal.updated"),
        "{html}"
    );
    assert!(html.contains("Look at the last 7 days"), "{html}");
    assert_eq!(page.get("/assets/page.js").status, 200);
    assert_eq!(page.get("/assets/page.css").status, 200);
}
