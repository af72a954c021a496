//! The lists of objects: their filters, orders and pages.
//!
//! - Version 2 has a cursor, which names the first object of the next page.
//! - Version 1 has a position. The response about notes has its `additional_data` in `pagination`.
//! - A parameter that a list does not know is ignored.
//!
//! Source: <https://developers.pipedrive.com/docs/api/v1> (versions 1 and 2)

use super::{super::Look, Object, ObjectKind, Objects};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use models::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

/// Maximum number of rows of a page.
pub(super) const MAX_ROWS: usize = 500;
const DEFAULT_ROWS: usize = 100;
const MAX_IDS: usize = 100;
/// How long a deleted deal is listed.
const DELETED_FOR: Duration = Duration::from_hours(30 * 24);

/// A list of objects.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    path: &'static str,
    kind: ObjectKind,
    holds: Holds,
    version: Version,
    filter: Filter,
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
enum Version {
    V1,
    V2,
}

/// The times that a list takes.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Filter {
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

/// What a request asks for.
struct Wanted<'a> {
    parameters: &'a BTreeMap<String, String>,
    since: Duration,
    until: Duration,
    statuses: Vec<&'a str>,
    ids: Option<Vec<&'a str>>,
    order: Order,
    limit: usize,
}

/// An order, in which a list is sorted by a field and then by id.
#[derive(Debug, Clone, Copy)]
struct Order {
    field: Field,
    direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Field {
    Id,
    AddTime,
    UpdateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Direction {
    Asc,
    Desc,
}

/// The first object of the next page.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cursor {
    field: Field,
    field_value: u64,
    sort_direction: Direction,
    id: u64,
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

impl<'a> Wanted<'a> {
    /// Reads the parameters of a request. An error says which of them is invalid.
    fn new(
        list: &Endpoint,
        parameters: &'a BTreeMap<String, String>,
    ) -> Result<Self, &'static str> {
        let text = |name: &str| parameters.get(name).map(String::as_str);
        let time = |name: &str, known: bool| match text(name).filter(|_| known) {
            Some(text) => Timestamp::parse(text).map(since_1970).map(Some).ok_or(()),
            None => Ok(None),
        };
        let since = time("updated_since", list.filter >= Since);
        let until = time("updated_until", list.filter >= SinceAndUntil);
        let limit: usize = text("limit")
            .map_or(Ok(DEFAULT_ROWS), str::parse)
            .unwrap_or_default();
        if !(1..=MAX_ROWS).contains(&limit) {
            return Err("Invalid limit");
        }
        let statuses = text("status").unwrap_or("open,won,lost").split(',');
        let ids: Option<Vec<&str>> = text("ids").map(|ids| ids.split(',').collect());
        if ids.as_ref().is_some_and(|ids| ids.len() > MAX_IDS) {
            return Err("Too many ids");
        }
        Ok(Self {
            parameters,
            since: since
                .map_err(|()| "Invalid updated_since")?
                .unwrap_or_default(),
            until: until
                .map_err(|()| "Invalid updated_until")?
                .unwrap_or(Duration::MAX),
            statuses: statuses.collect(),
            ids: ids.filter(|_| list.version == V2 && list.filter != Filter::None),
            order: Order::new(list, parameters).ok_or("Invalid order")?,
            limit,
        })
    }

    fn has(&self, object: &Object) -> bool {
        let ids = self.ids.as_ref();
        (self.since..self.until).contains(&object.updated)
            && ids.is_none_or(|ids| ids.contains(&&*object.id.text()))
    }

    fn start(&self) -> Result<usize, &'static str> {
        let start = self.parameters.get("start");
        let start = start.map_or(Ok(0), |start| start.parse());
        start.map_err(|_| "Invalid start")
    }

    fn cursor(&self) -> Result<Option<Cursor>, &'static str> {
        let Some(text) = self.parameters.get("cursor") else {
            return Ok(None);
        };
        let json = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let cursor = serde_json::from_slice(&json);
        cursor.map(Some).map_err(|_| "Invalid cursor")
    }
}

impl Order {
    fn new(list: &Endpoint, parameters: &BTreeMap<String, String>) -> Option<Self> {
        let text = |name: &str| parameters.get(name).map(String::as_str);
        let (field, direction) = match list.version {
            V2 => (
                text("sort_by").unwrap_or("id"),
                text("sort_direction").unwrap_or("asc"),
            ),
            V1 => text("sort").unwrap_or("add_time ASC").split_once(' ')?,
        };
        Some(Self {
            field: match field {
                "id" => Field::Id,
                "add_time" => Field::AddTime,
                "update_time" => Field::UpdateTime,
                _ => return None,
            },
            direction: match direction.to_ascii_lowercase().as_str() {
                "asc" => Direction::Asc,
                "desc" => Direction::Desc,
                _ => return None,
            },
        })
    }

    /// The position of an object in ascending order.
    fn key(self, object: &Object) -> (u64, u64) {
        let id = object.id.position();
        let value = match self.field {
            Field::Id => id,
            Field::AddTime => millis(object.added),
            Field::UpdateTime => millis(object.updated),
        };
        (value, id)
    }

    fn sort(self, objects: &mut [&Object]) {
        match self.direction {
            Direction::Asc => objects.sort_by_key(|object| self.key(object)),
            Direction::Desc => objects.sort_by_key(|object| Reverse(self.key(object))),
        }
    }

    fn cursor(self, object: &Object) -> Cursor {
        let (field_value, id) = self.key(object);
        Cursor {
            field: self.field,
            field_value,
            sort_direction: self.direction,
            id,
        }
    }

    /// Whether an object is on the page that begins at a cursor, or on a later one.
    fn is_from(self, object: &Object, cursor: &Cursor) -> bool {
        let first = (cursor.field_value, cursor.id);
        match self.direction {
            Direction::Asc => self.key(object) >= first,
            Direction::Desc => self.key(object) <= first,
        }
    }
}

impl Objects {
    /// A page of a list. An error says which parameter is invalid.
    pub(crate) fn page(
        &self,
        list: &'static Endpoint,
        query: Option<&str>,
        now: Duration,
    ) -> Result<Page, &'static str> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let parameters: BTreeMap<String, String> = pairs.into_owned().collect();
        let wanted = Wanted::new(list, &parameters)?;
        let order = wanted.order;
        let limit = wanted.limit.min(self.rows_per_page);
        let mut objects: Vec<&Object> = self.all.values().collect();
        objects.retain(|object| self.is_listed(object, list, &wanted, now) && wanted.has(object));
        order.sort(&mut objects);
        let mut start = 0;
        match list.version {
            V1 => start = wanted.start()?,
            V2 => {
                if let Some(cursor) = wanted.cursor()? {
                    objects.retain(|object| order.is_from(object, &cursor));
                }
            }
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
            (V2, _) => json!({ "next_cursor": self.next.as_ref().map(encoded) }),
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

fn encoded(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(cursor).unwrap())
}

fn since_1970(time: Timestamp) -> Duration {
    Duration::from_micros(time.as_micros().try_into().unwrap_or_default())
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap()
}
