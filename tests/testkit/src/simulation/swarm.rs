//! Many seeds of random outages, wrong clocks and loads, each checked against the promise of the
//! README:
//!
//! - What the receiver answered with 2xx is in the table at the end, and the queue is empty.
//! - A request that reaches the receiver is answered with 2xx, unless both the table and the queue
//!   may have failed meanwhile.
//! - It is answered in time, whatever fails behind the receiver.
//! - Only a stranger gets 401, and always.
//! - An event with a time of its own is stored once, and never gets the time of its arrival.
//! - A consumer whose clock is right skips nothing. When an event is put, the consumer has not yet
//!   read up to the time at which the event is recorded. If the writer's clock is behind, the event
//!   may be recorded earlier by as much, but not before its arrival.
//!
//! The clocks of API Gateway, the table, the queue and the processes may be wrong meanwhile.
//!
//! One seed in 20 has a guardian, and outages of the providers' APIs, tokens and webhooks too. After
//! healing, nothing is lost that the API shows, and nothing is stored twice.

use super::{
    Kind, Outcome,
    aws::{Aws, Failure, Fault, Part},
    crm::{
        Channel::{self, AmocrmAccount, AmocrmPipeline, Closer, PipedriveV1, PipedriveV2},
        Mark, Responded,
    },
    dynamodb::Put,
    guarded, outcome,
    scenarios::{Scenario, Twist},
    world::{hours, seconds, since_1970},
};
use fastrand::Rng;
use models::Timestamp;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
    time::Duration,
};

/// The longest that the receiver takes in an environment that runs: both time budgets, with a margin.
const IN_TIME: Duration = Duration::from_millis(1_500);

/// How long after its recording no consumer has read an event: the delay of a consumer, without the
/// time by which the index may be behind the table.
const UNREAD: Duration = seconds(60 - 10);

/// Number of broken promises that are told of one seed.
const TOLD: usize = 5;

/// A seed whose simulation broke the promise.
#[derive(Debug, Serialize)]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// The command that runs it again.
    pub replay: String,
    /// What was broken, at most five sentences.
    pub broken: Vec<String>,
}

/// Runs a simulation of a receiver for each seed, on all cores, and tells when each is done, and
/// whether it broke the promise. Returns the number of those that did.
pub fn swarm(kind: Kind, seeds: Range<u64>, tell: impl Fn(Option<&Broken>) + Sync) -> usize {
    let next = AtomicU64::new(seeds.start);
    let failed = AtomicUsize::new(0);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                break;
            }
            let broken = run(kind, seed);
            failed.fetch_add(usize::from(broken.is_some()), Ordering::Relaxed);
            tell(broken.as_ref());
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    failed.into_inner()
}

/// One seed in this number has a guardian.
const GUARDED: u64 = 20;

/// Runs the simulation of a seed. `None` if it kept the promise.
fn run(kind: Kind, seed: u64) -> Option<Broken> {
    let mut broken = if seed.is_multiple_of(GUARDED) && kind == Kind::Hookkeeper {
        lost_with_guardian(seed)
    } else {
        broken_promises(&outcome(&scenario(seed), kind, seed))
    };
    broken.truncate(TOLD);
    (!broken.is_empty()).then(|| Broken {
        seed,
        replay: format!("cargo simulate --swarm 1 --seed {seed}"),
        broken,
    })
}

/// What is lost or stored twice although a guardian heals.
fn lost_with_guardian(seed: u64) -> Vec<String> {
    let scenario = guarded::Scenario::random(seed);
    let figures = guarded::run(&scenario, Kind::Guarded, seed);
    let lost = figures.lost_events.iter();
    let lost = lost.map(|(channel, at)| format!("an event of {channel:?} at {at:?} is lost"));
    let doubled = figures.doubled_events.iter();
    let doubled = doubled.map(|event| format!("{event} is stored twice"));
    lost.chain(doubled).collect()
}

