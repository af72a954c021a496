//! Queries by the time of recording (index `by_recordedtime`), by subject, and for quarantined deliveries.
//!
//! The queries return streams that read page by page, because a table can be larger than memory.

use crate::{
    Position, Scanned, Stored, Table, TableError,
    schema::{self, EventKey, Item, ItemError, Key, quarantine_pk},
};
use aws_sdk_dynamodb::{operation::query::builders::QueryFluentBuilder, types::AttributeValue};
use futures_util::{
    FutureExt, Stream, StreamExt, TryStreamExt,
    future::{join_all, ready},
    stream::{self, BoxStream, Peekable},
};
use models::{Event, Record, SHARDS, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, VecDeque},
    ops::Range,
    pin::{Pin, pin},
    time::Duration,
};

/// How many entries of a shard one query returns, the newest first. A list shows few of them, and
/// without a limit each of the sixteen queries of an hour reads up to 1 MB.
const NEWEST_ENTRIES: i32 = 50;

/// How many shards of hours are read concurrently.
const CONCURRENT_SHARDS: usize = 32;

/// The index of events by the time at which they were recorded.
const INDEX: &str = "by_recordedtime";

/// A scan of the index reads this many parts of it, some of them concurrently.
const SCAN_SEGMENTS: i32 = 8;
const CONCURRENT_SEGMENTS: usize = 8;

/// The order of a query's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    OldestFirst,
    /// The newest first.
    NewestFirst,
}

/// An event in the index `by_recordedtime`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry {
    /// The key of the event's item.
    pub key: Key,
    /// The parts of the key.
    pub event: EventKey,
    /// The event's `type`.
    pub r#type: String,
    /// When it was recorded.
    pub recorded: Timestamp,
    /// The label of the credential that its delivery was authenticated with.
    pub credential: Option<String>,
    /// The way by which the provider reported it, where there are several.
    pub channel: Option<String>,
    /// The provider's own id of the event, where it sends one.
    pub eventid: Option<String>,
}

impl IndexEntry {
    fn from_item(item: &Item) -> Result<Self, ItemError> {
        let text = |name| schema::attribute(item, name).map(str::to_owned);
        let key = schema::key(item);
        Ok(Self {
            event: EventKey::parse(&key).ok_or(ItemError::Malformed)?,
            key,
            r#type: text("type").ok_or(ItemError::Malformed)?,
            recorded: schema::recorded(item).ok_or(ItemError::Malformed)?,
            credential: text("credential"),
            channel: text("channel"),
            eventid: text("eventid"),
        })
    }
}

/// An entry of the index with its position. This version may not be able to read it.
#[derive(Debug, Clone)]
pub(crate) struct Positioned {
    pub(crate) position: Position,
    pub(crate) entry: Result<IndexEntry, ItemError>,
}

impl Positioned {
    fn from_item(item: &Item) -> Self {
        let key = schema::key(item);
        let recordedtime = schema::attribute(item, "recordedtime").unwrap_or_default();
        Self {
            position: Position {
                recordedtime: recordedtime.to_owned(),
                pk: key.pk,
                sk: key.sk,
            },
            entry: IndexEntry::from_item(item),
        }
    }
}

impl Table {
    /// Streams the events that were stored in a time range, in the order in which they were stored.
    pub fn recorded(
        &self,
        span: Range<Timestamp>,
        order: Order,
    ) -> impl Stream<Item = Result<IndexEntry, TableError>> {
        let hours = in_order(hours(&span), order);
        stream::iter(hours).flat_map(move |hour| self.recorded_in(&hour, &span, order))
    }

