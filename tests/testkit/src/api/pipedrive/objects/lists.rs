//! The lists of objects: their filters, orders and pages.
//!
//! - Version 2 has a cursor, which names the first object of the next page.
//! - Version 1 has a position. The response about notes has its `additional_data` in `pagination`.
//! - A parameter that a list does not know is ignored.
//!
//! Source: <https://developers.pipedrive.com/docs/api/v1> (versions 1 and 2)

use super::{
    super::Look,
    Object, ObjectKind, Objects,
    query::{Cursor, Parameters, Wanted},
};
use serde_json::{Value, json};
use std::time::Duration;

/// Maximum number of rows of a page.
pub(super) const MAX_ROWS: usize = 500;
/// How long a deleted deal is listed.
const DELETED_FOR: Duration = Duration::from_hours(30 * 24);

/// A list of objects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    path: &'static str,
    kind: ObjectKind,
    holds: Holds,
    pub(super) version: Version,
    pub(super) filter: Filter,
    /// What a page costs.
    pub(crate) tokens: u64,
}

/// Which objects of a kind a list has.
#[derive(Debug, PartialEq, Eq)]
enum Holds {
    NotArchived,
    Archived,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The times that a list takes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Filter {
    None,
    Since,
    SinceAndUntil,
}

use Filter::{Since, SinceAndUntil};
use Holds::{Archived, NotArchived};
use ObjectKind::{Activity, Deal, Lead, Note, Organization, Person, Pipeline, Product, Stage};
use Version::{V1, V2};

/// All lists, without the prefix `/api`.
const ENDPOINTS: [Endpoint; 11] = [
    Endpoint::new("/v2/deals", Deal, NotArchived, V2, SinceAndUntil, 10),
    Endpoint::new("/v2/deals/archived", Deal, Archived, V2, SinceAndUntil, 20),
    Endpoint::new("/v2/persons", Person, NotArchived, V2, SinceAndUntil, 10),
    Endpoint::new(
        "/v2/organizations",
        Organization,
        NotArchived,
        V2,
        SinceAndUntil,
        10,
    ),
    Endpoint::new(
        "/v2/activities",
        Activity,
        NotArchived,
        V2,
        SinceAndUntil,
        10,
    ),
    Endpoint::new("/v2/products", Product, NotArchived, V2, Since, 10),
    Endpoint::new("/v1/leads", Lead, NotArchived, V1, Since, 20),
    Endpoint::new("/v1/leads/archived", Lead, Archived, V1, Filter::None, 40),
    Endpoint::new("/v1/notes", Note, NotArchived, V1, Since, 20),
    Endpoint::new("/v2/pipelines", Pipeline, NotArchived, V2, Filter::None, 5),
    Endpoint::new("/v2/stages", Stage, NotArchived, V2, Filter::None, 5),
];

impl Endpoint {
    const fn new(
        path: &'static str,
        kind: ObjectKind,
        holds: Holds,
        version: Version,
        filter: Filter,
        tokens: u64,
    ) -> Self {
        Self {
            path,
            kind,
            holds,
            version,
            filter,
            tokens,
        }
    }
}

/// The list at a path.
pub(crate) fn find(path: &str) -> Option<&'static Endpoint> {
    const { &ENDPOINTS }.iter().find(|list| list.path == path)
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    list: &'static Endpoint,
    rows: Vec<Value>,
    start: usize,
    limit: usize,
    next: Option<Cursor>,
}

impl Objects {
    /// A page of a list. An error is the name of a parameter that is invalid.
    pub(crate) fn page(
        &self,
        list: &'static Endpoint,
        query: Option<&str>,
        now: Duration,
    ) -> Result<Page, &'static str> {
        let parameters = Parameters::new(query);
        let wanted = Wanted::new(list, &parameters)?;
        let start = wanted.start;
        let order = wanted.order;
        let limit = wanted.limit.min(self.rows_per_page);
        let mut objects: Vec<&Object> = self.all.values().collect();
        objects.retain(|object| self.is_listed(object, list, &wanted, now) && wanted.has(object));
        order.sort(&mut objects);
        if let Some(cursor) = &wanted.cursor {
            objects.retain(|object| order.is_from(object, cursor));
        }
        let rows = objects.iter().skip(start).take(limit);
        Ok(Page {
            list,
            rows: rows.map(|object| object.row()).collect(),
            start,
            limit,
            next: objects.get(start + limit).map(|first| order.cursor(first)),
        })
    }

    fn is_listed(&self, object: &Object, list: &Endpoint, wanted: &Wanted, now: Duration) -> bool {
        let kind = object.id.kind;
        let is_archived = object.archived.is_some();
        let is_here = is_archived == (list.holds == Archived);
        let is_alive = match object.deleted {
            Some(deleted) => kind == Deal && now < deleted + DELETED_FOR,
            None => true,
        };
        let has_status = kind != Deal || object.has_status_of(&wanted.statuses);
        kind == list.kind && !self.hidden.contains(&kind) && is_here && is_alive && has_status
    }
}

impl Page {
    /// The response.
    pub(crate) fn body(&self, look: Look) -> Value {
        let data = match look {
            Look::Other if self.list.version == V1 && self.rows.is_empty() => Value::Null,
            _ => self.rows.clone().into(),
        };
        let additional = match (&self.list.version, self.list.kind) {
            (V2, _) => json!({ "next_cursor": self.next.as_ref().map(Cursor::encoded) }),
            (V1, Note) => json!({ "pagination": self.position() }),
            (V1, _) => self.position(),
        };
        json!({ "success": true, "data": data, "additional_data": additional })
    }

    fn position(&self) -> Value {
        let has_more = self.next.is_some();
        let mut position = json!({
            "start": self.start, "limit": self.limit, "more_items_in_collection": has_more,
        });
        if has_more && self.list.kind == Note {
            position["next_start"] = (self.start + self.limit).into();
        }
        position
    }
}
