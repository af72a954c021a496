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
pub mod guarded;
mod lambda;
mod naive;
mod pipedrive;
mod scenarios;
mod sqs;
mod swarm;
mod world;

use crate::{request, sqs::Queue};
use aws::{Aws, Connections};
use base64::{Engine, engine::general_purpose::STANDARD};
use company::Company;
use crm::{Event, Internet, Mark, Responded};
use flate2::read::ZlibDecoder;
use guarded::Guarding;
use hookkeeper::dev::TABLE;
use ingest::{Authenticator, Receiver};
use lambda::{Account, Function, Handler};
use naive::Naive;
use providers::{Provider, Scheme};
use scenarios::{NEW_PASSWORD, Twist};
use serde::Serialize;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    sync::Arc,
    thread,
    time::Duration,
};
use storage::{Settings, Store};
use tokio::runtime::Builder;
use world::{World, hours, minutes};

pub use crm::Channel;
pub use scenarios::{SCENARIOS, Scenario};
pub use swarm::{Broken, swarm};

/// Receiver in a simulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Hookkeeper.
    Hookkeeper,
    /// A naive receiver.
    Naive,
    /// Hookkeeper with its guardian.
    Guarded,
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
    /// Hash of all items that are in the table at the end.
    #[serde(skip)]
    pub items: u64,
    /// Lost events: their channel, and their times.
    #[serde(skip)]
    pub lost_events: Vec<(Channel, Vec<Duration>)>,
    /// Events that are stored more than once, where the scenario has a guardian.
    #[serde(skip)]
    pub doubled_events: Vec<String>,
    /// What the guardian did, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardian: Option<Guarding>,
}

impl Figures {
    /// Figures of a scenario in which nothing has happened.
    fn new(scenario: &'static str, receiver: Kind) -> Self {
        Self {
            scenario,
            receiver,
            sent: 0,
            kept: 0,
            lost: 0,
            doubled: 0,
            bans: 0,
            items: 0,
            lost_events: Vec::new(),
            doubled_events: Vec::new(),
            guardian: None,
        }
    }
}

/// Runs scenarios with receivers, each in its own thread.
#[must_use]
pub fn run_all(scenarios: &[Scenario], kinds: &[Kind], seed: u64) -> Vec<Figures> {
    in_threads(scenarios, kinds, |scenario, kind| run(scenario, kind, seed))
}

/// Runs something for each scenario and receiver, each in its own thread.
fn in_threads<S: Sync>(
    scenarios: &[S],
    kinds: &[Kind],
    run: impl Fn(&S, Kind) -> Figures + Sync,
) -> Vec<Figures> {
    let run = &run;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for scenario in scenarios {
            for &kind in kinds {
                threads.push(scope.spawn(move || run(scenario, kind)));
            }
        }
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    })
}

/// Runs a simulation in virtual time.
fn in_virtual_time<T>(seed: u64, simulation: impl Future<Output = T>) -> T {
    // The SDK's jitter.
    fastrand::seed(seed);
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(simulation)
}

/// Runs a scenario with a receiver.
#[must_use]
pub fn run(scenario: &Scenario, kind: Kind, seed: u64) -> Figures {
    figures(scenario, kind, outcome(scenario, kind, seed))
}

/// What there is at the end of a scenario.
struct Outcome {
    aws: Arc<Aws>,
    responses: Vec<Responded>,
    events: BTreeMap<Mark, Event>,
    /// How often each event is in the table.
    kept: BTreeMap<Mark, usize>,
    punishments: usize,
}

fn outcome(scenario: &Scenario, kind: Kind, seed: u64) -> Outcome {
    in_virtual_time(seed, live(scenario, kind, seed))
}

