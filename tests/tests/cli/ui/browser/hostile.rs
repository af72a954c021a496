//! A sender that writes markup into every field and key: nothing of it runs, and no request leaves.

use super::{Browser, Page, Site, json};
use serde_json::Value;
use testkit::{
    sink::Sink,
    site::{altered, records},
};

/// Markup that would set a variable, or ask another server.
fn hostile(other: &str, quote: char) -> String {
    format!(
        "javascript:window.evil=1//{quote}>--></script></style></textarea></title></template>\
        <script>window.evil=1</script><img src={other}/a onerror=window.evil=1>\
        <svg onload=window.evil=1><iframe src={other}/b></iframe><link rel=stylesheet href={other}/c>\
        <base href={other}/><meta http-equiv=refresh content=0;url={other}/d>\
        <form action={other}/e><a href=javascript:window.evil=1 autofocus onfocus=window.evil=1>x"
    )
}

async fn put(site: &Site, other: &str) {
    for (second, quote) in [(10, '"'), (11, '\'')] {
        let text = hostile(other, quote);
        // A source and a type have at most 512 bytes.
        let id =
            format!("\"><script>window.evil=1</script><img src={other} onerror=window.evil=1>");
        let meta = json!({ "action": id, "entity": id, "entity_id": id, "company_id": id,
            "id": format!("9b3c1d52-52a8-45c8-9f6e-d9cfae9a8d{second}"), "version": "2.0",
            "timestamp": format!("2026-11-21T10:18:{second}Z") });
        let mut data = json!({ "id": 42, "list": [text, { (&text): text }] });
        data[&id] = json!({ (&text): text });
        data[&text] = json!(text);
        let body = json!({ "data": data, "meta": meta, (&text): text }).to_string();
        let record = altered(&records(&providers::PIPEDRIVE, &body)[0], |event| {
            event.channel = Some(text.clone());
            event.eventid = Some(text.clone());
            event.originaltype.clone_from(&text);
        });
        site.put(&[record], None).await;
        let key = json!({ (&text): text }).to_string();
        for body in [format!("{{\"a\": {text}"), key] {
            site.put(&records(&providers::CLOSER, &body), None).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_of_a_sender_does_nothing_in_any_view() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    let other = Sink::answering(&[200]).await;
    let other_url = other.url("hook");
    let page = Page::start_with(&site, &["--write"]);
    // The first view gets its rows from the script, the others from the server.
    browser.open(&page, "/").await;
    put(&site, &other_url).await;
    browser.wait_for_number("[data-testid=event-row]", 2).await;
    let links = "[...document.querySelectorAll('#rows a')].map((a) => a.pathname)";
    let Value::Array(links) = browser.value(links).await else {
        panic!("no links")
    };
    let mut paths: Vec<_> = links
        .iter()
        .map(|path| path.as_str().unwrap().to_owned())
        .collect();
    let encoded: String =
        form_urlencoded::byte_serialize(hostile(&other_url, '"').as_bytes()).collect();
    paths.extend([
        "/".to_owned(),
        "/quarantine?since=2026-11-01".to_owned(),
        "/overview".to_owned(),
        format!("/?type={encoded}&subject={encoded}&q={encoded}"),
        format!("/?provider={encoded}"),
        format!("/?since={encoded}"),
        format!("/events/{encoded}"),
        format!("/entities/{encoded}/{encoded}"),
    ]);
    for path in &paths {
        browser.open(&page, path).await;
        if path == "/" {
            browser.wait_for_number("#activity .bar", 24).await;
        }
        // Whatever a person can open, and focus.
        browser
            .value("document.querySelectorAll('details').forEach((each) => (each.open = true))")
            .await;
        let address = browser.value("location.origin").await;
        assert_eq!(address, json!(format!("http://{}", page.address)), "{path}");
        assert_eq!(
            browser.value("window.evil ?? null").await,
            Value::Null,
            "{path}"
        );
        let loaded = "performance.getEntriesByType('resource').map(({ name }) => name)\
            .filter((name) => !name.startsWith(location.origin))";
        assert_eq!(browser.value(loaded).await, json!([]), "{path}");
        let foreign = "[...document.querySelectorAll('a, form')].map((each) => each.href ?? each.action)\
            .filter((url) => url && !url.startsWith(location.origin))";
        assert_eq!(browser.value(foreign).await, json!([]), "{path}");
        let markup = "document.querySelectorAll('img, svg, iframe, base, template').length\
            + document.querySelectorAll('script').length";
        assert_eq!(browser.value(markup).await, json!(1), "{path}");
    }
    assert!(other.taken().is_empty(), "{:?}", other.taken());
}
