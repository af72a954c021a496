//! One process at a time changes the state of an account.

use models::Timestamp;
use std::time::Duration;
use storage::{
    Guardian,
    guardian::{Gap, GuardError, KnownWebhook, LEASE, Rotation, Step},
};
use testkit::world::{Crash, Process, World, item};

const ACCOUNT: &str = "pipedrive/7";

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

#[tokio::test]
async fn of_two_processes_one_holds_an_account() {
    let world = World::new();
    let [first, second] = [0, 1].map(|_| Process::new(&world).table());
    let guard = first.guard(ACCOUNT).await.unwrap();
    let until = guard.state.lease.leaseuntil;
    assert_eq!(
        second.guard(ACCOUNT).await.unwrap_err(),
        GuardError::Held(until)
    );
    guard.release().await.unwrap();
    assert!(second.guard(ACCOUNT).await.is_ok());
}

#[tokio::test]
async fn a_process_that_lost_an_account_changes_nothing() {
    let world = World::new();
    let [first, second] = [0, 1].map(|_| Process::new(&world).table());
    let mut slow = first.guard(ACCOUNT).await.unwrap();
    world.wait(LEASE + Duration::from_secs(1));
    // A response tells the second process the time.
    second.guardian(ACCOUNT).await.unwrap();
    let mut fast = second.guard(ACCOUNT).await.unwrap();
    slow.state.finding = "missing".to_owned();
    assert_eq!(slow.save().await, Err(GuardError::Lost));
    fast.save().await.unwrap();
    let saved = second.guardian(ACCOUNT).await.unwrap().unwrap();
    assert_eq!(saved.finding, "ok");
    assert_eq!(slow.delete().await, Err(GuardError::Lost));
}

#[tokio::test]
async fn a_save_whose_response_is_lost_is_the_process_s_own() {
    for after in 1..8 {
        let world = World::new();
        let process = Process::new(&world);
        let table = process.table();
        let mut guard = table.guard(ACCOUNT).await.unwrap();
        process.crash(Crash {
            after,
            is_last_executed: true,
        });
        guard.state.finding = "dead".to_owned();
        while guard.save().await.is_ok() {}
        let saved = Process::new(&world).table().guardian(ACCOUNT).await;
        assert_eq!(saved.unwrap().unwrap().finding, "dead", "{after}");
    }
}

#[tokio::test]
async fn all_accounts_are_listed_until_they_are_deleted() {
    let world = World::new();
    let table = Process::new(&world).table();
    for account in ["pipedrive/8", "amocrm/31", "pipedrive/7"] {
        table.guard(account).await.unwrap().release().await.unwrap();
    }
    let accounts = async || -> Vec<String> {
        let guardians = table.guardians().await.unwrap().into_iter();
        guardians.map(|guardian| guardian.account).collect()
    };
    assert_eq!(
        accounts().await,
        ["amocrm/31", "pipedrive/7", "pipedrive/8"]
    );
    let guard = table.guard("pipedrive/7").await.unwrap();
    guard.delete().await.unwrap();
    assert_eq!(accounts().await, ["amocrm/31", "pipedrive/8"]);
}

#[tokio::test]
async fn every_member_of_a_state_is_read_as_it_was_written() {
    let world = World::new();
    let table = Process::new(&world).table();
    let mut guard = table.guard(ACCOUNT).await.unwrap();
    let now = Timestamp::parse("2026-11-21T10:00:00Z").unwrap();
    let full = Guardian {
        webhooks: vec![KnownWebhook {
            id: 42,
            user: Some("hookkeeper".to_owned()),
            dead: Some("inactive".to_owned()),
            delivered: Some(now),
            status: Some(503),
        }],
        refused: ["add_talk".to_owned()].into(),
        rotating: Some(Rotation {
            at: now.after(minutes(1)),
            replaced: vec![7],
            label: Some("new".to_owned()),
            oldlabel: Some("old".to_owned()),
            ..Rotation::new(Step::Created, now)
        }),
        gaps: vec![Gap {
            from: now,
            until: now.after(minutes(1)),
            reason: "missing".to_owned(),
        }],
        created: vec![now],
        listed: Some(now),
        alive: Some(now),
        finding: "dead".to_owned(),
        reason: Some("limit".to_owned()),
        since: Some(now),
        ..guard.state.clone()
    };
    guard.state = full.clone();
    let saved = guard.release().await.unwrap();
    let read = table.guardian(ACCOUNT).await.unwrap().unwrap();
    assert_eq!(read, saved);
    let lease = saved.lease;
    assert_eq!(read, Guardian { lease, ..full });
}

#[tokio::test]
async fn the_last_event_of_a_source_is_found() {
    let world = World::new();
    let start = world.now();
    let table = Process::new(&world).table();
    world.put_after(minutes(0), minutes(0), item(1, start));
    world.put_after(minutes(0), minutes(0), item(2, start.after(minutes(90))));
    world.wait(minutes(600));
    table.guardians().await.unwrap();
    let source = ACCOUNT;
    let last = table.last_recorded(source, start).await.unwrap();
    assert_eq!(last, Some(start.after(minutes(90))));
    let since = start.after(minutes(120));
    assert_eq!(table.last_recorded(source, since).await, Ok(None));
    assert_eq!(table.last_recorded("pipedrive", start).await, Ok(None));
}
