//! Measures CPU time, memory and time of the relay: the figures of `docs/performance.md`.
//!
//! `cargo run --example relay_usage -- .aws-sam/build/RelayFunction/bootstrap`

use models::Record;
use providers::PIPEDRIVE;
use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};
use storage::schema::Item;
use testkit::{
    benchmark::{cpu_time, median},
    deal,
    event_bridge::EventBridge,
    runtime_api::{Answer, Environment, Function},
    site::{altered, encoded, records},
    stream::batch,
};

const EVENTS: usize = 10_000;

#[tokio::main]
async fn main() {
    let binary = env::args().nth(1).expect("the path of the relay's binary");
    println!("| event | in a batch | CPU of 1,000 events | a batch, p50 | peak memory |");
    println!("|--:|--:|--:|--:|--:|");
    for size in [2_000, 28_000, 100_000] {
        for in_batch in [1, 10, 100] {
            // Lambda passes 6 MB at most.
            if size * in_batch < 6_000_000 {
                measure(Path::new(&binary), size, in_batch).await;
            }
        }
    }
}

async fn measure(binary: &Path, size: usize, in_batch: usize) {
    let bridge = EventBridge::start().await;
    let environment = Environment::of("relay", "http://127.0.0.1:1")
        .with("AWS_ENDPOINT_URL_EVENTBRIDGE", bridge.endpoint())
        .with("HOOKKEEPER_BUS", "crm")
        .with(
            "HOOKKEEPER_RELAY_DEAD_LETTER_QUEUE_URL",
            "http://127.0.0.1:1/1/dead",
        );
    let mut function = Function::spawn(binary, &environment).await;
    let items: Vec<Item> = (0..in_batch).map(|number| item(size, number)).collect();
    let batch = batch(&items);
    function.invoke(batch.clone()).await;
    let pid = function.pid().expect("it runs");
    let before = cpu_time(pid);
    let mut durations: Vec<Duration> = Vec::new();
    for _ in 0..EVENTS / in_batch {
        let started = Instant::now();
        let answer = function.invoke(batch.clone()).await;
        durations.push(started.elapsed());
        let Answer::Response(response) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(response["batchItemFailures"], serde_json::json!([]));
    }
    let events = u32::try_from(EVENTS / 1_000).expect("a few thousand");
    let cpu = (cpu_time(pid) - before) / events;
    println!(
        "| {size} bytes | {in_batch} | {} ms | {:.1} ms | {} MiB |",
        cpu.as_millis(),
        median(durations).as_secs_f64() * 1_000.0,
        function.peak_memory() / 1_048_576,
    );
}

/// The item of a deal of this size.
fn item(size: usize, number: usize) -> Item {
    let record: Record = records(&PIPEDRIVE, &deal::of_size(size)).remove(0);
    let record = altered(&record, |event| event.subject = format!("deal/{number}"));
    encoded(&record).pop().expect("the item of an event")
}
