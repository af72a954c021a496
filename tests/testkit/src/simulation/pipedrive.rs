//! Pipedrive: three retries, and a ban that drops all events while it lasts.
//!
//! Sources: <https://pipedrive.readme.io/docs/guide-for-webhooks>, <https://pipedrive.readme.io/docs/guide-for-webhooks-v2>
//!
//! Where they are silent, we assume the worst: a retry that is due during a ban is dropped too.

use super::{
    crm::{Channel, Happening, Internet, Mark, Request, filler},
    world::seconds,
};
use crate::api::pipedrive::Standing;
use models::Timestamp;
use serde_json::{Value, json};
use std::{ops::Range, sync::Mutex, time::Duration};

pub(crate) const TIMEOUT: Duration = seconds(10);
/// Waits before the attempts.
pub(crate) const WAITS: [Duration; 4] = [seconds(0), seconds(3), seconds(30), seconds(150)];

/// A registered webhook.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) id: u32,
    pub(crate) channel: Channel,
    pub(crate) password: &'static str,
    pub(crate) exists: Range<Duration>,
    pub(crate) standing: Mutex<Standing>,
}

impl Webhook {
    pub(crate) async fn report(&self, internet: &Internet, happening: &Happening) {
        for (attempt, wait) in (1..).zip(WAITS) {
            tokio::time::sleep(wait).await;
            if self.is_silenced(internet.aws.world.now()) {
                return;
            }
            let request = self.request(happening, attempt + u32::from(happening.is_copy));
            let response = internet.post(request, TIMEOUT).await;
            let succeeded = response.is_some_and(|status| (200..300).contains(&status));
            let mut standing = self.standing.lock().unwrap();
            standing.record(attempt, succeeded, internet.aws.world.now());
            drop(standing);
            if succeeded {
                return;
            }
        }
    }

    fn is_silenced(&self, now: Duration) -> bool {
        let standing = self.standing.lock().unwrap();
        standing.is_removed() || standing.is_banned(now) || !self.exists.contains(&now)
    }

    fn request(&self, happening: &Happening, attempt: u32) -> Request {
        let body = match self.channel {
            Channel::PipedriveV1 => self.v1(happening, attempt),
            _ => self.v2(happening, attempt),
        };
        let request = Request {
            provider: "pipedrive",
            password: self.password,
            content_type: "application/json",
            body: body.to_string(),
        };
        request.in_format_of(happening)
    }

    fn v1(&self, happening: &Happening, attempt: u32) -> Value {
        let mark = happening.events.start;
        let millis = happening.epoch_ms();
        let webhook_id = self.id.to_string();
        json!({
            "v": 1,
            "matches_filters": { "current": [], "previous": [] },
            "meta": {
                "v": 1, "action": "updated", "object": "deal", "id": entity(mark), "company_id": 5_155_039,
                "user_id": 8_067_149, "host": "company.pipedrive.com", "timestamp": millis / 1_000,
                "timestamp_micro": millis * 1_000, "permitted_user_ids": ["*"], "trans_pending": false,
                "is_bulk_update": false, "pipedrive_service_name": false, "change_source": "app",
                "matches_filters": { "current": [], "previous": [] }, "webhook_id": webhook_id,
            },
            "current": deal(mark, happening.bytes / 2),
            "previous": deal(mark, happening.bytes / 2),
            "event": "updated.deal",
            "retry": attempt - 1,
        })
    }

    /// A deal, or in one of ten cases a user. The `meta.id` of a user is the id of the user, not of
    /// the event.
    fn v2(&self, happening: &Happening, attempt: u32) -> Value {
        let mark = happening.events.start;
        let (object, id) = match mark % 10 {
            0 => ("user", entity(mark).to_string()),
            _ => ("deal", format!("4ad6a8f7-2b5c-4f0e-9a63-{mark:012x}")),
        };
        json!({
            "data": deal(mark, happening.bytes),
            "previous": { "title": "as it was" },
            "meta": {
                "action": "change", "company_id": "5155039", "entity": object, "entity_id": entity(mark).to_string(),
                "correlation_id": format!("121e5331-7ec6-4af8-{:04x}-{mark:012x}", self.id), "id": id,
                "is_bulk_edit": false, "timestamp": Timestamp::from_epoch(happening.epoch_ms().cast_signed()),
                "type": "general", "user_id": "8067149", "version": "2.0", "webhook_id": self.id.to_string(),
                "webhook_owner_id": self.id.to_string(), "change_source": "app", "attempt": attempt,
                "host": "company.pipedrive.com", "permitted_user_ids": ["8067149"],
            },
        })
    }
}

/// Few entities, so that each of them changes often.
fn entity(mark: Mark) -> u32 {
    mark % 50
}

fn deal(mark: Mark, bytes: usize) -> Value {
    json!({
        "id": entity(mark), "title": format!("Deal {mark}"), "value": 100, "currency": "EUR", "status": "open",
        "stage_id": 2, "pipeline_id": 1, "3d0fa3429dfa2d3dec265b4fc5dc8258ab66cdf3": filler(bytes),
    })
}
