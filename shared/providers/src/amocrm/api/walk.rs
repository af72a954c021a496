//! A walk over the log of events of amoCRM, and requests for what its events refer to.
//!
//! # No event is lost between two pages
//!
//! The log is read in spans of an hour up to a fixed end, each for one kind of entity, because
//! without this filter some accounts only show leads. It has the newest event first, and pages
//! without a cursor: an event that disappears moves all later ones. So a span with more than one
//! page is divided in two. Only a single second is read in pages, and once more if the last one is
//! empty after a full one.
//!
//! Sources: <https://www.amocrm.ru/developers/content/crm_platform/events-and-notes>,
//! <https://www.amocrm.ru/developers/content/crm_platform/talks-api>

use super::{
    changes::{Context, Entry, changed},
    check, request,
};
use crate::api::{
    Access, ApiError, Call,
    change::{Changed, Cost, Extent, Reader, WalkError, Window},
    id, object,
};
use form_urlencoded::Serializer;
use http::{Method, Response, StatusCode};
use models::json::{self, Lenient, Text};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Events of a page: the maximum that amoCRM allows.
pub const EVENTS_PER_PAGE: usize = 100;

/// Notes of a request: the maximum that is known to work.
pub const NOTES_PER_REQUEST: usize = 50;

/// Maximum number of pages of one second.
pub const MAX_PAGES: u32 = 100;

/// The kinds of entities that the log is read for.
const ENTITIES: [&str; 5] = ["lead", "contact", "company", "task", CUSTOMER];

/// Accounts without customers refuse this kind.
const CUSTOMER: &str = "customer";

const HOUR: i64 = 60 * 60;

/// A walk over the log. Each response decides about the next request.
pub struct Walk {
    /// What is to be read. The last one is next.
    spans: Vec<Span>,
    extent: Extent,
    entries: BTreeMap<String, Entry>,
}

/// Reads the log, and then what its events refer to.
#[derive(Debug)]
struct LogReader {
    log: Option<Walk>,
    entries: Vec<Entry>,
    /// Talks whose chats are not known.
    talks: Vec<u64>,
    /// Notes that are not read: entity and ids.
    notes: Vec<(String, BTreeSet<u64>)>,
    context: Context,
}

/// A part of the log, both seconds included.
#[derive(Debug, Clone, Copy)]
struct Span {
    entity: &'static str,
    from: i64,
    to: i64,
    page: u32,
    /// Whether it has been read before, up to an empty page.
    is_repeated: bool,
}

/// A page of the log.
#[derive(Default)]
pub struct Page {
    entries: Vec<Entry>,
    has_next: bool,
}

