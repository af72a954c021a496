//! The log of events of amoCRM is read to the end without losing one, while others change it.

use super::{super::api::access, Act, SINCE, START, Step, query, send, steps, window};
use proptest::{collection::vec, prelude::*};
use providers::{
    amocrm::api::walk::Walk,
    api::{ApiError, Call, change::WalkError},
};
use serde_json::json;
use std::{collections::BTreeSet, iter, time::Duration};
use testkit::api::{
    AmocrmApi,
    amocrm::{EntityId, EntityKind, LogEntry},
};

const KINDS: [EntityKind; 4] = [
    EntityKind::Lead,
    EntityKind::Contact,
    EntityKind::Company,
    EntityKind::Customer,
];

/// An event of a log.
#[derive(Debug, Clone)]
struct Row {
    id: String,
    second: i64,
    kind: usize,
}

/// A simulated account, and the events of its log that are not hidden.
struct Account {
    api: AmocrmApi,
    rows: Vec<Row>,
    now: Duration,
}

impl Account {
    fn new(events_per_page: usize) -> Self {
        let mut api = AmocrmApi::new("s3cret-token");
        api.entities.log.events_per_page = events_per_page;
        let now = START + Duration::from_hours(2);
        let rows = Vec::new();
        Self { api, rows, now }
    }

    fn log(&mut self, second: i64, kind: usize) {
        let entity = EntityId {
            kind: KINDS[kind],
            number: 5,
        };
        let entry = LogEntry {
            r#type: "name_field_changed".to_owned(),
            entity,
            value_after: json!([]),
            value_before: json!([]),
        };
        let at = Duration::from_secs(second.cast_unsigned());
        let id = self.api.entities.log.log(entry, at);
        self.rows.push(Row { id, second, kind });
    }

    /// Events appear late, and disappear with the rights to see them. Those of a second that does
    /// not fit a page stay: nothing shows that they move others.
    fn apply(&mut self, step: &Step) {
        let second = SINCE + i64::from(step.pick % 40);
        let index = step.pick as usize % self.rows.len().max(1);
        match step.act {
            Act::Add => self.log(second, step.list),
            Act::Remove if !self.rows.is_empty() && !self.is_crowded(index) => {
                let row = self.rows.remove(index);
                self.api.entities.log.hide(&row.id);
            }
            Act::Edit | Act::Archive | Act::Remove => {}
        }
    }

    fn is_crowded(&self, index: usize) -> bool {
        let Row { second, kind, .. } = self.rows[index];
        let same = self.rows.iter();
        let same = same.filter(|row| (row.second, row.kind) == (second, kind));
        same.count() > self.api.entities.log.events_per_page
    }

    /// Responds to a request that is within the limit.
    fn send<T>(&mut self, call: Call<T>) -> Result<T, ApiError> {
        self.now += Duration::from_millis(200);
        send(&mut self.api, call, self.now)
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
        entries in vec((SINCE - 900..SINCE + 3_700, 0..4_usize), 0..60),
        crowd in 0..20_usize,
        events_per_page in 2..8_usize,
        steps in steps(),
    ) {
        let mut account = Account::new(events_per_page);
        let crowd = iter::repeat_n((SINCE + 60, 0), crowd);
        for (second, kind) in entries.into_iter().chain(crowd) {
            account.log(second, kind);
        }
        let before: BTreeSet<String> = account.rows.iter().map(|row| row.id.clone()).collect();
        let mut steps = steps.iter();
        let mut walk = Walk::new(window());
        while let Some(call) = walk.next(&access()) {
            walk.receive(account.send(call)).unwrap();
            for step in steps.next().into_iter().flatten() {
                account.apply(step);
            }
        }
        let shown = walk.finish().unwrap();
        let shown: BTreeSet<String> = shown.into_iter().map(|entry| entry.id).collect();
        let seconds = SINCE..SINCE + 3_600;
        let stayed = account.rows.iter().filter(|row| before.contains(&row.id));
        for row in stayed.filter(|row| seconds.contains(&row.second)) {
            prop_assert!(shown.contains(&row.id), "lost {row:?}");
        }
    }
}

#[test]
fn a_second_of_the_log_without_an_end_is_an_error() {
    let mut account = Account::new(2);
    for _ in 0..500 {
        account.log(SINCE, 0);
    }
    let mut walk = Walk::new(window());
    let error = loop {
        let call = walk.next(&access()).unwrap();
        if let Err(error) = walk.receive(account.send(call)) {
            break error;
        }
    };
    assert!(matches!(error, WalkError::TooManyPages { .. }), "{error}");
    assert!(walk.finish().is_none());
}

#[test]
fn a_second_that_ends_with_an_empty_page_is_read_twice() {
    let mut account = Account::new(100);
    for _ in 0..100 {
        account.log(SINCE, 0);
    }
    let mut walk = Walk::new(window());
    let mut second_pages = 0;
    while let Some(call) = walk.next(&access()) {
        let is_second_page = query(&call.request)["page"] == "2";
        walk.receive(account.send(call)).unwrap();
        if is_second_page {
            second_pages += 1;
            account.log(SINCE, 0);
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
