//! `hookkeeper heal`: what the simulated APIs of the providers show is compared with the table.

mod rules;

use models::{API_CHANNEL, Delivery, Event, Record, Timestamp};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::{Command, Output},
    time::Duration,
};
use storage::budget::now;
use testkit::{
    api::{
        AmocrmApi, Api, ApiServer, Notice, PipedriveApi, amocrm::EntityKind, pipedrive::ObjectKind,
    },
    site::Site,
};
use tokio::task::block_in_place;

const MINUTE: Duration = Duration::from_mins(1);

/// A table, and an account with its simulated API.
struct Scene<A> {
    site: Site,
    server: ApiServer<A>,
    provider: &'static str,
}

const FORBIDDEN: (u16, &str) = (403, r#"{"success":false,"message":"Forbidden"}"#);

impl Scene<PipedriveApi> {
    /// Lets the requests after the one for the account have these responses.
    fn respond_after_account(&self, responses: &[(u16, &str)]) {
        let me = json!({ "success": true, "data": {
            "id": 1, "company_id": 5_155_039, "access": [],
        } });
        let me = me.to_string();
        for (status, body) in [(200, &*me)].iter().chain(responses) {
            self.server.respond_next(*status, "application/json", body);
        }
    }
}

impl<A: Api> Scene<A> {
    async fn start(provider: &'static str, api: A) -> Self {
        Self {
            site: Site::start().await,
            server: ApiServer::start(api).await,
            provider,
        }
    }

    /// Stores what a webhook delivers.
    async fn deliver(&self, notice: &Notice) {
        let provider = testkit::provider(self.provider);
        let delivery = Delivery::new(notice.body.clone().into_bytes(), now(), "request");
        let parsed = (provider.parse)(&delivery);
        let records = Record::from_delivery(provider.name, &delivery, parsed);
        self.site.put(&records, None).await;
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let url = self.server.url();
        let mut command = self
            .site
            .command(&["heal", self.provider, "--api-url", &url]);
        command.args(["--output", "json"]).args(arguments);
        command.env("PIPEDRIVE_API_TOKEN", "t0ken");
        command.env("AMOCRM_API_TOKEN", "t0ken");
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        block_in_place(|| self.command(arguments).output().unwrap())
    }

    /// Runs it. Returns its exit status and its lines.
    fn heal(&self, arguments: &[&str]) -> (i32, Vec<Value>) {
        let output = self.output(arguments);
        let lines = String::from_utf8_lossy(&output.stdout);
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.collect();
        assert!(!lines.is_empty(), "{output:?}");
        (output.status.code().unwrap(), lines)
    }

    async fn events(&self) -> Vec<Event> {
        let records = self.site.table.records().await.unwrap().into_iter();
        let events = records.filter_map(|record| match record {
            Record::Event { event, .. } => Some(event),
            _ => None,
        });
        events.collect()
    }

    /// The events that were read back: type and subject.
    async fn read_back(&self) -> BTreeSet<(String, String)> {
        let events = self.events().await.into_iter();
        let events = events.filter(|event| event.channel.as_deref() == Some(API_CHANNEL));
        events.map(|event| (event.r#type, event.subject)).collect()
    }
}

/// A time before now, since 1970.
fn ago(minutes: u64) -> Duration {
    let now = u64::try_from(now().as_seconds()).unwrap();
    Duration::from_secs(now) - MINUTE * u32::try_from(minutes).unwrap()
}

/// A company with changes in the last three hours, of which every second one was delivered.
async fn pipedrive() -> Scene<PipedriveApi> {
    let scene = Scene::start("pipedrive", PipedriveApi::new("t0ken")).await;
    let notices = {
        let api = &mut *scene.server.api();
        let mut minutes = 170;
        for kind in ObjectKind::ALL {
            for change in 0..4 {
                let id = api.objects.create(kind, ago(minutes));
                if change % 2 == 0 {
                    api.objects.change(id, ago(minutes - 2));
                }
                minutes -= 4;
            }
        }
        let deals: Vec<_> = api.objects.ids().collect();
        api.objects.delete(deals[0], ago(20));
        api.notices()
    };
    for notice in notices.iter().step_by(2) {
        scene.deliver(notice).await;
    }
    scene
}

/// The last line.
fn counts(lines: &[Value]) -> BTreeMap<&str, u64> {
    let last = lines.last().unwrap();
    let names = ["changes", "stored", "missing", "erased"];
    names
        .map(|name| (name, last[name].as_u64().unwrap()))
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_state_of_every_object_is_stored_once() {
    let scene = pipedrive().await;
    let (status, lines) = scene.heal(&["--since", "3h"]);
    assert_eq!(status, 0);
    let healed = lines.len() as u64 - 1;
    let found = counts(&lines);
    assert!(found["stored"] > 10 && healed > 10, "{found:?}");
    assert_eq!(found["missing"], healed);
    assert_eq!(lines[0]["account"], "5155039");
    assert_eq!(
        [&lines[0]["finding"], &lines[0]["action"]],
        ["gap", "healed"]
    );
    let events = scene.events().await;
    {
        let api = &*scene.server.api();
        for id in api.objects.ids() {
            let of_object: Vec<&Event> = events
                .iter()
                .filter(|event| event.subject == id.to_string())
                .collect();
            let created = of_object
                .iter()
                .filter(|event| event.r#type.ends_with(".created"));
            assert_eq!(created.count(), 1, "{id} is created once");
            let latest = of_object.iter().map(|event| event.time).max().unwrap();
            let updated = Timestamp::from_unix(api.objects.updated(id));
            assert!(
                latest.whole_second() >= updated.whole_second(),
                "{id} is up to date"
            );
        }
    }
    let deleted = ("com.pipedrive.deal.deleted".to_owned(), "deal/1".to_owned());
    assert!(
        events
            .iter()
            .any(|event| (&event.r#type, &event.subject) == (&deleted.0, &deleted.1))
    );
    // What was read back is known.
    let (status, lines) = scene.heal(&["--since", "3h"]);
    assert_eq!((status, lines.len()), (0, 1));
    assert_eq!(counts(&lines)["stored"], found["changes"]);
    assert_eq!(scene.events().await.len(), events.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_read_back_has_the_shape_of_a_webhooks_data() {
    let added = ago(30);
    let scene = Scene::start("pipedrive", PipedriveApi::new("t0ken")).await;
    scene.server.api().objects.create(ObjectKind::Deal, added);
    let (status, lines) = scene.heal(&["--since", "1h"]);
    assert_eq!((status, lines.len()), (0, 2));
    let events = scene.events().await;
    let event = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(event["data"]["data"]["id"], 1);
    assert_eq!(
        [
            &event["type"],
            &event["source"],
            &event["subject"],
            &event["channel"]
        ],
        [
            "com.pipedrive.deal.created",
            "pipedrive/5155039",
            "deal/1",
            "api"
        ]
    );
    assert_eq!(
        [&event["apiversion"], &event["dataschema"]],
        [&json!("2.0"), &Value::Null]
    );
    assert_eq!(events[0].time, Timestamp::from_unix(added));
    let replayed = scene.site.run(&["replay", "--since", "1h"]);
    assert!(replayed.starts_with("0 events replayed"), "{replayed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_of_amocrm_is_stored_once() {
    let scene = Scene::start("amocrm", AmocrmApi::new("t0ken")).await;
    let notices = {
        let api = &mut *scene.server.api();
        let mut minutes = 400;
        let mut ids = Vec::new();
        for kind in EntityKind::ALL {
            for _ in 0..4 {
                let id = api.entities.create(kind, ago(minutes));
                api.entities.update(id, ago(minutes - 1));
                ids.push(id);
                minutes -= 4;
            }
        }
        let of_kind = |kind| *ids.iter().find(|id| id.kind == kind).unwrap();
        let (lead, contact) = (of_kind(EntityKind::Lead), of_kind(EntityKind::Contact));
        api.entities.move_lead(lead, ago(200));
        for minutes in [190, 185, 180] {
            api.entities.note(lead, ago(minutes));
            api.entities.receive_message(lead, contact, ago(minutes));
        }
        api.entities.delete(ids[1], ago(170));
        api.notices()
    };
    for notice in notices.iter().step_by(3) {
        scene.deliver(notice).await;
    }
    let before = scene.events().await.len();
    let (status, lines) = scene.heal(&["--since", "8h"]);
    assert_eq!(status, 0);
    let found = counts(&lines);
    // Two entries of one update are one change.
    assert_eq!(found["changes"], 48);
    assert!(found["stored"] > 10 && found["missing"] > 10, "{found:?}");
    assert_eq!(
        scene.events().await.len() as u64,
        before as u64 + found["missing"]
    );
    let read_back = scene.read_back().await;
    assert!(
        read_back
            .iter()
            .any(|(kind, _)| kind == "com.amocrm.message.created")
    );
    let (_, lines) = scene.heal(&["--since", "8h"]);
    assert_eq!(counts(&lines)["missing"], 0);
    let event = scene.events().await.into_iter();
    let mut event = event.filter(|event| event.channel.as_deref() == Some(API_CHANNEL));
    assert!(event.all(|event| {
        event
            .dataschema
            .unwrap()
            .starts_with("https://www.amocrm.ru/")
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_what_is_missing_and_stores_nothing() {
    let scene = pipedrive().await;
    let before = scene.events().await.len();
    let (status, lines) = scene.heal(&["--since", "3h", "--dry-run"]);
    assert_eq!(status, 1);
    assert!(lines.len() > 10);
    for line in &lines {
        assert_eq!([&line["finding"], &line["action"]], ["gap", "none"]);
    }
    assert_eq!(scene.events().await.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_api_stores_nothing_and_can_be_repeated() {
    let scene = pipedrive().await;
    let before = scene.events().await.len();
    for (status, body) in [(200, "<html>"), (401, "{}"), (200, r#"{"success":false}"#)] {
        scene.respond_after_account(&[(status, body)]);
        let output = scene.output(&["--since", "3h"]);
        assert_eq!(output.status.code(), Some(1), "{status} {body}");
        assert!(output.stdout.is_empty());
        assert_eq!(scene.events().await.len(), before);
    }
    assert_eq!(scene.heal(&["--since", "3h"]).0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_the_user_may_not_read_is_left_out_and_named() {
    let scene = pipedrive().await;
    scene.respond_after_account(&[FORBIDDEN]);
    let (status, lines) = scene.heal(&["--since", "3h"]);
    assert_eq!(status, 0);
    assert_eq!(lines.last().unwrap()["unread"], json!(["/api/v2/deals"]));
    let read_back = scene.read_back().await;
    assert!(
        read_back
            .iter()
            .any(|(_, subject)| subject.starts_with("person/"))
    );
    assert!(
        !read_back
            .iter()
            .any(|(_, subject)| subject.starts_with("deal/"))
    );
    scene.respond_after_account(&[FORBIDDEN; 11]);
    let output = scene.output(&["--since", "3h"]);
    assert_eq!(output.status.code(), Some(1), "nothing can be read");
    let (_, lines) = scene.heal(&["--since", "3h"]);
    assert!(
        counts(&lines)["missing"] > 0 && lines[0]["subject"].as_str().unwrap().starts_with("deal/")
    );
}
