//! A walk over the lists of Pipedrive's API that show what changed since a time.
//!
//! # No row is lost between two pages
//!
//! - Lists of version 2 are sorted by id, and a cursor continues after the last one. So neither a
//!   new nor a removed object moves another one over the border of two pages.
//! - Lists of version 1 continue at a position, which a removed object moves. So a page begins with
//!   rows of the page before. If it has none of them, the page before it is read again.
//! - The end of the window (`updated_until`) is not sent: an object that is edited during the walk
//!   would leave the list, and its creation with it. Whoever compares applies the end.
//!
//! The exception is an archived lead that is edited during the walk. It moves to the front of its
//! list, behind the walk, and may not be shown.
//!
//! A list that the token's user may not read (403), or that the account does not have (404), is left
//! out, as long as another one can be read.
//!
//! Source: <https://developers.pipedrive.com/docs/api/v1>

use self::Kind::{V1, V1All, V2, V2All, V2Newest};
use super::{changes::Object, data, request};
use crate::api::{
    Access, ApiError, Call, Flag,
    change::{Changed, Cost, Extent, Reader, WalkError, Window},
    object,
};
use form_urlencoded::Serializer;
use http::{Method, Response};
use models::{
    Timestamp,
    json::{Lenient, Text},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The tokens of a day of the smallest plan with one seat.
pub const TOKENS_PER_DAY: u32 = 30_000;

/// Rows of a page: the maximum that Pipedrive allows.
pub const ROWS_PER_PAGE: u32 = 500;

/// Maximum number of pages of a list: half a million objects.
pub const MAX_PAGES: u32 = 1_000;

/// A list of objects.
#[derive(Debug, Clone, Copy)]
pub struct List {
    /// The object, as in the `type` of its events.
    pub object: &'static str,
    /// The path.
    pub path: &'static str,
    /// How many tokens a page costs.
    pub tokens: u32,
    kind: Kind,
}

/// How a list is filtered, sorted and divided into pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Changed since a time, by id, with a cursor.
    V2,
    /// All, by id, with a cursor. It is short.
    V2All,
    /// Those that changed last before the end of the window, without a further page.
    V2Newest,
    /// Changed since a time, by id, from a position.
    V1,
    /// All, the last change first, from a position.
    V1All,
}

/// All lists, in the order in which they are read: what is archived during the walk moves from a
/// list to a later one.
pub const LISTS: [List; 11] = [
    List::new("deal", "/api/v2/deals", 10, V2),
    List::new("deal", "/api/v2/deals/archived", 20, V2),
    List::new("person", "/api/v2/persons", 10, V2),
    List::new("organization", "/api/v2/organizations", 10, V2),
    List::new("activity", "/api/v2/activities", 10, V2),
    List::new("product", "/api/v2/products", 10, V2),
    List::new("lead", "/v1/leads", 20, V1),
    List::new("lead", "/v1/leads/archived", 40, V1All),
    List::new("note", "/v1/notes", 20, V1),
    List::new("pipeline", "/api/v2/pipelines", 5, V2All),
    List::new("stage", "/api/v2/stages", 5, V2All),
];

/// Objects of [`Extent::Newest`].
const NEWEST_ROWS: u32 = 10;

const NEWEST: [List; 1] = [List::new("deal", "/api/v2/deals", 10, V2Newest)];

/// How many tokens it costs to read all lists, if so many objects have changed: at least and at
/// most.
#[must_use]
pub fn tokens(changed: u32) -> (u32, u32) {
    let pages = changed.div_ceil(ROWS_PER_PAGE);
    let least: u32 = LISTS.iter().map(|list| list.tokens).sum();
    let most_expensive = LISTS.iter().map(|list| list.tokens).max();
    let more = pages.saturating_mul(most_expensive.unwrap_or_default());
    (least, least.saturating_add(more))
}

/// A walk over all lists. Each response decides about the next request.
pub struct Walk {
    window: Window,
    /// The lists that are not read to the end.
    lists: &'static [List],
    position: Position,
    pages: u32,
    /// The paths of the lists that cannot be read.
    unread: Vec<&'static str>,
    /// The subjects that this list has shown.
    seen: BTreeSet<String>,
    objects: BTreeMap<String, Object>,
}

/// Where a page begins.
enum Position {
    Start(u64),
    Cursor(String),
}

const BEGIN: Position = Position::Start(0);

