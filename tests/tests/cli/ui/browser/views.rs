//! Every view at two sizes, light and dark. `SCREENSHOTS=docs/images` writes the pictures of the
//! documentation.

use super::{Browser, Page, Site, deal, json, put_ago};
use std::{env, path::Path, time::Duration};
use testkit::{request::event, workspace};

/// The pictures of the documentation.
const PICTURES: [(&str, &str, &str); 9] = [
    ("events", "wide", "light"),
    ("events", "wide", "dark"),
    ("events", "phone", "dark"),
    ("event", "wide", "light"),
    ("difference", "wide", "light"),
    ("difference", "phone", "light"),
    ("quarantine", "wide", "light"),
    ("quarantine", "wide", "dark"),
    ("overview", "wide", "light"),
];

/// The key of a custom field.
const VALUE: &str = "5f4dcc3b5aa765d61d8327deb882cf99aa0e8d4a";

/// A day of three providers, the history of a deal, and two quarantined deliveries.
async fn fill(site: &Site) {
    for number in 0..60 {
        let ago = Duration::from_secs(60 * u64::from(number * number) / 3);
        let provider = ["pipedrive", "amocrm", "closer"][number as usize % 3];
        put_ago(site, provider, &event(provider, number), ago).await;
    }
    let states = [
        json!({ "title": "Sloop, 12 m", "value": 48_000, "stage_id": 1, "status": "open",
            "custom_fields": { VALUE: { "type": "text", "value": "red" } } }),
        json!({ "title": "Sloop, 12 m", "value": 52_500, "stage_id": 3, "status": "open",
            "custom_fields": { VALUE: { "type": "text", "value": "blue" } }, "label": "hot" }),
        json!({ "title": "Sloop, 12 m", "value": 52_500, "stage_id": 5, "status": "won",
            "custom_fields": {} }),
    ];
    for (second, state) in (0..).zip(&states) {
        let ago = Duration::from_secs(40 - u64::from(second) * 10);
        put_ago(site, "pipedrive", &deal(4711, second, state), ago).await;
    }
    // A subject that is wider than any screen.
    let long = json!({ "customer": { "id": "x".repeat(300) }, "timestamp": 1_795_428_000_789_u64,
        "eventType": "ThreadCreatedEvent" });
    put_ago(site, "closer", &long.to_string(), Duration::from_hours(22)).await;
    let now = site.table.now();
    let mut broken = testkit::site::records(
        &providers::CLOSER,
        "{\"eventType\": \"ThreadClosedEvent\",\n <timestamp>: 1795428000789}",
    );
    let models::Record::Quarantined { origin, .. } = &mut broken[0] else {
        panic!("{broken:?}")
    };
    origin.arrival = now;
    site.put(&broken, None).await;
}

/// Views with their names and addresses.
fn views(page: &Page, site: &Site) -> [(&'static str, String); 6] {
    let handle = super::super::listed(site, &["--subject", "deal/4711"]).remove(0);
    let quarantine = page.html("/quarantine");
    assert!(quarantine.contains("quarantine-row"), "{quarantine}");
    [
        ("events", "/".to_owned()),
        ("event", format!("/events/{handle}")),
        (
            "difference",
            "/entities/pipedrive%2F7/deal%2F4711".to_owned(),
        ),
        ("quarantine", "/quarantine".to_owned()),
        ("overview", "/overview".to_owned()),
        ("empty", "/?q=nothing".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_fits_two_sizes_and_breaks_no_rule_of_accessibility() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    fill(&site).await;
    let page = Page::start_with(&site, &["--write"]);
    let folder = env::var_os("SCREENSHOTS");
    for (name, path) in views(&page, &site) {
        for (size, width) in [("wide", 1440), ("phone", 360)] {
            for scheme in ["light", "dark"] {
                browser.emulate(width, scheme).await;
                browser.open(&page, &path).await;
                if name == "events" {
                    browser.wait_for_number("#activity .bar", 24).await;
                }
                let broken = browser.broken_rules().await;
                assert_eq!(broken, json!([]), "{name} {size} {scheme}");
                let overflow = "document.documentElement.scrollWidth > innerWidth";
                let overflow = browser.value(overflow).await;
                assert_eq!(overflow, json!(false), "{name} {size} {scheme}");
                if let (Some(folder), true) = (&folder, PICTURES.contains(&(name, size, scheme))) {
                    let file = format!("{name}-{size}-{scheme}.png");
                    let file = workspace(Path::new(folder).join(file));
                    browser.driver.screenshot(&file).await.unwrap();
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_view_shows_what_it_is_for() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    fill(&site).await;
    let page = Page::start(&site);
    let [_, (_, event), (_, difference), ..] = views(&page, &site);
    browser.open(&page, &event).await;
    assert!(
        browser
            .text("[data-testid=payload]")
            .await
            .contains("52500")
    );
    browser
        .find("[data-search]")
        .await
        .send_keys("BLU")
        .await
        .unwrap();
    browser
        .wait_for(
            "document.getElementById('status').textContent",
            &json!("0 matches"),
        )
        .await;
    browser.press("\u{8}\u{8}\u{8}won").await;
    browser.wait_for_number("#payload .found", 1).await;
    assert_eq!(browser.text("#payload .found").await, "status: \"won\"");

    browser.open(&page, &difference).await;
    let changed = browser.text("[data-testid=diff-changed]").await;
    assert!(changed.contains("stage_id: 3 → 5"), "{changed}");
    let removed = browser.text("[data-testid=diff-removed]").await;
    assert!(removed.contains(VALUE), "{removed}");

    browser.open(&page, "/quarantine").await;
    assert_eq!(browser.text("[data-testid=error-position]").await, "<");

    browser.open(&page, "/overview").await;
    let overview = browser.text("main").await;
    for words in [
        "pipedrive",
        "amocrm",
        "closer",
        "There are none: hookkeeper consume NAME",
    ] {
        assert!(overview.contains(words), "{words}: {overview}");
    }
}
