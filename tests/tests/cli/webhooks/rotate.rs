//! `hookkeeper rotate`: no delivery is refused, wherever it is interrupted.

use super::{AMOCRM_ACCOUNT, PIPEDRIVE_ACCOUNT, Scene, actions, output};
use crate::process::Killed;
use aws_sdk_dynamodb::types::AttributeValue;
use guardian::{Client, DOUBT, Pass, secrets::Target};
use hookkeeper::dev::TABLE;
use std::{process::Stdio, time::Duration};
use testkit::{
    api::Api,
    provider,
    proxy::{Fault, Proxy},
};
use tokio::time::sleep;

const SHORT: [&str; 2] = ["--horizon", "1s"];
const REPLACED: [&str; 4] = ["ok none", "ok created", "superseded deleted", "ok none"];

/// Delivers events for as long as something runs. Asserts that each was stored by at least one
/// webhook, and that none was refused.
async fn with_traffic<A: Api, T>(scene: &Scene<A>, work: impl Future<Output = T>) -> T {
    let mut number = 1_000;
    let traffic = async {
        loop {
            let statuses = scene.deliver(number).await;
            assert!(!statuses.is_empty(), "no webhook is registered");
            let refused = statuses.iter().find(|status| **status != Some(200));
            assert_eq!(refused, None, "a delivery is refused");
            number += 1;
            sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        never = traffic => never,
        done = work => done,
    }
}

/// Runs a command, and returns what it did.
async fn rotated<A: Api>(scene: &Scene<A>) -> Vec<String> {
    let command = scene.command("rotate", &SHORT);
    let output = tokio::task::spawn_blocking(|| output(command));
    let output = with_traffic(scene, output).await.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    actions(&super::lines(&output))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_credential_of_pipedrive_is_replaced_without_a_refused_delivery() {
    let scene = Scene::pipedrive().await;
    scene.run("register", &[]);
    let before = scene.secret(PIPEDRIVE_ACCOUNT).unwrap();
    assert_eq!(rotated(&scene).await, REPLACED);
    let after = scene.secret(PIPEDRIVE_ACCOUNT).unwrap();
    assert_ne!(before["password"], after["password"]);
    let labels = scene.labels();
    assert_eq!(labels.len(), 2, "{labels:?}");
    let webhooks = scene.server.api().webhooks.clone();
    assert_eq!((webhooks.len(), webhooks[0].id), (1, 2));
    assert_eq!(
        webhooks[0].wanted.http_auth_password,
        after["password"].as_str().map(str::to_owned)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_amocrm_is_replaced_without_a_refused_delivery() {
    let scene = Scene::amocrm().await;
    scene.run("register", &[]);
    let before = scene.secret(AMOCRM_ACCOUNT).unwrap();
    assert_eq!(rotated(&scene).await, REPLACED);
    let after = scene.secret(AMOCRM_ACCOUNT).unwrap();
    assert_ne!(before["webhook_url"], after["webhook_url"]);
    let webhooks = scene.server.api().webhooks.clone();
    assert_eq!(webhooks.len(), 1);
    assert_eq!(
        webhooks[0].wanted.destination,
        after["webhook_url"].as_str().unwrap()
    );
}

/// The rotation of an account, whose requests can be interrupted.
struct Interrupted<'a, A> {
    scene: &'a Scene<A>,
    account: &'static str,
    /// Proxies in front of the provider's API, of AWS and of the table.
    proxies: [Proxy; 3],
}

const API: usize = 0;
const AWS: usize = 1;
const TABLE_PROXY: usize = 2;

impl<'a, A: Api> Interrupted<'a, A> {
    fn new(scene: &'a Scene<A>, account: &'static str) -> Self {
        scene.run("register", &[]);
        let endpoints = [
            scene.server.url(),
            scene.stack.endpoint.clone(),
            scene.stack.site.endpoint(),
        ];
        Self {
            scene,
            account,
            proxies: endpoints.map(|endpoint| Proxy::start(&endpoint)),
        }
    }

    /// Interrupts a rotation at one in `step` requests to an endpoint, and continues it.
    async fn at_requests(&self, endpoint: usize, fault: Fault, step: usize) {
        let mut numbers = (0..).step_by(step);
        let mut interrupted = 0;
        while self
            .at_request(endpoint, numbers.next().unwrap(), fault)
            .await
        {
            interrupted += 1;
        }
        assert!(interrupted > 5, "{interrupted} requests");
    }

    /// Interrupts a rotation at a request, and continues it. Returns whether it has so many
    /// requests.
    async fn at_request(&self, endpoint: usize, number: usize, fault: Fault) -> bool {
        let proxy = &self.proxies[endpoint];
        let requests = proxy.requests();
        proxy.set_after(number, fault).await;
        let [_, aws, table] = self.proxies.each_ref().map(Proxy::endpoint);
        let arguments = ["rotate", self.scene.provider];
        let mut command = self.scene.stack.command_through(&aws, &table, &arguments);
        command.args(["--api-url", &self.proxies[API].endpoint()]);
        command
            .args(SHORT)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Killed(command.spawn().unwrap());
        let ended = loop {
            if let Some(status) = process.0.try_wait().unwrap() {
                break Some(status);
            }
            if fault == Fault::Hang && proxy.requests() > requests + number {
                break None;
            }
            sleep(Duration::from_millis(5)).await;
        };
        drop(process);
        proxy.set(Fault::None).await;
        if ended.is_some_and(|status| status.success()) {
            return false;
        }
        self.expire_lease().await;
        let webhooks = format!("{:?}", self.scene.webhooks());
        self.guard().await;
        assert_eq!(
            format!("{:?}", self.scene.webhooks()),
            webhooks,
            "a pass changed something"
        );
        self.expire_lease().await;
        let command = self.scene.command("rotate", &SHORT);
        let output = tokio::task::spawn_blocking(|| output(command))
            .await
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "request {number} to {endpoint}: {stderr}"
        );
        self.assert_rotated().await;
        true
    }

    /// Makes the lease of a killed process end.
    async fn expire_lease(&self) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = self
            .scene
            .stack
            .site
            .client()
            .update_item()
            .table_name(TABLE);
        let update = update
            .key("pk", text(&format!("guardian#{}", self.account)))
            .key("sk", text("state"))
            .update_expression("SET leaseuntil = :past")
            .expression_attribute_values(":past", text("2026-01-01T00:00:00.000000Z"));
        update.send().await.unwrap();
    }

    /// A pass of the guardian.
    async fn guard(&self) {
        let provider = provider(self.scene.provider);
        let api = provider.api.unwrap();
        let secret = self.scene.secret(self.account).unwrap();
        let secret = serde_json::from_value(secret).unwrap();
        let id = self.account.rsplit('/').next().unwrap();
        let pass = Pass {
            target: &Target::new(provider, api, id, secret).unwrap(),
            client: &Client::new(api.limits),
            table: &self.scene.stack.site.table,
            doubt: DOUBT,
        };
        pass.repair().await.unwrap();
    }

    async fn assert_rotated(&self) {
        assert_eq!(self.scene.webhooks().len(), 1);
        assert_eq!(
            self.scene.labels().len(),
            2,
            "the first one is another webhook's"
        );
        assert_eq!(
            self.scene.secret(self.account).unwrap()["next"],
            serde_json::Value::Null
        );
        let state = self.scene.stack.site.table.guardian(self.account).await;
        assert_eq!(state.unwrap().unwrap().rotating, None);
    }
}

/// Interrupts rotations of Pipedrive at the requests to an endpoint, while events are delivered.
async fn interrupt(endpoint: usize, fault: Fault, step: usize) {
    let scene = Scene::pipedrive().await;
    let rotation = Interrupted::new(&scene, PIPEDRIVE_ACCOUNT);
    let work = Box::pin(rotation.at_requests(endpoint, fault, step));
    with_traffic(&scene, work).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_at_any_request_to_the_api_continues() {
    interrupt(API, Fault::Hang, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_loses_any_response_of_the_api_continues() {
    interrupt(API, Fault::ResetAfter, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_at_any_request_to_aws_continues() {
    interrupt(AWS, Fault::Hang, 1).await;
}

/// Most requests to the table read the index. Those that save the state are between requests to
/// the API and to AWS, at which the other tests interrupt.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_is_killed_at_requests_to_the_table_continues() {
    interrupt(TABLE_PROXY, Fault::Hang, 11).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_of_amocrm_that_is_killed_at_any_request_to_the_api_continues() {
    let scene = Scene::amocrm().await;
    let rotation = Interrupted::new(&scene, AMOCRM_ACCOUNT);
    let work = Box::pin(rotation.at_requests(API, Fault::Hang, 1));
    with_traffic(&scene, work).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_not_registered_is_not_rotated() {
    let scene = Scene::pipedrive().await;
    assert!(
        scene
            .fail("rotate", &SHORT)
            .contains("run `hookkeeper register` first")
    );
    scene.run("register", &[]);
    scene.server.api().webhooks.clear();
    assert!(scene.fail("rotate", &SHORT).contains("has no webhook"));
    assert_eq!(scene.labels().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_of_version_one_at_the_same_url_prevents_a_rotation() {
    let scene = Scene::pipedrive().await;
    scene.run("register", &[]);
    let mut first = scene.server.api().webhooks[0].wanted.clone();
    first.version = "1.0".to_owned();
    scene.server.api().add(first, Duration::ZERO);
    assert!(scene.fail("rotate", &SHORT).contains("is for *.* 1.0"));
    assert_eq!(scene.labels().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_a_rotation_names_the_next_step() {
    let scene = Scene::pipedrive().await;
    scene.run("register", &[]);
    let lines = scene.run("rotate", &["--dry-run"]);
    let reason = "the next step would be to make the receiver accept a new credential";
    assert_eq!(lines[0]["reason"], reason);
    assert_eq!((scene.labels().len(), scene.webhooks().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rotations_at_once_are_one() {
    let scene = Scene::pipedrive().await;
    scene.run("register", &[]);
    let commands = [
        scene.command("rotate", &SHORT),
        scene.command("rotate", &SHORT),
    ];
    let outputs = commands.map(|command| tokio::task::spawn_blocking(|| output(command)));
    let outputs = with_traffic(&scene, futures_util::future::join_all(outputs)).await;
    let codes = outputs
        .into_iter()
        .map(|output| output.unwrap().status.code().unwrap());
    let mut codes: Vec<_> = codes.collect();
    codes.sort_unstable();
    assert!(codes == [0, 75] || codes == [0, 0], "{codes:?}");
    assert_eq!((scene.labels().len(), scene.webhooks().len()), (2, 1));
}
