//! Pipedrive's lists are read to the end without losing an object, while others change them.

use super::{
    super::api::{access, response},
    Act, SINCE, Step, query, second, steps, window,
};
use lambda_http::http::{Request, Response};
use models::Timestamp;
use proptest::{collection::vec, prelude::*};
use providers::{
    api::{ApiError, change::WalkError},
    pipedrive::api::walk::{MAX_PAGES, Walk},
};
use serde_json::{Value, json};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

#[derive(Debug, Clone, Copy)]
struct Row {
    id: u32,
    updated: i64,
}

const PATHS: [&str; 3] = ["/api/v2/deals", "/v1/leads", "/v1/leads/archived"];
const ARCHIVED: usize = 2;

/// Three lists of a simulated Pipedrive.
struct Pipedrive {
    lists: [Vec<Row>; 3],
    rows_per_page: usize,
    now: i64,
}

impl Pipedrive {
    fn apply(&mut self, step: &Step) {
        self.now += 1;
        let rows = &mut self.lists[step.list];
        let index = step.pick as usize % rows.len().max(1);
        match step.act {
            Act::Add if rows.iter().all(|row| row.id != step.pick) => rows.push(Row {
                id: step.pick,
                updated: self.now,
            }),
            Act::Edit if !rows.is_empty() => rows[index].updated = self.now,
            Act::Remove if !rows.is_empty() => _ = rows.remove(index),
            Act::Add | Act::Edit | Act::Remove => {}
        }
    }

    fn respond(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let query = query(request);
        let list = PATHS.iter().position(|path| *path == request.uri().path());
        let mut rows = list
            .map(|list| self.lists[list].clone())
            .unwrap_or_default();
        if let Some(since) = query.get("updated_since") {
            let since = Timestamp::parse(since).unwrap().as_seconds();
            rows.retain(|row| row.updated >= since);
        }
        if query
            .get("sort")
            .is_some_and(|sort| sort == "update_time DESC")
        {
            rows.sort_by_key(|row| Reverse((row.updated, row.id)));
        } else {
            rows.sort_by_key(|row| row.id);
        }
        let number = |name: &str| query.get(name).map(|value| value.parse().unwrap());
        let start: usize = number("start").unwrap_or_default();
        let after = query.get("cursor").map(|id| id.parse::<u32>().unwrap());
        rows.retain(|row| after.is_none_or(|after| row.id > after));
        let has_more = rows.len() > start + self.rows_per_page;
        let page = rows.iter().skip(start).take(self.rows_per_page);
        let page: Vec<Value> = page
            .map(|row| json!({ "id": row.id, "update_time": second(row.updated).to_string() }))
            .collect();
        let additional = if request.uri().path().starts_with("/api/v2/") {
            let end = page.last().filter(|_| has_more);
            json!({ "next_cursor": end.map(|row| row["id"].to_string()) })
        } else {
            json!({ "start": start, "more_items_in_collection": has_more })
        };
        let body = json!({ "success": true, "data": page, "additional_data": additional });
        response(200, &body.to_string())
    }
}

