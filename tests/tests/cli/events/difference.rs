//! `hookkeeper events history --diff`: what each event changed.

use super::Site;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};
use testkit::site::records;

/// A Pipedrive webhook v2 of the deal 42.
fn deal(second: u32, data: &Value) -> String {
    let meta = json!({ "action": "change", "entity": "deal", "entity_id": "42", "company_id": "7",
        "id": format!("9b3c1d52-52a8-45c8-9f6e-d9cfae9a8d{second}"), "version": "2.0",
        "timestamp": format!("2026-11-21T10:18:{second}Z") });
    json!({ "data": data, "previous": {}, "meta": meta }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_shows_what_each_event_changed() {
    let site = Site::start().await;
    for (second, data) in [
        (10, json!({ "id": 42, "stage_id": 3, "note": "a" })),
        (11, json!({ "id": 42, "stage_id": 4, "title": "\u{1b}[5m" })),
    ] {
        let body = deal(second, &data);
        site.put(&records(&providers::PIPEDRIVE, &body), None).await;
    }
    let history = ["events", "history", "deal/42", "--diff"];
    assert_data_eq!(
        site.run(&history),
        str![[r#"
HANDLE         TIME                  TYPE                                      SOURCE
[..]  2026-11-21T10:18:10Z  com.pipedrive.deal.updated                pipedrive/7
[..]  2026-11-21T10:18:11Z  com.pipedrive.deal.updated                pipedrive/7
  - note: "a"
  ~ stage_id: 3 → 4
  + title: "/u001b[5m"

"#]]
    );
    let lines = site.run(&[&history[..], &["--output", "json"]].concat());
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines[0].get("difference"), None);
    assert_eq!(
        lines[1]["difference"],
        json!([
            { "path": "note", "change": "removed", "from": "a" },
            { "path": "stage_id", "change": "changed", "from": 3, "to": 4 },
            { "path": "title", "change": "added", "to": "\u{1b}[5m" },
        ])
    );
}
