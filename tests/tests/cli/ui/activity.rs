//! The counts of the last 24 hours, and the overview.

use super::{Page, put};
use serde_json::json;
use std::time::Duration;
use storage::guardian::Completeness;
use testkit::{
    request::event,
    site::{Site, encoded, records},
};

async fn put_ago(site: &Site, provider: &str, number: u32, hours: u64) {
    let recorded = site.table.now().before(Duration::from_hours(hours));
    for record in records(&testkit::provider(provider), &event(provider, number)) {
        for item in encoded(&record) {
            site.table.put(item, recorded).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_24_hours_are_counted_by_provider_and_type() {
    let site = Site::start().await;
    for (number, hours) in (0..).zip([0, 0, 1, 23, 24, 30]) {
        put_ago(&site, "pipedrive", number, hours).await;
    }
    put_ago(&site, "closer", 1, 1).await;
    let page = Page::start(&site);
    let activity = page.json("/api/activity");
    let hours = activity["hours"].as_array().unwrap();
    assert_eq!(hours.len(), 24);
    assert_eq!(hours[0]["counts"], json!({ "pipedrive": 2 }));
    assert_eq!(hours[1]["counts"], json!({ "pipedrive": 1, "closer": 1 }));
    assert_eq!(hours[23]["counts"], json!({ "pipedrive": 1 }));
    assert_eq!(activity["complete"], true);
    assert_eq!(activity["kinds"][0]["count"], 4);
    assert_eq!(activity["kinds"][0]["provider"], "pipedrive");
    // A bar's link has the events that the bar counts.
    let [since, until] = ["since", "until"].map(|name| hours[1][name].as_str().unwrap());
    assert_eq!(
        page.handles(&format!("since={since}&until={until}")).len(),
        2
    );
    let filtered = page.json("/api/activity?provider=closer");
    assert_eq!(filtered["hours"][0]["counts"], json!({}));
    assert_eq!(filtered["hours"][1]["counts"], json!({ "closer": 1 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_overview_has_providers_webhooks_and_consumers() {
    let site = Site::start().await;
    put(&site, "pipedrive", 1).await;
    put_ago(&site, "pipedrive", 2, 3).await;
    let _ = site.run(&[
        "consume",
        "warehouse",
        "--exec",
        "true",
        "--once",
        "--delay",
        "0s",
    ]);
    put(&site, "pipedrive", 3).await;
    let mut guard = site.table.guard("pipedrive/7").await.unwrap();
    guard.state.finding = "unauthorized".to_owned();
    guard.state.completeness = Some(Completeness {
        until: guard.state.registered,
        shown: 120,
        stored: 119,
        healed: 3,
    });
    guard.release().await.unwrap();
    let page = Page::start(&site);
    let html = page.html("/overview");
    let text = html.replace("</td>", " ").replace("<td>", "");
    assert!(
        text.contains("> 2 3  "),
        "the last hour, and the last 24: {text}"
    );
    assert!(text.contains("warehouse "), "{text}");
    let state = r#"pipedrive/7 <span class="problem">unauthorized</span>"#;
    assert!(text.contains(state), "{text}");
    assert!(text.contains("119 of 120 changes stored"), "{text}");
    assert_eq!(
        html.matches("not in the last 24 hours").count(),
        2,
        "{html}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entity_with_many_events_has_pages() {
    let site = Site::start().await;
    for second in 0..150 {
        let meta = json!({ "action": "change", "entity": "deal", "entity_id": "42",
            "company_id": "7", "id": format!("9b3c1d52-52a8-45c8-9f6e-d9cfae9a{second:04}"),
            "version": "2.0", "timestamp": format!("2026-11-21T10:{:02}:{:02}Z", second / 60, second % 60) });
        let body = json!({ "data": { "id": 42, "value": second }, "meta": meta }).to_string();
        site.put(&records(&providers::PIPEDRIVE, &body), None).await;
    }
    let page = Page::start(&site);
    let first = page.html("/entities/pipedrive%2F7/deal%2F42");
    let second = page.html(&super::next(&first).unwrap());
    let changes = |html: &str| super::values(html, "data-testid").len();
    // The first of all events has nothing before it.
    assert_eq!((changes(&first), changes(&second)), (100, 49));
    assert!(first.contains("<del>49</del> → <ins>50</ins>"), "{first}");
    assert!(second.contains("<del>48</del> → <ins>49</ins>"), "{second}");
    assert_eq!(super::next(&second), None);
}
