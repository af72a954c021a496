//! Delivery guarantees under faults, over real sockets in real time: deliveries answered 2xx are
//! stored, and deliveries that can be stored are answered 2xx in time.

use futures_util::{StreamExt, stream};
use providers::Provider;
use std::{
    collections::BTreeMap,
    fmt::Write,
    time::{Duration, Instant},
};
use storage::budget::{ATTEMPT, ATTEMPTS, QUEUE_FIRST, TIME_BUDGET};
use testkit::{
    deployment::{Deployment, Place, delivery},
    proxy::Fault,
    request::event,
};
use tokio::sync::Mutex;

/// Longest allowed latency of a delivery: both time budgets, and the computation of a test build.
/// It is shorter than the timeout of any provider.
const LONGEST: Duration = Duration::from_millis(1_800);
/// Longest latency of a response that does not wait for a hanging store.
const AT_ONCE: Duration = Duration::from_millis(200);
/// Held by each test, so that no test disturbs the measurement of another one.
static ALONE: Mutex<()> = Mutex::const_new(());

/// Shapes of deliveries, and the number of deployments that run at the same time. A delivery of one
/// event waits more than it computes.
fn shapes() -> [(Vec<(Provider, u32)>, usize); 2] {
    [
        (providers::ALL.map(|provider| (provider, 1)).to_vec(), 4),
        (vec![(providers::AMOCRM, 20)], 1),
    ]
}

/// Result of a deployment under a fault.
#[derive(Debug)]
struct Cell {
    status: i64,
    slowest: Duration,
    sent: usize,
    kept: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_answered_2xx_are_stored_and_storable_ones_are_answered_2xx() {
    let _alone = ALONE.lock().await;
    let mut matrix = BTreeMap::<(usize, Place), Vec<Cell>>::new();
    for (shapes, concurrent) in shapes() {
        let cases = Fault::OF_STORE
            .into_iter()
            .enumerate()
            .flat_map(|(row, fault)| {
                let places = [Place::Table, Place::FallbackQueue, Place::Both].into_iter();
                places
                    .flat_map(|place| shapes.iter().map(move |shape| (row, fault, place, *shape)))
                    .collect::<Vec<_>>()
            });
        let cells = stream::iter(cases).map(|(row, fault, place, (provider, events))| async move {
            let cell = tokio::spawn(broken(fault, place, provider, events));
            ((row, place), cell.await.unwrap())
        });
        for (key, cell) in cells.buffer_unordered(concurrent).collect::<Vec<_>>().await {
            matrix.entry(key).or_default().push(cell);
        }
    }
    print(&matrix);
}

/// Sends deliveries before, during and after a fault. A delivery that is not answered 2xx is sent
/// again, as providers do.
async fn broken(fault: Fault, place: Place, provider: Provider, events: u32) -> Cell {
    let deployment = Deployment::start(provider).await;
    let case = format!("{fault:?} of {place:?}, {events} of {}", provider.name);
    let deliveries = [0, 1, 2].map(|number| delivery(&provider, number, events));
    let [before, during, next] = &deliveries;

    assert_eq!(deployment.send(before).await.status, 200, "{case}");
    deployment.set(place, fault).await;
    let first = deployment.send(during).await;
    let tried = deployment.table_proxy.requests();
    let answers = [
        first,
        deployment.send(during).await,
        deployment.send(next).await,
    ];
    let expected = if place == Place::Both { 503 } else { 200 };
    for answer in answers {
        assert_eq!(answer.status, expected, "{case}");
        assert!(
            answer.after <= LONGEST && answer.after <= provider.timeout,
            "{case}: {answer:?}"
        );
    }
    if place == Place::Table {
        let at_once = answers[1..]
            .iter()
            .all(|answer| answer.after <= AT_ONCE * events.div_ceil(10));
        assert!(
            at_once && deployment.table_proxy.requests() == tried,
            "{case}: {answers:?}"
        );
    }

    deployment.set(place, Fault::None).await;
    if expected != 200 {
        for body in [during, next] {
            assert_eq!(deployment.send(body).await.status, 200, "{case}");
        }
    }
    deployment.drain().await;
    let events = events as usize * deliveries.len();
    deployment.assert_stored(&deliveries, events).await;
    Cell {
        status: expected,
        slowest: answers
            .map(|answer| answer.after)
            .into_iter()
            .max()
            .unwrap_or_default(),
        sent: events,
        kept: events,
    }
}

/// Prints the matrix as the table in `docs/reliability.md`.
fn print(matrix: &BTreeMap<(usize, Place), Vec<Cell>>) {
    let mut table =
        "| fault | of the table | of the queue | of both |\n|---|---|---|---|\n".to_owned();
    for (row, fault) in Fault::OF_STORE.into_iter().enumerate() {
        write!(table, "| {} ", name(fault)).unwrap();
        for place in [Place::Table, Place::FallbackQueue, Place::Both] {
            let cells = &matrix[&(row, place)];
            let slowest = cells.iter().map(|cell| cell.slowest).max();
            let slowest = slowest.unwrap_or_default().as_millis();
            let kept: usize = cells.iter().map(|cell| cell.kept).sum();
            let sent: usize = cells.iter().map(|cell| cell.sent).sum();
            write!(
                table,
                "| {} in {slowest} ms, {kept}/{sent} kept ",
                cells[0].status
            )
            .unwrap();
        }
        table.push_str("|\n");
    }
    println!("{table}");
}

fn name(fault: Fault) -> &'static str {
    match fault {
        Fault::None => "none",
        Fault::Throttling => "throttling",
        Fault::InternalError => "500",
        Fault::Hang => "hang",
        Fault::Refused => "refused connection",
        Fault::Trickle => "slow trickle",
        Fault::ResetBefore => "reset before it took effect",
        Fault::ResetAfter => "reset after it took effect",
        Fault::NotJson => "body that is not JSON",
        Fault::Silent => "dead connections",
        Fault::Stale => "reset connections",
    }
}