fn broken_promises(outcome: &Outcome) -> Vec<String> {
    let Outcome {
        aws,
        responses,
        events,
        kept,
        ..
    } = outcome;
    let mut broken: Vec<String> = responses
        .iter()
        .filter_map(|responded| broken_by(responded, aws))
        .collect();
    let waiting = aws.queue.messages().len();
    if waiting > 0 {
        broken.push(format!("{waiting} messages are in the queue at the end"));
    }
    let puts = aws.table.puts();
    broken.extend(puts.values().filter_map(|put| broken_by_put(put, aws)));
    let taken = taken(responses);
    for (mark, event) in events {
        let stored = kept.get(mark).copied().unwrap_or_default();
        let taken = taken.get(mark).copied().unwrap_or_default();
        let wanted = if event.has_own_time {
            taken.min(1)
        } else {
            taken
        };
        if stored < wanted {
            broken.push(format!(
                "{mark} was answered with 2xx {taken} times, and is stored {stored} times"
            ));
        }
        if event.has_own_time && stored > 1 {
            broken.push(format!("{mark} is stored {stored} times"));
        }
    }
    broken
}

/// How often each event was answered with 2xx.
fn taken(responses: &[Responded]) -> BTreeMap<Mark, usize> {
    let mut taken = BTreeMap::new();
    for responded in responses.iter().filter(|responded| responded.is_taken()) {
        for mark in responded.marks.iter().collect::<BTreeSet<_>>() {
            *taken.entry(*mark).or_default() += 1;
        }
    }
    taken
}

/// What is wrong with a response of the receiver.
fn broken_by(responded: &Responded, aws: &Aws) -> Option<String> {
    let during = responded.response.by_receiver.as_ref()?;
    let status = responded.response.status;
    let marks = &responded.marks;
    let took = during.end - during.start;
    if took > IN_TIME {
        return Some(format!("{marks:?} was answered after {took:?}"));
    }
    if !responded.is_authorized {
        return (status != 401).then(|| format!("a stranger got {status}"));
    }
    let may_fail = [Part::Table, Part::Queue].map(|part| aws.may_fail(part, during));
    let must_be_taken = may_fail != [true; 2] && !aws.table.throttles();
    (must_be_taken && !responded.is_taken())
        .then(|| format!("{marks:?} was answered with {status} at {:?}", during.start))
}

/// What is wrong with the times of an event in the table.
fn broken_by_put(Put { item, at }: &Put, aws: &Aws) -> Option<String> {
    let time = |name: &str| Timestamp::parse(item[name]["S"].as_str()?);
    let recorded = time("recordedtime")?;
    let arrival = time("arrival")?;
    let has_own_time = item["channel"]["S"] != "digital_pipeline";
    if has_own_time != item["timeproblem"].is_null() {
        return Some(format!(
            "the event that arrived at {arrival} has another time"
        ));
    }
    // A receiver knows the time of API Gateway, and the drain that of SQS.
    let before = &(Duration::ZERO..*at);
    let is_ahead = !aws.ahead(Part::GatewayClock, before).is_zero();
    let is_behind = !aws.behind(Part::QueueClock, before).is_zero();
    if recorded < arrival && !is_ahead && !is_behind {
        return Some(format!(
            "the event that arrived at {arrival} was recorded at {recorded}"
        ));
    }
    let during = &(at.saturating_sub(UNREAD)..*at);
    let behind = if recorded == arrival {
        aws.behind(Part::GatewayClock, during)
    } else {
        // A receiver takes the time from its own clock. The drain adds the difference to the
        // table's, which is wrong if its clock has changed since it measured it.
        aws.behind(Part::ProcessClock, during)
            + aws.ahead(Part::ProcessClock, during)
            + aws.behind(Part::TableClock, during)
    };
    let unread = UNREAD + behind;
    let put = Timestamp::from_unix(since_1970(*at));
    (recorded < put.before(unread)).then(|| {
        format!("the event that arrived at {arrival} was recorded at {recorded} and put at {put}")
    })
}

/// The scenario of a seed.
fn scenario(seed: u64) -> Scenario {
    let mut random = Rng::with_seed(seed);
    // Most seeds are small. One in 100 has up to 100,000 events.
    let most = if random.u8(..100) == 0 {
        100_000
    } else {
        1_500
    };
    let total = log_uniform(&mut random, 20..most);
    let lasts = Duration::from_secs(log_uniform(&mut random, 60..48 * 3_600));
    let sizes: &[usize] = if total > 5_000 {
        &[300, 1_000]
    } else {
        &[300, 1_000, 7_000, 40_000]
    };
    let mut faults = Vec::new();
    for _ in 0..random.usize(..7) {
        faults.push(fault(&mut random, lasts));
    }
    if random.bool() {
        faults.extend(outage_of_both(&mut random, lasts));
    }
    for _ in 0..random.usize(..4) {
        faults.push(wrong_clock(&mut random, lasts));
    }
    Scenario {
        name: "swarm",
        lasts,
        load: load(&mut random, total).into(),
        thinned: 1,
        bytes: sizes[random.usize(..sizes.len())],
        faults: faults.into(),
        concurrency: [10, 50, 1_000, 1_000][random.usize(..4)],
        has_new_table: random.u8(..4) == 0,
        strangers: random.u32(..20),
        twist: match random.u8(..10) {
            0 => Some(Twist::Rotation),
            1 => Some(Twist::Shuffled),
            2 => Some(Twist::Unreadable),
            _ => None,
        },
    }
}