    /// Returns the sources of all events that were stored in a time range.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn sources(&self, span: &Range<Timestamp>) -> Result<BTreeSet<String>, TableError> {
        let hours = hours(span);
        let shards = hours
            .iter()
            .flat_map(|hour| SHARDS.map(|shard| (hour, shard)));
        let of_shards =
            stream::iter(shards.map(|(hour, shard)| self.sources_in(hour, shard, span)));
        let mut of_shards = pin!(of_shards.buffer_unordered(CONCURRENT_SHARDS));
        let mut sources = BTreeSet::new();
        while let Some(of_shard) = of_shards.next().await {
            sources.extend(of_shard?);
        }
        Ok(sources)
    }

    /// Returns the sources in one shard of an hour. Reads entry by entry, because an hour may have
    /// any number of them.
    async fn sources_in(
        &self,
        hour: &str,
        shard: char,
        span: &Range<Timestamp>,
    ) -> Result<BTreeSet<String>, TableError> {
        let mut entries = pin!(self.shard(hour, shard, span, Order::OldestFirst));
        let mut sources = BTreeSet::new();
        while let Some(entry) = entries.next().await {
            let entry = entry?;
            if !sources.contains(&entry.event.source) {
                sources.insert(entry.event.source);
            }
        }
        Ok(sources)
    }

    /// Streams the entries of one hour (`2026-11-21T20`), from all of its shards.
    fn recorded_in(
        &self,
        hour: &str,
        span: &Range<Timestamp>,
        order: Order,
    ) -> BoxStream<'_, Result<IndexEntry, TableError>> {
        let shards = SHARDS.map(|shard| self.shard(hour, shard, span, order));
        merged(shards.into(), order, |entry| {
            (entry.recorded, entry.key.clone())
        })
    }

    /// Streams the entries of one shard of an hour.
    fn shard(
        &self,
        hour: &str,
        shard: char,
        span: &Range<Timestamp>,
        order: Order,
    ) -> BoxStream<'static, Result<IndexEntry, TableError>> {
        let times = [span.start.to_string(), span.end.to_string()];
        let query = self.shard_query(hour, shard, times, order);
        let items = items(match order {
            Order::NewestFirst => query.limit(NEWEST_ENTRIES),
            Order::OldestFirst => query,
        });
        let entries = items.map(|item| Ok(IndexEntry::from_item(&item?)?));
        // BETWEEN includes both ends.
        let until = span.end;
        entries
            .try_filter(move |entry| ready(entry.recorded < until))
            .boxed()
    }

    /// Queries one shard of an hour for the entries with these times or between them.
    fn shard_query(
        &self,
        hour: &str,
        shard: char,
        [since, until]: [String; 2],
        order: Order,
    ) -> QueryFluentBuilder {
        let condition = "hourshard = :hourshard AND recordedtime BETWEEN :since AND :until";
        self.query(condition, order)
            .index_name(INDEX)
            .expression_attribute_values(":hourshard", AttributeValue::S(format!("{hour}#{shard}")))
            .expression_attribute_values(":since", AttributeValue::S(since))
            .expression_attribute_values(":until", AttributeValue::S(until))
    }

    /// Streams what is in the index behind the position `after` and up to `until`, in the order of
    /// positions.
    pub(crate) fn positions(
        &self,
        after: Position,
        until: Position,
    ) -> BoxStream<'_, Result<Positioned, TableError>> {
        // DynamoDB refuses a range that ends before it begins.
        let hours = if after < until {
            hours(&(start_of_hour(&after)..start_of_hour(&until)))
        } else {
            Vec::new()
        };
        let hours = stream::iter(hours);
        let of_hours = hours.flat_map(move |hour| {
            let shards = SHARDS.map(|shard| self.positions_in(&hour, shard, &after, &until));
            let position = |positioned: &Positioned| positioned.position.clone();
            merged(shards.into(), Order::OldestFirst, position)
        });
        of_hours.boxed()
    }

    fn positions_in(
        &self,
        hour: &str,
        shard: char,
        after: &Position,
        until: &Position,
    ) -> BoxStream<'static, Result<Positioned, TableError>> {
        let times = [after.recordedtime.clone(), until.recordedtime.clone()];
        let items = items(self.shard_query(hour, shard, times, Order::OldestFirst));
        let (after, until) = (after.clone(), until.clone());
        sorted(items.map_ok(|item| Positioned::from_item(&item)))
            .try_filter(move |positioned| {
                ready(after < positioned.position && positioned.position <= until)
            })
            .boxed()
    }

    /// Returns when the first event was recorded that is still stored. Reads the whole index.
    ///
    /// # Errors
    /// [`TableError`].
    pub(crate) async fn first_recorded(&self) -> Result<Option<Timestamp>, TableError> {
        let segments = stream::iter(0..SCAN_SEGMENTS);
        let firsts = segments.map(|segment| self.first_recorded_in(segment).boxed());
        let firsts: Vec<_> = firsts
            .buffer_unordered(CONCURRENT_SEGMENTS)
            .try_collect()
            .await?;
        Ok(firsts.into_iter().flatten().min())
    }

    async fn first_recorded_in(&self, segment: i32) -> Result<Option<Timestamp>, TableError> {
        let scan = self
            .client
            .scan()
            .table_name(&self.name)
            .index_name(INDEX)
            .segment(segment)
            .total_segments(SCAN_SEGMENTS)
            .projection_expression("recordedtime");
        let mut items = scan.into_paginator().items().send();
        let mut first: Option<Timestamp> = None;
        while let Some(item) = items.next().await {
            let recorded = schema::recorded(&item?);
            first = [first, recorded].into_iter().flatten().min();
        }
        Ok(first)
    }

    /// Streams all events of one subject, given its `<source>#<subject>`, in the order of `time`.
    pub fn history<'a>(
        &'a self,
        pk: &str,
        order: Order,
    ) -> impl Stream<Item = Result<Stored, TableError>> + use<'a> {
        self.events_of(pk, order).boxed()
    }

    /// Streams the events of one subject before one of them, given its `<source>#<subject>` and the
    /// sort key of that event, the newest first.
    pub fn history_before<'a>(
        &'a self,
        pk: &str,
        sk: &str,
    ) -> impl Stream<Item = Result<Stored, TableError>> + use<'a> {
        let query = self.query("pk = :pk AND sk < :sk", Order::NewestFirst);
        let query = query
            .consistent_read(true)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_values(":sk", AttributeValue::S(sk.to_owned()));
        self.stored(query).boxed()
    }

    /// Returns the event of one subject with the latest `time`, given its `<source>#<subject>`.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn latest(&self, pk: &str) -> Result<Option<Stored>, TableError> {
        pin!(self.events_of(pk, Order::NewestFirst))
            .try_next()
            .await
    }

    /// Reads the events of one subject in a range of their `time`, both ends included, given its
    /// `<source>#<subject>`. Without an end: all events since the first time.
    ///
    /// # Errors
    /// [`TableError`].
    pub async fn events_between(
        &self,
        pk: &str,
        since: Timestamp,
        until: Option<Timestamp>,
    ) -> Result<Vec<Event>, TableError> {
        // `~` is behind every character of a time and of an id.
        let last = until.map_or_else(|| "~".to_owned(), |until| format!("{until}~"));
        let query = self.query(
            "pk = :pk AND sk BETWEEN :first AND :last",
            Order::OldestFirst,
        );
        let query = query
            .consistent_read(true)
            .expression_attribute_values(":pk", AttributeValue::S(pk.to_owned()))
            .expression_attribute_values(":first", AttributeValue::S(since.to_string()))
            .expression_attribute_values(":last", AttributeValue::S(last));
        let mut stored = pin!(self.stored(query));
        let mut events = Vec::new();
        while let Some(stored) = stored.try_next().await? {
            if let Record::Event { event, .. } = stored.record {
                events.push(event);
            }
        }
        Ok(events)
    }

    fn events_of<'a>(
        &'a self,
        pk: &str,
        order: Order,
    ) -> impl Stream<Item = Result<Stored, TableError>> + use<'a> {
        let query = self.query("pk = :pk", order).consistent_read(true);
        let pk = AttributeValue::S(pk.to_owned());
        self.stored(query.expression_attribute_values(":pk", pk))
    }

    /// Streams the quarantined deliveries of a provider that arrived in a time range, and the keys of
    /// those that are not complete.
    pub fn quarantined(
        &self,
        provider: &'static str,
        span: Range<Timestamp>,
        order: Order,
    ) -> impl Stream<Item = Result<Scanned, TableError>> {
        let days = in_order(days(&span), order);
        stream::iter(days).flat_map(move |day| {
            let shards = SHARDS.map(|shard| {
                let pk = quarantine_pk(provider, &day, shard);
                let heads = items(self.quarantine_query(pk, &span, order));
                let scanned = heads.then(async |head| self.scanned(head).await);
                scanned.try_filter_map(async |scanned| Ok(scanned)).boxed()
            });
            merged(shards.into(), order, |scanned| scanned.key().sk.clone())
        })
    }

    /// Streams the keys of quarantined deliveries whose removal was interrupted, in no order.
    /// [`Table::remove`] deletes the rest of them.
    pub fn half_removed(
        &self,
        provider: &'static str,
        span: Range<Timestamp>,
    ) -> impl Stream<Item = Result<Key, TableError>> {
        stream::iter(days(&span)).flat_map(move |day| {
            let shards = SHARDS.map(|shard| {
                let pk = quarantine_pk(provider, &day, shard);
                let heads = items(self.quarantine_query(pk, &span, Order::OldestFirst));
                heads
                    .try_filter(|item| ready(schema::is_being_removed(item)))
                    .map_ok(|item| schema::key(&item))
                    .boxed()
            });
            stream::iter(shards).flatten()
        })
    }

    fn quarantine_query(
        &self,
        pk: String,
        span: &Range<Timestamp>,
        order: Order,
    ) -> QueryFluentBuilder {
        self.query("pk = :pk AND sk BETWEEN :since AND :until", order)
            .expression_attribute_values(":pk", AttributeValue::S(pk))
            .expression_attribute_values(":since", AttributeValue::S(span.start.to_string()))
            .expression_attribute_values(":until", AttributeValue::S(span.end.to_string()))
            .consistent_read(true)
    }

    fn query(&self, condition: &str, order: Order) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .table_name(&self.name)
            .key_condition_expression(condition);
        query.scan_index_forward(order == Order::OldestFirst)
    }

    /// Streams the complete records that a query finds. Skips chunks: a subject can end in
    /// `#chunks`, and then its partition contains the chunks of other records too.
    fn stored(
        &self,
        query: QueryFluentBuilder,
    ) -> impl Stream<Item = Result<Stored, TableError>> + use<'_> {
        let heads = items(query).try_filter(|item| ready(!schema::is_chunk(item)));
        heads
            .then(async |item| self.whole(item?).await)
            .try_filter_map(async |stored| Ok(stored))
    }
}

