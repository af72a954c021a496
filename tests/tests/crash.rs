//! Runs `kill -9` on the real binaries at random moments: deliveries answered 2xx are stored.

use fastrand::Rng;
use models::Record;
use std::time::{Duration, Instant};
use testkit::{
    deployment::Deployment,
    proxy::Fault,
    request::{Request, event},
    runtime_api::{Answer, Function, binary},
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
    let started = Instant::now();
    let mut random = Rng::with_seed(SEED);
    for provider in providers::ALL {
        let deployment = Deployment::start(provider).await;
        let binary = binary(provider.name);
        let mut function = Function::spawn(binary, &deployment.environment()).await;
        let mut answered = Vec::new();
        let mut killed = 0;
        for number in 0..DELIVERIES {
            if number == DELIVERIES / 2 {
                deployment.table_proxy.set(Fault::Refused).await;
            }
            let body = event(provider.name, number);
            let request = Request::post_bytes(provider.name, body.as_bytes());
            if random.u64(..KILLED) == 0 {
                let after = Duration::from_micros(random.u64(..LONGEST_WAIT_MICROS));
                tokio::spawn(kill(function.pid().unwrap(), after));
            }
            match function.invoke(request).await {
                Answer::Ended(_) => {
                    killed += 1;
                    function = Function::spawn(binary, &deployment.environment()).await;
                }
                answer => {
                    assert_eq!(answer.status(), 200, "{answer:?}");
                    answered.push(body);
                }
            }
        }
        deployment.table_proxy.set(Fault::None).await;
        deployment.drain().await;
        let records = deployment.site.table.records().await.unwrap();
        let stored = deployment.site.deliveries().await;
        let is_lost = |body: &&String| !stored.iter().any(|stored| stored == body.as_bytes());
        let lost = answered.iter().filter(is_lost).count();
        println!(
            "{}: killed {killed} times, {} answered 2xx, {lost} lost",
            provider.name,
            answered.len()
        );
        assert_eq!(lost, 0, "{} of seed {SEED}", provider.name);
        assert!(records.iter().all(Record::is_event));
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