#[tokio::test]
async fn after_a_table_failure_the_fallback_queue_comes_first_for_a_while() {
    let _alone = ALONE.lock().await;
    let deployment = Deployment::start(providers::CLOSER).await;
    deployment.table_proxy.set(Fault::Hang).await;
    let first = deployment.send(&event("closer", 0)).await;
    assert!(first.after >= ATTEMPT * ATTEMPTS, "{first:?}");
    let failed = Instant::now();
    let tried = deployment.table_proxy.requests();
    assert_eq!(tried, ATTEMPTS as usize);

    deployment.table_proxy.set(Fault::None).await;
    let mut sent = 1;
    while deployment.table_proxy.requests() == tried {
        let answer = deployment.send(&event("closer", sent)).await;
        assert!(
            answer.status == 200 && answer.after <= AT_ONCE,
            "{answer:?}"
        );
        sent += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(
            failed.elapsed() < QUEUE_FIRST * 2,
            "the table is not tried again"
        );
    }
    assert!(
        failed.elapsed() + AT_ONCE >= QUEUE_FIRST,
        "{:?}",
        failed.elapsed()
    );
    let queued = deployment.queue.messages().len();
    assert_eq!(queued, sent as usize - 1);
    deployment.drain().await;
    assert_eq!(
        deployment.site.table.records().await.unwrap().len(),
        sent as usize
    );
}

#[tokio::test]
async fn a_half_stored_delivery_is_completed_without_duplicates() {
    let _alone = ALONE.lock().await;
    let deployment = Deployment::start(providers::AMOCRM).await;
    let body = delivery(&deployment.provider, 1, 20);
    for (put, fault) in [
        (1, Fault::Hang),
        (8, Fault::ResetAfter),
        (17, Fault::ResetBefore),
    ] {
        let deployment = Deployment::start(providers::AMOCRM).await;
        deployment.table_proxy.set_after(put, fault).await;
        assert_eq!(deployment.send(&body).await.status, 200);
        let waiting = deployment.queue.messages().len();
        assert!(
            waiting > 0 && waiting < 21,
            "{waiting} of 21 wait after {put} puts"
        );
        deployment.table_proxy.set(Fault::None).await;
        deployment.drain().await;
        deployment
            .assert_stored(std::slice::from_ref(&body), 20)
            .await;
    }
    // Neither store has all of it: the provider sends it again.
    deployment.table_proxy.set_after(8, Fault::Hang).await;
    deployment.queue_proxy.set_after(1, Fault::Hang).await;
    assert_eq!(deployment.send(&body).await.status, 503);
    deployment.set(Place::Both, Fault::None).await;
    assert_eq!(deployment.send(&body).await.status, 200);
    deployment.drain().await;
    deployment.assert_stored(&[body], 20).await;
}

#[tokio::test]
async fn messages_that_fail_within_a_batch_are_sent_again() {
    let _alone = ALONE.lock().await;
    let deployment = Deployment::start(providers::AMOCRM).await;
    let body = delivery(&deployment.provider, 1, 40);
    deployment.table_proxy.set(Fault::Refused).await;
    deployment.queue.fail_one_of(7);
    assert_eq!(deployment.send(&body).await.status, 200);
    deployment.drain().await;
    deployment.assert_stored(&[body], 40).await;
}

#[tokio::test]
async fn dead_connections_after_a_freeze_cost_neither_the_delivery_nor_a_time_budget() {
    let _alone = ALONE.lock().await;
    for (fault, at_most) in [(Fault::Stale, AT_ONCE), (Fault::Silent, TIME_BUDGET)] {
        let deployment = Deployment::start(providers::AMOCRM).await;
        assert_eq!(
            deployment
                .send(&delivery(&deployment.provider, 1, 8))
                .await
                .status,
            200
        );
        deployment.table_proxy.set(fault).await;
        let answer = deployment.send(&event("amocrm", 1)).await;
        assert!(
            answer.status == 200 && answer.after < at_most,
            "{fault:?} of the table's: {answer:?}"
        );
        assert!(
            deployment.queue.messages().is_empty(),
            "{fault:?}: the table's share was not enough"
        );

        let deployment = Deployment::start(providers::AMOCRM).await;
        deployment.table_proxy.set(Fault::Refused).await;
        assert_eq!(
            deployment
                .send(&delivery(&deployment.provider, 1, 80))
                .await
                .status,
            200
        );
        deployment.queue_proxy.set(fault).await;
        let answer = deployment.send(&event("amocrm", 1)).await;
        assert!(
            answer.status == 200 && answer.after < at_most,
            "{fault:?} of the queue's: {answer:?}"
        );
    }
}