impl Walk {
    /// Begins a walk.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self::with_spans(window, HOUR)
    }

    /// Begins a walk over the first page of each kind of entity: the newest events of the window.
    fn newest(window: Window) -> Self {
        Self {
            extent: Extent::Newest,
            ..Self::with_spans(window, i64::MAX / 2)
        }
    }

    fn with_spans(window: Window, longest: i64) -> Self {
        let from = window.since.as_seconds();
        let end = window.until.as_seconds();
        let mut spans = Vec::new();
        for entity in ENTITIES {
            let mut to = end - 1;
            while to >= from {
                let first = from.max(to + 1 - longest);
                spans.push(Span::new(entity, first, to));
                to = first - 1;
            }
        }
        Self {
            spans,
            extent: Extent::All,
            entries: BTreeMap::new(),
        }
    }

    /// The number of requests that are needed at least.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.spans.len()
    }

    /// The next request. `None`: the log is read.
    #[must_use]
    pub fn next(&self, access: &Access) -> Option<Call<Page>> {
        let span = self.spans.last()?;
        let mut query = Serializer::new(String::new());
        query
            .append_pair("limit", &EVENTS_PER_PAGE.to_string())
            .append_pair("page", &span.page.to_string())
            .append_pair("filter[created_at][from]", &span.from.to_string())
            .append_pair("filter[created_at][to]", &span.to.to_string())
            .append_pair("filter[entity][]", span.entity);
        let path = format!("/api/v4/events?{}", query.finish());
        Some(Call {
            request: request(access, Method::GET, &path, None),
            tokens: 0,
            parse: page,
        })
    }

    /// Takes the response to [`next`](Self::next).
    ///
    /// # Errors
    /// See [`WalkError`]. After [`WalkError::Api`] the request may be sent again.
    pub fn receive(&mut self, page: Result<Page, ApiError>) -> Result<(), WalkError> {
        let Some(span) = self.spans.last_mut() else {
            return Ok(());
        };
        let page = match page {
            Err(ApiError::Invalid(_)) if span.entity == CUSTOMER => {
                self.spans.retain(|span| span.entity != CUSTOMER);
                return Ok(());
            }
            page => page?,
        };
        let is_full = page.has_next || page.entries.len() >= EVENTS_PER_PAGE;
        let is_empty = page.entries.is_empty();
        let entries = page.entries.into_iter();
        self.entries
            .extend(entries.map(|entry| (entry.id.clone(), entry)));
        if self.extent == Extent::Newest {
            self.spans.pop();
        } else if is_full && span.from == span.to {
            if span.page == MAX_PAGES {
                return Err(WalkError::TooManyPages {
                    list: "a second of the log of events",
                    limit: MAX_PAGES,
                });
            }
            span.page += 1;
        } else if is_full {
            let middle = i64::midpoint(span.from, span.to);
            let later = Span::new(span.entity, middle + 1, span.to);
            *span = Span::new(span.entity, span.from, middle);
            self.spans.push(later);
        } else if is_empty && span.page > 1 && !span.is_repeated {
            span.page = 1;
            span.is_repeated = true;
        } else {
            self.spans.pop();
        }
        Ok(())
    }

    /// The events of the log, sorted by id. `None`: it is not read to the end.
    #[must_use]
    pub fn finish(self) -> Option<Vec<Entry>> {
        let entries = self.entries.into_values();
        self.spans.is_empty().then(|| entries.collect())
    }
}

/// Begins to read what changed in a window.
pub(super) fn read(window: Window, extent: Extent) -> Box<dyn Reader> {
    Box::new(LogReader {
        log: Some(match extent {
            Extent::All => Walk::new(window),
            Extent::Newest => Walk::newest(window),
        }),
        entries: Vec::new(),
        talks: Vec::new(),
        notes: Vec::new(),
        context: Context::default(),
    })
}

/// The cost of reading the log if no hour has more than one page.
pub(super) fn cost(window: Window) -> Cost {
    Cost {
        calls: Walk::new(window).requests(),
        tokens: 0,
        budget: 0,
    }
}

impl Reader for LogReader {
    fn next(&self, access: &Access) -> Option<Call<Response<Vec<u8>>>> {
        if let Some(log) = &self.log {
            return Some(log.next(access)?.unparsed());
        }
        if let Some(id) = self.talks.last() {
            return Some(talk(access, *id).unparsed());
        }
        let (entity, ids) = self.notes.last()?;
        Some(notes(access, entity, ids).unparsed())
    }

    fn receive(&mut self, response: Result<Response<Vec<u8>>, ApiError>) -> Result<(), WalkError> {
        if let Some(log) = &mut self.log {
            log.receive(response.and_then(|response| page(&response)))?;
            if log.spans.is_empty() {
                let log = self.log.take().and_then(Walk::finish);
                self.refer_to(log.unwrap_or_default());
            }
            return Ok(());
        }
        if let Some(&id) = self.talks.last() {
            let chat = response.and_then(|response| chat(&response));
            let chat = existing(chat)?;
            self.context.chats.extend(chat.map(|chat| (id, chat)));
            self.talks.pop();
            return Ok(());
        }
        let notes = existing(response.and_then(|response| notes_by_id(&response)))?;
        self.context.notes.extend(notes.unwrap_or_default());
        self.notes.pop();
        Ok(())
    }

    fn finish(self: Box<Self>) -> Vec<Changed> {
        changed(&self.entries, &self.context)
    }
}

