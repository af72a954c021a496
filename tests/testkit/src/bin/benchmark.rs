//! `cargo benchmark` compares a receiver with an empty function, with a function that only puts an
//! item, and with the same task in other languages. All of them are measured the same way, in
//! turns, in one run.

use clap::Parser;
use serde::Serialize;
use std::{fs, path::PathBuf, process::ExitCode, time::Duration};
use testkit::{
    benchmark::{Calls, Cold, Endpoint, Share, Store, Subject, Warm, build, cold, median, sized},
    deal,
    deployment::delivery,
    request::event,
};

/// Measures cold starts, warm calls, memory and sizes of the receivers as they are shipped.
#[derive(Parser)]
struct Args {
    /// Only our receivers and the two floors, at full speed, and fewer times
    #[arg(long)]
    quick: bool,
    /// Fails when a receiver costs more than so much of a floor: for CI, with slack for a busy machine
    #[arg(long)]
    check: bool,
    /// Writes the rows as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A binary to measure too, which takes Pipedrive's events; or, under a receiver's name, in place of building that one
    #[arg(long, value_name = "NAME=PATH", value_parser = binary)]
    binary: Vec<(String, PathBuf)>,
}

fn binary(argument: &str) -> Result<(String, PathBuf), String> {
    let (name, path) = argument.split_once('=').ok_or("it is not NAME=PATH")?;
    let path = PathBuf::from(path);
    if path.is_file() {
        Ok((name.to_owned(), path))
    } else {
        Err(format!("{} is no file", path.display()))
    }
}

/// Figures of a subject.
#[derive(Debug, Clone, Serialize)]
struct Row {
    name: String,
    endpoint: Endpoint,
    cpu_share_mb: u32,
    /// From the spawn to the first response, with Init at full speed.
    cold_ms: f64,
    /// From the first event to its response, which is a part of `cold_ms`.
    handler_ms: f64,
    warm_p50_ms: f64,
    warm_p99_ms: f64,
    cpu_ms: f64,
    rss_mib: f64,
    zip_bytes: u64,
}

#[derive(Serialize)]
struct Report {
    rows: Vec<Row>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), String> {
    eprintln!("Building what is measured.");
    let subjects = build(!args.quick, &args.binary)?;
    let mut shares = vec![Share::FULL];
    if !args.quick && Share::is_permitted() {
        shares.extend([128, 256, 512].map(|mb| Share { mb }));
    } else if !args.quick {
        eprintln!(
            "This machine lets us make no control groups: the shares of a processor are left out."
        );
    }
    let mut rows = Vec::new();
    for endpoint in [Endpoint::Http, Endpoint::Tls] {
        for share in &shares {
            eprintln!(
                "Measuring over {endpoint:?} with the share of {} MB.",
                share.mb
            );
            rows.extend(measure(&subjects, endpoint, *share, args.quick).await);
        }
    }
    print(&rows);
    if !args.quick {
        print_sizes(&subjects).await;
    }
    if let Some(path) = &args.json {
        let report = serde_json::to_string_pretty(&Report { rows: rows.clone() })
            .map_err(|error| error.to_string())?;
        fs::write(path, report)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    if args.check { check(&rows) } else { Ok(()) }
}

async fn measure(subjects: &[Subject], endpoint: Endpoint, share: Share, quick: bool) -> Vec<Row> {
    let (colds, warms) = match (quick, share == Share::FULL) {
        (true, _) => (15, 300),
        (false, true) => (40, 2_000),
        (false, false) => (30, 500),
    };
    let starts = cold_starts(subjects, endpoint, share, colds).await;
    let calls = warm_calls(subjects, endpoint, share, warms).await;
    let rows = subjects.iter().zip(starts).zip(calls);
    rows.map(|((subject, starts), calls)| Row {
        name: subject.name.clone(),
        endpoint,
        cpu_share_mb: share.mb,
        cold_ms: millis(median(starts.iter().map(|cold| cold.whole).collect())),
        handler_ms: millis(median(starts.iter().map(|cold| cold.handler).collect())),
        warm_p50_ms: millis(calls.p50),
        warm_p99_ms: millis(calls.p99),
        cpu_ms: millis(calls.cpu),
        #[expect(clippy::cast_precision_loss, reason = "it is shown with one decimal")]
        rss_mib: calls.peak_memory as f64 / f64::from(1 << 20),
        zip_bytes: subject.zip_bytes,
    })
    .collect()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A number of cold starts of each subject. Each turn has another order, because a start after a
/// slow one is slower.
async fn cold_starts(
    subjects: &[Subject],
    endpoint: Endpoint,
    share: Share,
    turns: u32,
) -> Vec<Vec<Cold>> {
    eprintln!("  {turns} cold starts of each");
    let store = Store::start().await;
    let mut random = fastrand::Rng::with_seed(1);
    let mut order: Vec<_> = (0..subjects.len()).collect();
    let mut starts = vec![Vec::new(); subjects.len()];
    for turn in 0..=turns {
        random.shuffle(&mut order);
        for &index in &order {
            let number = u32::try_from(index).unwrap_or_default() * 100_000 + turn;
            let cold = cold(&subjects[index], &store, endpoint, share, number).await;
            // The first start reads the binary from the disk.
            if turn > 0 {
                starts[index].push(cold);
            }
        }
    }
    starts
}

/// A number of warm calls of each subject, a hundred at a time.
async fn warm_calls(
    subjects: &[Subject],
    endpoint: Endpoint,
    share: Share,
    calls: u32,
) -> Vec<Calls> {
    eprintln!("  {calls} warm calls of each");
    let mut warm = Vec::new();
    for subject in subjects {
        warm.push(Warm::start(subject, endpoint, share).await);
    }
    for _ in 0..calls / 100 {
        for warm in &mut warm {
            warm.call(100).await;
        }
    }
    warm.into_iter().map(Warm::cost).collect()
}

fn print(rows: &[Row]) {
    println!(
        "| | endpoint | share of | cold | × hello | first handler | warm p50 | p99 | CPU a call | × put | peak memory | × put | zip |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let hello = floor(rows, row, "hello");
        let put = floor(rows, row, "put");
        println!(
            "| {} | {} | {} MB | {:.2} ms | {:.2} | {:.2} ms | {:.2} ms | {:.2} ms | {:.3} ms | {:.2} | {:.1} MiB | {:.2} | {:.2} MB |",
            row.name,
            format!("{:?}", row.endpoint).to_lowercase(),
            row.cpu_share_mb,
            row.cold_ms,
            row.cold_ms / hello.cold_ms,
            row.handler_ms,
            row.warm_p50_ms,
            row.warm_p99_ms,
            row.cpu_ms,
            row.cpu_ms / put.cpu_ms,
            row.rss_mib,
            row.rss_mib / put.rss_mib,
            f64::from(u32::try_from(row.zip_bytes).unwrap_or(u32::MAX)) / 1e6,
        );
    }
}

/// The cost of large bodies, and of deliveries with several events.
async fn print_sizes(subjects: &[Subject]) {
    let mut sizes = Vec::new();
    for (what, bytes) in [
        ("pipedrive, a deal of 1 KB", 1_000),
        ("pipedrive, a deal of 7 KB", 7_000),
        ("pipedrive, a deal of 28 KB", 28_000),
    ] {
        let deal = deal::of_size(bytes);
        let body = |number: u32| {
            deal.replace(
                deal::EVENT_ID,
                &format!("{number:08x}{}", &deal::EVENT_ID[8..]),
            )
        };
        sizes.push((what, sized(find(subjects, "pipedrive"), 20, body).await));
    }
    for kilobytes in [1, 10, 100, 300, 1_000, 5_000] {
        let text = words(kilobytes * 1_000);
        let body = |number| {
            event("pipedrive", number).replacen(
                "\"data\":{",
                &format!("\"data\":{{\"note\":\"{text}\","),
                1,
            )
        };
        sizes.push((
            "pipedrive, one event",
            sized(find(subjects, "pipedrive"), 20, body).await,
        ));
    }
    for (what, events) in [
        ("amocrm, 1 event", 1),
        ("amocrm, 10 events", 10),
        ("amocrm, 100 events", 100),
    ] {
        let body = |number| delivery(&providers::AMOCRM, number, events);
        sizes.push((what, sized(find(subjects, "amocrm"), 20, body).await));
    }
    println!("\n| delivery | body | latency, p50 | peak memory |\n|---|--:|--:|--:|");
    for (what, size) in sizes {
        let p50 = millis(size.p50);
        let memory = size.peak_memory >> 20;
        println!(
            "| {what} | {} bytes | {p50:.1} ms | {memory} MiB |",
            size.bytes
        );
    }
}

fn find<'a>(subjects: &'a [Subject], name: &str) -> &'a Subject {
    let mut subjects = subjects.iter();
    let found = subjects.find(|subject| subject.name == name);
    found.expect("a receiver is always measured")
}