/// Streams the items that a query finds, page by page.
fn items(query: QueryFluentBuilder) -> impl Stream<Item = Result<Item, TableError>> {
    let pages = query.into_paginator().items().send();
    stream::unfold(pages, async |mut pages| {
        Some((pages.next().await?.map_err(TableError::from), pages))
    })
}

/// Merges several sorted streams into one sorted stream.
fn merged<'a, T: Send + Sync + 'a, K: Ord + 'a>(
    streams: Vec<BoxStream<'a, Result<T, TableError>>>,
    order: Order,
    key: fn(&T) -> K,
) -> BoxStream<'a, Result<T, TableError>> {
    let heads: Vec<Peekable<_>> = streams.into_iter().map(StreamExt::peekable).collect();
    let next = move |mut heads: Vec<Peekable<BoxStream<'a, Result<T, TableError>>>>| async move {
        let peeked = join_all(heads.iter_mut().map(|head| Pin::new(head).peek())).await;
        // An error comes first, in either order.
        let ranked = peeked
            .into_iter()
            .enumerate()
            .filter_map(|(index, item)| Some((item?.as_ref().ok().map(key), index)));
        let index = match order {
            Order::OldestFirst => ranked.min().map(|(_, index)| index),
            Order::NewestFirst => ranked
                .map(|(key, index)| (key.map(Reverse), index))
                .min()
                .map(|(_, index)| index),
        }?;
        let item = heads.get_mut(index)?.next().await?;
        Some((item, heads))
    };
    stream::unfold(heads, next).boxed()
}

