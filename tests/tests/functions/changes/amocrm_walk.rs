//! The log of events of amoCRM is read to the end without losing one, while others change it.

use super::{
    super::api::{access, response},
    Act, SINCE, Step, query, steps, window,
};
use lambda_http::http::{Request, Response};
use proptest::{collection::vec, prelude::*};
use providers::{amocrm::api::walk::Walk, api::change::WalkError};
use serde_json::{Value, json};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// A simulated log of events of amoCRM.
struct Log {
    /// Id, second and kind of entity.
    entries: Vec<(u32, i64, usize)>,
    entries_per_page: usize,
}

const KINDS: [&str; 3] = ["lead", "contact", "customer"];

impl Log {
    /// Events appear late, and disappear with the rights to see them. Those of a second that does
    /// not fit a page stay: nothing shows that they move others.
    fn apply(&mut self, step: &Step) {
        let second = SINCE + i64::from(step.pick % 40);
        let index = step.pick as usize % self.entries.len().max(1);
        match step.act {
            Act::Add => self.entries.push((step.pick, second, step.list)),
            Act::Remove if !self.entries.is_empty() && !self.is_crowded(index) => {
                self.entries.remove(index);
            }
            Act::Edit | Act::Remove => {}
        }
    }

    fn is_crowded(&self, index: usize) -> bool {
        let (_, second, kind) = self.entries[index];
        let same = self
            .entries
            .iter()
            .filter(|entry| (entry.1, entry.2) == (second, kind));
        same.count() > self.entries_per_page
    }

    fn respond(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let query = query(request);
        let number = |name: &str| query[name].parse::<i64>().unwrap();
        let seconds = number("filter[created_at][from]")..=number("filter[created_at][to]");
        let kind = KINDS
            .iter()
            .position(|kind| *kind == query["filter[entity][]"]);
        let entries = self.entries.iter();
        let mut entries: Vec<_> = entries
            .filter(|(_, second, own)| seconds.contains(second) && Some(*own) == kind)
            .collect();
        entries.sort_by_key(|(id, second, _)| Reverse((*second, *id)));
        let page = usize::try_from(number("page")).unwrap() - 1;
        let start = page * self.entries_per_page;
        let has_next = entries.len() > start + self.entries_per_page;
        let entries = entries.into_iter().skip(start).take(self.entries_per_page);
        let events: Vec<Value> = entries
            .map(|(id, second, kind)| {
                json!({
                    "id": id.to_string(), "type": "lead_added", "created_at": second,
                    "entity_type": KINDS[*kind], "entity_id": id,
                })
            })
            .collect();
        if events.is_empty() {
            return response(204, "");
        }
        let next = json!({ "next": { "href": "next" } });
        let links = if has_next { next } else { json!({}) };
        let body = json!({ "_embedded": { "events": events }, "_links": links });
        response(200, &body.to_string())
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_event_of_amocrm_is_lost_while_the_log_changes(
        entries in vec((any::<u32>(), SINCE - 900..SINCE + 3_700, 0..3_usize), 0..60),
        crowd in 0..20_u32,
        entries_per_page in 2..8_usize,
        steps in steps(),
    ) {
        let mut entries: BTreeMap<u32, (i64, usize)> = entries
            .into_iter()
            .map(|(id, second, kind)| (id, (second, kind)))
            .collect();
        entries.extend((0..crowd).map(|id| (id, (SINCE + 60, 0))));
        let entries: Vec<_> = entries
            .into_iter()
            .map(|(id, (second, kind))| (id, second, kind))
            .collect();
        let mut log = Log { entries: entries.clone(), entries_per_page };
        let mut steps = steps.iter();
        let mut walk = Walk::new(window());
        while let Some(call) = walk.next(&access()) {
            let page = (call.parse)(&log.respond(&call.request));
            walk.receive(page).unwrap();
            for step in steps.next().into_iter().flatten() {
                log.apply(step);
            }
        }
        let shown = walk.finish().unwrap();
        let shown: BTreeSet<String> = shown.into_iter().map(|entry| entry.id).collect();
        let seconds = SINCE..SINCE + 3_600;
        for entry in entries.iter().filter(|entry| seconds.contains(&entry.1)) {
            if log.entries.contains(entry) {
                prop_assert!(shown.contains(&entry.0.to_string()), "lost {entry:?}");
            }
        }
    }
}

#[test]
fn a_second_of_the_log_without_an_end_is_an_error() {
    let mut log = Log {
        entries: Vec::new(),
        entries_per_page: 2,
    };
    log.entries.extend((0..500).map(|id| (id, SINCE, 0)));
    let mut walk = Walk::new(window());
    let error = loop {
        let call = walk.next(&access()).unwrap();
        if let Err(error) = walk.receive((call.parse)(&log.respond(&call.request))) {
            break error;
        }
    };
    assert!(matches!(error, WalkError::TooManyPages { .. }), "{error}");
    assert!(walk.finish().is_none());
}

#[test]
fn a_second_that_ends_with_an_empty_page_is_read_twice() {
    let mut log = Log {
        entries: (0..100).map(|id| (id, SINCE, 0)).collect(),
        entries_per_page: 100,
    };
    let mut walk = Walk::new(window());
    let mut second_pages = 0;
    while let Some(call) = walk.next(&access()) {
        let page = (call.parse)(&log.respond(&call.request));
        walk.receive(page).unwrap();
        if query(&call.request)["page"] == "2" {
            second_pages += 1;
            log.entries.push((999, SINCE, 0));
        }
    }
    assert_eq!(second_pages, 2);
    assert_eq!(walk.finish().unwrap().len(), 101);
}

#[test]
fn requests_for_the_log_name_the_span_and_the_entity() {
    let walk = Walk::new(window());
    // Five kinds of entities, for an hour.
    assert_eq!(walk.requests(), 5);
    let request = walk.next(&access()).unwrap().request;
    let query = query(&request);
    assert_eq!(request.uri().path(), "/api/v4/events");
    assert_eq!(query["filter[created_at][from]"], SINCE.to_string());
    assert_eq!(query["filter[created_at][to]"], (SINCE + 3_599).to_string());
    assert_eq!(request.headers()["authorization"], "Bearer s3cret-token");
}
