//! amoCRM: account webhooks, which are retried and are disabled after too many invalid responses,
//! and the digital pipeline, which sends once.
//!
//! Sources: <https://developers.kommo.com/docs/webhooks-general>, <https://developers.kommo.com/docs/webhooks-dp>
//!
//! A timeout counts as status 499, the only documented status that can mean it.

use super::{
    crm::{Channel, Happening, Internet, Mark, Request, filler},
    world::{hours, minutes, seconds},
};
use crate::api::amocrm::InvalidResponses;
use std::{sync::Mutex, time::Duration};

pub(crate) const TIMEOUT: Duration = seconds(2);
/// Waits before the attempts. The last two attempts are only made after 499 or 5xx.
pub(crate) const WAITS: [Duration; 5] =
    [seconds(0), minutes(5), minutes(15), minutes(15), hours(1)];
const ATTEMPTS_AFTER_ANY_STATUS: usize = 3;

/// Whether there is a further attempt, after this number of them and the last status. `None`: there
/// was no response in time.
pub(crate) fn is_repeated(attempts: usize, status: Option<u16>) -> bool {
    let is_timeout_or_5xx = status.is_none_or(|status| matches!(status, 499..600));
    attempts < ATTEMPTS_AFTER_ANY_STATUS || is_timeout_or_5xx
}

/// An account's webhook.
#[derive(Debug, Default)]
pub(crate) struct Account {
    invalid: Mutex<InvalidResponses>,
    is_disabled: Mutex<bool>,
}

impl Account {
    pub(crate) async fn report(&self, internet: &Internet, happening: &Happening) {
        let mut status = None;
        for (attempt, wait) in WAITS.into_iter().enumerate() {
            if !is_repeated(attempt, status) {
                return;
            }
            tokio::time::sleep(wait).await;
            if self.is_disabled() {
                return;
            }
            status = internet.post(request(happening), TIMEOUT).await;
            if status.is_some_and(|status| (100..300).contains(&status)) {
                return;
            }
            self.count(internet.aws.world.now());
        }
    }

    /// A disabled webhook stays disabled until a person saves it again. Here nobody does.
    pub(crate) fn is_disabled(&self) -> bool {
        *self.is_disabled.lock().unwrap()
    }

    fn count(&self, now: Duration) {
        let is_disabled = self.invalid.lock().unwrap().record(now);
        *self.is_disabled.lock().unwrap() |= is_disabled;
    }
}

/// The digital pipeline sends once.
pub(crate) async fn report_from_pipeline(internet: &Internet, happening: &Happening) {
    internet.post(request(happening), TIMEOUT).await;
}

fn request(happening: &Happening) -> Request {
    let body = match happening.channel {
        Channel::AmocrmPipeline => moved(happening.events.start),
        _ => updated(happening),
    };
    let request = Request {
        provider: "amocrm",
        password: "old",
        content_type: "application/x-www-form-urlencoded",
        body,
    };
    request.in_format_of(happening)
}

/// Changed leads. A change of a list of leads has several.
fn updated(happening: &Happening) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("account[subdomain]", "example")
        .append_pair("account[id]", "30307558");
    for (index, mark) in happening.events.clone().enumerate() {
        let fields = [
            ("id", (mark % 50).to_string()),
            ("name", format!("Сделка {mark}")),
            ("status_id", "142".to_owned()),
            (
                "custom_fields][0][values][0][value",
                filler(happening.bytes),
            ),
            ("created_at", "1705219200".to_owned()),
            ("updated_at", (happening.epoch_ms() / 1_000).to_string()),
        ];
        for (name, value) in fields {
            form.append_pair(&format!("leads[update][{index}][{name}]"), &value);
        }
    }
    form.finish()
}

/// A lead that moved to another stage. The body has neither a time nor an id of the event.
fn moved(lead: Mark) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("leads[status][0][id]", &lead.to_string())
        .append_pair("leads[status][0][status_id]", "54423922")
        .append_pair("leads[status][0][pipeline_id]", "6344290")
        .append_pair("leads[status][0][old_status_id]", "54435014")
        .append_pair("account[id]", "30307558")
        .append_pair("account[subdomain]", "example");
    form.finish()
}
