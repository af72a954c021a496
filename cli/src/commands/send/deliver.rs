//! Concurrent deliveries: when each begins, and its outcome.

use super::{recipe::Recipe, report::Sent, target::Target};
use crate::Failure;
use futures_util::{Stream, StreamExt, stream};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Maximum number of concurrent deliveries if no rate is set.
const AT_ONCE: usize = 16;
/// Maximum number of concurrent deliveries if a rate is set. A receiver that hangs does not get
/// more and more requests.
const AT_ONCE_BY_RATE: usize = 512;

/// Number of deliveries, and their rate.
#[derive(Debug)]
pub(crate) struct Pace {
    pub(crate) count: u32,
    /// Deliveries that begin per second.
    pub(crate) rate: Option<f64>,
    /// Attempts per delivery.
    pub(crate) attempts: u32,
}

impl Pace {
    pub(crate) fn total(&self) -> u64 {
        u64::from(self.count) * u64::from(self.attempts)
    }

    /// Sends all deliveries. Yields each delivery with its further attempts when they are complete.
    pub(crate) fn deliver(
        &self,
        recipe: &Recipe,
        target: &Target,
    ) -> impl Stream<Item = Result<Vec<Sent>, Failure>> {
        let started = Instant::now();
        let at_once = if self.rate.is_some() {
            AT_ONCE_BY_RATE
        } else {
            AT_ONCE
        };
        stream::iter(0..self.count)
            .map(move |number| async move {
                if let Some(rate) = self.rate {
                    sleep_until(started + Duration::from_secs_f64(f64::from(number) / rate)).await;
                }
                attempt(recipe, target, self.attempts).await
            })
            .buffer_unordered(at_once)
    }
}

/// Sends one delivery, and its further attempts.
pub(crate) async fn attempt(
    recipe: &Recipe,
    target: &Target,
    attempts: u32,
) -> Result<Vec<Sent>, Failure> {
    let mut sent = Vec::new();
    let mut delivery = recipe.make()?;
    for attempt in 1..=attempts {
        if attempt > 1 {
            delivery = recipe.again(&delivery);
        }
        let answer = target
            .post(&recipe.headers_of(&delivery), &delivery.body)
            .await;
        sent.push(Sent {
            attempt,
            has_an_id: recipe.has_an_id(),
            parsed: recipe.parse(&delivery),
            answer,
        });
    }
    Ok(sent)
}