/// Sorts the entries of a shard. DynamoDB sorts them by time, and does not define the order of
/// entries with the same time, such as those of one delivery.
fn sorted(
    entries: impl Stream<Item = Result<Positioned, TableError>> + Send + 'static,
) -> impl Stream<Item = Result<Positioned, TableError>> + Send + 'static {
    let entries = Box::pin(entries.peekable());
    stream::unfold(
        (entries, VecDeque::new()),
        async |(mut entries, mut same)| {
            if same.is_empty() {
                let first = match entries.next().await? {
                    Ok(first) => first,
                    Err(error) => return Some((Err(error), (entries, same))),
                };
                let time = first.position.recordedtime.clone();
                same.push_back(first);
                let has_time = |next: &Result<Positioned, TableError>| {
                    let next = next.as_ref();
                    next.is_ok_and(|next| next.position.recordedtime == time)
                };
                while let Some(Ok(next)) = entries.as_mut().next_if(has_time).await {
                    same.push_back(next);
                }
                let sort_key = |positioned: &Positioned| positioned.position.clone();
                same.make_contiguous().sort_by_cached_key(sort_key);
            }
            let next = same.pop_front()?;
            Some((Ok(next), (entries, same)))
        },
    )
}

/// Returns the start of the hour that a position is in.
fn start_of_hour(position: &Position) -> Timestamp {
    let hour: String = position.recordedtime.chars().take(13).collect();
    Timestamp::parse(&format!("{hour}:00:00Z")).unwrap_or(Timestamp::EPOCH)
}

