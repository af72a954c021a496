//! An account of amoCRM whose people act at random.

use super::{
    account::Crm,
    happened::{Happened, field, mark},
};
use crate::{
    api::{
        AmocrmApi, Api, Notice, WebhookTarget,
        amocrm::{EntityId, EntityKind, NewAmocrmWebhook},
    },
    simulation::amocrm::{TIMEOUT, WAITS, is_repeated},
};
use fastrand::Rng;
use guardian::{Target, secrets::Secret};
use std::time::Duration;

/// The kinds of entities that people create. The first one is created more often.
const KINDS: [EntityKind; 7] = [
    EntityKind::Lead,
    EntityKind::Lead,
    EntityKind::Lead,
    EntityKind::Contact,
    EntityKind::Company,
    EntityKind::Customer,
    EntityKind::Task,
];
/// The number of entities of each of [`KINDS`] before the webhook is registered.
const OLD_ENTITIES: usize = 8;

impl Crm for AmocrmApi {
    const PROVIDER: &'static str = "amocrm";
    const TIMEOUT: Duration = TIMEOUT;
    const WAITS: &'static [Duration] = &WAITS;

    fn populated(_: &mut Rng, now: Duration) -> Self {
        let mut api = Self::new(super::account::OLD);
        let before = now - Duration::from_hours(24);
        for kind in KINDS.into_iter().cycle().take(KINDS.len() * OLD_ENTITIES) {
            api.entities.create(kind, before);
        }
        api.notices();
        api
    }

    fn id(&self) -> u64 {
        self.account
    }

    fn secret(password: &str, token: &str) -> Secret {
        Secret {
            api_token: token.to_owned(),
            api_url: Some("http://api.simulation".to_owned()),
            webhook_url: url(password),
            user: None,
            password: None,
        }
    }

    fn act(&mut self, random: &mut Rng, now: Duration) -> Vec<(Happened, Option<Notice>)> {
        let entities: Vec<EntityId> = self.entities.ids().collect();
        let entity = entities[random.usize(..entities.len())];
        let of_kind = |kind: EntityKind| entities.iter().find(|entity| entity.kind == kind);
        let (subject, actions): (String, &[&'static str]) = match random.u8(..100) {
            0..22 => {
                let kind = KINDS[random.usize(..KINDS.len())];
                let created = self.entities.create(kind, now);
                (created.to_string(), &["created"])
            }
            22..34 if entity.kind == EntityKind::Lead => {
                self.entities.move_lead(entity, now);
                (entity.to_string(), &["status_changed", "updated"])
            }
            34..47 if entity.kind != EntityKind::Task => {
                self.entities.note(entity, now);
                (entity.to_string(), &["note_added"])
            }
            47..59 => {
                let lead = of_kind(EntityKind::Lead).unwrap();
                let contact = of_kind(EntityKind::Contact).unwrap();
                self.entities.receive_message(*lead, *contact, now);
                (String::new(), &[])
            }
            59..66 => {
                self.entities.delete(entity, now);
                (entity.to_string(), &["deleted"])
            }
            _ => {
                self.entities.update(entity, now);
                (entity.to_string(), &["updated"])
            }
        };
        let notices = self.notices().into_iter().enumerate();
        let happened = notices.map(|(index, notice)| {
            let (subject, action) = match actions.get(index) {
                Some(action) => (subject.clone(), *action),
                None => message_or_talk(&notice),
            };
            let happened = Happened {
                // The log has the new status alone, and no talk.
                is_shown: index == 0 && !subject.starts_with("talk/")
                    || subject.starts_with("chat/"),
                subject,
                action,
                at: now,
                shown: now,
                mark: Some(mark(&notice)),
            };
            (happened, Some(notice))
        });
        happened.collect()
    }

    fn register(&mut self, target: &Target, now: Duration) {
        let topics: Vec<&str> = target.wanted.topics.iter().map(String::as_str).collect();
        self.add(NewAmocrmWebhook::new(&target.wanted.url, &topics), now);
    }

    fn delete_webhooks(&mut self, password: &str) {
        let url = url(password);
        self.webhooks
            .retain(|webhook| webhook.wanted.destination != url);
    }

    fn set_token(&mut self, token: &str) {
        token.clone_into(&mut self.token);
    }

    fn is_repeated(attempts: usize, status: Option<u16>) -> bool {
        is_repeated(attempts, status)
    }

    fn body(notice: &Notice, _: &WebhookTarget, _: usize) -> String {
        notice.body.clone()
    }

    fn record_attempt(&mut self, webhook: u64, _: usize, status: Option<u16>, now: Duration) {
        self.record(webhook, status, now);
    }

    fn spent(&self) -> u64 {
        0
    }

    fn punishments(&self) -> usize {
        let webhooks = self.webhooks.iter();
        webhooks.filter(|webhook| webhook.is_disabled).count()
    }
}

fn url(password: &str) -> String {
    format!("https://hooks.example.com/amocrm?key={password}")
}

fn message_or_talk(notice: &Notice) -> (String, &'static str) {
    if notice.kind == "add_talk" {
        return (
            format!("talk/{}", field(&notice.body, "[talk_id]")),
            "created",
        );
    }
    (
        format!("chat/{}", field(&notice.body, "[chat_id]")),
        "created",
    )
}