/// Text of about this length, which compresses like prose.
fn words(bytes: usize) -> String {
    const WORDS: [&str; 8] = [
        "deal",
        "pipeline",
        "stage",
        "owner",
        "amount",
        "expected",
        "person",
        "organization",
    ];
    let mut random = fastrand::Rng::with_seed(1);
    let mut text = String::with_capacity(bytes + 16);
    while text.len() < bytes {
        text += random.choice(WORDS).unwrap_or_default();
        text += &random.u32(0..10_000).to_string();
        text.push(' ');
    }
    text
}

/// The row of another subject, measured under the same conditions.
fn floor<'a>(rows: &'a [Row], row: &Row, name: &str) -> &'a Row {
    let conditions = (name, row.endpoint, row.cpu_share_mb);
    let mut rows = rows.iter();
    let found = rows.find(|row| (&*row.name, row.endpoint, row.cpu_share_mb) == conditions);
    found.expect("a floor is always measured")
}

/// Compares the receivers with the targets. The slack is for a busy machine and an unoptimized
/// harness.
fn check(rows: &[Row]) -> Result<(), String> {
    let mut wrong = Vec::new();
    let receivers = providers::ALL.map(|provider| provider.name);
    for row in rows {
        let is_compared = row.endpoint == Endpoint::Http && row.cpu_share_mb == Share::FULL.mb;
        if !is_compared || !receivers.contains(&&*row.name) {
            continue;
        }
        let hello = floor(rows, row, "hello");
        let put = floor(rows, row, "put");
        let measured = [
            ("the cold start", row.cold_ms / hello.cold_ms, 2.0, 2.0),
            (
                "the processor time of a call",
                row.cpu_ms / put.cpu_ms,
                1.25,
                2.0,
            ),
            ("the peak memory", row.rss_mib / put.rss_mib, 1.25, 1.2),
        ];
        for (what, ratio, target, slack) in measured {
            if ratio > target * slack {
                wrong.push(format!(
                    "{what} of {} is {ratio:.2} times the floor's, and not {target}",
                    row.name
                ));
            }
        }
        if row.zip_bytes > 3_000_000 {
            wrong.push(format!(
                "{} is {} bytes as a zip, more than 3 MB",
                row.name, row.zip_bytes
            ));
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(wrong.join("; "))
    }
}