/// Returns the hours that a time range overlaps, like `2026-11-21T20`.
fn hours(span: &Range<Timestamp>) -> Vec<String> {
    touched(span, 3_600).map(Timestamp::hour).collect()
}

/// Returns the days that a time range overlaps, like `2026-11-21`.
pub(crate) fn days(span: &Range<Timestamp>) -> Vec<String> {
    touched(span, 86_400).map(Timestamp::day).collect()
}

/// Returns the starts of all intervals of `seconds` that a time range overlaps. A range that ends
/// before it begins, as after a clock was set back, overlaps none: DynamoDB refuses to query it.
fn touched(span: &Range<Timestamp>, seconds: u64) -> impl Iterator<Item = Timestamp> {
    let first = number_of_interval(span.start, seconds);
    let last = number_of_interval(span.end, seconds);
    let numbers = (span.start <= span.end).then_some(first..=last);
    let numbers = numbers.into_iter().flatten();
    numbers.map(move |number| Timestamp::from_unix(Duration::from_secs(number * seconds)))
}

/// The number of the interval of `seconds` that a time is in, counted from 1970.
fn number_of_interval(time: Timestamp, seconds: u64) -> u64 {
    u64::try_from(time.as_seconds()).unwrap_or_default() / seconds
}

fn in_order<T>(mut items: Vec<T>, order: Order) -> Vec<T> {
    if order == Order::NewestFirst {
        items.reverse();
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_span_touches_the_hours_of_both_its_ends() {
        let span = time("2026-11-21T22:59:59.999999Z")..time("2026-11-22T00:00:00.000000Z");
        assert_eq!(
            hours(&span),
            ["2026-11-21T22", "2026-11-21T23", "2026-11-22T00"]
        );
        assert_eq!(days(&span), ["2026-11-21", "2026-11-22"]);
    }

    #[test]
    fn a_span_that_ends_before_it_begins_touches_nothing() {
        let later = time("2026-11-21T22:44:00.000000Z");
        let earlier = time("2026-11-21T22:15:00.000000Z");
        assert_eq!(hours(&(earlier..later)), ["2026-11-21T22"]);
        assert!(hours(&(later..earlier)).is_empty());
        assert!(days(&(later..earlier)).is_empty());
        assert_eq!(hours(&(later..later)), ["2026-11-21T22"]);
    }

    #[tokio::test]
    async fn streams_are_merged_in_order_and_an_error_comes_first() {
        let merged = async |streams: Vec<Vec<Result<u8, TableError>>>, order| -> Vec<Option<u8>> {
            let streams = streams
                .into_iter()
                .map(|items| stream::iter(items).boxed())
                .collect();
            merged(streams, order, |number: &u8| *number)
                .map(Result::ok)
                .collect()
                .await
        };
        let streams = || vec![vec![Ok(1), Ok(4)], vec![], vec![Ok(2), Ok(3), Ok(5)]];
        assert_eq!(
            merged(streams(), Order::OldestFirst).await,
            [1, 2, 3, 4, 5].map(Some)
        );
        let reversed = || {
            streams()
                .into_iter()
                .map(|items: Vec<_>| items.into_iter().rev().collect())
                .collect()
        };
        assert_eq!(
            merged(reversed(), Order::NewestFirst).await,
            [5, 4, 3, 2, 1].map(Some)
        );
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let failing = vec![vec![Ok(7)], vec![Err(TableError::ChunksMissing)]];
            assert_eq!(merged(failing, order).await, [None, Some(7)]);
        }
    }
}
