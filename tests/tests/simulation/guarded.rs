//! Results that the simulation must show with the guardian: after healing, nothing is lost and
//! nothing is stored twice, within the budgets of the APIs, and nobody is alarmed without a cause.

use crate::SEED;
use testkit::simulation::{
    Figures,
    Kind::{Guarded, Hookkeeper, Naive},
    guarded::{SCENARIOS, Scenario, run, run_all},
};

/// Tokens of Pipedrive's daily budget without a gap, and at most.
const ROUTINE_TOKENS: u64 = 1_500;
const MOST_TOKENS: u64 = 3_000;
const AMOCRM_REQUESTS_PER_SECOND: usize = 5;

/// Scenarios in which a webhook reports everything.
const NOTHING_TO_HEAL: [&str; 2] = ["calm-month", "rotation"];
/// A scenario with fewer events would prove nothing.
const FEWEST_EVENTS: usize = 400;

fn scenarios(has_to_heal: impl Fn(&str) -> bool) -> Vec<Scenario> {
    let mut scenarios = SCENARIOS.to_vec();
    scenarios.retain(|scenario| has_to_heal(scenario.name));
    scenarios
}

fn failing() -> Vec<Scenario> {
    scenarios(|name| !NOTHING_TO_HEAL.contains(&name))
}

fn assert_goal(figures: &Figures, most_tokens: u64) {
    assert_eq!((figures.lost, figures.doubled), (0, 0), "{figures:#?}");
    assert!(figures.sent >= FEWEST_EVENTS, "{figures:#?}");
    let guardian = figures.guardian.as_ref().unwrap();
    assert!(guardian.tokens_per_day <= most_tokens, "{figures:#?}");
    let fastest = guardian.calls_per_second;
    assert!(fastest <= AMOCRM_REQUESTS_PER_SECOND, "{figures:#?}");
}

#[test]
fn after_healing_nothing_is_lost_or_stored_twice() {
    for figures in run_all(&failing(), &[Guarded], SEED) {
        assert_goal(&figures, MOST_TOKENS);
        let guardian = figures.guardian.as_ref().unwrap();
        assert!(guardian.healed > guardian.needless as u64, "{figures:#?}");
        let has_healed_gap = guardian.findings.contains_key("gap, healed");
        assert!(has_healed_gap, "{figures:#?}");
    }
}

#[test]
fn without_a_guardian_each_of_these_failures_loses_events() {
    for figures in run_all(&failing(), &[Hookkeeper, Naive], SEED) {
        assert!(figures.lost > 0, "{figures:#?}");
    }
}

#[test]
fn a_calm_week_with_counters_has_no_alarm() {
    let calm = scenarios(|name| name == "calm-month");
    let calm = calm.into_iter().map(|scenario| scenario.for_days(7));
    let calm: Vec<Scenario> = calm.collect();
    for figures in run_all(&calm, &[Guarded], SEED) {
        assert_eq!((figures.lost, figures.doubled), (0, 0), "{figures:#?}");
        assert_no_alarm(&figures);
    }
}

#[test]
fn a_rotation_under_load_has_no_alarm() {
    let rotation = scenarios(|name| name == "rotation");
    for figures in run_all(&rotation, &[Guarded], SEED) {
        assert_goal(&figures, ROUTINE_TOKENS);
        assert_no_alarm(&figures);
    }
}

/// A suspicion is in the log alone.
fn assert_no_alarm(figures: &Figures) {
    let guardian = figures.guardian.as_ref().unwrap();
    assert!(guardian.tokens_per_day <= ROUTINE_TOKENS, "{figures:#?}");
    assert_eq!(guardian.failed, 0, "{figures:#?}");
    let mut findings = guardian.findings.keys();
    let is_quiet = findings.all(|finding| finding.starts_with("suspicion"));
    assert!(is_quiet, "{figures:#?}");
}

#[test]
fn the_same_seed_gives_the_same_figures_with_a_guardian() {
    for seed in [20, 40] {
        let scenario = Scenario::random(seed);
        let run = || run(&scenario, Guarded, seed);
        assert_eq!(run(), run());
    }
}
