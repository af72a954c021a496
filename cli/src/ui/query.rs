//! The query of a URL: which events are listed.

use super::Problem;
use crate::{
    filter::{Filter, provider},
    mention::{Mention, mention},
    skipped::Skipped,
    span::{A_DAY, Moment, Span, limit, moment},
};
use axum::http::Uri;
use form_urlencoded::Serializer;
use futures_util::{StreamExt, TryStreamExt, stream};
use models::Timestamp;
use std::{cmp::Reverse, collections::BTreeMap, ops::Range, pin::pin, time::Duration};
use storage::{IndexEntry, Order, Stored, Table, TableError};

/// The names in a query, which are those of the options of `hookkeeper events`, and those that say
/// where a page begins.
const NAMES: [&str; 9] = [
    "provider", "type", "subject", "since", "until", "q", "after", "before", "limit",
];

const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 500;

/// How many index entries one request reads. It then offers to continue.
const MAX_ENTRIES: usize = 20_000;
/// How many events one request reads to search their text.
const MAX_SEARCHED: usize = 2_000;

/// Number of events that are fetched at the same time.
const CONCURRENT_GETS: usize = 8;

/// A query as it is written in the URL.
#[derive(Debug, Clone, Default)]
pub(super) struct Words(BTreeMap<&'static str, String>);

impl From<&Uri> for Words {
    fn from(uri: &Uri) -> Self {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let known = pairs.filter_map(|(name, value)| {
            let name = NAMES.into_iter().find(|known| *known == name)?;
            let value = value.trim();
            (!value.is_empty()).then(|| (name, value.to_owned()))
        });
        Self(known.collect())
    }
}

impl Words {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether the query selects fewer events than all of its time range.
    pub(super) fn filters(&self) -> bool {
        let names = ["provider", "type", "subject", "q"];
        names.iter().any(|name| self.0.contains_key(name))
    }

    /// The address of the list with another value of one name.
    pub(super) fn with(&self, name: &'static str, value: &str) -> String {
        let mut words = self.0.clone();
        words.insert(name, value.to_owned());
        let mut query = Serializer::new(String::new());
        query.extend_pairs(words);
        format!("/?{}", query.finish())
    }

    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let parsed = self.get(name).map(parse).transpose();
        parsed.map_err(|why| Problem::Wrong(format!("{name}: {why}")))
    }

    fn moment(&self, name: &str) -> Result<Option<Moment>, Problem> {
        self.parsed(name, moment)
    }

    /// The time range, which is by default the last one of this length.
    pub(super) fn span(&self, default: Duration) -> Result<Range<Timestamp>, Problem> {
        let span = Span::new(self.moment("since")?, self.moment("until")?);
        // The sentence names the options of a command.
        let span = span.resolve(default);
        span.map_err(|usage| Problem::Wrong(usage.to_string().replace("--", "")))
    }

    pub(super) fn filter(&self) -> Result<Filter, Problem> {
        let text = |name| self.get(name).map(str::to_owned);
        Ok(Filter::new(
            self.parsed("provider", provider)?,
            text("type"),
            text("subject"),
        ))
    }

    pub(super) fn query(&self) -> Result<Query, Problem> {
        let limit = self.parsed("limit", limit)?.unwrap_or(DEFAULT_LIMIT);
        Ok(Query {
            filter: self.filter()?,
            span: self.span(A_DAY)?,
            mention: self.parsed("q", mention)?,
            after: self.parsed("after", Position::parse)?,
            limit: limit.min(MAX_LIMIT),
        })
    }
}

/// Which events are listed, newest first.
#[derive(Debug)]
pub(super) struct Query {
    filter: Filter,
    pub(super) span: Range<Timestamp>,
    /// Text that the event must have.
    mention: Option<Mention>,
    /// The last event of the page before.
    after: Option<Position>,
    limit: usize,
}

/// Place of an event in the list: `2026-11-21T20:43:00.000000Z_<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    recorded: Timestamp,
    id: String,
}

impl Position {
    fn parse(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('_').and_then(|(recorded, id)| {
            Some(Self {
                recorded: Timestamp::parse(recorded)?,
                id: id.to_owned(),
            })
        });
        parsed.ok_or_else(|| "expected the `after` of the page before".to_owned())
    }
}

