//! What no webhook reported is read back: gaps, the canary question, and the changes of a day.

use crate::scene::{Scene, URL, done};
use guardian::{Action, Finding, Report};
use models::{API_CHANNEL, Delivery, Event, Record, Timestamp};
use std::time::Duration;
use storage::{Expiry, guardian::Rotation, guardian::Step};
use testkit::api::{
    Api, Notice, PipedriveApi,
    amocrm::{EntityKind, NewAmocrmWebhook},
    pipedrive::{NewWebhook, ObjectId, ObjectKind, Objects},
};

const INTERVAL: Duration = Duration::from_mins(15);
const OK: (Finding, Action) = (Finding::Ok, Action::None);
const HEALED: (Finding, Action) = (Finding::Gap, Action::Healed);

impl<A: Api> Scene<A> {
    /// Stores what a webhook delivers.
    async fn store(&self, notice: &Notice) {
        let provider = self.target.provider;
        let body = notice.body.clone().into_bytes();
        let delivery = Delivery::new(body, self.world.now(), "request");
        let parsed = (provider.parse)(&delivery);
        for record in Record::from_delivery(provider.name, &delivery, parsed) {
            let put = self.table().put_record(record, Expiry::same(None)).await;
            put.unwrap();
        }
    }

    async fn events(&self) -> Vec<Event> {
        let records = self.table().records().await.unwrap().into_iter();
        let events = records.filter_map(|record| match record {
            Record::Event { event, .. } => Some(event),
            _ => None,
        });
        events.collect()
    }

    /// The subjects of the events that were read back.
    async fn read_back(&self) -> Vec<String> {
        let events = self.events().await.into_iter();
        let events = events.filter(|event| event.channel.as_deref() == Some(API_CHANNEL));
        let mut subjects: Vec<String> = events.map(|event| event.subject).collect();
        subjects.sort_unstable();
        subjects
    }

    /// Looks every 15 minutes for a time. Returns what was not ok.
    async fn watch(&self, time: Duration) -> Vec<(Finding, Action)> {
        let mut found = Vec::new();
        for _ in 0..time.as_secs() / INTERVAL.as_secs() {
            self.wait(INTERVAL).await;
            found.extend(not_ok(&self.run().await));
        }
        found
    }
}

fn not_ok(report: &Report) -> Vec<(Finding, Action)> {
    let mut found = done(report);
    found.retain(|line| *line != OK);
    found
}

/// A company with a webhook that the guardian knows.
async fn pipedrive() -> Scene<PipedriveApi> {
    let scene = Scene::pipedrive();
    scene.api().company = 7;
    scene.run().await;
    scene
}

/// A company whose webhook was deleted before its second deal. The guardian has created it again.
async fn with_gap() -> Scene<PipedriveApi> {
    let scene = pipedrive().await;
    scene.create(ObjectKind::Deal, true).await;
    scene.api().webhooks.clear();
    scene.create(ObjectKind::Deal, false).await;
    scene.wait(INTERVAL).await;
    scene.run().await;
    scene
}

/// A company with two deals, to which something happens that no webhook reports.
async fn with_two_deals(act: fn(&mut Objects, ObjectId, Duration)) -> Scene<PipedriveApi> {
    let scene = pipedrive().await;
    scene.create(ObjectKind::Deal, true).await;
    scene.create(ObjectKind::Deal, true).await;
    scene.wait(INTERVAL).await;
    let now = scene.now();
    let ids: Vec<_> = scene.api().objects.ids().collect();
    for id in ids {
        act(&mut scene.api().objects, id, now);
    }
    scene
}