/// A page of a list.
pub struct Page {
    rows: Vec<Box<RawValue>>,
    /// Version 2: where the next page begins.
    cursor: Option<String>,
    /// Version 1: whether there is a next page, if the response says so.
    has_more: Option<bool>,
}

impl List {
    const fn new(object: &'static str, path: &'static str, tokens: u32, kind: Kind) -> Self {
        Self {
            object,
            path,
            tokens,
            kind,
        }
    }

    /// The version of the API.
    pub(super) fn version(&self) -> &'static str {
        match self.kind {
            V1 | V1All => "1",
            V2 | V2All | V2Newest => "2.0",
        }
    }
}

impl Walk {
    /// Begins a walk.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self {
            window,
            lists: &LISTS,
            position: BEGIN,
            pages: 0,
            unread: Vec::new(),
            seen: BTreeSet::new(),
            objects: BTreeMap::new(),
        }
    }

    /// Begins a walk over the objects that changed last.
    fn newest(window: Window) -> Self {
        Self {
            lists: &NEWEST,
            ..Self::new(window)
        }
    }

    /// The next request. `None`: all lists are read.
    #[must_use]
    pub fn next(&self, access: &Access) -> Option<Call<Page>> {
        let list = self.lists.first()?;
        let mut query = Serializer::new(String::new());
        let rows = if list.kind == V2Newest {
            NEWEST_ROWS
        } else {
            ROWS_PER_PAGE
        };
        query.append_pair("limit", &rows.to_string());
        match list.kind {
            V1 => query.append_pair("sort", "id ASC"),
            V1All => query.append_pair("sort", "update_time DESC"),
            V2 | V2All => query.extend_pairs([("sort_by", "id"), ("sort_direction", "asc")]),
            V2Newest => query
                .extend_pairs([("sort_by", "update_time"), ("sort_direction", "desc")])
                .append_pair("updated_until", &seconds(self.window.until)),
        };
        if list.object == "deal" {
            // Those that were deleted in the last 30 days too.
            query.append_pair("status", "open,won,lost,deleted");
        }
        if matches!(list.kind, V1 | V2) {
            query.append_pair("updated_since", &seconds(self.window.since));
        }
        match &self.position {
            Position::Cursor(cursor) => _ = query.append_pair("cursor", cursor),
            Position::Start(0) => {}
            Position::Start(start) => _ = query.append_pair("start", &start.to_string()),
        }
        let path = format!("{}?{}", list.path, query.finish());
        Some(Call {
            request: request(access, Method::GET, &path, None),
            tokens: list.tokens,
            parse: page,
        })
    }

    /// Takes the response to [`next`](Self::next).
    ///
    /// # Errors
    /// See [`WalkError`]. After [`WalkError::Api`] the request may be sent again.
    pub fn receive(&mut self, page: Result<Page, ApiError>) -> Result<(), WalkError> {
        let Some(list) = self.lists.first() else {
            return Ok(());
        };
        let page = match page {
            Err(ApiError::Forbidden | ApiError::NotFound) if self.may_leave_out(list) => {
                self.unread.push(list.path);
                self.take(Vec::new(), None);
                return Ok(());
            }
            page => page?,
        };
        let rows = page.rows.into_iter();
        let rows: Result<Vec<Object>, _> = rows.map(|json| Object::new(list, json)).collect();
        let rows = rows?;
        self.pages += 1;
        if self.pages > MAX_PAGES {
            return Err(WalkError::TooManyPages {
                list: list.path,
                limit: MAX_PAGES,
            });
        }
        let next = match self.position {
            _ if list.kind == V2Newest => None,
            _ if matches!(list.kind, V2 | V2All) => page.cursor.map(Position::Cursor),
            Position::Start(start) if start > 0 && !self.overlaps(&rows) => {
                let before = start.saturating_sub(ROWS_PER_PAGE.into());
                self.position = Position::Start(before);
                return Ok(());
            }
            Position::Start(start) => self.next_start(list, start, &rows, page.has_more)?,
            Position::Cursor(_) => None,
        };
        self.take(rows, next);
        Ok(())
    }

    /// Whether the walk can go on without a list: it is not begun, and another one can be read.
    fn may_leave_out(&self, list: &List) -> bool {
        self.pages == 0 && list.kind != V2Newest && self.unread.len() + 1 < LISTS.len()
    }

    /// Whether a page has a row of the pages before it.
    fn overlaps(&self, rows: &[Object]) -> bool {
        rows.iter().any(|row| self.seen.contains(&row.subject))
    }

    /// Where the next page of version 1 begins: a tenth of a page before the end of this one.
    fn next_start(
        &self,
        list: &List,
        start: u64,
        rows: &[Object],
        has_more: Option<bool>,
    ) -> Result<Option<Position>, ApiError> {
        let count = rows.len() as u64;
        let is_full = count >= u64::from(ROWS_PER_PAGE);
        let is_old = |row: &Object| row.updated < self.window.since.whole_second();
        let is_read = list.kind == V1All && rows.last().is_some_and(is_old);
        if is_read || !has_more.unwrap_or(is_full) {
            return Ok(None);
        }
        if count < 2 {
            return Err(ApiError::Malformed("a page too short to overlap the next"));
        }
        Ok(Some(Position::Start(start + count - count.div_ceil(10))))
    }

    /// Takes the rows of a page. Without a next position, the next list begins.
    fn take(&mut self, rows: Vec<Object>, next: Option<Position>) {
        let is_read = next.is_none();
        for object in rows {
            self.seen.insert(object.subject.clone());
            let known = self.objects.get(&object.subject);
            if known.is_none_or(|known| known.updated <= object.updated) {
                self.objects.insert(object.subject.clone(), object);
            }
        }
        self.position = next.unwrap_or(BEGIN);
        if is_read {
            self.lists = self.lists.get(1..).unwrap_or_default();
            self.pages = 0;
            self.seen.clear();
        }
    }

    /// The objects that changed since the window began. `None`: not all lists are read.
    #[must_use]
    pub fn finish(self) -> Option<Vec<Object>> {
        let since = self.window.since.whole_second();
        let objects = self.objects.into_values();
        let changed = objects.filter(|object| object.updated >= since);
        self.lists.is_empty().then(|| changed.collect())
    }
}