impl From<&IndexEntry> for Position {
    fn from(entry: &IndexEntry) -> Self {
        Self {
            recorded: entry.recorded,
            id: entry.event.id.clone(),
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}", self.recorded, self.id)
    }
}

/// One page of the list.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) hits: Vec<Hit>,
    /// Where the next page begins. `None` at the end of the time range.
    pub(super) after: Option<Position>,
    /// Whether the search stopped here because it had read enough for one request.
    pub(super) is_cut: bool,
    /// Number of items that cannot be read.
    pub(super) skipped: u64,
}

/// A listed event.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) entry: IndexEntry,
    /// The event, if its text was searched.
    stored: Option<Stored>,
}

impl Query {
    /// Reads one page, and of the table no more than that needs.
    pub(super) async fn find(&self, table: &Table) -> Result<Found, TableError> {
        let skipped = Skipped::default();
        let recorded = table.recorded(self.reach(), Order::NewestFirst);
        let recorded = skipped.readable(recorded);
        let looked = recorded.map(|entry| self.look(table, &skipped, entry));
        let mut looked = pin!(looked.buffered(CONCURRENT_GETS));
        let mut found = Found::default();
        let mut last: Option<Timestamp> = None;
        let mut read = 0;
        while let Some((position, hit)) = looked.try_next().await? {
            // Events that were recorded at the same time are in no order: read all of them.
            if let Some(last) = last.filter(|last| position.recorded < *last) {
                if found.hits.len() > self.limit {
                    break;
                }
                if read >= self.max_read() {
                    found.is_cut = true;
                    found.after = Some(Position {
                        recorded: last,
                        id: String::new(),
                    });
                    break;
                }
            }
            read += 1;
            last = Some(position.recorded);
            if self.after.as_ref().is_none_or(|after| position < *after) {
                found.hits.extend(hit);
            }
        }
        found
            .hits
            .sort_by_cached_key(|hit| Reverse(Position::from(&hit.entry)));
        if found.hits.len() > self.limit {
            found.hits.truncate(self.limit);
            found.after = found.hits.last().map(|hit| Position::from(&hit.entry));
            found.is_cut = false;
        }
        found.skipped = skipped.count();
        Ok(found)
    }

    /// The part of the time range that is not on the pages before.
    fn reach(&self) -> Range<Timestamp> {
        let end = self.after.as_ref().map(|after| {
            let end = after.recorded.after(Duration::from_micros(1));
            end.min(self.span.end)
        });
        self.span.start..end.unwrap_or(self.span.end)
    }

    fn max_read(&self) -> usize {
        if self.mention.is_some() {
            MAX_SEARCHED
        } else {
            MAX_ENTRIES
        }
    }

    /// The position of an entry, and the entry if the query selects it.
    async fn look(
        &self,
        table: &Table,
        skipped: &Skipped,
        entry: Result<IndexEntry, TableError>,
    ) -> Result<(Position, Option<Hit>), TableError> {
        let entry = entry?;
        let position = Position::from(&entry);
        if !self.filter.takes(&entry) {
            return Ok((position, None));
        }
        let Some(mention) = &self.mention else {
            let stored = None;
            return Ok((position, Some(Hit { entry, stored })));
        };
        let stored = skipped.read(table.get(&entry.key).await)?;
        let stored = stored.filter(|stored| mention.is_in(&stored.record));
        let hit = stored.map(|stored| Hit {
            entry,
            stored: Some(stored),
        });
        Ok((position, hit))
    }
}

/// Reads the events of a page. Events that were removed in the meantime are left out.
pub(super) async fn events(
    table: &Table,
    hits: Vec<Hit>,
    skipped: &Skipped,
) -> Result<Vec<Stored>, TableError> {
    let reads = hits.into_iter().map(async |hit| match hit.stored {
        Some(stored) => Ok(Some(stored)),
        None => skipped.read(table.get(&hit.entry.key).await),
    });
    let events: Vec<_> = stream::iter(reads)
        .buffered(CONCURRENT_GETS)
        .try_collect()
        .await?;
    Ok(events.into_iter().flatten().collect())
}
