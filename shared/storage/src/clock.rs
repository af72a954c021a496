//! The clock of a process. A receiver uses it as it is. The drain, the guardian and the commands
//! correct it.
//!
//! A consumer reads events in the order in which they were recorded, so every process that stores
//! events must stamp them with nearly the same time. A developer's machine can be minutes off. The
//! `Date` header of each of DynamoDB's responses shows by how much.

use aws_sdk_dynamodb::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::BeforeDeserializationInterceptorContextRef,
    },
    primitives::{DateTime, DateTimeFormat},
};
use aws_smithy_async::time::SharedTimeSource;
use aws_smithy_runtime_api::box_error::BoxError;
use models::Timestamp;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// The precision of a `Date` header, in microseconds. A smaller difference is not corrected.
const PRECISION: i64 = 1_000_000;

/// The clock of a process. As an interceptor of a client, it follows DynamoDB's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    ours: SharedTimeSource,
    /// DynamoDB's time minus ours, in microseconds. 0 until it is known.
    offset: Arc<AtomicI64>,
}

impl Clock {
    pub(crate) fn new(ours: SharedTimeSource) -> Self {
        Self {
            ours,
            ..Self::default()
        }
    }

    /// The clock of this process, uncorrected.
    pub(crate) fn ours(&self) -> &SharedTimeSource {
        &self.ours
    }

    /// DynamoDB's time, as far as it is known.
    pub(crate) fn now(&self) -> Timestamp {
        let ours = Timestamp::from(self.ours.now());
        let micros = ours.as_micros().saturating_add(self.offset());
        let micros = u64::try_from(micros).unwrap_or_default();
        Timestamp::from_unix(Duration::from_micros(micros))
    }

    /// DynamoDB's time minus ours, in microseconds.
    pub(crate) fn offset(&self) -> i64 {
        self.offset.load(Ordering::Relaxed)
    }

    fn follow(&self, date: &str) {
        let Ok(date) = DateTime::from_str(date, DateTimeFormat::HttpDate) else {
            return;
        };
        // A `Date` has whole seconds, rounded down. How long the response took is not known.
        let server = date.secs() * 1_000_000 + PRECISION / 2;
        let offset = server - Timestamp::from(self.ours.now()).as_micros();
        let offset = if offset.abs() > PRECISION { offset } else { 0 };
        self.offset.store(offset, Ordering::Relaxed);
    }
}

impl Intercept for Clock {
    fn name(&self) -> &'static str {
        "Clock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.follow(date);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_smithy_async::time::StaticTimeSource;

    fn http_date(seconds: i64) -> String {
        let date = DateTime::from_secs(seconds);
        date.fmt(DateTimeFormat::HttpDate).unwrap()
    }

    #[test]
    fn a_clock_follows_the_dates_of_responses() {
        let ours = StaticTimeSource::from_secs(1_000);
        let clock = Clock::new(ours.into());
        assert_eq!(clock.now().as_micros(), 1_000_000_000);
        clock.follow(&http_date(1_100));
        let middle_of_the_second = 1_100_500_000;
        assert_eq!(clock.now().as_micros(), middle_of_the_second);
        clock.follow("yesterday");
        assert_eq!(clock.now().as_micros(), middle_of_the_second);
        clock.follow(&http_date(1_000));
        assert_eq!(clock.offset(), 0, "a difference within the precision");
    }
}
