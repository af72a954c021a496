//! `--since` and `--until`: the time span that a command searches.

use crate::Usage;
use clap::Args;
use models::Timestamp;
use std::{ops::Range, time::Duration};
use storage::budget::now;

/// A time range: when events were recorded, or deliveries arrived.
#[derive(Args, Clone)]
pub(crate) struct Span {
    /// Start: 30s, 15m, 2h, 7d ago, a date, or a time with its zone [default: 24h before the end, for the quarantine 7d]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// End, in the same form [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
}

/// Default time span of events. Each hour takes sixteen queries.
pub(crate) const A_DAY: Duration = Duration::from_hours(24);
/// Default time span of quarantined deliveries. Each day takes sixteen queries per provider.
pub(crate) const A_WEEK: Duration = Duration::from_hours(24 * 7);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Ago(Duration),
    At(Timestamp),
}

impl Span {
    pub(crate) fn new(since: Option<Moment>, until: Option<Moment>) -> Self {
        Self { since, until }
    }

    /// Resolves the span against the current time. Without `--since` it begins
    /// `default` before its end.
    ///
    /// # Errors
    /// [`Usage`]: the span ends before it begins.
    pub(crate) fn resolve(&self, default: Duration) -> Result<Range<Timestamp>, Usage> {
        let now = now();
        let until = self.until.map_or(now, |until| until.resolve(now));
        let since = match self.since {
            Some(since) => since.resolve(now),
            None => until.before(default),
        };
        // An open end is now, and `--since 0s` is nothing yet.
        if since < until || (since == until && self.until.is_none()) {
            return Ok(since..until);
        }
        let sentence = match self.until {
            None => format!("--since is in the future ({since})"),
            Some(_) if since == until => format!("the time span is empty ({since})"),
            Some(_) => format!("--since is later than --until ({since} and {until})"),
        };
        Err(Usage(sentence))
    }
}

impl Moment {
    /// Resolves the moment against the current time.
    pub(crate) fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(ago) => now.before(ago),
            Self::At(time) => time,
        }
    }
}

/// Parses the maximum number of results, which is at least 1.
pub(crate) fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| *limit > 0);
    limit.ok_or_else(|| "expected a whole number, 1 or more".to_owned())
}

/// Parses a moment: a duration before now, a date, or a time.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Some(ago) = parse_duration(text) {
        return Ok(Moment::Ago(ago));
    }
    let time = Timestamp::parse(text);
    let time = time.or_else(|| Timestamp::parse(&format!("{text}T00:00:00Z")));
    time.map(Moment::At).ok_or_else(|| {
        "expected a duration (30s, 15m, 2h, 7d) or a time (2026-11-21, 2026-11-21T10:00:00Z)"
            .to_owned()
    })
}

/// Parses a duration, like `30s` or `2h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration (30s, 15m, 2h, 7d)".to_owned())
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_ago_or_a_time() {
        assert_eq!(moment("15m"), Ok(Moment::Ago(Duration::from_mins(15))));
        assert_eq!(moment("7d"), Ok(Moment::Ago(Duration::from_hours(168))));
        let midnight = Moment::At(Timestamp::parse("2026-11-21T00:00:00Z").unwrap());
        assert_eq!(
            (moment("2026-11-21"), moment("2026-11-21T02:00:00+02:00")),
            (Ok(midnight), Ok(midnight))
        );
        for wrong in [
            "",
            "7",
            "d",
            "-1h",
            "yesterday",
            "2026-11-21T10:00:00",
            "99999999999999999999d",
        ] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
