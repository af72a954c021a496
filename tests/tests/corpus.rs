//! Webhooks that nobody here wrote, read as what their index says that they are.
//!
//! They are not in this repository. `WEBHOOK_CORPUS` names a folder that has them (absolute, or from the root of the
//! workspace), with an `INDEX.tsv` of which the columns `file`, `provider`, `version`, `entity` and `action` are read, the
//! last three in the provider's own words. Where it is not set, these tests say so and check nothing; where it is, a missing
//! file fails them. `cargo test -- --nocapture` prints how many were read.

use hookkeeper::gateway;
use indexmap::IndexMap;
use intake::Verdict;
use lambda_http::http::{HeaderMap, HeaderValue, Method, Uri, header};
use models::{Delivery, Event, Record, Timestamp, Unreadable};
use serde_json::value::{RawValue, to_raw_value};
use std::{collections::BTreeMap, env, fs};
use tests::{
    house::{bytes, deliver, provider},
    workspace,
};

struct Row {
    file: String,
    provider: String,
    version: String,
    entity: String,
    action: String,
    body: Vec<u8>,
}

/// The corpus, where there is one.
fn corpus() -> Option<Vec<Row>> {
    let Some(folder) = env::var_os("WEBHOOK_CORPUS").map(workspace) else {
        println!("WEBHOOK_CORPUS is not set: nothing is checked here");
        return None;
    };
    let read = |file: &str| {
        let path = folder.join(file);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let index = String::from_utf8(read("INDEX.tsv")).expect("INDEX.tsv is UTF-8");
    let mut lines = index.lines().map(|line| line.split('\t').collect::<Vec<_>>());
    let columns = lines.next().expect("INDEX.tsv has a heading");
    let rows = lines.map(|row| {
        let value = |name: &str| {
            let at = columns.iter().position(|column| *column == name);
            row[at.unwrap_or_else(|| panic!("INDEX.tsv has no column {name}"))].to_owned()
        };
        let file = value("file");
        Row {
            body: read(&file),
            provider: value("provider"),
            version: value("version"),
            entity: value("entity"),
            action: value("action"),
            file,
        }
    });
    let rows: Vec<Row> = rows.collect();
    assert!(!rows.is_empty(), "INDEX.tsv lists nothing");
    Some(rows)
}

impl Row {
    /// What a documentation prints and no sender can have sent.
    fn is_malformed(&self) -> bool {
        self.file.rsplit('.').next() == Some("txt")
    }

    /// The type of its events, and how many they are: `status x2` are two.
    fn expected(&self) -> (String, usize) {
        let action = self.action.split([' ', '(']).next().unwrap_or_default();
        let count = self.action.split_once(" x").map_or(1, |(_, count)| count.parse().unwrap());
        let object = match &*self.entity {
            "leads" => "lead",
            "contacts" => "contact",
            "contacts(company)" => "company",
            "customers" => "customer",
            "catalogs" => "catalog_element",
            own => own,
        };
        let action = match action {
            "add" | "added" | "create" => "created",
            "change" | "update" => "updated",
            "delete" => "deleted",
            "restore" => "restored",
            "status" => "status_changed",
            "responsible" => "responsible_changed",
            "note" => "note_added",
            "period" => "period_changed",
            own => own,
        };
        let prefix = if self.provider == "closer" { "app" } else { "com" };
        (format!("{prefix}.{}.{object}.{action}", self.provider), count)
    }

    /// Whether it says when it happened, on a clock that can be known. Of amoCRM the digital pipeline and a thin delete do
    /// not, nor do notes of 2017, whose time names no zone.
    fn has_a_time(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body).replace("%5B", "[").replace("%5D", "");
        let is_time = |(name, value): (&str, &str)| {
            let path: Vec<_> = name.split('[').collect();
            let ([_, _, _, field] | [_, _, _, "note", field]) = path[..] else { return false };
            ["updated_at", "last_modified", "created_at"].contains(&field)
                && value.len() == 10
                && value.bytes().all(|byte| byte.is_ascii_digit())
        };
        self.provider != "amocrm" || body.split('&').filter_map(|pair| pair.split_once('=')).any(is_time)
    }

    fn delivery(&self, body: &[u8]) -> Delivery {
        Delivery {
            body: body.to_vec(),
            content_type: Some(self.content_type().to_owned()),
            arrival: Timestamp::parse("2030-01-01T00:00:00Z").unwrap(),
            request_id: self.file.clone(),
        }
    }

    fn content_type(&self) -> &'static str {
        if self.provider == "amocrm" { "application/x-www-form-urlencoded" } else { "application/json" }
    }

    fn read(&self, body: &[u8]) -> Result<Vec<Event>, Unreadable> {
        (provider(&self.provider).read)(&self.delivery(body))
    }
}

#[test]
fn every_body_is_read_as_its_index_says() {
    let Some(rows) = corpus() else { return };
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for row in &rows {
        let read = row.read(&row.body);
        counts.entry(&row.provider).or_default()[usize::from(read.is_err())] += 1;
        match read {
            Err(reason) => assert!(row.is_malformed(), "{}: {reason}", row.file),
            Ok(events) => check(row, &events),
        }
    }
    println!("{:<10} {:>5} {:>11}", "provider", "read", "unreadable");
    for (provider, [read, unreadable]) in counts {
        println!("{provider:<10} {read:>5} {unreadable:>11}");
    }
}

