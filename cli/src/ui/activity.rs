//! What was recorded in the last 24 hours, counted.

use super::Problem;
use crate::{filter::Filter, output::short_type, skipped::Skipped};
use futures_util::{StreamExt, TryStreamExt, stream};
use models::Timestamp;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
    time::Duration,
};
use storage::{IndexEntry, Order, Table, TableError};

const HOURS: u64 = 24;
const HOUR: Duration = Duration::from_hours(1);

/// Number of events after which counting stops. The oldest hours are then missing.
const MAX_COUNTED: u64 = 500_000;
/// Number of hours that are read at the same time.
const CONCURRENT_HOURS: usize = 4;
/// Number of kinds that are listed, the most frequent ones.
const MAX_KINDS: usize = 12;

/// The events of the last 24 hours: the current hour, and the 23 before it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Activity {
    /// The names of all providers.
    providers: [&'static str; providers::ALL.len()],
    /// The newest first.
    hours: Vec<Hour>,
    /// The most frequent ones.
    kinds: Vec<Kind>,
    /// Whether all of these hours were counted.
    complete: bool,
    #[serde(skip)]
    pub(super) of_providers: BTreeMap<String, OfProvider>,
    /// Number of items that cannot be read.
    pub(super) skipped: u64,
}

/// The number of events of one hour, by provider.
#[derive(Debug, Serialize)]
struct Hour {
    since: Timestamp,
    until: Timestamp,
    counts: BTreeMap<String, u64>,
}

/// The number of events of one type.
#[derive(Debug, Serialize)]
struct Kind {
    provider: String,
    /// Without the words that all types of the provider begin with.
    r#type: String,
    count: u64,
}

/// The events of one provider.
#[derive(Debug, Default)]
pub(super) struct OfProvider {
    pub(super) last: Option<Timestamp>,
    pub(super) last_hour: u64,
    pub(super) all: u64,
    /// The labels of the credentials.
    pub(super) credentials: BTreeSet<String>,
}

/// What is counted of one hour.
#[derive(Debug, Default)]
struct Counts {
    events: u64,
    kinds: BTreeMap<(String, String), u64>,
    providers: BTreeMap<String, OfProvider>,
}

impl Activity {
    /// Counts the events that a filter takes. Reads the index alone, and keeps no event.
    pub(super) async fn count(table: &Table, filter: &Filter) -> Result<Self, Problem> {
        let now = table.now();
        let skipped = Skipped::default();
        let hours = starts(now).map(|since| count_hour(table, filter, now, since, &skipped));
        let mut hours = pin!(stream::iter(hours).buffered(CONCURRENT_HOURS));
        let mut activity = Self {
            providers: providers::ALL.map(|provider| provider.name),
            ..Self::default()
        };
        let mut kinds = BTreeMap::new();
        let mut counted = 0;
        while let Some((since, counts)) = hours.try_next().await? {
            counted += counts.events;
            for (kind, count) in counts.kinds {
                *kinds.entry(kind).or_default() += count;
            }
            activity.add(since, counts.providers);
            if counted >= MAX_COUNTED {
                break;
            }
        }
        let all_hours = usize::try_from(HOURS).unwrap_or_default();
        activity.complete = activity.hours.len() == all_hours;
        activity.kinds = most_frequent(kinds);
        activity.skipped = skipped.count();
        Ok(activity)
    }

    fn add(&mut self, since: Timestamp, providers: BTreeMap<String, OfProvider>) {
        let counts = providers.iter();
        let counts = counts.map(|(name, of)| (name.clone(), of.all)).collect();
        self.hours.push(Hour {
            since,
            until: since.after(HOUR),
            counts,
        });
        for (name, of_hour) in providers {
            let of_provider = self.of_providers.entry(name).or_default();
            of_provider.last = of_provider.last.max(of_hour.last);
            of_provider.last_hour += of_hour.last_hour;
            of_provider.all += of_hour.all;
            of_provider.credentials.extend(of_hour.credentials);
        }
    }
}

/// The starts of the current hour and of those before it, the newest first.
fn starts(now: Timestamp) -> impl Iterator<Item = Timestamp> {
    let seconds = u64::try_from(now.as_seconds()).unwrap_or_default();
    let current = Timestamp::from_unix(Duration::from_secs(seconds / 3_600 * 3_600));
    (0..HOURS).map(move |ago| current.before(Duration::from_hours(ago)))
}

async fn count_hour(
    table: &Table,
    filter: &Filter,
    now: Timestamp,
    since: Timestamp,
    skipped: &Skipped,
) -> Result<(Timestamp, Counts), TableError> {
    // Other clocks may be ahead of this one.
    let until = since.after(HOUR);
    let entries = table.recorded(since..until, Order::OldestFirst);
    let mut entries = pin!(skipped.readable(entries));
    let mut counts = Counts::default();
    while let Some(entry) = entries.try_next().await? {
        if filter.takes(&entry) {
            counts.add(&entry, entry.recorded >= now.before(HOUR));
        }
    }
    Ok((since, counts))
}

impl Counts {
    fn add(&mut self, entry: &IndexEntry, is_of_last_hour: bool) {
        let provider = entry.event.source.split('/').next().unwrap_or_default();
        let kind = (provider.to_owned(), short_type(&entry.r#type).to_owned());
        self.events += 1;
        *self.kinds.entry(kind).or_default() += 1;
        let of_provider = self.providers.entry(provider.to_owned()).or_default();
        of_provider.last = of_provider.last.max(Some(entry.recorded));
        of_provider.last_hour += u64::from(is_of_last_hour);
        of_provider.all += 1;
        let labels = &mut of_provider.credentials;
        if let Some(label) = &entry.credential
            && !labels.contains(label)
        {
            labels.insert(label.clone());
        }
    }
}

fn most_frequent(kinds: BTreeMap<(String, String), u64>) -> Vec<Kind> {
    let kinds = kinds.into_iter();
    let mut kinds: Vec<_> = kinds
        .map(|((provider, r#type), count)| Kind {
            provider,
            r#type,
            count,
        })
        .collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.count));
    kinds.truncate(MAX_KINDS);
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hours_end_with_the_current_one() {
        let now = Timestamp::parse("2026-11-21T20:43:00.5Z").unwrap();
        let starts: Vec<_> = starts(now).map(Timestamp::hour).collect();
        assert_eq!(starts[0], "2026-11-21T20");
        assert_eq!(starts[23], "2026-11-20T21");
        assert_eq!(starts.len(), 24);
    }
}
