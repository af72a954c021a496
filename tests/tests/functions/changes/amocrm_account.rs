//! What changed in a simulated account of amoCRM is missing exactly if its webhooks were lost.

use super::{START, delivered, missing, read, window};
use fastrand::Rng;
use models::{Event, Timestamp};
use providers::AMOCRM;
use std::time::Duration;
use testkit::api::{
    AmocrmApi, Api,
    amocrm::{EntityId, EntityKind, NewAmocrmWebhook},
};

/// From one act to the next one.
const PAUSE: Duration = Duration::from_secs(5);
/// Acts since the start of the window, which has 720 of them.
const ACTS: u32 = 800;
/// The time from an event to the arrival of its webhook.
const DELAY: Duration = Duration::from_secs(40);

/// An act of a person: its time, and the events of its webhooks.
struct Done {
    at: Duration,
    events: Vec<Event>,
}

/// An account, and what people did in it.
struct Account {
    api: AmocrmApi,
    random: Rng,
    past: Vec<Done>,
}

impl Account {
    /// An account with 2,000 entities, of which some change in the window and after it.
    fn new(seed: u64, has_customers: bool) -> Self {
        let mut account = Self {
            api: AmocrmApi::new("s3cret-token"),
            random: Rng::with_seed(seed),
            past: Vec::new(),
        };
        account.api.entities.has_customers = has_customers;
        account.api.add(webhook(), START);
        let before = Duration::from_hours(2);
        for number in 0..2_000 {
            account.create(START - before + Duration::from_secs(3 * number));
        }
        for number in 0..ACTS {
            let millis = account.random.u64(..1_000);
            account.act(START + PAUSE * number + Duration::from_millis(millis));
        }
        account
    }

    fn create(&mut self, now: Duration) {
        let has_customers = self.api.entities.has_customers;
        let kinds = EntityKind::ALL.into_iter();
        let kinds = kinds.filter(|kind| has_customers || *kind != EntityKind::Customer);
        let kind = self.random.choice(kinds.collect::<Vec<_>>()).unwrap();
        self.api.entities.create(kind, now);
        self.remember(now);
    }

    fn any(&mut self, kind: Option<EntityKind>) -> EntityId {
        let ids = self.api.entities.ids();
        let ids = ids.filter(|id| kind.is_none_or(|kind| kind == id.kind));
        let ids: Vec<EntityId> = ids.collect();
        *self.random.choice(&ids).unwrap()
    }

    fn act(&mut self, now: Duration) {
        let id = self.any(None);
        let lead = self.any(Some(EntityKind::Lead));
        let contact = self.any(Some(EntityKind::Contact));
        let entities = &mut self.api.entities;
        match self.random.u8(..10) {
            0..2 => return self.create(now),
            2..4 => entities.delete(id, now),
            4 => entities.move_lead(lead, now),
            5 if id.kind != EntityKind::Task => _ = entities.note(id, now),
            6 => entities.receive_message(lead, contact, now),
            _ => entities.update(id, now),
        }
        self.remember(now);
    }

    fn remember(&mut self, at: Duration) {
        let notices = self.api.notices();
        for notice in &notices {
            let targets = self.api.targets(&notice.kind, at);
            assert_eq!(targets.len(), 1, "{}", notice.kind);
        }
        let events = notices.iter();
        let events = events.flat_map(|notice| delivered(&AMOCRM, notice, at + DELAY));
        let events = events.collect();
        self.past.push(Done { at, events });
    }

    /// The stored events of a subject, without those of one act.
    fn stored(&self, subject: &str, lost: Option<usize>) -> Vec<Event> {
        let past = self.past.iter().enumerate();
        let kept = past.filter(|(index, _)| Some(*index) != lost);
        let events = kept.flat_map(|(_, done)| &done.events);
        let events = events.filter(|event| event.subject == subject);
        events.cloned().collect()
    }
}

/// The webhook that production code registers.
fn webhook() -> NewAmocrmWebhook {
    let wanted = AMOCRM.api.unwrap().wanted;
    let wanted = wanted("https://hooks.example.com/amocrm".to_owned(), None);
    let settings: Vec<&str> = wanted.topics.iter().map(String::as_str).collect();
    NewAmocrmWebhook::new(&wanted.url, &settings)
}

#[test]
fn an_event_of_an_account_is_missing_exactly_if_its_webhook_was_lost() {
    for (seed, has_customers) in [(0, true), (1, false), (2, true)] {
        let mut account = Account::new(seed, has_customers);
        let later = START + Duration::from_hours(3);
        let (changed, _) = read(&AMOCRM, &mut account.api, later);
        let is_in_window = |done: &Done| window().contains(Timestamp::from_unix(done.at));
        let acts = account.past.iter().filter(|done| is_in_window(done));
        let count: usize = changed.values().map(|changed| changed.count).sum();
        assert_eq!(count, acts.count(), "each act is one change");
        for (subject, changed) in &changed {
            let stored = account.stored(subject, None);
            let missing = missing(changed, &stored);
            assert!(missing.is_empty(), "{missing:?}, seed {seed}");
        }
        for (lost, done) in account.past.iter().enumerate() {
            // The last webhook of an act is that of its entry, and another one of a new status.
            let (Some(event), true) = (done.events.last(), is_in_window(done)) else {
                continue;
            };
            let stored = account.stored(&event.subject, Some(lost));
            let missing = missing(&changed[&event.subject], &stored);
            let second = missing.iter().map(|change| change.time.as_seconds());
            assert!(
                second.eq([done.at.as_secs().cast_signed()]),
                "{missing:?}, seed {seed}"
            );
            let is_note = missing[0].r#type.ends_with(".note_added");
            let has_text = missing[0].data.get().contains("\"text\":\"Note ");
            assert_eq!(is_note, has_text, "{missing:?}");
        }
    }
}
