//! What changed in a simulated company of Pipedrive is missing exactly if its webhooks were lost.

use super::{START, delivered, missing, read, window};
use fastrand::Rng;
use models::{Event, Timestamp};
use providers::{PIPEDRIVE, api::change::Changed};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use testkit::api::{
    PipedriveApi,
    pipedrive::{DealStatus, ObjectId, ObjectKind},
};

/// From one act to the next one.
const PAUSE: Duration = Duration::from_secs(10);
/// Acts since the start of the window, which has 360 of them.
const ACTS: u32 = 400;

/// Something that a person did to an object.
struct Done {
    word: &'static str,
    at: Duration,
    /// `None`: it moved `update_time` without a webhook.
    event: Option<Event>,
}

/// A company, and what people did to each of its objects.
struct Company {
    api: PipedriveApi,
    random: Rng,
    past: BTreeMap<ObjectId, Vec<Done>>,
}

impl Company {
    /// A company with 2,000 objects, of which some change in the window and after it.
    fn new(seed: u64) -> Self {
        let mut company = Self {
            api: PipedriveApi::new("s3cret-token"),
            random: Rng::with_seed(seed),
            past: BTreeMap::new(),
        };
        let before = Duration::from_hours(48);
        for minute in 0..2_000 {
            company.create(START - before + Duration::from_mins(minute));
        }
        for number in 0..ACTS {
            let millis = company.random.u64(1_000..2_000);
            company.act(START + PAUSE * number + Duration::from_millis(millis));
        }
        company
    }

    fn create(&mut self, now: Duration) {
        let kind = self.random.choice(ObjectKind::ALL).unwrap();
        let id = self.api.objects.create(kind, now);
        self.remember(id, "created", now);
    }

    fn act(&mut self, now: Duration) {
        let ids: Vec<ObjectId> = self.api.objects.ids().collect();
        let id = *self.random.choice(&ids).unwrap();
        let has_archive = matches!(id.kind, ObjectKind::Deal | ObjectKind::Lead);
        let objects = &mut self.api.objects;
        let word = match self.random.u8(..10) {
            0..3 => return self.create(now),
            3 => {
                objects.delete(id, now);
                "deleted"
            }
            4 => {
                objects.touch(id, now);
                "updated"
            }
            5 if has_archive => {
                objects.archive(id, now);
                "updated"
            }
            6 if id.kind == ObjectKind::Deal => {
                objects.set_status(id, DealStatus::Won, now);
                "updated"
            }
            _ => {
                objects.change(id, now);
                "updated"
            }
        };
        self.remember(id, word, now);
    }

    fn remember(&mut self, id: ObjectId, word: &'static str, at: Duration) {
        let notice = self.api.notices().pop();
        let event = notice.map(|notice| delivered(&PIPEDRIVE, &notice, at).remove(0));
        let past = self.past.entry(id).or_default();
        past.push(Done { word, at, event });
    }

    /// The objects that changed in the window.
    fn changed(&mut self) -> BTreeMap<String, Changed> {
        let later = START + Duration::from_mins(80);
        let (changed, tokens) = read(&PIPEDRIVE, &mut self.api, later);
        assert_eq!(self.api.spent, tokens);
        changed
    }
}

fn is_in_window(done: &Done) -> bool {
    window().contains(Timestamp::from_unix(done.at))
}

/// Whether the API does not show an object any more.
fn is_gone(id: ObjectId, past: &[Done]) -> bool {
    past.last().unwrap().word == "deleted" && id.kind != ObjectKind::Deal
}

/// The events that were stored for a past of which one event was lost, or none.
fn stored(past: &[Done], lost: Option<usize>) -> Vec<Event> {
    let past = past.iter().enumerate();
    let kept = past.filter(|(index, _)| Some(*index) != lost);
    kept.filter_map(|(_, done)| done.event.clone()).collect()
}

/// What is missing for a past of which these events are stored.
fn expected(past: &[Done], is_stored: impl Fn(usize) -> bool) -> Vec<&'static str> {
    let first = past.first().filter(|first| first.word == "created");
    let is_stored = |index: usize| past[index].event.is_some() && is_stored(index);
    let mut expected = Vec::new();
    if first.is_some_and(is_in_window) && !is_stored(0) {
        expected.push("created");
    }
    let last = past.len() - 1;
    if last > 0 && is_in_window(&past[last]) && !is_stored(last) {
        expected.push(past[last].word);
    }
    expected
}

fn missing_words(changed: &Changed, stored: &[Event]) -> Vec<String> {
    let missing = missing(changed, stored);
    let words = missing
        .iter()
        .map(|change| change.r#type.rsplit('.').next());
    words.map(|word| word.unwrap().to_owned()).collect()
}

#[test]
fn an_object_of_a_company_is_missing_exactly_if_its_last_webhook_was_lost() {
    let mut reported = BTreeSet::new();
    for seed in 0..8 {
        let mut company = Company::new(seed);
        let objects = company.changed();
        let changed = company.past.iter().filter(|(id, past)| {
            let last = past.last().unwrap();
            last.at >= START && !is_gone(**id, past)
        });
        let changed: BTreeMap<String, &Vec<Done>> =
            changed.map(|(id, past)| (id.to_string(), past)).collect();
        assert!(changed.len() > 200, "{}", changed.len());
        assert!(objects.keys().eq(changed.keys()), "seed {seed}");
        for (subject, past) in changed {
            let object = &objects[&subject];
            let why = format!("{subject}, seed {seed}");
            assert_eq!(
                missing_words(object, &[]),
                expected(past, |_| false),
                "{why}"
            );
            assert_eq!(
                missing_words(object, &stored(past, None)),
                expected(past, |_| true),
                "{why}"
            );
            for lost in 0..past.len() {
                let missing = missing_words(object, &stored(past, Some(lost)));
                assert_eq!(missing, expected(past, |index| index != lost), "{why}");
                let kind = subject.split('/').next().unwrap();
                reported.extend(missing.into_iter().map(|word| format!("{kind} {word}")));
            }
        }
    }
    // Of what is deleted, only deals are still shown.
    assert_eq!(reported.len(), 9 * 2 + 1, "{reported:?}");
    assert!(reported.contains("deal deleted"));
}

#[test]
fn kinds_that_the_user_may_not_see_are_not_read() {
    let mut company = Company::new(1);
    company.api.objects.hidden = [ObjectKind::Deal, ObjectKind::Lead].into();
    let objects = company.changed();
    let mut kinds: Vec<&str> = objects
        .keys()
        .filter_map(|subject| subject.split('/').next())
        .collect();
    kinds.dedup();
    let expected = [
        "activity",
        "note",
        "organization",
        "person",
        "pipeline",
        "product",
        "stage",
    ];
    assert_eq!(kinds, expected);
}