fn subjects(list: usize, rows: &[Row]) -> impl Iterator<Item = String> {
    let object = if list == 0 { "deal" } else { "lead" };
    rows.iter().map(move |row| format!("{object}/{}", row.id))
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (any::<u32>(), SINCE - 20..SINCE + 60);
    vec(row, 0..60).prop_map(|rows| {
        let rows: BTreeMap<u32, i64> = rows.into_iter().collect();
        rows.into_iter()
            .map(|(id, updated)| Row { id, updated })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_object_of_pipedrive_is_lost_while_the_lists_change(
        lists in [rows(), rows(), rows()],
        rows_per_page in 3..12_usize,
        steps in steps(),
    ) {
        let mut crm = Pipedrive { lists: lists.clone(), rows_per_page, now: SINCE + 100 };
        let mut steps = steps.iter();
        let mut walk = Walk::new(window());
        while let Some(call) = walk.next(&access()) {
            let page = (call.parse)(&crm.respond(&call.request));
            walk.receive(page).unwrap();
            for step in steps.next().into_iter().flatten() {
                crm.apply(step);
            }
        }
        let objects = walk.finish().unwrap();
        let shown: BTreeSet<String> = objects.into_iter().map(|object| object.subject).collect();
        for (list, before) in lists.iter().enumerate() {
            let stays = before.iter().copied().filter(|row| {
                let now = crm.lists[list].iter().find(|now| now.id == row.id);
                // An archived lead that is edited moves to the front, behind the walk.
                let is_there = now.is_some_and(|now| {
                    list != ARCHIVED || now.updated == row.updated
                });
                row.updated >= SINCE && is_there
            });
            for subject in subjects(list, &stays.collect::<Vec<_>>()) {
                prop_assert!(shown.contains(&subject), "{} lost {}", PATHS[list], subject);
            }
        }
    }
}

fn page_of(rows: &[u32], has_more: bool) -> Response<Vec<u8>> {
    let rows: Vec<Value> = rows
        .iter()
        .map(|id| json!({ "id": id, "update_time": second(SINCE).to_string() }))
        .collect();
    let additional = json!({ "more_items_in_collection": has_more });
    let body = json!({ "success": true, "data": rows, "additional_data": additional });
    response(200, &body.to_string())
}

/// A walk through Pipedrive's lists that is at the leads.
fn at_the_leads() -> Walk {
    let mut walk = Walk::new(window());
    while let Some(call) = walk.next(&access()) {
        if call.request.uri().path() == "/v1/leads" {
            break;
        }
        let page = (call.parse)(&page_of(&[], false));
        walk.receive(page).unwrap();
    }
    walk
}

fn start(walk: &Walk) -> String {
    let request = walk.next(&access()).unwrap().request;
    query(&request)
        .remove("start")
        .unwrap_or_else(|| "0".to_owned())
}

#[test]
fn a_page_that_does_not_overlap_the_page_before_is_not_taken() {
    let mut walk = at_the_leads();
    let parse = walk.next(&access()).unwrap().parse;
    let first: Vec<u32> = (0..20).collect();
    walk.receive(parse(&page_of(&first, true))).unwrap();
    assert_eq!(start(&walk), "18");
    walk.receive(parse(&page_of(&[21, 22], true))).unwrap();
    assert_eq!(start(&walk), "0", "the pages moved");
    walk.receive(parse(&page_of(&first[3..], true))).unwrap();
    assert_eq!(start(&walk), "15");
    walk.receive(parse(&page_of(&[19, 21, 22], false))).unwrap();
    let next = walk.next(&access()).unwrap().request;
    assert_eq!(next.uri().path(), "/v1/leads/archived");
}

#[test]
fn a_full_page_that_does_not_name_the_next_one_has_a_next_one() {
    for (rows, path) in [(499, "/v1/leads/archived"), (500, "/v1/leads")] {
        let mut walk = at_the_leads();
        let call = walk.next(&access()).unwrap();
        let rows: Vec<Value> = (0..rows)
            .map(|id| json!({ "id": id, "update_time": second(SINCE).to_string() }))
            .collect();
        let body = json!({ "success": true, "data": rows }).to_string();
        walk.receive((call.parse)(&response(200, &body))).unwrap();
        let next = walk.next(&access()).unwrap().request;
        assert_eq!(next.uri().path(), path, "{} rows", rows.len());
    }
}

#[test]
fn archived_leads_are_read_until_the_window_begins() {
    let row = |id: u32, updated: i64| Row { id, updated };
    let archived = [
        row(1, SINCE + 9),
        row(2, SINCE),
        row(3, SINCE - 1),
        row(4, SINCE - 2),
    ];
    let crm = Pipedrive {
        lists: [Vec::new(), Vec::new(), archived.into()],
        rows_per_page: 3,
        now: SINCE + 100,
    };
    let mut walk = Walk::new(window());
    let mut pages = 0;
    while let Some(call) = walk.next(&access()) {
        pages += usize::from(call.request.uri().path() == PATHS[ARCHIVED]);
        walk.receive((call.parse)(&crm.respond(&call.request)))
            .unwrap();
    }
    assert_eq!(pages, 1);
    assert_eq!(walk.finish().unwrap().len(), 2);
}

#[test]
fn a_list_of_pipedrive_without_an_end_is_an_error() {
    let mut walk = Walk::new(window());
    let body = r#"{"success":true,"data":[],"additional_data":{"next_cursor":"again"}}"#;
    let error = loop {
        let call = walk.next(&access()).unwrap();
        if let Err(error) = walk.receive((call.parse)(&response(200, body))) {
            break error;
        }
    };
    let limit = MAX_PAGES;
    let list = "/api/v2/deals";
    assert_eq!(error, WalkError::TooManyPages { list, limit });
    assert!(walk.finish().is_none());
}

#[test]
fn a_failed_request_of_a_walk_can_be_sent_again() {
    let mut walk = at_the_leads();
    let error = walk.receive(Err(ApiError::Unavailable(503))).unwrap_err();
    assert_eq!(error, WalkError::Api(ApiError::Unavailable(503)));
    let again = walk.next(&access()).unwrap();
    assert_eq!(again.request.uri().path(), "/v1/leads");
}

#[test]
fn requests_for_lists_name_the_window_and_the_order() {
    let mut walk = Walk::new(window());
    let mut requests = Vec::new();
    while let Some(call) = walk.next(&access()) {
        requests.push(
            call.request
                .uri()
                .to_string()
                .replace("https://api.example.com", ""),
        );
        let body = r#"{"success":true,"data":[]}"#;
        walk.receive((call.parse)(&response(200, body))).unwrap();
    }
    let since = "updated_since=2026-11-21T10%3A00%3A00Z";
    let by_id = "limit=500&sort_by=id&sort_direction=asc";
    let deals = format!("{by_id}&status=open%2Cwon%2Clost%2Cdeleted&{since}");
    let expected = [
        format!("/api/v2/deals?{deals}"),
        format!("/api/v2/deals/archived?{deals}"),
        format!("/api/v2/persons?{by_id}&{since}"),
        format!("/api/v2/organizations?{by_id}&{since}"),
        format!("/api/v2/activities?{by_id}&{since}"),
        format!("/api/v2/products?{by_id}&{since}"),
        format!("/v1/leads?limit=500&sort=id+ASC&{since}"),
        "/v1/leads/archived?limit=500&sort=update_time+DESC".to_owned(),
        format!("/v1/notes?limit=500&sort=id+ASC&{since}"),
        format!("/api/v2/pipelines?{by_id}"),
        format!("/api/v2/stages?{by_id}"),
    ];
    assert_eq!(requests, expected);
}
