//! Passes over the API of amoCRM.

use crate::scene::{Scene, URL, done};
use guardian::{Action, Finding};
use std::{collections::BTreeSet, time::Duration};
use testkit::api::{
    AmocrmApi,
    amocrm::{AmocrmLook, NewAmocrmWebhook},
};

const OK: [(Finding, Action); 1] = [(Finding::Ok, Action::None)];
const LIST: &str = "GET /api/v4/webhooks";
const CREATE: &str = "POST /api/v4/webhooks";
const DELETE: &str = "DELETE /api/v4/webhooks";
const LOOKS: [AmocrmLook; 2] = [AmocrmLook::Amocrm, AmocrmLook::Kommo];

impl Scene<AmocrmApi> {
    /// Adds a webhook with all codes. Returns its id.
    fn add(&self, url: &str) -> u64 {
        let topics = &self.target.wanted.topics;
        let topics: Vec<&str> = topics.iter().map(|code| &**code).collect();
        self.add_with(url, &topics)
    }

    fn add_with(&self, url: &str, codes: &[&str]) -> u64 {
        let now = self.now();
        self.api().add(NewAmocrmWebhook::new(url, codes), now)
    }

    fn url(&self) -> String {
        self.target.wanted.url.clone()
    }

    /// The URLs of all webhooks that are not disabled.
    fn urls(&self) -> Vec<String> {
        let api = self.api();
        let webhooks = api.webhooks.iter();
        let alive = webhooks.filter(|webhook| !webhook.is_disabled);
        alive.map(|hook| hook.wanted.destination.clone()).collect()
    }

    fn codes(&self) -> BTreeSet<String> {
        let api = self.api();
        api.webhooks[0].wanted.settings.iter().cloned().collect()
    }
}

#[tokio::test(start_paused = true)]
async fn one_alive_webhook_with_all_codes_stays() {
    let scene = Scene::amocrm();
    scene.add(&scene.url());
    assert_eq!(done(&scene.repair().await), OK);
    assert_eq!(scene.requests(), [LIST]);
}

#[tokio::test(start_paused = true)]
async fn a_missing_webhook_is_created_with_all_codes() {
    for look in LOOKS {
        let scene = Scene::amocrm();
        scene.api().look = look;
        let created = [(Finding::Missing, Action::Created)];
        assert_eq!(done(&scene.repair().await), created);
        assert_eq!(scene.requests(), [LIST, LIST, CREATE, LIST]);
        assert_eq!(scene.urls(), [scene.url()]);
        assert_eq!(scene.codes(), scene.target.wanted.topics);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disabled_webhook_is_saved_again() {
    let scene = Scene::amocrm();
    let id = scene.add(&scene.url());
    scene.api().webhook(id).is_disabled = true;
    let created = [(Finding::Dead, Action::Created)];
    assert_eq!(done(&scene.repair().await), created);
    assert_eq!(scene.requests(), [LIST, CREATE, LIST]);
    assert_eq!(scene.urls(), [scene.url()]);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_stays_disabled_is_deleted_and_created() {
    let scene = Scene::amocrm();
    let id = scene.add(&scene.url());
    scene.api().webhook(id).is_disabled = true;
    scene.api().post_enables = false;
    let created = [(Finding::Dead, Action::Created)];
    assert_eq!(done(&scene.repair().await), created);
    let requests = [LIST, CREATE, LIST, DELETE, CREATE, LIST];
    assert_eq!(scene.requests(), requests);
    assert_eq!(scene.urls(), [scene.url()]);
    assert_eq!(scene.api().webhooks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_webhook_without_some_codes_gets_them_and_keeps_its_own() {
    let mut scene = Scene::amocrm();
    // A person adds a code that is not among the wanted ones.
    let all = scene.target.wanted.topics.clone();
    assert!(scene.target.wanted.topics.remove("add_task"));
    scene.add_with(&scene.url(), &["add_lead", "add_task"]);
    let created = [(Finding::Superseded, Action::Created)];
    assert_eq!(done(&scene.repair().await), created);
    assert_eq!(scene.codes(), all);
}

#[tokio::test(start_paused = true)]
async fn codes_that_the_account_refuses_are_left_out_and_remembered() {
    for look in LOOKS {
        let scene = Scene::amocrm();
        scene.api().look = look;
        let refused = ["add_message".to_owned(), "update_talk".to_owned()];
        scene.api().unknown_settings = refused.clone().into();
        let created = [(Finding::Missing, Action::Created)];
        assert_eq!(done(&scene.repair().await), created);
        let accepted = scene.target.wanted.topics.iter();
        let accepted: BTreeSet<_> = accepted
            .filter(|code| !refused.contains(code))
            .cloned()
            .collect();
        assert_eq!(scene.codes(), accepted);
        assert!(scene.state().await.refused.iter().eq(&refused));
        scene.requests();
        assert_eq!(done(&scene.repair().await), OK);
        assert_eq!(scene.requests(), [LIST]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_known_webhook_with_another_key_is_replaced_and_an_unknown_one_is_not() {
    for is_known in [true, false] {
        let scene = Scene::amocrm();
        let old = scene.add(&format!("{URL}?key=old"));
        if is_known {
            let table = scene.table();
            let mut guard = table.guard("amocrm/7").await.unwrap();
            let webhook = storage::guardian::KnownWebhook {
                id: old,
                user: None,
                dead: None,
                delivered: None,
                status: None,
            };
            guard.state.webhooks.push(webhook);
            guard.release().await.unwrap();
        }
        let report = done(&scene.repair().await);
        if is_known {
            let superseded = [
                (Finding::Superseded, Action::Created),
                (Finding::Superseded, Action::Deleted),
            ];
            assert_eq!(report, superseded);
            assert_eq!(scene.urls(), [scene.url()]);
        } else {
            assert_eq!(report, [(Finding::Missing, Action::Created)]);
            assert_eq!(scene.urls().len(), 2);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_account_is_reported() {
    let scene = Scene::amocrm();
    for number in 0..100 {
        scene.add_with(&format!("https://other.example/{number}"), &["add_lead"]);
    }
    let expected = [
        (Finding::Missing, Action::None),
        (Finding::Limit, Action::None),
    ];
    assert_eq!(done(&scene.repair().await), expected);
    assert_eq!(scene.urls().len(), 100);
}

#[tokio::test(start_paused = true)]
async fn an_account_that_does_not_pay_or_whose_user_is_no_administrator_is_reported() {
    let scene = Scene::amocrm();
    let refused = [(Finding::Unauthorized, Action::None)];
    scene.api().is_paid = false;
    assert_eq!(done(&scene.repair().await), refused);
    scene.api().is_paid = true;
    scene.api().is_admin = false;
    assert_eq!(done(&scene.repair().await), refused);
}

#[tokio::test(start_paused = true)]
async fn a_day_without_findings_costs_96_calls() {
    let scene = Scene::amocrm();
    scene.add(&scene.url());
    for _ in 0..96 {
        assert_eq!(done(&scene.repair().await), OK);
        scene.wait(Duration::from_mins(15)).await;
    }
    assert_eq!(scene.requests(), [LIST; 96]);
}