/// The number of deliveries of each channel.
fn load(random: &mut Rng, total: u64) -> Vec<(Channel, u32)> {
    let channels = [
        PipedriveV1,
        PipedriveV2,
        AmocrmAccount,
        AmocrmPipeline,
        Closer,
    ];
    let weights = channels.map(|channel| (channel, random.u64(..5)));
    let sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
    let of = |weight: u64| u32::try_from(total * weight / sum.max(1)).unwrap();
    weights
        .into_iter()
        .map(|(channel, weight)| (channel, of(weight)))
        .collect()
}

pub(super) fn fault(random: &mut Rng, lasts: Duration) -> Fault {
    const PARTS: [Part; 6] = [
        Part::Table,
        Part::Table,
        Part::Queue,
        Part::Queue,
        Part::Function,
        Part::Network,
    ];
    let part = PARTS[random.usize(..PARTS.len())];
    let during = a_while(random, lasts);
    fault_of(random, part, during)
}

/// The table and the queue fail at the same time.
fn outage_of_both(random: &mut Rng, lasts: Duration) -> [Fault; 2] {
    let during = a_while(random, lasts);
    [Part::Table, Part::Queue].map(|part| fault_of(random, part, during.clone()))
}

fn fault_of(random: &mut Rng, part: Part, during: Range<Duration>) -> Fault {
    Fault {
        part,
        during,
        failure: failure(random, part),
        one_in: one_in(random),
    }
}

/// A clock that is ahead or behind, by a tenth of a second to an hour. When it is right again, it
/// may go back.
pub(super) fn wrong_clock(random: &mut Rng, lasts: Duration) -> Fault {
    const CLOCKS: [Part; 4] = [
        Part::GatewayClock,
        Part::TableClock,
        Part::QueueClock,
        Part::ProcessClock,
    ];
    let millis = log_uniform(random, 100..3_600_000).cast_signed();
    Fault {
        part: CLOCKS[random.usize(..CLOCKS.len())],
        during: a_while(random, lasts),
        failure: Failure::Skewed(if random.bool() { millis } else { -millis }),
        one_in: one_in(random),
    }
}

fn one_in(random: &mut Rng) -> u32 {
    [1, 1, 2, 10][random.usize(..4)]
}

/// A part of a scenario: from a tenth of a second to six hours.
pub(super) fn a_while(random: &mut Rng, lasts: Duration) -> Range<Duration> {
    let start = lasts.mul_f64(random.f64());
    let longest = lasts.min(hours(6)).as_millis();
    let length = log_uniform(random, 100..u64::try_from(longest).unwrap());
    start..start + Duration::from_millis(length)
}

fn failure(random: &mut Rng, part: Part) -> Failure {
    let slow = |random: &mut Rng| {
        let fastest = log_uniform(random, 20..3_000);
        Failure::Slow(fastest..fastest * 3)
    };
    match (part, random.u8(..6)) {
        (_, 0) => Failure::Hangs,
        (_, 1) => Failure::Refuses,
        (_, 2) => slow(random),
        (Part::Function, _) => Failure::Crashes,
        (_, 3) => Failure::LosesResponses,
        (Part::Network, _) => Failure::Refuses,
        (_, 4) => Failure::Responds("InternalServerError"),
        (_, _) => Failure::Responds("ThrottlingException"),
    }
}

/// A random number whose logarithm is uniform.
fn log_uniform(random: &mut Rng, range: Range<u64>) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "they are small")]
    let [low, high] = [range.start, range.end].map(|end| (end as f64).ln());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within the range"
    )]
    let number = (low + (high - low) * random.f64()).exp() as u64;
    number.clamp(range.start, range.end)
}

/// The time at which strangers send their requests.
pub(super) fn stranger_at(scenario: &Scenario, number: u32) -> Duration {
    scenario.lasts * number / scenario.strangers + seconds(1)
}
