//! Passes over Pipedrive's API.

use crate::scene::{Scene, URL, USER, done};
use guardian::{Action, Finding, MAX_CREATIONS, Target};
use std::time::Duration;
use storage::guardian::{GuardError, LEASE, Rotation, Step};
use testkit::{
    api::{
        PipedriveApi,
        pipedrive::{Look, NewWebhook, Removal},
    },
    world::{Crash, Process},
};

const OK: [(Finding, Action); 1] = [(Finding::Ok, Action::None)];
const LIST: &str = "GET /v1/webhooks";
const CREATE: &str = "POST /v1/webhooks";
const HOUR: Duration = Duration::from_hours(1);

/// The webhook that is wanted.
fn ours() -> NewWebhook {
    NewWebhook {
        name: "Hookkeeper".to_owned(),
        http_auth_user: Some(USER.to_owned()),
        http_auth_password: Some("password".to_owned()),
        ..NewWebhook::all(URL)
    }
}

impl Scene<PipedriveApi> {
    fn add(&self, wanted: NewWebhook) -> u64 {
        let now = self.now();
        self.api().add(wanted, now)
    }

    /// The ids and the parameters of all webhooks that are not removed.
    fn webhooks(&self) -> Vec<(u64, NewWebhook)> {
        let api = self.api();
        let webhooks = api.webhooks.iter();
        let alive = webhooks.filter(|webhook| webhook.removed.is_none());
        alive.map(|hook| (hook.id, hook.wanted.clone())).collect()
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reaches_the_rate_limit_waits() {
    let scene = Scene::pipedrive();
    // Each alone stays within the limit: 20 requests in two seconds.
    let clients = [scene.client(), scene.client(), scene.client()];
    let Target { api, access, .. } = &scene.target;
    for _ in 0..20 {
        for client in &clients {
            let listed = client.send((api.list)(access)).await;
            assert_eq!(listed.unwrap().len(), 0);
        }
    }
    let calls: u32 = clients.iter().map(|client| client.usage().calls).sum();
    assert!(calls > 60, "some requests are sent once more");
}

#[tokio::test(start_paused = true)]
async fn one_alive_webhook_needs_one_request() {
    for look in [Look::Specification, Look::Other] {
        let scene = Scene::pipedrive();
        scene.api().look = look;
        let id = scene.add(ours());
        let report = scene.repair().await;
        assert_eq!(done(&report), OK);
        assert_eq!(scene.requests(), [LIST]);
        assert_eq!((report.usage.calls, report.usage.tokens), (1, 10));
        let state = scene.state().await;
        assert_eq!(state.webhooks.len(), 1);
        assert_eq!(state.webhooks[0].id, id);
        assert_eq!(state.alive, state.listed);
        assert_eq!((&*state.finding, state.since), ("ok", None));
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_webhook_is_created_after_a_second_look() {
    for look in [Look::Specification, Look::Other] {
        let scene = Scene::pipedrive();
        scene.api().look = look;
        let report = scene.repair().await;
        assert_eq!(done(&report), [(Finding::Missing, Action::Created)]);
        assert_eq!(scene.requests(), [LIST, LIST, CREATE, LIST]);
        assert_eq!(scene.webhooks(), [(1, ours())]);
        assert_eq!(done(&scene.repair().await), OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_empty_once_creates_nothing() {
    let scene = Scene::pipedrive();
    scene.add(ours());
    for body in [
        r#"{"success":true,"data":null}"#,
        r#"{"success":true,"data":[]}"#,
    ] {
        scene.respond_with(0, 200, body);
        assert_eq!(done(&scene.repair().await), OK);
        assert_eq!(scene.requests(), [LIST, LIST]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_removed_webhook_is_replaced_whether_it_is_listed_or_not() {
    for removal in [Removal::Vanishes, Removal::StaysInactive] {
        let scene = Scene::pipedrive();
        scene.api().removal = removal;
        let id = scene.add(ours());
        scene.repair().await;
        scene.deliver();
        let now = scene.now();
        scene.api().remove(id, now);
        scene.requests();
        let report = scene.repair().await;
        let (expected, requests) = match removal {
            Removal::Vanishes => (
                vec![(Finding::Missing, Action::Created)],
                vec![LIST, LIST, CREATE, LIST],
            ),
            Removal::StaysInactive => (
                vec![
                    (Finding::Dead, Action::Created),
                    (Finding::Dead, Action::Deleted),
                ],
                vec![LIST, CREATE, LIST, "DELETE /v1/webhooks/1"],
            ),
        };
        assert_eq!(done(&report), expected);
        assert_eq!(scene.requests(), requests);
        assert_eq!(scene.webhooks(), [(2, ours())]);
        assert_eq!(scene.api().webhooks.len(), 1);
        assert_eq!(done(&scene.repair().await), OK);
    }
}

#[tokio::test(start_paused = true)]
async fn of_several_alive_webhooks_the_one_that_delivered_last_stays() {
    let scene = Scene::pipedrive();
    let [first, second, third] = [0; 3].map(|_| scene.add(ours()));
    scene.api().webhook(second).last_delivery = Some((Duration::from_hours(498_670), Some(200)));
    let duplicate = (Finding::Duplicate, Action::Deleted);
    assert_eq!(done(&scene.repair().await), [duplicate; 2]);
    let requests = scene.requests();
    let delete = |id: u64| format!("DELETE /v1/webhooks/{id}");
    assert_eq!(requests, [LIST.to_owned(), delete(first), delete(third)]);
    assert_eq!(scene.webhooks(), [(second, ours())]);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_with_another_user_is_replaced() {
    for user in [Some("old"), None] {
        let scene = Scene::pipedrive();
        scene.add(NewWebhook {
            http_auth_user: user.map(str::to_owned),
            ..ours()
        });
        let expected = [
            (Finding::Superseded, Action::Created),
            (Finding::Superseded, Action::Deleted),
        ];
        assert_eq!(done(&scene.repair().await), expected);
        let requests = [LIST, CREATE, LIST, "DELETE /v1/webhooks/1"];
        assert_eq!(scene.requests(), requests);
        assert_eq!(scene.webhooks(), [(2, ours())]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_somebody_deletes_first_counts_as_deleted() {
    let scene = Scene::pipedrive();
    scene.add(ours());
    scene.add(ours());
    let missing = r#"{"success":false,"errors":{"id":["not found"]}}"#;
    scene.respond_with(1, 404, missing);
    let deleted = [(Finding::Duplicate, Action::Deleted)];
    assert_eq!(done(&scene.repair().await), deleted);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_a_well_formed_success_leads_to_an_action() {
    const HTML: &str = "<html>";
    for (status, body, finding) in [
        (401, "{}", Finding::Unauthorized),
        (402, "{}", Finding::Unauthorized),
        (403, r#"{"message":"Forbidden"}"#, Finding::Unauthorized),
        (403, HTML, Finding::RateLimited),
        (404, HTML, Finding::Malformed),
        (429, "Request over limit", Finding::RateLimited),
        (500, HTML, Finding::Malformed),
        (503, "", Finding::Malformed),
        (200, HTML, Finding::Malformed),
        (200, r#"{"data":[]}"#, Finding::Malformed),
        (200, r#"{"success":false}"#, Finding::Malformed),
    ] {
        let scene = Scene::pipedrive();
        // At the first look, and at the second one.
        for number in [0, 1] {
            scene.respond_with(number, status, body);
            let report = scene.repair().await;
            assert_eq!(done(&report), [(finding, Action::None)], "{status} {body}");
            assert_eq!(scene.requests().len(), number + 1);
            assert_eq!(scene.state().await.finding, finding.word());
        }
        assert!(scene.webhooks().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_account_is_reported_with_the_names_of_its_webhooks() {
    let scene = Scene::pipedrive();
    for _ in 0..40 {
        scene.add(NewWebhook {
            name: "Zapier".to_owned(),
            ..NewWebhook::all("https://hooks.zapier.example/1")
        });
    }
    let report = scene.repair().await;
    let expected = [
        (Finding::Missing, Action::None),
        (Finding::Limit, Action::None),
    ];
    assert_eq!(done(&report), expected);
    assert_eq!(report.lines[1].names, ["Zapier"]);
    assert_eq!(scene.webhooks().len(), 40);
    let log = report.log_line("stack", "pipedrive", "7");
    assert!(!log.contains("Zapier"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_cannot_be_created_is_reported_with_the_reason() {
    for (status, body, cause) in [
        (401, "{}", Some(Finding::Unauthorized)),
        (429, "", Some(Finding::RateLimited)),
        (500, "", Some(Finding::Malformed)),
        (201, "<html>", Some(Finding::Malformed)),
        (400, r#"{"errors":{"subscription_url":["bad"]}}"#, None),
    ] {
        let scene = Scene::pipedrive();
        scene.respond_with(2, status, body);
        let report = scene.repair().await;
        let causes = [Some(Finding::Missing), cause].into_iter().flatten();
        let expected: Vec<_> = causes.map(|finding| (finding, Action::None)).collect();
        assert_eq!(done(&report), expected, "{status}");
        assert!(report.lines[0].reason.is_some());
        let state = scene.state().await;
        assert_eq!((&*state.finding, state.created.len()), ("missing", 1));
        // A later pass creates it.
        let created = [(Finding::Missing, Action::Created)];
        assert_eq!(done(&scene.repair().await), created, "{status}");
        assert_eq!(scene.state().await.finding, "ok");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_if_the_list_does_not_have_the_successor() {
    let scene = Scene::pipedrive();
    let id = scene.add(NewWebhook {
        http_auth_user: Some("old".to_owned()),
        ..ours()
    });
    // The list after the creation is an old one, or it fails.
    for (status, body, finding) in [
        (200, r#"{"success":true,"data":[]}"#, Finding::Malformed),
        (503, "", Finding::Malformed),
    ] {
        scene.respond_with(2, status, body);
        let expected = [
            (Finding::Superseded, Action::Created),
            (finding, Action::None),
        ];
        assert_eq!(done(&scene.repair().await), expected);
        assert!(scene.webhooks().iter().any(|webhook| webhook.0 == id));
        // The first try is undone, so that the second one begins in the same way.
        scene.requests();
        scene.api().webhooks.retain(|webhook| webhook.id == id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_created_a_few_times_in_a_day_and_again_on_the_next_day() {
    let scene = Scene::pipedrive();
    for _ in 0..MAX_CREATIONS {
        scene.deliver();
        let created = [(Finding::Missing, Action::Created)];
        assert_eq!(done(&scene.repair().await), created);
        scene.api().webhooks.clear();
        scene.wait(HOUR).await;
    }
    let report = scene.repair().await;
    assert_eq!(done(&report), [(Finding::Missing, Action::None)]);
    let reason = report.lines[0].reason.clone().unwrap();
    assert!(reason.contains("4 times in a day"), "{reason}");
    assert!(scene.webhooks().is_empty());
    scene.wait(HOUR * 24).await;
    let created = [(Finding::Missing, Action::Created)];
    assert_eq!(done(&scene.repair().await), created);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_says_what_it_would_do_and_changes_nothing() {
    let scene = Scene::pipedrive();
    assert_eq!(
        done(&scene.look().await),
        [(Finding::Missing, Action::None)]
    );
    scene.add(ours());
    scene.add(ours());
    let duplicate = [(Finding::Duplicate, Action::None)];
    assert_eq!(done(&scene.look().await), duplicate);
    assert_eq!(scene.requests(), [LIST, LIST]);
    assert_eq!(scene.webhooks().len(), 2);
    assert_eq!(scene.table().guardians().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn while_its_credential_is_rotated_nothing_is_changed_for_a_day() {
    let scene = Scene::pipedrive();
    for user in ["old", USER] {
        scene.add(NewWebhook {
            http_auth_user: Some(user.to_owned()),
            ..ours()
        });
    }
    let table = scene.table();
    let mut guard = table.guard("pipedrive/7").await.unwrap();
    guard.state.rotating = Some(Rotation::new(Step::Begun, scene.world.now()));
    guard.release().await.unwrap();
    for _ in 0..23 {
        assert_eq!(done(&scene.repair().await), OK);
        scene.wait(HOUR).await;
    }
    assert_eq!(scene.webhooks().len(), 2);
    scene.wait(HOUR * 2).await;
    let superseded = [(Finding::Superseded, Action::Deleted)];
    assert_eq!(done(&scene.repair().await), superseded);
}

#[tokio::test(start_paused = true)]
async fn a_dead_webhook_is_reported_while_the_credential_is_rotated() {
    let scene = Scene::pipedrive();
    let table = scene.table();
    let mut guard = table.guard("pipedrive/7").await.unwrap();
    guard.state.rotating = Some(Rotation::new(Step::Begun, scene.world.now()));
    guard.release().await.unwrap();
    let missing = [(Finding::Missing, Action::None)];
    assert_eq!(done(&scene.repair().await), missing);
    assert_eq!(done(&scene.look().await), missing);
    assert!(scene.webhooks().is_empty());
}

#[tokio::test(start_paused = true)]
async fn two_passes_at_once_end_with_one_webhook() {
    for _ in 0..10 {
        let scene = Scene::pipedrive();
        let tables = [scene.table(), scene.table()];
        let [first, second] = tables.each_ref().map(|table| scene.try_repair(table));
        let (first, second) = tokio::join!(first, second);
        let created = [(Finding::Missing, Action::Created)];
        for report in [&first, &second] {
            match report {
                Ok(report) => assert_eq!(done(report), created),
                Err(error) => assert!(matches!(error, GuardError::Held(_)), "{error}"),
            }
        }
        assert!(first.is_ok() != second.is_ok());
        assert_eq!(scene.webhooks().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_lost_its_lease_during_a_call_changes_nothing_more() {
    let scene = Scene::pipedrive();
    let slow = Process::new(&scene.world);
    let (table, fast) = (slow.table(), scene.table());
    let pass = scene.try_repair(&table);
    let other = async {
        // While the slow one doubts the first list.
        tokio::time::sleep(Duration::from_secs(2)).await;
        scene.world.wait(LEASE + Duration::from_secs(1));
        fast.guardians().await.unwrap();
        scene.try_repair(&fast).await
    };
    let (slow, fast) = tokio::join!(pass, other);
    assert_eq!(slow, Err(GuardError::Lost));
    let created = [(Finding::Missing, Action::Created)];
    assert_eq!(done(&fast.unwrap()), created);
    assert_eq!(scene.webhooks().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pass_that_crashes_at_any_request_is_completed_by_the_next_one() {
    for after in 1..20 {
        for is_last_executed in [false, true] {
            let scene = Scene::pipedrive();
            scene.add(NewWebhook {
                http_auth_user: Some("old".to_owned()),
                ..ours()
            });
            let process = Process::new(&scene.world);
            let crash = Crash {
                after,
                is_last_executed,
            };
            process.crash(crash);
            scene.try_repair(&process.table()).await.ok();
            scene.wait(LEASE + Duration::from_secs(1)).await;
            scene.repair().await;
            let webhooks = scene.webhooks();
            assert_eq!(webhooks.len(), 1, "{crash:?}");
            assert_eq!(webhooks[0].1, ours(), "{crash:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_gap_begins_at_the_last_event_and_ends_when_the_webhook_is_created() {
    let scene = Scene::pipedrive();
    let last = scene.deliver();
    scene.wait(HOUR * 50).await;
    // Alive, but without deliveries for two days.
    scene.add(ours());
    scene.repair().await;
    scene.api().webhooks.clear();
    scene.requests();
    scene.wait(HOUR).await;
    // The first pass cannot create it.
    scene.respond_with(2, 500, "");
    scene.repair().await;
    scene.wait(HOUR).await;
    scene.repair().await;
    let state = scene.state().await;
    assert_eq!(state.gaps.len(), 1);
    assert_eq!(
        (state.gaps[0].from, &*state.gaps[0].reason),
        (last, "missing")
    );
    // The second pass created it.
    assert!(state.gaps[0].until > last.after(HOUR * 103 / 2));
}

#[tokio::test(start_paused = true)]
async fn a_gap_without_events_begins_when_the_webhook_was_last_alive() {
    let scene = Scene::pipedrive();
    // The first webhook of an account leaves no gap.
    scene.repair().await;
    assert_eq!(scene.state().await.gaps, []);
    scene.wait(HOUR).await;
    scene.repair().await;
    let alive = scene.state().await.alive;
    scene.api().webhooks.clear();
    scene.wait(HOUR).await;
    scene.repair().await;
    let gaps = scene.state().await.gaps;
    assert_eq!(
        gaps.iter().map(|gap| gap.from).collect::<Vec<_>>(),
        [alive.unwrap()]
    );
}

#[tokio::test(start_paused = true)]
async fn a_finding_that_stays_open_keeps_its_time() {
    let scene = Scene::pipedrive();
    let first = scene.world.now();
    for hours in 0..3 {
        scene.respond_with(0, 401, "{}");
        scene.repair().await;
        let state = scene.state().await;
        let since = state.since.unwrap();
        assert!(since < first.after(HOUR), "{hours}");
        assert_eq!(state.finding, "unauthorized");
        assert!(state.reason.unwrap().contains("401"));
        scene.wait(HOUR).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_day_without_findings_costs_960_tokens() {
    let scene = Scene::pipedrive();
    scene.add(ours());
    let (mut calls, mut tokens) = (0, 0);
    for _ in 0..96 {
        let report = scene.repair().await;
        assert_eq!(done(&report), OK);
        calls += report.usage.calls;
        tokens += report.usage.tokens;
        scene.wait(Duration::from_mins(15)).await;
    }
    assert_eq!((calls, tokens), (96, 960));
    // As the API counted them, since midnight.
    assert!(scene.api().spent.is_multiple_of(10) && scene.api().spent <= 960);
}
