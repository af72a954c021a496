//! What changed in a simulated account of amoCRM is missing exactly if its webhooks were lost.

use super::{super::api::access, START, delivered, send, window};
use fastrand::Rng;
use models::{Event, Timestamp};
use providers::{
    AMOCRM,
    amocrm::api::{
        changes::{self, COMPARED_AFTER, COMPARED_BEFORE, Context, Entry, Logged, LoggedChange},
        walk::{self, Walk},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
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
    now: Duration,
}

impl Account {
    /// An account with 2,000 entities, of which some change in the window and after it.
    fn new(seed: u64, has_customers: bool) -> Self {
        let mut account = Self {
            api: AmocrmApi::new("s3cret-token"),
            random: Rng::with_seed(seed),
            past: Vec::new(),
            now: START + Duration::from_hours(3),
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

    /// Later than the last request, within the limit.
    fn next_moment(&mut self) -> Duration {
        self.now += Duration::from_millis(200);
        self.now
    }

    /// The changes in the window, as production code finds them.
    fn changes(&mut self) -> BTreeMap<String, Vec<LoggedChange>> {
        let mut walk = Walk::new(window());
        while let Some(call) = walk.next(&access()) {
            let now = self.next_moment();
            walk.receive(send(&mut self.api, call, now)).unwrap();
        }
        let entries = walk.finish().unwrap();
        let context = self.context(&entries);
        let logged = Logged::new(&entries, &context);
        assert!(logged.skipped.is_empty(), "{:?}", logged.skipped);
        let mut changes = logged.changes;
        for changes in changes.values_mut() {
            changes.retain(|logged| window().contains(logged.change.time));
        }
        changes.retain(|_, changes| !changes.is_empty());
        changes
    }

    fn context(&mut self, entries: &[Entry]) -> Context {
        let mut context = Context::default();
        let mut wanted: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
        for (entity, note) in entries.iter().filter_map(Entry::note) {
            wanted.entry(entity).or_default().insert(note);
        }
        for (entity, ids) in wanted {
            let ids: Vec<u64> = ids.into_iter().collect();
            for ids in ids.chunks(walk::NOTES_PER_REQUEST) {
                let ids: BTreeSet<u64> = ids.iter().copied().collect();
                let now = self.next_moment();
                let notes = send(&mut self.api, walk::notes(&access(), entity, &ids), now);
                let notes = notes.unwrap();
                assert!(notes.keys().eq(&ids), "{entity}");
                context.notes.extend(notes);
            }
        }
        for talk in entries.iter().filter_map(Entry::talk_id) {
            let now = self.next_moment();
            let chat = send(&mut self.api, walk::talk(&access(), talk), now);
            context.chats.insert(talk, chat.unwrap());
        }
        context
    }

    /// The stored events of a subject, without those of one act.
    fn stored(&self, subject: &str, lost: Option<usize>) -> Vec<Event> {
        let since = window().since.before(COMPARED_BEFORE);
        let until = window().until.after(COMPARED_AFTER);
        let past = self.past.iter().enumerate();
        let kept = past.filter(|(index, _)| Some(*index) != lost);
        let events = kept.flat_map(|(_, done)| &done.events);
        let events = events.filter(|event| event.subject == subject);
        events
            .filter(|event| (since..until).contains(&event.time))
            .cloned()
            .collect()
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
        let changes = account.changes();
        let is_in_window = |done: &Done| window().contains(Timestamp::from_unix(done.at));
        let acts = account.past.iter().filter(|done| is_in_window(done));
        let count: usize = changes.values().map(Vec::len).sum();
        assert_eq!(count, acts.count(), "each act is one change");
        for (subject, changes) in &changes {
            let all = changes::missing(changes.clone(), &[]);
            assert_eq!(all.len(), changes.len(), "{subject}, seed {seed}");
            let stored = account.stored(subject, None);
            let missing = changes::missing(changes.clone(), &stored);
            assert!(missing.is_empty(), "{missing:?}, seed {seed}");
        }
        for (lost, done) in account.past.iter().enumerate() {
            // The last webhook of an act is that of its entry, but for a change of status.
            let (Some(event), true) = (done.events.last(), is_in_window(done)) else {
                continue;
            };
            let changes = changes[&event.subject].clone();
            let stored = account.stored(&event.subject, Some(lost));
            let missing = changes::missing(changes, &stored);
            let seconds: Vec<i64> = missing
                .iter()
                .map(|change| change.time.as_seconds())
                .collect();
            let expected = done.at.as_secs().cast_signed();
            assert_eq!(seconds, [expected], "{}, seed {seed}", event.subject);
        }
    }
}
