//! Failure scenarios, as data.

use super::{
    aws::{
        Failure::{Hangs, Refuses, Slow},
        Fault,
    },
    crm::Channel::{self, AmocrmAccount, AmocrmPipeline, Closer, PipedriveV1, PipedriveV2},
    world::{hours, minutes, seconds},
};
use crate::sdk::Service::{Queue, Table};
use std::time::Duration;

/// A period in which events happen and services may fail.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    pub(crate) lasts: Duration,
    /// Number of deliveries of each channel.
    pub(crate) load: &'static [(Channel, u32)],
    /// Only one in this number of deliveries happens.
    pub(crate) thinned: u32,
    /// Minimum size of a body, in bytes. Those of the digital pipeline are short.
    pub(crate) bytes: usize,
    pub(crate) faults: &'static [Fault],
    /// Concurrency limit of the account.
    pub(crate) concurrency: usize,
    /// Whether the table is new, so that it throttles early.
    pub(crate) has_new_table: bool,
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

const CALM: Scenario = Scenario {
    name: "calm-week",
    lasts: hours(7 * 24),
    load: &[
        (PipedriveV1, 200),
        (PipedriveV2, 200),
        (AmocrmAccount, 200),
        (AmocrmPipeline, 200),
        (Closer, 200),
    ],
    thinned: 1,
    bytes: 1_000,
    faults: &[],
    concurrency: 1_000,
    has_new_table: false,
    twist: None,
};

/// All scenarios.
pub const SCENARIOS: [Scenario; 10] = [
    CALM,
    Scenario {
        name: "table-outage-hangs",
        faults: &[Fault {
            service: Table,
            during: hours(1)..hours(4),
            failure: Hangs,
        }],
        ..OUTAGE
    },
    Scenario {
        name: "table-outage-refuses",
        faults: &[Fault {
            service: Table,
            during: hours(1)..hours(4),
            failure: Refuses,
        }],
        ..OUTAGE
    },
    Scenario {
        name: "slow-table",
        lasts: hours(2),
        faults: &[Fault {
            service: Table,
            during: minutes(30)..minutes(90),
            failure: Slow(500..3_000),
        }],
        ..OUTAGE
    },
    Scenario {
        name: "throttled-burst",
        lasts: seconds(1),
        load: &[
            (PipedriveV1, 300),
            (PipedriveV2, 400),
            (AmocrmAccount, 150),
            (Closer, 150),
        ],
        bytes: 7_000,
        has_new_table: true,
        ..CALM
    },
    Scenario {
        name: "both-down-ten-minutes",
        lasts: hours(2),
        load: &[
            (PipedriveV1, 40),
            (PipedriveV2, 40),
            (AmocrmAccount, 120),
            (AmocrmPipeline, 60),
            (Closer, 60),
        ],
        faults: &[
            Fault {
                service: Table,
                during: minutes(30)..minutes(40),
                failure: Hangs,
            },
            Fault {
                service: Queue,
                during: minutes(30)..minutes(40),
                failure: Refuses,
            },
        ],
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
        load: &[
            (PipedriveV1, 150),
            (PipedriveV2, 150),
            (AmocrmAccount, 240),
            (AmocrmPipeline, 150),
            (Closer, 150),
        ],
        faults: &[Fault {
            service: Table,
            during: seconds(30)..seconds(90),
            failure: Hangs,
        }],
        concurrency: 10,
        ..OUTAGE
    },
];

const OUTAGE: Scenario = Scenario {
    lasts: hours(6),
    load: &[
        (PipedriveV1, 120),
        (PipedriveV2, 120),
        (AmocrmAccount, 200),
        (AmocrmPipeline, 100),
        (Closer, 100),
    ],
    ..CALM
};