impl Scene<PipedriveApi> {
    /// Creates an object, and delivers that if its webhook works.
    async fn create(&self, kind: ObjectKind, is_delivered: bool) {
        let now = self.now();
        let notices = {
            let mut api = self.api();
            api.objects.create(kind, now);
            api.notices()
        };
        for notice in notices.iter().filter(|_| is_delivered) {
            self.store(notice).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_happened_without_a_webhook_is_read_back_when_it_is_there_again() {
    let scene = pipedrive().await;
    scene.create(ObjectKind::Deal, true).await;
    scene.wait(INTERVAL).await;
    scene.run().await;
    scene.api().webhooks.clear();
    scene.create(ObjectKind::Deal, false).await;
    scene.wait(INTERVAL).await;
    scene.create(ObjectKind::Person, false).await;
    let report = scene.run().await;
    assert_eq!(not_ok(&report), [(Finding::Missing, Action::Created)]);
    assert_eq!(scene.state().await.gaps.len(), 1);
    assert!(
        scene.read_back().await.is_empty(),
        "a retry may still arrive"
    );
    scene.wait(INTERVAL).await;
    assert_eq!(not_ok(&scene.run().await), [HEALED]);
    assert_eq!(scene.read_back().await, ["deal/2", "person/1"]);
    assert!(scene.state().await.gaps.is_empty());
    scene.wait(INTERVAL).await;
    assert_eq!(not_ok(&scene.run().await), []);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_ahead_does_not_shorten_the_wait_for_a_retry() {
    let scene = with_gap().await;
    assert_eq!(scene.state().await.gaps.len(), 1);
    // DynamoDB's clock alone.
    scene.world.wait(Duration::from_hours(1));
    assert_eq!(not_ok(&scene.run().await), []);
    assert!(scene.read_back().await.is_empty());
    scene.wait(INTERVAL).await;
    assert_eq!(not_ok(&scene.run().await), [HEALED]);
    assert_eq!(scene.read_back().await, ["deal/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_of_the_provider_that_is_a_day_behind_is_not_used() {
    let scene = with_gap().await;
    scene.world.wait(Duration::from_hours(25));
    assert_eq!(not_ok(&scene.run().await), [HEALED]);
    assert_eq!(scene.read_back().await, ["deal/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_account_with_changes_is_a_gap() {
    let scene = pipedrive().await;
    scene.create(ObjectKind::Deal, true).await;
    // A ban, which no list shows.
    for _ in 0..3 {
        scene.wait(INTERVAL).await;
        scene.create(ObjectKind::Deal, false).await;
        assert_eq!(not_ok(&scene.run().await), []);
    }
    let found = scene.watch(Duration::from_mins(45)).await;
    assert_eq!(found, [(Finding::Gap, Action::None), HEALED]);
    assert_eq!(scene.read_back().await, ["deal/2", "deal/3", "deal/4"]);
}

#[tokio::test(start_paused = true)]
async fn counters_that_move_without_a_webhook_are_no_gap() {
    let scene = with_two_deals(Objects::touch).await;
    // The API shows members that the webhook does not have, so that something may be missing.
    let found = scene.watch(Duration::from_mins(75)).await;
    assert_eq!(found, [(Finding::Suspicion, Action::None)]);
    assert!(scene.read_back().await.is_empty());
    assert!(scene.run().await.open().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_few_objects_with_another_state_are_a_suspicion_and_stored_at_the_end_of_the_day() {
    let scene = with_two_deals(Objects::change).await;
    let suspicion = (Finding::Suspicion, Action::None);
    assert_eq!(scene.watch(Duration::from_mins(75)).await, [suspicion]);
    assert!(scene.read_back().await.is_empty());
    assert!(scene.run().await.open().is_none());
    let found = scene.watch(Duration::from_hours(24)).await;
    assert!(
        found.contains(&(Finding::Suspicion, Action::Healed)),
        "{found:?}"
    );
    assert_eq!(scene.read_back().await, ["deal/1", "deal/2"]);
}

#[tokio::test(start_paused = true)]
async fn each_day_what_is_missing_is_read_back_and_counted() {
    let scene = pipedrive().await;
    for hour in 0..30 {
        // The webhook's user lost its rights on persons.
        scene.create(ObjectKind::Deal, true).await;
        if hour == 10 {
            scene.create(ObjectKind::Person, false).await;
        }
        let found = scene.watch(Duration::from_hours(1)).await;
        let expected: &[_] = if hour == 24 { &[HEALED] } else { &[] };
        assert_eq!(found, expected, "hour {hour}");
    }
    assert_eq!(scene.read_back().await, ["person/1"]);
    let completeness = scene.state().await.completeness.unwrap();
    assert_eq!(
        (completeness.shown, completeness.stored, completeness.healed),
        (26, 26, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn calm_days_cost_a_twentieth_of_the_budget_and_show_no_gap() {
    let scene = pipedrive().await;
    let mut most = 0;
    for day in 0..3 {
        for hour in 0..24 {
            // Nobody works at night, or on the last day.
            if day < 2 && (8..18).contains(&hour) {
                scene.create(ObjectKind::Deal, true).await;
                let now = scene.now();
                let first = scene.api().objects.ids().next().unwrap();
                scene.api().objects.touch(first, now);
            }
            let mut found = scene.watch(Duration::from_hours(1)).await;
            found.retain(|(finding, _)| *finding != Finding::Suspicion);
            assert_eq!(found, [], "day {day}, hour {hour}");
            most = most.max(scene.state().await.spent.unwrap().tokens);
        }
    }
    let touched = scene.read_back().await;
    assert!(
        touched.iter().all(|subject| subject == "deal/1"),
        "{touched:?}"
    );
    assert!((960..=1_500).contains(&most), "{most}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_while_a_credential_is_rotated() {
    let scene = pipedrive().await;
    scene.create(ObjectKind::Deal, false).await;
    let table = scene.table();
    let mut guard = table.guard("pipedrive/7").await.unwrap();
    guard.state.rotating = Some(Rotation::new(Step::Created, scene.world.now()));
    guard.release().await.unwrap();
    assert_eq!(scene.watch(Duration::from_hours(3)).await, []);
    assert!(scene.read_back().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_the_api_leaves_the_gap_for_later() {
    let scene = with_gap().await;
    scene.requests();
    for number in 1..10 {
        scene.respond_with(number, 503, "");
    }
    scene.wait(INTERVAL).await;
    assert_eq!(
        not_ok(&scene.run().await),
        [(Finding::Malformed, Action::None)]
    );
    assert_eq!(scene.state().await.gaps.len(), 1);
    scene.requests();
    scene.wait(INTERVAL).await;
    assert_eq!(not_ok(&scene.run().await), [HEALED]);
    assert_eq!(scene.read_back().await, ["deal/2"]);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_of_amocrm_that_was_disabled_loses_nothing() {
    let scene = Scene::amocrm();
    let now = scene.now();
    let topics = scene.target.wanted.topics.clone();
    let topics: Vec<&str> = topics.iter().map(|code| &**code).collect();
    let id = scene.api().add(
        NewAmocrmWebhook::new(&format!("{URL}?key=new"), &topics),
        now,
    );
    scene.run().await;
    scene.api().webhook(id).is_disabled = true;
    scene.wait(INTERVAL).await;
    let now = scene.now();
    let lead = scene.api().entities.create(EntityKind::Lead, now);
    scene.api().entities.note(lead, now);
    assert_eq!(
        not_ok(&scene.run().await),
        [(Finding::Dead, Action::Created)]
    );
    assert_eq!(
        scene.watch(Duration::from_mins(105)).await,
        [],
        "a retry may still arrive"
    );
    assert_eq!(scene.watch(Duration::from_mins(30)).await, [HEALED]);
    let lead = lead.to_string();
    assert_eq!(scene.read_back().await, [&*lead, &*lead]);
    let first = scene.events().await[0].time;
    assert_eq!(first.as_seconds(), i64::try_from(now.as_secs()).unwrap());
    assert!(first < Timestamp::from_unix(scene.now()));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_a_person_registered_counts_from_its_creation() {
    let scene = Scene::pipedrive();
    let now = scene.now();
    let wanted = NewWebhook {
        http_auth_user: Some(crate::scene::USER.to_owned()),
        ..NewWebhook::all(URL)
    };
    let before = now - Duration::from_hours(24 * 30);
    scene.api().add(wanted, before);
    scene.run().await;
    let registered = scene.state().await.registered;
    assert_eq!(
        registered.as_seconds(),
        i64::try_from(before.as_secs()).unwrap()
    );
}
