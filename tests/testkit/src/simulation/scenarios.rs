//! Failure scenarios, as data.

use super::{
    aws::{
        Failure::{self, Hangs, Refuses, Slow},
        Fault,
        Part::{self, Queue, Table},
    },
    crm::Channel::{self, AmocrmAccount, AmocrmPipeline, Closer, PipedriveV1, PipedriveV2},
    world::{hours, minutes, seconds},
};
use std::{borrow::Cow, ops::Range, time::Duration};

/// A period in which events happen and services may fail.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    pub(crate) lasts: Duration,
    /// Number of deliveries of each channel.
    pub(crate) load: Cow<'static, [(Channel, u32)]>,
    /// Only one in this number of deliveries happens.
    pub(crate) thinned: u32,
    /// Minimum size of a body, in bytes. Those of the digital pipeline are short.
    pub(crate) bytes: usize,
    pub(crate) faults: Cow<'static, [Fault]>,
    /// Concurrency limit of the account.
    pub(crate) concurrency: usize,
    /// Whether the table is new, so that it throttles early.
    pub(crate) has_new_table: bool,
    /// Number of requests with a wrong password.
    pub(crate) strangers: u32,
    pub(crate) twist: Option<Twist>,
}

impl Scenario {
    /// The same with only one event in this number, for a shorter run.
    #[must_use]
    pub fn thinned(self, thinned: u32) -> Self {
        Self { thinned, ..self }
    }
}

/// Unusual behavior of the providers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Twist {
    /// Pipedrive's webhooks get a new password: a new webhook is added to the same URL, and then
    /// the old one is deleted.
    Rotation,
    /// Each delivery arrives twice, late, and in another order.
    Shuffled,
    /// The format of the deliveries changed, and no parser can parse it.
    Unreadable,
}

/// When the new webhook of a rotation is added.
pub(crate) const NEW_WEBHOOK: Duration = minutes(20);
/// When a receiver that accepts one password changes to the new one.
pub(crate) const NEW_PASSWORD: Duration = minutes(30);
/// When the old webhook of a rotation is deleted.
pub(crate) const NO_OLD_WEBHOOK: Duration = minutes(40);

pub(crate) const fn fault(part: Part, during: Range<Duration>, failure: Failure) -> Fault {
    Fault {
        part,
        during,
        failure,
        one_in: 1,
    }
}

const CALM: Scenario = Scenario {
    name: "calm-week",
    lasts: hours(7 * 24),
    load: Cow::Borrowed(&[
        (PipedriveV1, 200),
        (PipedriveV2, 200),
        (AmocrmAccount, 200),
        (AmocrmPipeline, 200),
        (Closer, 200),
    ]),
    thinned: 1,
    bytes: 1_000,
    faults: Cow::Borrowed(&[]),
    concurrency: 1_000,
    has_new_table: false,
    strangers: 0,
    twist: None,
};

/// All scenarios.
pub const SCENARIOS: [Scenario; 10] = [
    CALM,
    Scenario {
        name: "table-outage-hangs",
        faults: Cow::Borrowed(&[fault(Table, hours(1)..hours(4), Hangs)]),
        ..OUTAGE
    },
    Scenario {
        name: "table-outage-refuses",
        faults: Cow::Borrowed(&[fault(Table, hours(1)..hours(4), Refuses)]),
        ..OUTAGE
    },
    Scenario {
        name: "slow-table",
        lasts: hours(2),
        faults: Cow::Borrowed(&[fault(Table, minutes(30)..minutes(90), Slow(500..3_000))]),
        ..OUTAGE
    },
    Scenario {
        name: "throttled-burst",
        lasts: seconds(1),
        load: Cow::Borrowed(&[
            (PipedriveV1, 300),
            (PipedriveV2, 400),
            (AmocrmAccount, 150),
            (Closer, 150),
        ]),
        bytes: 7_000,
        has_new_table: true,
        ..CALM
    },
    Scenario {
        name: "both-down-ten-minutes",
        lasts: hours(2),
        load: Cow::Borrowed(&[
            (PipedriveV1, 40),
            (PipedriveV2, 40),
            (AmocrmAccount, 120),
            (AmocrmPipeline, 60),
            (Closer, 60),
        ]),
        faults: Cow::Borrowed(&[
            fault(Table, minutes(30)..minutes(40), Hangs),
            fault(Queue, minutes(30)..minutes(40), Refuses),
        ]),
        ..OUTAGE
    },
    Scenario {
        name: "password-rotation",
        lasts: hours(1),
        twist: Some(Twist::Rotation),
        ..OUTAGE
    },
    Scenario {
        name: "reordered-and-duplicated",
        lasts: hours(1),
        twist: Some(Twist::Shuffled),
        ..OUTAGE
    },
    Scenario {
        name: "format-change",
        lasts: hours(6),
        twist: Some(Twist::Unreadable),
        ..OUTAGE
    },
    Scenario {
        name: "small-account",
        lasts: minutes(2),
        load: Cow::Borrowed(&[
            (PipedriveV1, 150),
            (PipedriveV2, 150),
            (AmocrmAccount, 240),
            (AmocrmPipeline, 150),
            (Closer, 150),
        ]),
        faults: Cow::Borrowed(&[fault(Table, seconds(30)..seconds(90), Hangs)]),
        concurrency: 10,
        ..OUTAGE
    },
];

const OUTAGE: Scenario = Scenario {
    lasts: hours(6),
    load: Cow::Borrowed(&[
        (PipedriveV1, 120),
        (PipedriveV2, 120),
        (AmocrmAccount, 200),
        (AmocrmPipeline, 100),
        (Closer, 100),
    ]),
    ..CALM
};
