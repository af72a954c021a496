//! Simulates hours of webhooks in seconds: the real handler and the real drain, in virtual time,
//! with the penalties of the providers, the limits of Lambda and a failing AWS.
//!
//! Everything runs in this process, on one thread, with a paused clock and one random seed: the
//! same seed gives the same figures. A naive receiver runs through the same scenarios for
//! comparison.

mod amocrm;
mod aws;
mod closer;
mod company;
mod crm;
mod dynamodb;
mod lambda;
mod naive;
mod pipedrive;
mod scenarios;
mod sqs;
mod world;

use crate::sqs::Queue;
use aws::{Aws, Connections};
use base64::{Engine, engine::general_purpose::STANDARD};
use company::Company;
use crm::{Event, Internet, Mark};
use flate2::read::ZlibDecoder;
use ingest::{Authenticator, Receiver};
use lambda::{Account, Function, Handler};
use naive::Naive;
use providers::Provider;
use scenarios::{NEW_PASSWORD, Twist};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt::Write, io::Read, sync::Arc, thread, time::Duration};
use storage::{Client, Settings, Store};
use tokio::runtime::Builder;
use world::{World, hours, minutes};

pub use crm::Channel;
pub use scenarios::{SCENARIOS, Scenario};

/// Receiver in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Hookkeeper.
    Hookkeeper,
    /// A naive receiver.
    Naive,
}

/// Result of a scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// The scenario.
    pub scenario: &'static str,
    /// The receiver.
    pub receiver: Kind,
    /// Number of events, whether or not their provider could send them.
    pub sent: usize,
    /// Number of events that are in the table at the end.
    pub kept: usize,
    /// Number of events that are not in the table at the end.
    pub lost: usize,
    /// Number of events with a time of their own that are stored more than once.
    pub doubled: usize,
    /// Bans, disablings and deletions of webhooks.
    pub bans: usize,
    /// Lost events: their channel, and their times.
    #[serde(skip)]
    pub lost_events: Vec<(Channel, Vec<Duration>)>,
}

