//! The penalty of amoCRM: a webhook with too many invalid responses is disabled.

use std::time::Duration;

const INVALID_TO_DISABLED: usize = 100;
const INVALID_COUNT_FOR: Duration = Duration::from_hours(2);

/// Times of the invalid responses to a webhook's deliveries.
#[derive(Debug, Clone, Default)]
pub struct InvalidResponses(Vec<Duration>);

impl InvalidResponses {
    /// Records an invalid response. Returns whether the webhook is now disabled.
    #[must_use]
    pub fn record(&mut self, now: Duration) -> bool {
        self.0.push(now);
        self.0.retain(|at| now < *at + INVALID_COUNT_FOR);
        self.0.len() > INVALID_TO_DISABLED
    }
}
