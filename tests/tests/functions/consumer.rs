//! A consumer gets every event: with skewed clocks, late puts, an index that is behind the table,
//! processes that crash between any two requests, and two processes at a time.

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use storage::{
    Cursor, Position, Stored, Table,
    consumer::{ConsumerError, LEASE, Options, Start},
};
use testkit::{
    site::altered,
    world::{Crash, Process, Units, World, item},
};

/// Events that are older than a minute, from the first one.
static OPTIONS: LazyLock<Options<'static>> = LazyLock::new(|| Options::new(Start::Beginning));

const NAME: &str = "warehouse";

/// The largest differences that the delay of a minute allows for, in milliseconds.
const SKEW: i64 = 2_000;
const PUT: u64 = 15_000;
const LAG: u64 = 10_000;

#[derive(Debug, Clone)]
enum Step {
    /// A writer with a clock that is off stamps an event and puts it later.
    Store {
        skew: i64,
        put: u64,
        lag: u64,
    },
    /// The events of one delivery are recorded at the same time.
    StoreBatch,
    /// A writer stamps an event as if it were ten minutes earlier.
    StoreLate,
    Wait(u64),
    Open(usize),
    /// Takes events, and commits after some of them.
    Take {
        process: usize,
        events: usize,
        batch: usize,
    },
    Close(usize),
    Kill(usize),
    Crash {
        process: usize,
        crash: Crash,
    },
}

fn step(late: bool) -> impl Strategy<Value = Step> {
    let process = 0..2_usize;
    let store = (-SKEW..=SKEW, 0..=PUT, 0..=LAG);
    let store = store.prop_map(|(skew, put, lag)| Step::Store { skew, put, lag });
    let take = (process.clone(), 1..6_usize, 1..4_usize);
    let take = take.prop_map(|(process, events, batch)| Step::Take {
        process,
        events,
        batch,
    });
    let crash = (process.clone(), 1..60_usize, any::<bool>());
    let crash = crash.prop_map(|(process, after, is_last_executed)| Step::Crash {
        process,
        crash: Crash {
            after,
            is_last_executed,
        },
    });
    prop_oneof![
        8 => store,
        1 => Just(Step::StoreBatch),
        u32::from(late) * 2 => Just(Step::StoreLate),
        5 => (1..60_u64).prop_map(Step::Wait),
        3 => process.clone().prop_map(Step::Open),
        8 => take,
        1 => process.clone().prop_map(Step::Close),
        1 => process.prop_map(Step::Kill),
        2 => crash,
    ]
}

/// A process of the consumer. It is restarted after a crash.
struct Actor {
    world: Arc<World>,
    process: Process,
    table: &'static Table,
    cursor: Option<Cursor<'static>>,
}

impl Actor {
    fn new(world: &Arc<World>) -> Self {
        let process = Process::new(world);
        Self {
            world: Arc::clone(world),
            // A cursor lives as long as its process, and so does its table.
            table: Box::leak(Box::new(process.table())),
            process,
            cursor: None,
        }
    }

    /// Ends without another request.
    fn kill(&mut self) {
        *self = Self::new(&self.world);
    }

    /// Lets the clock of the process go on. It follows the times of responses.
    async fn look_at_the_clock(&mut self) {
        if let Err(error) = self.table.consumer(NAME).await {
            self.fail(&error.into());
        }
    }

    async fn open(&mut self) {
        if self.cursor.is_some() {
            return;
        }
        match self.table.open_cursor(NAME, &OPTIONS).await {
            Ok(cursor) => self.cursor = Some(cursor),
            Err(error) => self.fail(&error),
        }
    }

    /// Takes some events, and commits after each batch of them.
    async fn take(&mut self, events: usize, batch: usize) -> Vec<Position> {
        let mut taken = Vec::new();
        self.look_at_the_clock().await;
        let Some(cursor) = &mut self.cursor else {
            return taken;
        };
        let result = take_from(cursor, events, batch, &mut taken).await;
        if let Err(error) = result {
            self.fail(&error);
        }
        taken
    }

    fn fail(&mut self, error: &ConsumerError) {
        match error {
            ConsumerError::Held(_) => HELD.fetch_add(1, Ordering::Relaxed),
            ConsumerError::Lost => LOST.fetch_add(1, Ordering::Relaxed),
            ConsumerError::Table(_) => CRASHED.fetch_add(1, Ordering::Relaxed),
            other => panic!("{other}"),
        };
        self.kill();
    }
}

static HELD: AtomicUsize = AtomicUsize::new(0);
static LOST: AtomicUsize = AtomicUsize::new(0);
static CRASHED: AtomicUsize = AtomicUsize::new(0);

