//! Penalties of Pipedrive: a ban after failures, and the removal of a webhook without success.
//!
//! Where the documentation is silent, we assume the worst: successes do not lower the failure
//! counter.

use std::time::Duration;

const FAILURES_TO_A_BAN: u32 = 10;
const BAN: Duration = Duration::from_mins(30);
const REMOVED_WITHOUT_SUCCESS_FOR: Duration = Duration::from_hours(3 * 24);

/// Pipedrive's record of a webhook's deliveries.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Time of the last success, or of the registration.
    succeeded: Duration,
    failures: u32,
    banned_until: Duration,
    is_removed: bool,
    penalties: usize,
}

impl Standing {
    /// The record of a webhook that is registered now.
    #[must_use]
    pub fn new(registered: Duration) -> Self {
        Self {
            succeeded: registered,
            ..Self::default()
        }
    }

    /// Whether Pipedrive drops the events of the webhook now.
    #[must_use]
    pub fn is_banned(&self, now: Duration) -> bool {
        now < self.banned_until
    }

    /// Whether the webhook was removed.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// Number of bans and removals.
    #[must_use]
    pub fn penalties(&self) -> usize {
        self.penalties
    }

    /// Records an attempt of a delivery. The first one has the number 1.
    pub fn record(&mut self, attempt: u32, succeeded: bool, now: Duration) {
        if succeeded {
            self.succeeded = now;
            return;
        }
        self.failures += u32::from(attempt == 1);
        if self.failures >= FAILURES_TO_A_BAN {
            self.failures = 0;
            self.banned_until = now + BAN;
            self.penalties += 1;
        }
        if !self.is_removed && now > self.succeeded + REMOVED_WITHOUT_SUCCESS_FOR {
            self.is_removed = true;
            self.penalties += 1;
        }
    }
}
