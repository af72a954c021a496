//! What the simulation must show: Hookkeeper loses, doubles and is banned of nothing that could be helped, in every
//! scenario and by any dice; a receiver as it is usually written is not so lucky.

use std::{ops::Range, time::Duration};
use testkit::simulation::{
    Channel::{self, AmocrmAccount, AmocrmPipeline, Closer, PipedriveV1, PipedriveV2},
    Figures,
    Kind::{Hookkeeper, Naive},
    SCENARIOS, run_all,
};

/// The seed of `cargo simulate`.
const SEED: u64 = 20_261_121;

/// Where a receiver as it is usually written loses, doubles, and is banned.
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

/// When neither store lives in `both-down-ten-minutes`, with what a delivery takes that was under way.
const BOTH_DOWN: Range<Duration> = Duration::from_secs(30 * 60 - 2)..Duration::from_mins(40);

/// How long a channel's retries go on, at the least: nobody can keep what they do not outlive.
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
fn only_what_nobody_can_keep_is_lost() {
    run_all(&SCENARIOS, &[Hookkeeper], SEED)
        .iter()
        .for_each(assert_kept);
}

#[test]
fn by_any_dice() {
    let scenarios = SCENARIOS.map(|scenario| scenario.thinned(4));
    for seed in [1, 2] {
        run_all(&scenarios, &[Hookkeeper], seed)
            .iter()
            .for_each(assert_kept);
    }
}

#[test]
fn a_receiver_as_it_is_usually_written_is_not_so_lucky() {
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
fn a_seed_gives_the_same_figures_again() {
    let scenarios = SCENARIOS.map(|scenario| scenario.thinned(16));
    let run = || run_all(&scenarios, &[Hookkeeper, Naive], 3);
    assert_eq!(run(), run());
}
