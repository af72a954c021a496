//! Compares what happened in an account with what is in the table at the end.
//!
//! What must be in the table, as an event of a webhook or read back:
//!
//! - Pipedrive: every creation, the latest state of every object, and every deletion of a deal. No
//!   API shows a deleted object of another kind, so nothing of it is counted.
//! - amoCRM: every event of the log. Updates of a subject in one second are one.
//!
//! Nothing may be in it twice: neither two events of webhooks, nor one of a webhook and one that was
//! read back.

use super::happened::{Happened, Mark, mark_of_body, mark_of_item};
use crate::simulation::text;
use models::Timestamp;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// How much later than its creation an object counts as unchanged: it is read back as one event.
const NEW: Duration = Duration::from_secs(2);

/// The comparison of an account with the table.
#[derive(Debug, Default)]
pub(super) struct Measure {
    /// Number of events that must be in the table.
    pub(super) sent: usize,
    /// Those that are not.
    pub(super) lost: Vec<Happened>,
    /// Those that are in the table twice, and what was read back and never happened.
    pub(super) doubled: Vec<String>,
    /// Number of changes that were read back although no webhook reports them.
    pub(super) needless: usize,
}

/// An event in the table.
#[derive(Debug)]
struct Stored {
    subject: String,
    action: String,
    time: Timestamp,
    /// The `update_time` of an object that was read back. It may be later than the time of its
    /// creation, and the state is that of this time.
    updated: Option<Timestamp>,
    is_read_back: bool,
    /// `None`: it was read back.
    mark: Option<Mark>,
}

/// Compares an account of a provider with the items of Hookkeeper's table, or with those of a naive
/// receiver.
pub(super) fn measure(provider: &str, happened: &[Happened], items: &[Value]) -> Measure {
    let stored: Vec<Stored> = items
        .iter()
        .filter_map(|item| Stored::from_item(provider, item))
        .collect();
    let mut measure = Measure::default();
    let marks: HashMap<&Mark, usize> = happened
        .iter()
        .enumerate()
        .filter_map(|(index, happened)| Some((happened.mark.as_ref()?, index)))
        .collect();
    let mut delivered = vec![0; happened.len()];
    let mut read_back = vec![0; happened.len()];
    for event in &stored {
        let counts = if event.is_read_back {
            &mut read_back
        } else {
            &mut delivered
        };
        let index = match &event.mark {
            Some(mark) => marks.get(mark).copied(),
            None => happened.iter().rposition(|happened| event.is_of(happened)),
        };
        match index {
            Some(index) => counts[index] += 1,
            None => measure.doubled.push(format!("never happened: {event:?}")),
        }
    }
    for (index, one) in happened.iter().enumerate() {
        // The webhook of a deletion in amoCRM has no time, so each of its retries is stored.
        let has_time = provider != "amocrm" || one.action != "deleted";
        let own = if has_time {
            delivered[index]
        } else {
            delivered[index].min(1)
        };
        if own + read_back[index] > 1 {
            let counts = format!("{own} and {} times", read_back[index]);
            measure.doubled.push(format!("{counts}: {one:?}"));
        }
        if one.mark.is_none() {
            measure.needless += read_back[index];
        }
    }
    let is_stored = |index: usize| delivered[index] + read_back[index] > 0;
    let needed = match provider {
        "amocrm" => needed_of_log(happened, is_stored),
        _ => needed_of_objects(happened, &stored, is_stored),
    };
    measure.sent = needed.len();
    let lost = needed.into_iter().filter(|(_, is_stored)| !is_stored);
    measure.lost = lost.map(|(index, _)| happened[index].clone()).collect();
    measure
}

