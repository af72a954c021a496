//! What a request for a list asks for.
//!
//! Source: <https://developers.pipedrive.com/docs/api/v1> (versions 1 and 2)

use super::{
    Object,
    lists::{
        Endpoint,
        Filter::{Since, SinceAndUntil},
        MAX_ROWS,
        Version::{V1, V2},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use models::Timestamp;
use serde::{Deserialize, Serialize};
use std::{cmp::Reverse, collections::BTreeMap, time::Duration};

const DEFAULT_ROWS: usize = 100;
const MAX_IDS: usize = 100;

/// The parameters of a request.
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub(super) fn new(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn time(&self, name: &'static str) -> Result<Option<Duration>, &'static str> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let time = Timestamp::parse(text).ok_or(name)?;
        let micros = time.as_micros().try_into().map_err(|_| name)?;
        Ok(Some(Duration::from_micros(micros)))
    }

    fn number(&self, name: &'static str, default: usize) -> Result<usize, &'static str> {
        let text = self.get(name);
        text.map_or(Ok(default), str::parse).map_err(|_| name)
    }
}

/// What a request asks for.
pub(super) struct Wanted<'a> {
    pub(super) statuses: Vec<&'a str>,
    pub(super) order: Order,
    pub(super) limit: usize,
    /// Of version 1.
    pub(super) start: usize,
    /// Of version 2.
    pub(super) cursor: Option<Cursor>,
    since: Duration,
    until: Duration,
    ids: Option<Vec<&'a str>>,
}

impl<'a> Wanted<'a> {
    /// Reads the parameters that a list knows. An error is the name of one that is invalid.
    pub(super) fn new(list: &Endpoint, parameters: &'a Parameters) -> Result<Self, &'static str> {
        let limit = parameters.number("limit", DEFAULT_ROWS)?;
        let statuses = parameters.get("status").unwrap_or("open,won,lost");
        let mut wanted = Self {
            statuses: statuses.split(',').collect(),
            order: Order::new(list, parameters).ok_or("sort")?,
            limit: Some(limit)
                .filter(|limit| (1..=MAX_ROWS).contains(limit))
                .ok_or("limit")?,
            start: 0,
            cursor: None,
            since: Duration::ZERO,
            until: Duration::MAX,
            ids: None,
        };
        match list.version {
            V1 => wanted.start = parameters.number("start", 0)?,
            V2 => wanted.cursor = Cursor::read(parameters)?,
        }
        if list.filter >= Since {
            wanted.since = parameters.time("updated_since")?.unwrap_or_default();
        }
        if list.filter >= SinceAndUntil {
            wanted.until = parameters.time("updated_until")?.unwrap_or(Duration::MAX);
        }
        if list.filter >= Since && list.version == V2 {
            let ids = parameters.get("ids");
            wanted.ids = ids.map(|ids| ids.split(',').collect());
        }
        match &wanted.ids {
            Some(ids) if ids.len() > MAX_IDS => Err("ids"),
            _ => Ok(wanted),
        }
    }

    pub(super) fn has(&self, object: &Object) -> bool {
        let ids = self.ids.as_ref();
        (self.since..self.until).contains(&object.updated)
            && ids.is_none_or(|ids| ids.contains(&&*object.id.text()))
    }
}

impl Cursor {
    fn read(parameters: &Parameters) -> Result<Option<Self>, &'static str> {
        let Some(text) = parameters.get("cursor") else {
            return Ok(None);
        };
        let json = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
        let cursor = serde_json::from_slice(&json);
        cursor.map(Some).map_err(|_| "cursor")
    }

    pub(super) fn encoded(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap())
    }
}

/// An order, in which a list is sorted by a field and then by id.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    field: Field,
    direction: Direction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Field {
    Id,
    AddTime,
    UpdateTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    Asc,
    Desc,
}

/// The first object of the next page.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cursor {
    field: Field,
    field_value: u64,
    sort_direction: Direction,
    id: u64,
}

impl Order {
    fn new(list: &Endpoint, parameters: &Parameters) -> Option<Self> {
        let (field, direction) = match list.version {
            V1 => {
                let sort = parameters.get("sort").unwrap_or("add_time ASC");
                sort.split_once(' ')?
            }
            V2 => {
                let field = parameters.get("sort_by").unwrap_or("id");
                (field, parameters.get("sort_direction").unwrap_or("asc"))
            }
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

    pub(super) fn sort(self, objects: &mut [&Object]) {
        match self.direction {
            Direction::Asc => objects.sort_by_key(|object| self.key(object)),
            Direction::Desc => objects.sort_by_key(|object| Reverse(self.key(object))),
        }
    }

    pub(super) fn cursor(self, object: &Object) -> Cursor {
        let (field_value, id) = self.key(object);
        Cursor {
            field: self.field,
            field_value,
            sort_direction: self.direction,
            id,
        }
    }

    /// Whether an object is on the page that begins at a cursor, or on a later one.
    pub(super) fn is_from(self, object: &Object, cursor: &Cursor) -> bool {
        let first = (cursor.field_value, cursor.id);
        match self.direction {
            Direction::Asc => self.key(object) >= first,
            Direction::Desc => self.key(object) <= first,
        }
    }
}

fn millis(time: Duration) -> u64 {
    time.as_millis().try_into().unwrap()
}
