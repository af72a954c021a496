//! `cargo simulate` shows the fate of a provider's events during failures, with Hookkeeper and with
//! a naive receiver, and what the guardian reads back.

use clap::Parser;
use serde_json::json;
use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
};
use testkit::simulation::{Figures, Kind, SCENARIOS, guarded, guarded::Guarding, run_all, swarm};

/// Simulates weeks of webhooks, with outages, in seconds.
#[derive(Parser)]
struct Args {
    /// The seed of everything that is left to chance; the same seed gives the same figures.
    #[arg(long, default_value_t = 20_261_121)]
    seed: u64,
    /// A scenario to run, instead of all; may be given several times.
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<String>,
    /// Prints the figures as JSON.
    #[arg(long)]
    json: bool,
    /// Runs this number of seeds, from --seed on, with random outages and loads, and prints a line of JSON
    /// for each that breaks the promise of the README.
    #[arg(long, value_name = "SEEDS", conflicts_with_all = ["scenarios", "json"])]
    swarm: Option<u64>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(seeds) = args.swarm {
        return run_swarm(args.seed, seeds);
    }
    let names = SCENARIOS.iter().map(|scenario| scenario.name);
    let guarded_names = guarded::SCENARIOS.iter().map(|scenario| scenario.name);
    let names: Vec<&str> = names.chain(guarded_names).collect();
    let mut chosen = args.scenarios.iter();
    if let Some(unknown) = chosen.find(|name| !names.contains(&&***name)) {
        eprintln!(
            "there is no scenario {unknown}: choose of {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    }
    let is_chosen =
        |name: &str| args.scenarios.is_empty() || args.scenarios.iter().any(|one| one == name);
    let mut chosen = SCENARIOS.to_vec();
    chosen.retain(|scenario| is_chosen(scenario.name));
    let mut chosen_guarded = guarded::SCENARIOS.to_vec();
    chosen_guarded.retain(|scenario| is_chosen(scenario.name));
    eprintln!("seed {0} (replay with --seed {0})", args.seed);
    let mut figures = run_all(&chosen, &[Kind::Hookkeeper, Kind::Naive], args.seed);
    let kinds = [Kind::Guarded, Kind::Hookkeeper, Kind::Naive];
    figures.extend(guarded::run_all(&chosen_guarded, &kinds, args.seed));
    if args.json {
        println!("{}", serde_json::to_string_pretty(&figures).unwrap());
    } else {
        print_tables(&figures);
    }
    ExitCode::SUCCESS
}

/// Progress is printed after this number of seeds.
const PROGRESS: u64 = 50;

fn run_swarm(first: u64, seeds: u64) -> ExitCode {
    let done = AtomicU64::new(0);
    let failed = swarm(Kind::Hookkeeper, first..first + seeds, |broken| {
        if let Some(broken) = broken {
            println!("{}", serde_json::to_string(broken).unwrap());
        }
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(PROGRESS) {
            eprintln!("{done} of {seeds} seeds");
        }
    });
    println!("{}", json!({ "seeds": seeds, "failed": failed }));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print_tables(figures: &[Figures]) {
    print_table(figures);
    let guarded: Vec<&Figures> = figures
        .iter()
        .filter(|figures| figures.guardian.is_some())
        .collect();
    if !guarded.is_empty() {
        println!();
        print_guardians(&guarded);
    }
}

/// What the guardian did, and what it used of the APIs at most.
fn print_guardians(figures: &[&Figures]) {
    println!(
        "| scenario | healed | needless | tokens a day | calls a day | calls a second | findings |"
    );
    println!("|---|--:|--:|--:|--:|--:|---|");
    for figures in figures {
        let Some(Guarding {
            healed,
            needless,
            findings,
            tokens_per_day,
            calls_per_day,
            calls_per_second,
            ..
        }) = &figures.guardian
        else {
            continue;
        };
        let findings = findings
            .iter()
            .map(|(finding, count)| format!("{count} {finding}"));
        let findings = findings.collect::<Vec<_>>().join("; ");
        let scenario = figures.scenario;
        println!(
            "| {scenario} | {healed} | {needless} | {tokens_per_day} | {calls_per_day} \
                | {calls_per_second} | {findings} |"
        );
    }
}

fn print_table(figures: &[Figures]) {
    println!("| scenario | receiver | sent | kept | lost | doubled | bans |");
    println!("|---|---|--:|--:|--:|--:|--:|");
    for Figures {
        scenario,
        receiver,
        sent,
        kept,
        lost,
        doubled,
        bans,
        ..
    } in figures
    {
        let receiver = format!("{receiver:?}").to_lowercase();
        println!("| {scenario} | {receiver} | {sent} | {kept} | {lost} | {doubled} | {bans} |");
    }
}
