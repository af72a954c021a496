//! A company of Pipedrive whose people act at random.

use super::{
    account::Crm,
    happened::{Happened, mark},
};
use crate::{
    api::{
        Api, Notice, PipedriveApi, WebhookTarget,
        pipedrive::{DealStatus, NewWebhook, ObjectId, ObjectKind},
    },
    simulation::pipedrive::{TIMEOUT, WAITS},
};
use fastrand::Rng;
use guardian::{Target, secrets::Secret};
use serde_json::Value;
use std::time::Duration;

const URL: &str = "https://hooks.example.com/pipedrive";
const USER: &str = "hookkeeper";
/// The kinds of objects that people create. The first ones are created more often.
const KINDS: [ObjectKind; 12] = [
    ObjectKind::Deal,
    ObjectKind::Deal,
    ObjectKind::Deal,
    ObjectKind::Deal,
    ObjectKind::Person,
    ObjectKind::Person,
    ObjectKind::Activity,
    ObjectKind::Activity,
    ObjectKind::Organization,
    ObjectKind::Lead,
    ObjectKind::Note,
    ObjectKind::Product,
];
/// The number of objects of each of [`KINDS`] before the webhook is registered.
const OLD_OBJECTS: usize = 5;

impl Crm for PipedriveApi {
    const PROVIDER: &'static str = "pipedrive";
    const TIMEOUT: Duration = TIMEOUT;
    const WAITS: &'static [Duration] = &WAITS;

    fn populated(_: &mut Rng, now: Duration) -> Self {
        let mut api = Self::new(super::account::OLD);
        let before = now - Duration::from_hours(24);
        let kinds = KINDS.into_iter().cycle().take(KINDS.len() * OLD_OBJECTS);
        for kind in kinds.chain([ObjectKind::Pipeline, ObjectKind::Stage]) {
            api.objects.create(kind, before);
        }
        api.notices();
        api
    }

    fn id(&self) -> u64 {
        self.company
    }

    fn secret(password: &str, token: &str) -> Secret {
        Secret {
            api_token: token.to_owned(),
            api_url: Some("http://api.simulation".to_owned()),
            webhook_url: URL.to_owned(),
            user: Some(USER.to_owned()),
            password: Some(password.to_owned()),
        }
    }

    fn act(&mut self, random: &mut Rng, now: Duration) -> Vec<(Happened, Option<Notice>)> {
        let objects: Vec<ObjectId> = self.objects.ids().collect();
        let object = objects[random.usize(..objects.len())];
        let kind = object.kind;
        let is_setting = matches!(kind, ObjectKind::Pipeline | ObjectKind::Stage);
        let (object, action) = match random.u8(..100) {
            0..22 => {
                let kind = KINDS[random.usize(..KINDS.len())];
                (self.objects.create(kind, now), "created")
            }
            22..30 if kind == ObjectKind::Deal => {
                let mut statuses = vec![DealStatus::Open, DealStatus::Won, DealStatus::Lost];
                statuses.retain(|status| *status != self.objects.status(object));
                let status = statuses[random.usize(..statuses.len())];
                self.objects.set_status(object, status, now);
                (object, "updated")
            }
            30..34 if matches!(kind, ObjectKind::Deal | ObjectKind::Lead) => {
                self.objects.archive(object, now);
                (object, "updated")
            }
            34..43 if !is_setting => {
                self.objects.delete(object, now);
                (object, "deleted")
            }
            43..60 => {
                self.objects.touch(object, now);
                (object, "updated")
            }
            _ => {
                self.objects.change(object, now);
                (object, "updated")
            }
        };
        let notice = self.notices().pop();
        let happened = Happened {
            subject: object.to_string(),
            action,
            at: now,
            shown: self.objects.updated(object),
            mark: notice.as_ref().map(mark),
            is_shown: action != "deleted" || kind == ObjectKind::Deal,
        };
        vec![(happened, notice)]
    }

    fn register(&mut self, target: &Target, now: Duration) {
        let basic = target.wanted.basic.clone().unwrap();
        let webhook = NewWebhook {
            http_auth_user: Some(basic.user),
            http_auth_password: Some(basic.password),
            ..NewWebhook::all(&target.wanted.url)
        };
        self.add(webhook, now);
    }

    fn delete_webhooks(&mut self, password: &str) {
        self.webhooks.retain(|webhook| {
            let own = webhook.wanted.http_auth_password.as_deref();
            own != Some(password)
        });
    }

    fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    fn is_repeated(_: usize, _: Option<u16>) -> bool {
        true
    }

    fn body(notice: &Notice, target: &WebhookTarget, attempt: usize) -> String {
        let mut body: Value = serde_json::from_str(&notice.body).unwrap();
        let webhook = target.webhook;
        body["meta"]["attempt"] = attempt.into();
        body["meta"]["webhook_id"] = webhook.to_string().into();
        body["meta"]["correlation_id"] = format!("{webhook:08x}-7ec6-4af8-{attempt:04x}").into();
        body.to_string()
    }

    fn record_attempt(&mut self, webhook: u64, attempt: usize, status: Option<u16>, now: Duration) {
        // A retry does not count towards a ban.
        let is_success = status.is_some_and(|status| (200..300).contains(&status));
        if attempt == 1 || is_success {
            self.record(webhook, status, now);
        }
    }

    fn spent(&self) -> u64 {
        self.spent
    }

    fn punishments(&self) -> usize {
        let webhooks = self.webhooks.iter();
        webhooks.map(|webhook| webhook.standing.penalties()).sum()
    }
}