fn check(row: &Row, events: &[Event]) {
    let (kind, count) = row.expected();
    assert!(!row.is_malformed(), "{} was read", row.file);
    assert_eq!(events.len(), count, "{}", row.file);
    for event in events {
        assert_eq!(event.r#type, kind, "{}", row.file);
        assert_eq!(event.source.split('/').next(), Some(&*row.provider), "{}", row.file);
        let id = event.subject.split('/').nth(1).unwrap_or_default();
        assert!(!id.is_empty() && String::from_utf8_lossy(&row.body).contains(id), "{}: {}", row.file, event.subject);
        assert_eq!(event.timeproblem.is_none(), row.has_a_time(), "{}: {:?}", row.file, event.timeproblem);
        let year: u16 = event.time.day()[..4].parse().unwrap();
        assert!(!row.has_a_time() || (2012..=2027).contains(&year), "{}: {}", row.file, event.time);
        let channel = match row.version.split_whitespace().next() {
            Some("account") => Some("account"),
            Some("digital") => Some("digital_pipeline"),
            _ => event.channel.as_deref(),
        };
        assert_eq!(event.channel.as_deref(), channel, "{}", row.file);
    }
}

#[tokio::test]
async fn every_body_is_kept_with_its_bytes() {
    let Some(rows) = corpus() else { return };
    for row in &rows {
        let headers = HeaderMap::from_iter([
            (header::AUTHORIZATION, HeaderValue::from_static("Basic bG9jYWw6bG9jYWw=")),
            (header::CONTENT_TYPE, HeaderValue::from_static(row.content_type())),
        ]);
        let uri: Uri = format!("/{}", row.provider).parse().unwrap();
        let event = gateway::event(&Method::POST, &uri, &headers, &row.body.clone().into());
        let (verdicts, records) = deliver(provider(&row.provider), &[event]).await;
        match &verdicts[0] {
            Verdict::Kept { events, duplicates: 0 } => assert_eq!(*events, row.expected().1, "{}", row.file),
            Verdict::Quarantined(_) => assert!(row.is_malformed(), "{}", row.file),
            other => panic!("{}: {}", row.file, other.word()),
        }
        let quarantined = records.iter().any(|stored| matches!(stored.record, Record::Quarantined { .. }));
        assert_eq!(quarantined, row.is_malformed(), "{}", row.file);
        assert!(!records.is_empty(), "{}", row.file);
        for bytes in bytes(&records) {
            assert_eq!(bytes, row.body, "{}", row.file);
        }
    }
}

type Object = IndexMap<String, Box<RawValue>>;

/// A Pipedrive body sent again by another webhook on the same URL: other counts and webhook, keys in another order.
fn retried(body: &[u8]) -> Vec<u8> {
    let mut top: Object = serde_json::from_slice(body).unwrap();
    let mut meta: Object = serde_json::from_str(top["meta"].get()).unwrap();
    let other = |value: &str| to_raw_value(value).unwrap();
    if meta.contains_key("entity") {
        meta.insert("attempt".to_owned(), to_raw_value(&3).unwrap());
        meta.insert("correlation_id".to_owned(), other("another"));
        meta.insert("webhook_owner_id".to_owned(), other("another"));
    } else {
        top.insert("retry".to_owned(), to_raw_value(&2).unwrap());
    }
    meta.insert("webhook_id".to_owned(), other("another"));
    meta.reverse();
    top.insert("meta".to_owned(), to_raw_value(&meta).unwrap());
    top.reverse();
    serde_json::to_vec(&top).unwrap()
}

/// A Pipedrive body with one more field in what it says of the object.
fn changed(body: &[u8]) -> Vec<u8> {
    let mut top: Object = serde_json::from_slice(body).unwrap();
    let name =
        ["data", "current", "previous"].into_iter().find(|name| top.get(*name).is_some_and(|it| it.get() != "null"));
    let name = name.expect("one of them is there");
    let (start, rest) = top[name].get().split_at(1);
    let more = if start == "[" { "null," } else { r#""one_more":1,"# };
    top.insert(name.to_owned(), RawValue::from_string(format!("{start}{more}{rest}")).unwrap());
    serde_json::to_vec(&top).unwrap()
}

#[test]
fn a_pipedrive_event_has_one_id_however_often_it_comes() {
    let Some(rows) = corpus() else { return };
    for row in rows.iter().filter(|row| row.provider == "pipedrive") {
        let id = |body: &[u8]| row.read(body).unwrap().remove(0).id;
        let original = id(&row.body);
        assert_eq!(id(&retried(&row.body)), original, "{}", row.file);
        let has_an_id_of_its_own = original.as_str().contains('-');
        assert_eq!(id(&changed(&row.body)) == original, has_an_id_of_its_own, "{}", row.file);
    }
}