impl LogReader {
    /// Takes the events of the log, and notes what they refer to.
    fn refer_to(&mut self, entries: Vec<Entry>) {
        let talks: BTreeSet<u64> = entries.iter().filter_map(Entry::talk_id).collect();
        self.talks = talks.into_iter().collect();
        let mut notes: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for (entity, id) in entries.iter().filter_map(Entry::note) {
            notes.entry(entity).or_default().insert(id);
        }
        for (entity, ids) in notes {
            let ids: Vec<u64> = ids.into_iter().collect();
            let requests = ids.chunks(NOTES_PER_REQUEST);
            let requests = requests.map(|ids| (entity.to_owned(), ids.iter().copied().collect()));
            self.notes.extend(requests);
        }
        self.entries = entries;
    }
}

/// A value that may have been deleted since.
fn existing<T>(value: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(ApiError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Debug for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Walk")
            .field("spans", &self.spans.len())
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

impl Span {
    fn new(entity: &'static str, from: i64, to: i64) -> Self {
        Self {
            entity,
            from,
            to,
            page: 1,
            is_repeated: false,
        }
    }
}

/// The notes with these ids on entities of one kind: at most [`NOTES_PER_REQUEST`]. Notes that do
/// not exist are absent.
#[must_use]
pub fn notes(
    access: &Access,
    entity: &str,
    ids: &BTreeSet<u64>,
) -> Call<BTreeMap<u64, Box<RawValue>>> {
    let mut query = Serializer::new(String::new());
    query.append_pair("limit", &NOTES_PER_REQUEST.to_string());
    for id in ids {
        query.append_pair("filter[id][]", &id.to_string());
    }
    let path = format!("/api/v4/{}/notes?{}", plural(entity), query.finish());
    Call {
        request: request(access, Method::GET, &path, None),
        tokens: 0,
        parse: notes_by_id,
    }
}

fn notes_by_id(response: &Response<Vec<u8>>) -> Result<BTreeMap<u64, Box<RawValue>>, ApiError> {
    let Some(list) = list(response)? else {
        return Ok(BTreeMap::new());
    };
    let notes = list.embedded.notes.ok_or(ApiError::Malformed("no notes"))?;
    notes.into_iter().map(note).collect()
}

fn plural(entity: &str) -> String {
    match entity {
        "company" => "companies".to_owned(),
        entity => format!("{entity}s"),
    }
}

fn note(json: Box<RawValue>) -> Result<(u64, Box<RawValue>), ApiError> {
    let note: Option<Note> = json::object(&json);
    let id = note.and_then(|note| id(&note.id));
    Ok((id.ok_or(ApiError::Malformed("a note without an id"))?, json))
}

/// The chat of a talk.
#[must_use]
pub fn talk(access: &Access, talk_id: u64) -> Call<String> {
    let path = format!("/api/v4/talks/{talk_id}");
    Call {
        request: request(access, Method::GET, &path, None),
        tokens: 0,
        parse: chat,
    }
}

fn chat(response: &Response<Vec<u8>>) -> Result<String, ApiError> {
    check(response)?;
    let chat_id = object::<Talk>(response)?.chat_id.0;
    chat_id.ok_or(ApiError::Malformed("a talk without a chat"))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Note {
    id: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Talk {
    chat_id: Text,
}

#[derive(Deserialize)]
struct List {
    #[serde(rename = "_embedded")]
    embedded: Embedded,
    #[serde(rename = "_links", default)]
    links: Lenient<Links>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Embedded {
    events: Option<Vec<Box<RawValue>>>,
    notes: Option<Vec<Box<RawValue>>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Links {
    next: Option<Box<RawValue>>,
}

/// A list. `None`: it is empty, which is 204 without a body.
fn list(response: &Response<Vec<u8>>) -> Result<Option<List>, ApiError> {
    check(response)?;
    let is_empty = response.status() == StatusCode::NO_CONTENT;
    (!is_empty).then(|| object(response)).transpose()
}

fn page(response: &Response<Vec<u8>>) -> Result<Page, ApiError> {
    let Some(list) = list(response)? else {
        return Ok(Page::default());
    };
    let events = list
        .embedded
        .events
        .ok_or(ApiError::Malformed("no events"))?;
    let entries: Result<_, _> = events.into_iter().map(Entry::try_from).collect();
    let links = list.links.0.unwrap_or_default();
    Ok(Page {
        entries: entries?,
        has_next: links.next.is_some(),
    })
}

/// Without the events, which are personal data.
impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("entries", &self.entries.len())
            .field("has_next", &self.has_next)
            .finish()
    }
}