async fn take_from(
    cursor: &mut Cursor<'_>,
    events: usize,
    batch: usize,
    taken: &mut Vec<Position>,
) -> Result<(), ConsumerError> {
    for number in 1..=events {
        match cursor.next().await? {
            Some(stored) => taken.push(position(&stored)),
            None => return cursor.commit().await,
        }
        if number % batch == 0 {
            cursor.commit().await?;
        }
    }
    Ok(())
}

fn position(stored: &Stored) -> Position {
    Position {
        recordedtime: stored.recorded.unwrap().to_string(),
        pk: stored.key.pk.clone(),
        sk: stored.key.sk.clone(),
    }
}

/// What happened in a run of some steps.
struct Run {
    world: Arc<World>,
    actors: [Actor; 2],
    stored: usize,
    delivered: BTreeSet<String>,
    /// The last position that was saved.
    saved: Option<Position>,
}

impl Run {
    fn new() -> Self {
        let world = World::new();
        Self {
            actors: [Actor::new(&world), Actor::new(&world)],
            world,
            stored: 0,
            delivered: BTreeSet::new(),
            saved: None,
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Store { skew, put, lag } => {
                let skew_ahead = Duration::from_millis(skew.max(0).unsigned_abs());
                let skew_behind = Duration::from_millis(skew.min(0).unsigned_abs());
                let recorded = self.world.now().after(skew_ahead).before(skew_behind);
                let [put, lag] = [put, lag].map(Duration::from_millis);
                let item = item(self.stored, recorded);
                self.world.put_after(put, lag, item);
                self.stored += 1;
            }
            Step::StoreBatch => {
                for _ in 0..20 {
                    let item = item(self.stored, self.world.now());
                    self.world.put_after(Duration::ZERO, Duration::ZERO, item);
                    self.stored += 1;
                }
            }
            Step::StoreLate => {
                let recorded = self.world.now().before(Duration::from_mins(10));
                let item = item(self.stored, recorded);
                self.world
                    .put_after(Duration::ZERO, Duration::from_millis(LAG), item);
                self.stored += 1;
            }
            Step::Wait(seconds) => self.world.wait(Duration::from_secs(seconds)),
            Step::Open(process) => self.actors[process].open().await,
            Step::Take {
                process,
                events,
                batch,
            } => {
                let taken = self.actors[process].take(events, batch).await;
                self.delivered
                    .extend(taken.into_iter().map(|taken| taken.pk));
            }
            Step::Close(process) => {
                if let Some(cursor) = self.actors[process].cursor.take()
                    && let Err(error) = cursor.close().await
                {
                    self.actors[process].fail(&error);
                }
            }
            Step::Kill(process) => self.actors[process].kill(),
            Step::Crash { process, crash } => self.actors[process].process.crash(crash),
        }
        self.check_position().await;
    }

    /// The saved position never goes back.
    async fn check_position(&mut self) {
        let table = Process::new(&self.world).table();
        let saved = table.consumer(NAME).await.unwrap();
        let saved = saved.map(|consumer| consumer.position);
        assert!(self.saved <= saved, "{:?} {saved:?}", self.saved);
        self.saved = saved;
    }

    /// Takes everything that is left, and returns the number of events that were written behind the
    /// position.
    async fn finish(mut self) -> u64 {
        self.world.wait(LEASE + Duration::from_mins(2));
        let mut last = Actor::new(&self.world);
        last.open().await;
        let taken = last.take(usize::MAX, 7).await;
        self.delivered
            .extend(taken.into_iter().map(|taken| taken.pk));
        let consumer = last.cursor.unwrap().close().await.unwrap();
        assert_eq!(self.delivered.len(), self.stored, "{:?}", self.delivered);
        REQUESTS.fetch_add(self.world.requests(), Ordering::Relaxed);
        STORED.fetch_add(self.stored, Ordering::Relaxed);
        consumer.behindcount
    }
}

static REQUESTS: AtomicUsize = AtomicUsize::new(0);
static STORED: AtomicUsize = AtomicUsize::new(0);

/// Runs a future. Time stands still, but for the waits of the SDK.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

async fn run(steps: Vec<Step>) -> u64 {
    let mut run = Run::new();
    for step in steps {
        run.step(step).await;
    }
    Box::pin(run.finish()).await
}