/// Runs scenarios with receivers, each in its own thread.
#[must_use]
pub fn run_all(scenarios: &[Scenario], kinds: &[Kind], seed: u64) -> Vec<Figures> {
    let each = || {
        scenarios
            .iter()
            .flat_map(|scenario| kinds.iter().map(move |kind| (scenario, *kind)))
    };
    thread::scope(|scope| {
        let threads: Vec<_> = each()
            .map(|(scenario, kind)| scope.spawn(move || run(scenario, kind, seed)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// Runs a scenario with a receiver.
#[must_use]
pub fn run(scenario: &Scenario, kind: Kind, seed: u64) -> Figures {
    // The SDK's jitter.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(live(scenario, kind, seed))
}

async fn live(scenario: &Scenario, kind: Kind, seed: u64) -> Figures {
    let table = if scenario.has_new_table {
        dynamodb::Table::new_on_demand()
    } else {
        dynamodb::Table::default()
    };
    let (world, queue) = (Arc::new(World::new(seed)), Queue::default());
    let aws = Arc::new(Aws {
        world,
        table,
        queue,
        faults: scenario.faults,
    });
    let account = Arc::new(Account::new(scenario.concurrency));
    let function = |provider: Provider| {
        (
            provider.name,
            Arc::new(function(provider, kind, scenario, &aws, &account)),
        )
    };
    let functions = providers::ALL.map(function).into_iter().collect();
    let internet = Arc::new(Internet {
        aws: aws.clone(),
        functions,
        requests: 0.into(),
    });
    sqs::map_to_drain(&aws, &account, &settings());

    let happenings = crm::happenings(scenario, seed);
    let company = Arc::new(Company::of(scenario));
    company.report(&internet, &happenings, scenario).await;
    while !aws.queue.messages().is_empty() && aws.world.now() < scenario.lasts + hours(24) {
        tokio::time::sleep(minutes(1)).await;
    }
    figures(
        scenario,
        kind,
        &crm::events(&happenings),
        &marks_kept(&aws.table.items()),
        company.punishments(),
    )
}

fn function(
    provider: Provider,
    kind: Kind,
    scenario: &Scenario,
    aws: &Arc<Aws>,
    account: &Arc<Account>,
) -> Function {
    let (world, rotates) = (
        aws.world.clone(),
        scenario.twist == Some(Twist::Rotation) && provider.name == "pipedrive",
    );
    let gate = Authenticator::new(&provider, &["old", "new"].map(accepted).join(","), "").unwrap();
    Function::new(aws, account, move |connections: &Connections| match kind {
        Kind::Hookkeeper => {
            let store = Store::new(&Client::with_transport(connections.client()), &settings());
            Handler::Hookkeeper(Box::new(
                Receiver::new(provider, gate.clone(), store).silent(),
            ))
        }
        Kind::Naive => {
            let world = world.clone();
            let password = move || {
                if rotates && world.now() >= NEW_PASSWORD {
                    "new"
                } else {
                    "old"
                }
            };
            Handler::Naive(Naive::new(provider.name, password, connections))
        }
    })
}

fn settings() -> Settings {
    let endpoint = Some("http://sqs.simulation".to_owned());
    let fallback_queue = Some("http://sqs.simulation/spool".to_owned());
    Settings {
        fallback_queue,
        sqs_endpoint: endpoint,
        ..Settings::local("webhooks", "http://dynamodb.simulation".to_owned())
    }
}

/// An entry of a list of accepted credentials.
fn accepted(password: &str) -> String {
    let digest = Sha256::digest(format!("hookkeeper:{password}"));
    digest
        .iter()
        .fold(format!("{password}:"), |mut entry, byte| {
            write!(entry, "{byte:02x}").unwrap();
            entry
        })
}

/// How often each event is in the table: as an event, or in a body that could not be parsed.
fn marks_kept(items: &[Value]) -> BTreeMap<Mark, usize> {
    let mut kept = BTreeMap::new();
    for item in items
        .iter()
        .filter(|item| !item["pk"]["S"].as_str().unwrap().starts_with("delivery#"))
    {
        for mark in crm::marks(&text(item)) {
            *kept.entry(mark).or_default() += 1;
        }
    }
    kept
}

/// The data of an event, or the body of a quarantined delivery. No item of the simulation is in
/// chunks.
fn text(item: &Value) -> String {
    if let Some(data) = item["data"]["S"].as_str() {
        return data.to_owned();
    }
    let bytes = |name: &str| Some(STANDARD.decode(item[name]["B"].as_str()?).unwrap());
    if let Some(body) = bytes("body") {
        return String::from_utf8(body).unwrap();
    }
    let compressed = bytes("compressed").or_else(|| bytes("compressedbody"));
    let mut text = String::new();
    ZlibDecoder::new(&*compressed.unwrap())
        .read_to_string(&mut text)
        .unwrap();
    text
}

fn figures(
    scenario: &Scenario,
    receiver: Kind,
    events: &BTreeMap<Mark, Event>,
    kept: &BTreeMap<Mark, usize>,
    bans: usize,
) -> Figures {
    let stored = |mark: &Mark| kept.get(mark).copied().unwrap_or_default();
    let sent = events.values().map(|event| event.at.len()).sum();
    let lost = |(mark, event): (&Mark, &Event)| event.at.len().saturating_sub(stored(mark));
    let lost_events = events
        .iter()
        .filter(|it| lost(*it) > 0)
        .map(|(_, event)| (event.channel, event.at.clone()));
    let lost_events = lost_events.collect();
    let lost = events.iter().map(lost).sum();
    let doubled = events
        .iter()
        .filter(|(mark, event)| event.has_own_time && stored(mark) > event.at.len())
        .count();
    Figures {
        scenario: scenario.name,
        receiver,
        sent,
        kept: sent - lost,
        lost,
        doubled,
        bans,
        lost_events,
    }
}