impl Reader for Walk {
    fn next(&self, access: &Access) -> Option<Call<Response<Vec<u8>>>> {
        Some(Self::next(self, access)?.unparsed())
    }

    fn receive(&mut self, response: Result<Response<Vec<u8>>, ApiError>) -> Result<(), WalkError> {
        Self::receive(self, response.and_then(|response| page(&response)))
    }

    fn unread(&self) -> Vec<&'static str> {
        self.unread.clone()
    }

    fn finish(self: Box<Self>) -> Vec<Changed> {
        let window = self.window;
        let objects = Self::finish(*self).unwrap_or_default().into_iter();
        objects.map(|object| object.changed(window)).collect()
    }
}

/// Begins to read what changed in a window.
pub(super) fn read(window: Window, extent: Extent) -> Box<dyn Reader> {
    Box::new(match extent {
        Extent::All => Walk::new(window),
        Extent::Newest => Walk::newest(window),
    })
}

/// The cost of reading all lists if each has one page.
pub(super) fn cost(_: Window) -> Cost {
    Cost {
        calls: LISTS.len(),
        tokens: tokens(0).0,
        budget: TOKENS_PER_DAY,
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("window", &self.window)
            .field("lists", &self.lists.len())
            .finish_non_exhaustive()
    }
}

/// RFC 3339 with whole seconds, as in Pipedrive's documentation.
fn seconds(time: Timestamp) -> String {
    let text = time.to_string();
    let seconds = text.split('.').next().unwrap_or_default();
    format!("{seconds}Z")
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Body {
    additional_data: Lenient<Additional>,
}

/// Version 2: `next_cursor`. Version 1: `more_items_in_collection`, of notes in `pagination`.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Additional {
    next_cursor: Text,
    more_items_in_collection: Flag,
    pagination: Lenient<Pagination>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pagination {
    more_items_in_collection: Flag,
}

fn page(response: &Response<Vec<u8>>) -> Result<Page, ApiError> {
    let rows: Vec<Box<RawValue>> = data(response)?.unwrap_or_default();
    let body: Body = object(response)?;
    let additional = body.additional_data.0.unwrap_or_default();
    let pagination = additional.pagination.0.unwrap_or_default();
    let has_more = additional.more_items_in_collection.0;
    Ok(Page {
        rows,
        cursor: additional.next_cursor.0,
        has_more: has_more.or(pagination.more_items_in_collection.0),
    })
}

/// Without the rows, which are personal data.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("rows", &self.rows.len())
            .field("cursor", &self.cursor)
            .field("has_more", &self.has_more)
            .finish()
    }
}
