//! Pipedrive's lists are read to the end without losing an object, while others change them.

use super::{
    super::api::{access, response},
    Act, SINCE, START, Step, query, second, send, steps, window,
};
use lambda_http::http::Response;
use proptest::{collection::vec, prelude::*};
use providers::{
    api::{ApiError, change::WalkError},
    pipedrive::api::walk::{MAX_PAGES, Walk},
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use testkit::api::{
    PipedriveApi,
    pipedrive::{ObjectId, ObjectKind},
};

/// A list that others change during a walk.
const LISTS: [(ObjectKind, Archive); 4] = [
    (ObjectKind::Deal, Archive::Without),
    (ObjectKind::Lead, Archive::Without),
    (ObjectKind::Lead, Archive::Within),
    (ObjectKind::Note, Archive::Without),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Archive {
    Within,
    Without,
}

/// An object that was not removed.
#[derive(Debug, Clone, Copy)]
struct Row {
    id: ObjectId,
    /// The second of its change before the walk.
    second: i64,
    is_archived: bool,
}

type Rows = [Vec<Row>; 4];

/// A simulated company whose objects were changed last in these seconds.
fn company(seconds: &[Vec<i64>; 4], rows_per_page: usize) -> (PipedriveApi, Rows) {
    let mut api = PipedriveApi::new("s3cret-token");
    api.objects.rows_per_page = rows_per_page;
    let mut rows = Rows::default();
    for (list, seconds) in seconds.iter().enumerate() {
        for second in seconds {
            let id = create(&mut api, list, START - Duration::from_hours(24));
            api.objects.touch(id, since_1970(*second));
            rows[list].push(Row {
                id,
                second: *second,
                is_archived: LISTS[list].1 == Archive::Within,
            });
        }
    }
    (api, rows)
}

fn create(api: &mut PipedriveApi, list: usize, now: Duration) -> ObjectId {
    let (kind, archive) = LISTS[list];
    let id = api.objects.create(kind, now);
    if archive == Archive::Within {
        api.objects.archive(id, now);
    }
    id
}

fn since_1970(second: i64) -> Duration {
    Duration::from_secs(second.cast_unsigned())
}

/// Applies a step. An archived lead that is edited is no longer in `rows`: it moves to the front of
/// its list, behind the walk.
fn apply(api: &mut PipedriveApi, rows: &mut Vec<Row>, step: &Step, now: Duration) {
    let index = step.pick as usize % rows.len().max(1);
    let row = rows.get_mut(index);
    match (step.act, row) {
        (Act::Add, _) => _ = create(api, step.list, now),
        (Act::Edit, Some(row)) => {
            api.objects.touch(row.id, now);
            if row.is_archived && row.id.kind == ObjectKind::Lead {
                rows.remove(index);
            }
        }
        (Act::Archive, Some(row)) if row.id.kind != ObjectKind::Note && !row.is_archived => {
            api.objects.archive(row.id, now);
            row.is_archived = true;
        }
        (Act::Remove, Some(row)) => {
            api.objects.delete(row.id, now);
            rows.remove(index);
        }
        (Act::Edit | Act::Archive | Act::Remove, _) => {}
    }
}

fn seconds() -> impl Strategy<Value = Vec<i64>> {
    vec(SINCE - 20..SINCE + 60, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_object_of_pipedrive_is_lost_while_the_lists_change(
        seconds in [seconds(), seconds(), seconds(), seconds()],
        rows_per_page in 3..12_usize,
        steps in steps(),
    ) {
        let (mut api, mut rows) = company(&seconds, rows_per_page);
        let mut now = START + Duration::from_secs(100);
        let mut steps = steps.iter();
        let mut walk = Walk::new(window());
        while let Some(call) = walk.next(&access()) {
            now += Duration::from_secs(1);
            walk.receive(send(&mut api, call, now)).unwrap();
            for step in steps.next().into_iter().flatten() {
                now += Duration::from_secs(1);
                apply(&mut api, &mut rows[step.list], step, now);
            }
        }
        let objects = walk.finish().unwrap();
        let shown: BTreeSet<String> = objects.into_iter().map(|object| object.subject).collect();
        for row in rows.iter().flatten().filter(|row| row.second >= SINCE) {
            prop_assert!(shown.contains(&row.id.to_string()), "lost {:?}", row);
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
    let archived = vec![SINCE + 9, SINCE, SINCE - 1, SINCE - 2];
    let (mut api, _) = company(&[vec![], vec![], archived, vec![]], 3);
    let mut walk = Walk::new(window());
    let mut pages = 0;
    let mut now = START;
    while let Some(call) = walk.next(&access()) {
        pages += usize::from(call.request.uri().path() == "/v1/leads/archived");
        now += Duration::from_secs(1);
        walk.receive(send(&mut api, call, now)).unwrap();
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
