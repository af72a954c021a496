//! Runs `kill -9` on the real binaries at random moments: deliveries answered 2xx are stored.

use models::Record;
use std::time::{Duration, Instant};
use testkit::{
    kept::bodies,
    proxy::Fault,
    request::{Request, event},
    runtime_api::{Answer, Function, binary},
    world::World,
};
use tokio::{process::Command, time::sleep};

/// Deliveries of each provider. The table refuses connections during the second half.
const DELIVERIES: u32 = 100;
/// One delivery in this number kills its function.
const KILLED: u64 = 6;
/// Longer than most deliveries take.
const LONGEST_WAIT_MICROS: u64 = 12_000;
/// Seed of the random numbers.
const SEED: u64 = 20_261_121;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_answered_2xx_survive_a_killed_process() {
    let (started, mut random) = (Instant::now(), Random(SEED));
    for provider in providers::ALL {
        let (world, binary) = (World::of(provider).await, binary(provider.name));
        let mut function = Function::spawn(binary, &world.environment()).await;
        let (mut answered, mut killed) = (Vec::new(), 0);
        for number in 0..DELIVERIES {
            if number == DELIVERIES / 2 {
                world.table.set(Fault::Refused).await;
            }
            let body = event(provider.name, number);
            let request = Request::post_bytes(provider.name, body.as_bytes());
            if random.below(KILLED) == 0 {
                tokio::spawn(kill(
                    function.pid().unwrap(),
                    Duration::from_micros(random.below(LONGEST_WAIT_MICROS)),
                ));
            }
            match function.invoke(request).await {
                Answer::Ended(_) => {
                    killed += 1;
                    function = Function::spawn(binary, &world.environment()).await;
                }
                answer => {
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    answered.push(body);
                }
            }
        }
        world.table.set(Fault::None).await;
        world.drain().await;
        let (records, kept) = (
            world.kept.records().await.unwrap(),
            bodies(&world.kept).await,
        );
        let lost = answered
            .iter()
            .filter(|body| !kept.iter().any(|kept| kept == body.as_bytes()))
            .count();
        println!(
            "{}: killed {killed} times, {} answered 2xx, {lost} lost",
            provider.name,
            answered.len()
        );
        assert_eq!(lost, 0, "{} of seed {SEED}", provider.name);
        assert!(
            records
                .iter()
                .all(|record| matches!(record, Record::Event { .. }))
        );
        assert!(
            killed > 0 && answered.len() > DELIVERIES as usize / 2,
            "{killed} kills of {}",
            provider.name
        );
    }
    assert!(
        started.elapsed() < Duration::from_secs(30),
        "{:?}",
        started.elapsed()
    );
}

async fn kill(process: u32, after: Duration) {
    sleep(after).await;
    // The process may have ended already: not an error.
    Command::new("kill")
        .args(["-9", &process.to_string()])
        .status()
        .await
        .unwrap();
}

/// A linear congruential generator: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
