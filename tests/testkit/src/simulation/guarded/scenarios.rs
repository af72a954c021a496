//! What happens to the webhooks of two accounts, as data.

use crate::simulation::{
    aws::{
        Failure::{Hangs, Refuses},
        Fault,
        Part::{Function, Queue, Table},
    },
    scenarios::fault,
    swarm,
    world::{hours, minutes},
};
use fastrand::Rng;
use std::{borrow::Cow, ops::Range, time::Duration};

/// Days in which people work and something happens to the webhooks.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    pub(super) lasts: Duration,
    /// How often people of an account do something, on a day.
    pub(super) acts_per_day: u32,
    pub(super) faults: Cow<'static, [Fault]>,
    /// When the API of both providers fails.
    pub(super) api_failures: Cow<'static, [(Range<Duration>, ApiFailure)]>,
    pub(super) deeds: Cow<'static, [(Duration, Deed)]>,
}

/// How an API fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ApiFailure {
    /// It responds with 503.
    Unavailable,
    /// It responds with 200 and a page of HTML.
    Html,
    /// It does not respond.
    Hangs,
}

/// What a person does to the webhook and the token of each account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    DeletesWebhook,
    /// The user of the webhook sees none of these kinds of events from now on.
    LosesRights(&'static [&'static str]),
    RevokesToken,
    /// Stores a valid token for the guardian.
    StoresToken,
    /// The steps of `hookkeeper rotate`: a second webhook is added, and then the first one deleted.
    BeginsRotation,
    EndsRotation,
}

/// When a naive receiver changes its password in a rotation.
const ROTATED: Duration = at(12, 14);

/// The time of a day in which most is done.
const OFFICE: Range<Duration> = hours(8)..hours(20);
/// One act in this number happens at any time of the day.
const AT_ANY_TIME: u32 = 20;

impl Scenario {
    /// The same for a number of days, for a shorter run.
    #[must_use]
    pub fn for_days(self, days: u64) -> Self {
        Self {
            lasts: hours(days * 24),
            ..self
        }
    }

    /// A day with random outages, wrong clocks and deeds.
    #[must_use]
    pub fn random(seed: u64) -> Self {
        let random = &mut Rng::with_seed(seed);
        let faults = (0..random.u32(..3)).map(|_| swarm::fault(random, DAY));
        let mut faults: Vec<Fault> = faults.collect();
        faults.extend((0..random.u32(..4)).map(|_| swarm::wrong_clock(random, DAY)));
        let api_failures = (0..random.u32(..3)).map(|_| {
            let how = [ApiFailure::Unavailable, ApiFailure::Html, ApiFailure::Hangs];
            (swarm::a_while(random, DAY), how[random.usize(..how.len())])
        });
        let api_failures: Vec<_> = api_failures.collect();
        Self {
            name: "swarm",
            lasts: DAY,
            acts_per_day: random.u32(20..120),
            faults: faults.into(),
            api_failures: api_failures.into(),
            deeds: deeds(random).into(),
        }
    }

    /// When a naive receiver changes its password.
    pub(super) fn rotated(&self) -> Duration {
        let mut deeds = self.deeds.iter();
        if deeds.any(|(_, deed)| *deed == Deed::BeginsRotation) {
            ROTATED
        } else {
            Duration::MAX
        }
    }

    /// The times at which people do something.
    pub(super) fn times(&self, random: &mut Rng) -> Vec<Duration> {
        let days = u32::try_from(self.lasts.as_secs() / hours(24).as_secs()).unwrap();
        let mut times = Vec::new();
        for day in 0..days {
            for _ in 0..self.acts_per_day {
                let span = match random.u32(..AT_ANY_TIME) {
                    0 => Duration::ZERO..hours(24),
                    _ => OFFICE,
                };
                let within = (span.end - span.start).mul_f64(random.f64());
                times.push(hours(24) * day + span.start + within);
            }
        }
        times.sort_unstable();
        times
    }
}

/// What happens to the webhooks on a day, in the order of time.
fn deeds(random: &mut Rng) -> Vec<(Duration, Deed)> {
    let mut deeds = Vec::new();
    let first = DAY.mul_f64(random.f64() / 2.0);
    let later = first + DAY.mul_f64(random.f64() / 4.0);
    match random.u8(..5) {
        0 => deeds.extend([
            (first, Deed::LosesRights(&LOST_RIGHTS)),
            (later, Deed::LosesRights(&[])),
        ]),
        1 => deeds.extend([(first, Deed::RevokesToken), (later, Deed::StoresToken)]),
        2 => {
            let end = first + minutes(15);
            deeds.extend([(first, Deed::BeginsRotation), (end, Deed::EndsRotation)]);
        }
        _ => {}
    }
    if random.bool() {
        let time = DAY.mul_f64(0.75 + random.f64() / 5.0);
        deeds.push((time, Deed::DeletesWebhook));
    }
    deeds
}

const DAY: Duration = hours(24);

const CALM: Scenario = Scenario {
    name: "calm-month",
    lasts: hours(30 * 24),
    acts_per_day: 40,
    faults: Cow::Borrowed(&[]),
    api_failures: Cow::Borrowed(&[]),
    deeds: Cow::Borrowed(&[]),
};

const BUSY: Scenario = Scenario {
    lasts: hours(2 * 24),
    acts_per_day: 240,
    ..CALM
};

/// What the webhook's user sees no more: half of the kinds of Pipedrive's events.
const LOST_RIGHTS: [&str; 4] = [".deal", ".lead", ".note", ".product"];

/// All scenarios.
pub const SCENARIOS: [Scenario; 8] = [
    CALM,
    Scenario {
        name: "ban-while-both-down",
        faults: Cow::Borrowed(&[
            fault(Table, at(12, 0)..at(13, 0), Hangs),
            fault(Queue, at(12, 0)..at(13, 0), Refuses),
        ]),
        ..BUSY
    },
    Scenario {
        name: "webhook-deleted",
        deeds: Cow::Borrowed(&[(at(12, 37), Deed::DeletesWebhook)]),
        ..BUSY
    },
    Scenario {
        name: "amocrm-disabled",
        faults: Cow::Borrowed(&[fault(Function, at(11, 0)..at(13, 40), Refuses)]),
        ..BUSY
    },
    Scenario {
        name: "rights-lost",
        deeds: Cow::Borrowed(&[
            (at(12, 37), Deed::LosesRights(&LOST_RIGHTS)),
            (at(36, 7), Deed::LosesRights(&[])),
        ]),
        ..BUSY
    },
    Scenario {
        name: "api-down",
        api_failures: Cow::Borrowed(&[
            (at(12, 0)..at(16, 0), ApiFailure::Unavailable),
            (at(16, 0)..at(19, 0), ApiFailure::Html),
            (at(19, 0)..at(21, 0), ApiFailure::Hangs),
        ]),
        deeds: Cow::Borrowed(&[(at(12, 37), Deed::DeletesWebhook)]),
        ..BUSY
    },
    Scenario {
        name: "token-revoked",
        deeds: Cow::Borrowed(&[
            (at(10, 7), Deed::RevokesToken),
            (at(12, 37), Deed::DeletesWebhook),
            (at(33, 7), Deed::StoresToken),
        ]),
        ..BUSY
    },
    Scenario {
        name: "rotation",
        acts_per_day: 600,
        deeds: Cow::Borrowed(&[
            (at(12, 7), Deed::BeginsRotation),
            (at(12, 22), Deed::EndsRotation),
        ]),
        ..BUSY
    },
];

/// A time since the start.
const fn at(hour: u64, minute: u64) -> Duration {
    minutes(hour * 60 + minute)
}