/// The events of amoCRM that must be in the table, and whether they are.
fn needed_of_log(happened: &[Happened], is_stored: impl Fn(usize) -> bool) -> Vec<(usize, bool)> {
    let mut seconds: BTreeMap<(&str, u64), (usize, bool)> = BTreeMap::new();
    let mut needed = Vec::new();
    for (index, one) in happened.iter().enumerate().filter(|(_, one)| one.is_shown) {
        if one.action == "updated" {
            let second = (&*one.subject, one.at.as_secs());
            let update = seconds.entry(second).or_insert((index, false));
            update.1 |= is_stored(index);
        } else {
            needed.push((index, is_stored(index)));
        }
    }
    needed.extend(seconds.into_values());
    needed
}

/// The events of Pipedrive that must be in the table, and whether they are.
fn needed_of_objects(
    happened: &[Happened],
    stored: &[Stored],
    is_stored: impl Fn(usize) -> bool,
) -> Vec<(usize, bool)> {
    let deleted: BTreeSet<&str> = happened
        .iter()
        .filter(|one| one.action == "deleted")
        .map(|one| &*one.subject)
        .collect();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let mut needed = Vec::new();
    for (index, one) in happened.iter().enumerate() {
        let is_gone = deleted.contains(&*one.subject);
        match one.action {
            "created" if !is_gone || one.subject.starts_with("deal/") => {
                needed.push((index, is_stored(index)));
            }
            "deleted" if one.is_shown => needed.push((index, is_stored(index))),
            "updated" if one.mark.is_some() && !is_gone => _ = last.insert(&one.subject, index),
            _ => {}
        }
    }
    for (_, index) in last {
        let is_known = is_stored(index) || has_state(&happened[index], stored);
        needed.push((index, is_known));
    }
    needed
}

/// Whether the state after a change was read back, then or later.
fn has_state(change: &Happened, stored: &[Stored]) -> bool {
    let mut read_back = stored
        .iter()
        .filter(|event| event.is_read_back && event.subject == change.subject);
    read_back.any(|event| {
        let slack = if event.action == "created" {
            NEW
        } else {
            Duration::ZERO
        };
        let last = event.updated.max(Some(event.time.after(slack)));
        last >= Some(Timestamp::from_unix(change.shown))
    })
}

impl Stored {
    /// The event of an account of a provider. An item of a naive receiver is a body.
    fn from_item(provider: &str, item: &Value) -> Option<Self> {
        let attribute = |name: &str| item[name]["S"].as_str();
        let Some(source) = attribute("source") else {
            let is_own = attribute("sk") == Some(provider);
            return is_own.then(|| Self::from_body(provider, &text(item)));
        };
        if attribute("kind") != Some("event") || source.split('/').next() != Some(provider) {
            return None;
        }
        let action = attribute("type")?.rsplit('.').next()?.to_owned();
        let is_read_back = attribute("channel") == Some("api");
        let data: Value = serde_json::from_str(&text(item)).unwrap();
        let mark = match provider {
            _ if is_read_back => None,
            "amocrm" => Some(mark_of_item(&action, &data)),
            _ => attribute("eventid").map(str::to_owned),
        };
        let updated = data["data"]["update_time"].as_str();
        Some(Self {
            subject: attribute("subject")?.to_owned(),
            action,
            time: Timestamp::parse(attribute("time")?)?,
            updated: updated.and_then(Timestamp::parse),
            is_read_back,
            mark,
        })
    }

    fn from_body(provider: &str, body: &str) -> Self {
        Self {
            subject: String::new(),
            action: String::new(),
            time: Timestamp::EPOCH,
            updated: None,
            is_read_back: false,
            mark: Some(mark_of_body(provider == "pipedrive", body)),
        }
    }

    /// Whether this event was made of something that happened, when it was read back.
    fn is_of(&self, happened: &Happened) -> bool {
        if self.subject != happened.subject || self.action != happened.action {
            return false;
        }
        let shown = Timestamp::from_unix(happened.shown);
        match (&*self.action, happened.is_shown) {
            ("updated", true) => self.time.as_seconds() == shown.as_seconds(),
            // A subject is created and deleted once.
            ("created" | "deleted", _) if !self.subject.starts_with("chat/") => true,
            (_, is_shown) => is_shown && self.time.as_seconds() == shown.as_seconds(),
        }
    }
}
