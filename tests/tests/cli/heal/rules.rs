//! The rules that keep healing from storing twice, and from storing what nobody wants.

use super::{Scene, ago, counts, pipedrive};
use storage::{Erased, budget::now};
use testkit::{
    api::{PipedriveApi, pipedrive::ObjectKind},
    live_stack::LiveStack,
    site::quarantined,
};
use tokio::task::block_in_place;

/// A company with a deal that was created, and of which no webhook told.
async fn with_deal(minutes: u64) -> Scene<PipedriveApi> {
    let scene = Scene::start("pipedrive", PipedriveApi::new("t0ken")).await;
    scene
        .server
        .api()
        .objects
        .create(ObjectKind::Deal, ago(minutes));
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_may_still_arrive_is_waited_for() {
    let scene = with_deal(3).await;
    let (status, lines) = scene.heal(&["--since", "1h"]);
    assert_eq!((status, counts(&lines)["changes"]), (0, 0));
    let (_, lines) = scene.heal(&["--since", "1h", "--horizon", "1m"]);
    assert_eq!(counts(&lines)["missing"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_in_which_nothing_can_be_missing_is_a_usage_error() {
    let scene = with_deal(3).await;
    let output = scene.output(&["--since", "2m"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("5 minutes after them at the earliest"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_back_while_deliveries_of_that_time_are_quarantined() {
    let scene = with_deal(30).await;
    let mut record = quarantined(&testkit::provider("pipedrive"), "{");
    if let models::Record::Quarantined { origin, .. } = &mut record {
        origin.arrival = models::Timestamp::from_unix(ago(20));
    }
    scene.site.put(&[record.clone()], None).await;
    let output = scene.output(&["--since", "1h"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("replay or drop them"), "{stderr}");
    assert!(scene.events().await.is_empty());
    scene
        .site
        .table
        .remove(&storage::Key::from_record(&record))
        .await
        .unwrap();
    assert_eq!(scene.heal(&["--since", "1h"]).1.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_before_the_registration_is_read_back() {
    let scene = with_deal(30).await;
    let mut guard = scene.site.table.guard("pipedrive/5155039").await.unwrap();
    guard.state.registered = models::Timestamp::from_unix(ago(20));
    guard.release().await.unwrap();
    scene
        .server
        .api()
        .objects
        .create(ObjectKind::Person, ago(10));
    let output = scene.output(&["--since", "1h"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("that is before the registration"),
        "{stderr}"
    );
    let events = scene.events().await;
    let subjects: Vec<&str> = events.iter().map(|event| &*event.subject).collect();
    assert_eq!(subjects, ["person/1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_subject_does_not_come_back() {
    let scene = pipedrive().await;
    let erased = Erased::Subject {
        source: Some("pipedrive/5155039"),
        subject: "person/2",
    };
    let pk = "pipedrive/5155039#person/2";
    let table = &scene.site.table;
    let since = models::Timestamp::from_unix(ago(600));
    for event in table.events_between(pk, since, None).await.unwrap() {
        let key = storage::EventKey {
            source: event.source,
            subject: event.subject,
            time: event.time,
            id: event.id.to_string(),
        };
        table.remove(&storage::Key::from(&key)).await.unwrap();
    }
    table.put_erasure(&erased).await.unwrap();
    assert!(now() > since);
    let (status, lines) = scene.heal(&["--since", "3h"]);
    assert_eq!((status, counts(&lines)["erased"]), (0, 1));
    assert!(
        table
            .events_between(pk, since, None)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_is_told_before_anything_is_read() {
    let scene = with_deal(30).await;
    let output = scene.output(&["--since", "1h"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("at least 160 tokens of 30000 or more in a day"),
        "{stderr}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_back_while_messages_wait() {
    let scene = with_deal(30).await;
    let stack = LiveStack::start(&[]).await;
    let heal = || {
        let url = scene.server.url();
        let arguments = ["heal", "pipedrive", "--since", "1h", "--api-url", &url];
        let mut command = stack.command(&arguments);
        command.env("PIPEDRIVE_API_TOKEN", "t0ken");
        let output = block_in_place(|| command.output().unwrap());
        let stderr = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), stderr)
    };
    stack.state().waiting = 3;
    let (status, stderr) = heal();
    assert_eq!(status, 1, "{stderr}");
    assert!(stderr.contains("3 messages wait"), "{stderr}");
    assert!(stack.site.stored().await.is_empty());
    stack.state().waiting = 0;
    assert_eq!(heal().0, 0);
    assert_eq!(stack.site.stored().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_back_that_would_be_expired() {
    let scene = with_deal(30 * 60).await;
    let recent = scene.server.api().objects.create(ObjectKind::Deal, ago(30));
    let stack = LiveStack::start(&[("RetentionDays", "1")]).await;
    let url = scene.server.url();
    let arguments = ["heal", "pipedrive", "--since", "3d", "--api-url", &url];
    let mut command = stack.command(&arguments);
    command.env("PIPEDRIVE_API_TOKEN", "t0ken");
    let output = block_in_place(|| command.output().unwrap());
    assert!(output.status.success(), "{output:?}");
    let stored = stack.site.stored().await;
    assert_eq!(stored.len(), 1);
    assert!(stored[0].key.pk.ends_with(&recent.to_string()));
}
