//! The time that a delivery may wait for the stores.

use crate::budget::PAUSE;
use std::time::Duration;

/// The rest of the time for the stores. CPU time between the calls does not count.
#[derive(Debug)]
pub(super) struct Budget {
    table: Duration,
    fallback_queue: Duration,
    total: Duration,
}

impl Budget {
    /// Creates a budget of `time_budget` for each store.
    pub(super) fn new(time_budget: Duration, has_queue: bool) -> Self {
        let fallback_queue = if has_queue {
            time_budget
        } else {
            Duration::ZERO
        };
        Self {
            table: time_budget,
            fallback_queue,
            total: time_budget + fallback_queue,
        }
    }

    pub(super) fn for_the_table(&self) -> Duration {
        self.table.min(self.total)
    }

    pub(super) fn for_the_queue(&self) -> Duration {
        self.fallback_queue.min(self.total)
    }

    pub(super) fn spend_on_the_table(&mut self, spent: Duration) {
        self.table = self.table.saturating_sub(spent);
        self.total = self.total.saturating_sub(spent);
    }

    pub(super) fn spend_on_the_queue(&mut self, spent: Duration) {
        self.fallback_queue = self.fallback_queue.saturating_sub(spent);
        self.total = self.total.saturating_sub(spent);
    }

    /// Waits before both stores are tried again. Returns `false` at once if no time would be left
    /// for a call.
    pub(super) async fn pause(&mut self) -> bool {
        let time_budgets = self.table + self.fallback_queue;
        if time_budgets.is_zero() || self.total <= PAUSE {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
        self.total -= PAUSE;
        true
    }
}
