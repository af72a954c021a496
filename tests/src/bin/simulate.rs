//! `cargo simulate`: what becomes of a provider's events when things break, with Hookkeeper and with a receiver as it is
//! usually written.

use clap::Parser;
use std::{process::ExitCode, thread};
use tests::simulation::{Figures, Kind, SCENARIOS, Scenario, run};

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
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(unknown) = args.scenarios.iter().find(|name| SCENARIOS.iter().all(|it| it.name != **name)) {
        let names = SCENARIOS.map(|scenario| scenario.name).join(", ");
        eprintln!("there is no scenario {unknown}: choose of {names}");
        return ExitCode::from(2);
    }
    let chosen = |it: &&Scenario| args.scenarios.is_empty() || args.scenarios.iter().any(|name| it.name == name);
    eprintln!("seed {0} (replay with --seed {0})", args.seed);
    let figures = simulate(SCENARIOS.iter().filter(chosen), args.seed);
    if args.json {
        println!("{}", serde_json::to_string_pretty(&figures).unwrap());
    } else {
        print_table(&figures);
    }
    ExitCode::SUCCESS
}

/// Each scenario with both receivers, each in a thread of its own.
fn simulate(scenarios: impl Iterator<Item = &'static Scenario>, seed: u64) -> Vec<Figures> {
    let both = |scenario| [Kind::Hookkeeper, Kind::Naive].map(|kind| thread::spawn(move || run(scenario, kind, seed)));
    let threads: Vec<_> = scenarios.flat_map(both).collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

fn print_table(figures: &[Figures]) {
    println!("| scenario | receiver | sent | kept | lost | doubled | bans |");
    println!("|---|---|--:|--:|--:|--:|--:|");
    for Figures { scenario, receiver, sent, kept, lost, doubled, bans, .. } in figures {
        let receiver = format!("{receiver:?}").to_lowercase();
        println!("| {scenario} | {receiver} | {sent} | {kept} | {lost} | {doubled} | {bans} |");
    }
}