fn cases(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn every_event_is_delivered_and_the_position_never_goes_back() {
    let steps = prop::collection::vec(step(false), 1..60);
    let tested = cases(64).run(&steps, |steps| {
        let behind = block_on(run(steps));
        prop_assert_eq!(behind, 0, "no event is written behind the position");
        Ok(())
    });
    tested.unwrap();
    let [requests, stored, held, lost, crashed] =
        [&REQUESTS, &STORED, &HELD, &LOST, &CRASHED].map(|count| count.load(Ordering::Relaxed));
    println!(
        "{stored} events, {requests} requests, {crashed} crashes, \
        {held} refused leases, {lost} lost ones"
    );
    assert!(
        crashed > 0 && held > 0 && lost > 0,
        "{crashed} {held} {lost}"
    );
}

#[test]
fn events_of_a_writer_that_is_ten_minutes_behind_are_delivered_too() {
    let steps = prop::collection::vec(step(true), 1..60);
    let tested = cases(32).run(&steps, |steps| {
        block_on(run(steps));
        Ok(())
    });
    tested.unwrap();
}

/// The figures in docs/consume.md.
#[test]
fn a_look_costs_eight_read_units_an_event_one_and_a_commit_one_write_unit() {
    block_on(async {
        let world = World::new();
        // Far from the end of an hour, where a look reads two hours.
        let minutes = world.now().as_seconds() / 60 % 60;
        world.wait(Duration::from_mins(60 - minutes.unsigned_abs()) + Duration::from_mins(20));
        for deal in 0..200 {
            world.put_after(Duration::ZERO, Duration::ZERO, item(deal, world.now()));
        }
        world.wait(Duration::from_mins(2));
        let mut actor = Actor::new(&world);
        actor.open().await;
        let opened = world.units();
        let taken = actor.take(usize::MAX, 25).await.len();
        let consumed = world.units();
        world.wait(Duration::from_secs(5));
        actor.look_at_the_clock().await;
        world.units();
        actor.cursor.as_mut().unwrap().next().await.unwrap();
        actor.cursor.as_mut().unwrap().commit().await.unwrap();
        let idle = world.units();
        println!("opened {opened:?}, {taken} events {consumed:?}, a look {idle:?}");
        assert_eq!(
            idle,
            Units {
                read: 8.0,
                write: 1.0
            }
        );
        assert_eq!(taken, 200);
        assert!((200.0..=230.0).contains(&consumed.read), "{consumed:?}");
        assert!((8.0..=10.0).contains(&consumed.write), "{consumed:?}");
    });
}

#[test]
fn a_process_that_was_frozen_does_not_overwrite_what_others_released() {
    block_on(async {
        let world = World::new();
        for deal in 0..5 {
            world.put_after(Duration::ZERO, Duration::ZERO, item(deal, world.now()));
        }
        world.wait(Duration::from_mins(2));
        let mut frozen = Actor::new(&world);
        frozen.open().await;
        assert_eq!(frozen.take(1, 5).await.len(), 1);
        world.wait(LEASE + Duration::from_secs(2));
        let mut other = Actor::new(&world);
        other.open().await;
        assert_eq!(other.take(usize::MAX, 5).await.len(), 5);
        let released = other.cursor.unwrap().close().await.unwrap();
        let closed = frozen.cursor.unwrap().close().await;
        assert_eq!(closed, Err(ConsumerError::Lost));
        let stored = Process::new(&world).table().consumer(NAME).await;
        assert_eq!(stored.unwrap(), Some(released));
    });
}

#[test]
fn an_event_that_a_replay_moves_meanwhile_is_delivered_and_not_twice() {
    block_on(async {
        let world = World::new();
        for deal in 0..20 {
            world.put_after(Duration::ZERO, Duration::ZERO, item(deal, world.now()));
            world.wait(Duration::from_millis(1));
        }
        world.wait(Duration::from_mins(2));
        let mut actor = Actor::new(&world);
        actor.open().await;
        let mut taken = actor.take(1, 5).await;
        // The first one was delivered, the last one only has its key in a page that was read.
        let table = Process::new(&world).table();
        for deal in [0, 19] {
            let pk = format!("pipedrive/7#deal/{deal}");
            let old = table.latest(&pk).await.unwrap().unwrap();
            let moved = altered(&old.record, |event| event.subject = format!("moved/{deal}"));
            table.put_moved(moved, &old).await.unwrap();
            table.remove(&old.key).await.unwrap();
        }
        for _ in 0..3 {
            taken.extend(actor.take(usize::MAX, 5).await);
            world.wait(Duration::from_secs(61));
        }
        let moved = taken.iter().filter(|taken| taken.pk.contains("moved"));
        let moved: Vec<_> = moved.map(|moved| &*moved.pk).collect();
        assert_eq!((taken.len(), moved), (20, vec!["pipedrive/7#moved/19"]));
        // Neither is there a difference for the next process.
        actor.cursor.unwrap().close().await.unwrap();
        let mut next = Actor::new(&world);
        next.open().await;
        assert_eq!(next.take(usize::MAX, 5).await.len(), 0);
    });
}