async fn live(scenario: &Scenario, kind: Kind, seed: u64) -> Outcome {
    let table = if scenario.has_new_table {
        dynamodb::Table::new_on_demand()
    } else {
        dynamodb::Table::default()
    };
    let aws = Arc::new(Aws {
        world: Arc::new(World::new(seed)),
        table,
        queue: Queue::default(),
        faults: scenario.faults.to_vec(),
    });
    let account = Arc::new(Account::new(scenario.concurrency));
    let functions = providers::ALL.map(|provider| {
        let rotates = scenario.twist == Some(Twist::Rotation) && provider.name == "pipedrive";
        let new_password = if rotates { NEW_PASSWORD } else { Duration::MAX };
        let function = function(provider, kind, new_password, &aws, &account);
        (provider.name, Arc::new(function))
    });
    let internet = Arc::new(Internet {
        aws: aws.clone(),
        functions: functions.into(),
        requests: 0.into(),
        responses: Arc::default(),
    });
    sqs::map_to_drain(&aws, &account, &settings());

    let happenings = crm::happenings(scenario, seed);
    let company = Arc::new(Company::of(scenario));
    let strangers = tokio::spawn(strangers(internet.clone(), scenario.clone()));
    company.report(&internet, &happenings, scenario).await;
    strangers.await.unwrap();
    // The longest invocation whose provider no longer waits.
    tokio::time::sleep(minutes(1)).await;
    while !aws.queue.messages().is_empty() && aws.world.now() < scenario.lasts + hours(24) {
        tokio::time::sleep(minutes(1)).await;
    }
    let responses = std::mem::take(&mut *internet.responses.lock().unwrap());
    Outcome {
        kept: marks_kept(&aws.table.items()),
        aws,
        responses,
        events: crm::events(&happenings),
        punishments: company.punishments(),
    }
}

/// Sends the requests with a wrong password.
async fn strangers(internet: Arc<Internet>, scenario: Scenario) {
    for number in 0..scenario.strangers {
        let at = swarm::stranger_at(&scenario, number);
        internet.aws.world.sleep_until(at).await;
        let request = crm::Request {
            provider: providers::ALL[number as usize % providers::ALL.len()].name,
            password: crm::WRONG_PASSWORD,
            content_type: "application/json",
            body: "{}".to_owned(),
        };
        internet.post(request, minutes(1)).await;
    }
}

/// The function of a receiver. Hookkeeper accepts the old and the new password. A naive receiver
/// changes from one to the other at the time of the `new_password`.
fn function(
    provider: Provider,
    kind: Kind,
    new_password: Duration,
    aws: &Arc<Aws>,
    account: &Arc<Account>,
) -> Function {
    let world = aws.world.clone();
    let credentials = ["old", "new"].map(accepted).join(",");
    let mut keys = String::new();
    if provider.supports(Scheme::UrlKey) {
        keys = ["old", "new"]
            .map(|key| request::accepted(key, key))
            .join(",");
    }
    let authenticator = Authenticator::new(&provider, &credentials, &keys).unwrap();
    Function::new(aws, account, move |connections: &Connections| match kind {
        Kind::Hookkeeper | Kind::Guarded => {
            let store = Store::new(&connections.client(), &settings());
            let receiver = Receiver::new(provider, authenticator.clone(), store).silent();
            Handler::Hookkeeper(Box::new(receiver))
        }
        Kind::Naive => {
            let world = world.clone();
            let password = move || {
                if world.now() >= new_password {
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
    Settings {
        fallback_queue: Some("http://sqs.simulation/fallback".to_owned()),
        sqs_endpoint: Some("http://sqs.simulation".to_owned()),
        ..Settings::local(TABLE, "http://dynamodb.simulation".to_owned())
    }
}

/// An entry of a list of accepted credentials.
fn accepted(password: &str) -> String {
    request::accepted(password, &format!("hookkeeper:{password}"))
}

fn hash(items: &[Value]) -> u64 {
    let mut hasher = DefaultHasher::new();
    items.hash(&mut hasher);
    hasher.finish()
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

fn figures(scenario: &Scenario, receiver: Kind, outcome: Outcome) -> Figures {
    let Outcome {
        aws,
        events,
        kept,
        punishments: bans,
        ..
    } = outcome;
    let mut figures = Figures {
        bans,
        items: hash(&aws.table.items()),
        ..Figures::new(scenario.name, receiver)
    };
    for (mark, event) in &events {
        let sent = event.at.len();
        let stored = kept.get(mark).copied().unwrap_or_default();
        figures.sent += sent;
        figures.kept += sent.min(stored);
        figures.lost += sent.saturating_sub(stored);
        figures.doubled += usize::from(event.has_own_time && stored > sent);
        if stored < sent {
            figures.lost_events.push((event.channel, event.at.clone()));
        }
    }
    figures
}
