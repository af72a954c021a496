//! Points in time, and the time that a provider reports for an event.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with six decimals, so that text order is time
/// order: `2026-11-21T20:43:00.000000Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
#[cfg_attr(feature = "schema", schemars(extend("format" = "date-time", "pattern" = PATTERN)))]
pub struct Timestamp(i64);

#[cfg(feature = "schema")]
const PATTERN: &str = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$";

/// 2000-01-01 to 2100-01-01, in seconds since 1970. Within this range the size of a number
/// determines its unit (seconds, milliseconds or microseconds). No CRM reported an event at a time
/// outside it.
const SANE_SECONDS: std::ops::Range<i64> = 946_684_800..4_102_444_800;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// Converts a number of seconds, milliseconds or microseconds since 1970. `None` if it is
    /// outside the years 2000 to 2099 in all three units.
    #[must_use]
    pub fn from_epoch(value: i64) -> Option<Self> {
        [1_000_000, 1_000, 1]
            .into_iter()
            .filter_map(|unit: i64| value.checked_mul(unit))
            .find(|micros| SANE_SECONDS.contains(&micros.div_euclid(1_000_000)))
            .map(Self)
    }

    /// Converts the time since 1970.
    #[must_use]
    pub fn from_unix(since_epoch: Duration) -> Self {
        Self(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    /// Whole seconds since 1970, the unit of DynamoDB's TTL.
    #[must_use]
    pub fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// The time that is this much earlier, but not before 1970.
    #[must_use]
    pub fn before(self, age: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(micros(age)).max(0))
    }

    /// The time that is this much later.
    #[must_use]
    pub fn after(self, age: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(micros(age)))
    }

    /// The start of its second.
    #[must_use]
    pub fn whole_second(self) -> Self {
        Self(self.0.div_euclid(1_000_000).saturating_mul(1_000_000))
    }

    /// The date in UTC: `2026-11-21`.
    #[must_use]
    pub fn day(self) -> String {
        self.to_string().chars().take(10).collect()
    }

    /// The date and hour in UTC: `2026-11-21T20`.
    #[must_use]
    pub fn hour(self) -> String {
        self.to_string().chars().take(13).collect()
    }

    /// Parses RFC 3339 with any offset. `None` for a text without an offset, because its time zone
    /// is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000))
            .ok()
            .map(Self)
    }

    fn is_sane(self) -> bool {
        SANE_SECONDS.contains(&self.as_seconds())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self::from_unix(time.duration_since(UNIX_EPOCH).unwrap_or_default())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            time.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.microsecond()
        )
    }
}

impl From<Timestamp> for String {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.to_string()
    }
}

impl TryFrom<String> for Timestamp {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not an RFC 3339 time with an offset")
    }
}

/// The time that a provider reports for an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnTime {
    /// The event carries its own time.
    Given(Timestamp),
    /// The event carries no time, or one without a time zone.
    Missing,
    /// The event carries a time outside the years 2000 to 2099.
    OutOfRange,
}

impl OwnTime {
    /// Parses RFC 3339, or a number of seconds, milliseconds or microseconds since 1970. The text
    /// is a string, or the digits of a JSON number.
    #[must_use]
    pub fn parse(text: Option<&str>) -> Self {
        let Some(text) = text else {
            return Self::Missing;
        };
        if let Ok(epoch) = text.parse() {
            return Timestamp::from_epoch(epoch).map_or(Self::OutOfRange, Self::Given);
        }
        match Timestamp::parse(text) {
            Some(time) if time.is_sane() => Self::Given(time),
            Some(_) => Self::OutOfRange,
            None => Self::Missing,
        }
    }

    /// The time of the first field that has a valid one. If none has, the reason: `OutOfRange` if any
    /// field is out of range, else `Missing`.
    #[must_use]
    pub fn first<'a>(texts: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        texts
            .into_iter()
            .map(Self::parse)
            .fold(Self::Missing, |best, next| match (best, next) {
                (Self::Given(_), _) | (_, Self::Missing) => best,
                (_, Self::Given(_) | Self::OutOfRange) => next,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_tells_its_unit() {
        for epoch in ["1669304389", "1669304389000", "1669304389000000"] {
            let OwnTime::Given(time) = OwnTime::parse(Some(epoch)) else {
                panic!("{epoch}")
            };
            assert_eq!(time.to_string(), "2022-11-24T15:39:49.000000Z");
        }
    }

    #[test]
    fn text_needs_an_offset() {
        let OwnTime::Given(time) = OwnTime::parse(Some("2022-11-24T18:28:13.375+03:00")) else {
            panic!()
        };
        assert_eq!(time.to_string(), "2022-11-24T15:28:13.375000Z");
        assert_eq!(
            OwnTime::parse(Some("2024-09-17 13:07:29")),
            OwnTime::Missing
        );
        assert_eq!(
            OwnTime::parse(Some("2024-09-17T13:07:29")),
            OwnTime::Missing
        );
        assert_eq!(OwnTime::parse(Some("17265663a90")), OwnTime::Missing);
        assert_eq!(OwnTime::parse(None), OwnTime::Missing);
    }

    #[test]
    fn times_outside_the_years_2000_to_2099_are_out_of_range() {
        for text in [
            "0",
            "-1",
            "11111111",
            "9223372036854775807",
            "1969-12-31T23:59:59Z",
            "9999-01-01T00:00:00Z",
        ] {
            assert_eq!(OwnTime::parse(Some(text)), OwnTime::OutOfRange, "{text}");
        }
    }

    #[test]
    fn the_first_given_time_counts() {
        let given = OwnTime::parse(Some("1669304389"));
        assert_eq!(
            OwnTime::first([None, Some("0"), Some("1669304389"), Some("1669304390")]),
            given
        );
        assert_eq!(
            OwnTime::first([None, Some("0"), Some("later")]),
            OwnTime::OutOfRange
        );
        assert_eq!(OwnTime::first([None, Some("later")]), OwnTime::Missing);
    }

    #[test]
    fn a_duration_is_subtracted_and_added_without_overflow() {
        let time = Timestamp(1_700_000_000_123_456);
        let day = Duration::from_hours(24);
        assert_eq!(time.before(day), Timestamp(1_699_913_600_123_456));
        assert_eq!(time.before(day).after(day), time);
        assert_eq!(time.before(Duration::MAX), Timestamp::EPOCH);
        assert_eq!(time.after(Duration::MAX), Timestamp(i64::MAX));
    }

    #[test]
    fn text_order_is_time_order() {
        let times = [0, 1, 999_999, 1_000_000, 1_700_000_000_123_456].map(Timestamp);
        assert!(times.map(|time| time.to_string()).is_sorted());
        for time in times {
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
        }
    }
}
