//! Results that the simulation must show. In every scenario and with any seed, Hookkeeper has no
//! avoidable loss, duplicate or ban. A naive receiver has them.

mod guarded;

use std::{ops::Range, time::Duration};
use testkit::simulation::{
    Channel::{self, AmocrmAccount, AmocrmPipeline, Closer, PipedriveV1, PipedriveV2},
    Figures,
    Kind::{Hookkeeper, Naive},
    SCENARIOS, run_all, swarm,
};

/// The seed of `cargo simulate`.
pub(crate) const SEED: u64 = 20_261_121;

/// Scenarios in which a naive receiver loses events, duplicates events, and is banned.
const NAIVE_LOSES: [&str; 9] = [
    "calm-week",
    "table-outage-hangs",
    "table-outage-refuses",
    "slow-table",
    "both-down-ten-minutes",
    "password-rotation",
    "reordered-and-duplicated",
    "format-change",
    "small-account",
];
const NAIVE_DOUBLES: [&str; 1] = ["reordered-and-duplicated"];
const NAIVE_IS_BANNED: [&str; 5] = [
    "table-outage-hangs",
    "table-outage-refuses",
    "password-rotation",
    "format-change",
    "small-account",
];

/// Time in which both stores are down in `both-down-ten-minutes`, extended by the duration of a
/// delivery in progress.
const BOTH_DOWN: Range<Duration> = Duration::from_secs(30 * 60 - 2)..Duration::from_mins(40);

/// Minimum duration of a channel's retries. No receiver can store an event if the outage is longer.
fn retried_for(channel: Channel) -> Duration {
    match channel {
        PipedriveV1 | PipedriveV2 => Duration::from_secs(3 + 30 + 150),
        AmocrmAccount => Duration::from_mins(5 + 15 + 15 + 60),
        AmocrmPipeline | Closer => Duration::ZERO,
    }
}

fn assert_kept(figures: &Figures) {
    let Figures {
        scenario,
        receiver: _,
        sent,
        kept,
        lost,
        doubled,
        bans,
        lost_events,
        ..
    } = figures;
    assert_eq!((*doubled, *bans, kept + lost), (0, 0, *sent), "{figures:?}");
    for (channel, happened) in lost_events {
        let hopeless = |at: &Duration| {
            BOTH_DOWN.contains(at) && BOTH_DOWN.contains(&(*at + retried_for(*channel)))
        };
        assert!(
            *scenario == "both-down-ten-minutes" && happened.iter().any(hopeless),
            "{scenario}: {channel:?} at {happened:?}"
        );
    }
}

#[test]
fn only_events_that_no_receiver_can_store_are_lost() {
    run_all(&SCENARIOS, &[Hookkeeper], SEED)
        .iter()
        .for_each(assert_kept);
}

#[test]
fn other_seeds_have_no_avoidable_loss_either() {
    let scenarios = SCENARIOS.map(|scenario| scenario.thinned(4));
    for seed in [1, 2] {
        run_all(&scenarios, &[Hookkeeper], seed)
            .iter()
            .for_each(assert_kept);
    }
}

#[test]
fn a_naive_receiver_loses_and_duplicates_events_and_is_banned() {
    for figures in run_all(&SCENARIOS, &[Naive], SEED) {
        let Figures {
            scenario,
            lost,
            doubled,
            bans,
            ..
        } = &figures;
        assert_eq!(*lost > 0, NAIVE_LOSES.contains(scenario), "{figures:?}");
        assert_eq!(
            *doubled > 0,
            NAIVE_DOUBLES.contains(scenario),
            "{figures:?}"
        );
        assert_eq!(*bans > 0, NAIVE_IS_BANNED.contains(scenario), "{figures:?}");
    }
}

#[test]
fn random_outages_and_loads_break_no_promise() {
    let broken = swarm(Hookkeeper, 1..16, |broken| {
        if let Some(broken) = broken {
            eprintln!("{broken:?}");
        }
    });
    assert_eq!(broken, 0);
}

#[test]
fn a_naive_receiver_breaks_the_promise_in_most_random_outages() {
    let broken = swarm(Naive, 1..16, |_| {});
    assert!(broken > 7, "only {broken}");
}

#[test]
fn the_same_seed_gives_the_same_figures() {
    let scenarios = SCENARIOS.map(|scenario| scenario.thinned(16));
    let run = || run_all(&scenarios, &[Hookkeeper, Naive], 3);
    assert_eq!(run(), run());
}
