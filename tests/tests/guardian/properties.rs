//! Over random lists, passes touch nobody else's webhook, delete nothing before its successor is
//! listed, and end with one webhook of ours.

use crate::scene::{Scene, URL, USER};
use fastrand::Rng;
use std::{collections::BTreeSet, time::Duration};
use testkit::{
    api::{
        AmocrmApi, PipedriveApi,
        amocrm::NewAmocrmWebhook,
        pipedrive::{Look, NewWebhook, PipedriveWebhook, Removal},
    },
    world::World,
};

/// The number of random lists, half of them of each provider.
const LISTS: u64 = 1_000;

/// URLs of others, among them some that are nearly ours.
const OTHERS: [&str; 9] = [
    "https://hooks.example.com/hook/",
    "https://hooks.example.com/Hook",
    "https://hooks.example.com/hooks",
    "http://hooks.example.com/hook",
    "https://hooks.example.com:443/hook",
    "https://hooks.example.com/hook?key=other",
    "https://hooks.example.com/hook?key=new&x=1",
    "https://example.com/https://hooks.example.com/hook",
    "https://crm.example.org/in",
];

#[tokio::test(start_paused = true)]
async fn passes_over_random_lists_of_pipedrive_end_with_one_webhook_and_leave_others_alone() {
    let world = World::new();
    for seed in 0..LISTS / 2 {
        let mut rng = Rng::with_seed(seed);
        let scene = Scene::pipedrive_in(&world, &seed.to_string());
        fill_pipedrive(&scene, &mut rng);
        let others = |api: &PipedriveApi| -> Vec<String> {
            let webhooks = api.webhooks.iter().filter(|webhook| !is_ours(webhook));
            webhooks.map(|webhook| format!("{webhook:?}")).collect()
        };
        let before = others(&scene.api());
        let at_request = {
            let mut listed: BTreeSet<u64> = BTreeSet::new();
            move |api: &PipedriveApi, request: &str| {
                if request.starts_with("GET") {
                    let alive = api.webhooks.iter().filter(|webhook| is_successor(webhook));
                    listed = alive.map(|webhook| webhook.id).collect();
                } else if let Some(id) = request.strip_prefix("DELETE /v1/webhooks/") {
                    let id: u64 = id.parse().unwrap();
                    assert!(listed.iter().any(|other| *other != id), "{id} of {seed}");
                }
            }
        };
        scene.inspect(at_request);
        for _ in 0..3 {
            scene.repair().await;
            scene.wait(Duration::from_mins(15)).await;
        }
        assert_eq!(others(&scene.api()), before, "{seed}");
        let api = scene.api();
        let ours: Vec<_> = api
            .webhooks
            .iter()
            .filter(|webhook| is_ours(webhook))
            .collect();
        assert_eq!(ours.len(), 1, "{seed}");
        assert!(is_successor(ours[0]), "{seed}");
    }
}

fn is_ours(webhook: &PipedriveWebhook) -> bool {
    let wanted = &webhook.wanted;
    wanted.subscription_url == URL && wanted.event_object == "*" && wanted.version == "2.0"
}

/// Whether a webhook is as it is wanted and alive.
fn is_successor(webhook: &PipedriveWebhook) -> bool {
    let user = webhook.wanted.http_auth_user.as_deref();
    is_ours(webhook) && webhook.removed.is_none() && user == Some(USER)
}

fn fill_pipedrive(scene: &Scene<PipedriveApi>, rng: &mut Rng) {
    let now = scene.now();
    let mut api = scene.api();
    api.removal = Removal::StaysInactive;
    api.look = *rng.choice(&[Look::Specification, Look::Other]).unwrap();
    for _ in 0..rng.usize(0..8) {
        let is_others = rng.bool();
        let url = if is_others {
            rng.choice(OTHERS).unwrap()
        } else {
            URL
        };
        let user = *rng.choice(&[Some(USER), Some("old"), None]).unwrap();
        let is_of_other_kind = rng.u8(0..5) == 0;
        let wanted = NewWebhook {
            event_object: if is_of_other_kind { "deal" } else { "*" }.to_owned(),
            http_auth_user: user.map(str::to_owned),
            http_auth_password: user.map(|_| "password".to_owned()),
            ..NewWebhook::all(url)
        };
        let id = if is_others && rng.bool() {
            api.add_foreign(wanted, now)
        } else {
            api.add(wanted, now)
        };
        if rng.u8(0..3) == 0 {
            api.remove(id, now);
        }
        if rng.bool() {
            let before = Duration::from_secs(rng.u64(0..1_000));
            api.webhook(id).last_delivery = Some((now.saturating_sub(before), Some(200)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn passes_over_random_lists_of_amocrm_end_with_one_webhook_and_leave_others_alone() {
    let world = World::new();
    for seed in 0..LISTS / 2 {
        let mut rng = Rng::with_seed(seed);
        let scene = Scene::amocrm_in(&world, &seed.to_string());
        fill_amocrm(&scene, &mut rng);
        let ours = scene.target.wanted.url.clone();
        let others = |api: &AmocrmApi| -> Vec<String> {
            let webhooks = api.webhooks.iter();
            let others = webhooks.filter(|webhook| webhook.wanted.destination != ours);
            others.map(|webhook| format!("{webhook:?}")).collect()
        };
        let before = others(&scene.api());
        let at_request = {
            let ours = ours.clone();
            move |api: &AmocrmApi, request: &str| {
                let mut webhooks = api.webhooks.iter();
                let own = webhooks.find(|webhook| webhook.wanted.destination == ours);
                // Its only webhook delivers nothing when it is deleted.
                let is_delete = request.starts_with("DELETE");
                assert!(
                    !is_delete || own.is_some_and(|own| own.is_disabled),
                    "{seed}"
                );
            }
        };
        scene.inspect(at_request);
        for _ in 0..3 {
            scene.repair().await;
            scene.wait(Duration::from_mins(15)).await;
        }
        assert_eq!(others(&scene.api()), before, "{seed}");
        let api = scene.api();
        let mut webhooks = api.webhooks.iter();
        let own = webhooks.find(|webhook| webhook.wanted.destination == ours);
        let own = own.unwrap();
        let codes: BTreeSet<String> = own.wanted.settings.iter().cloned().collect();
        assert!(
            !own.is_disabled && codes.is_superset(&scene.target.wanted.topics),
            "{seed}"
        );
    }
}

fn fill_amocrm(scene: &Scene<AmocrmApi>, rng: &mut Rng) {
    let now = scene.now();
    let ours = &*scene.target.wanted.url;
    let all: Vec<&str> = scene
        .target
        .wanted
        .topics
        .iter()
        .map(|code| &**code)
        .collect();
    let mut api = scene.api();
    api.post_enables = rng.bool();
    for _ in 0..rng.usize(0..8) {
        let url = if rng.u8(0..4) == 0 {
            ours
        } else {
            rng.choice(OTHERS).unwrap()
        };
        let codes = if rng.bool() { &all[..] } else { &["add_lead"] };
        let id = api.add(NewAmocrmWebhook::new(url, codes), now);
        if rng.u8(0..3) == 0 {
            api.webhook(id).is_disabled = true;
        }
    }
}
