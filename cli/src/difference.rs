//! What changed of an entity between two of its events.
//!
//! - The state of an entity is `data` of a Pipedrive webhook v2, `current` of v1, the item of
//!   amoCRM, and the body of Closer without its time. An event without a state (Pipedrive v2 sends
//!   none of what is deleted) is not compared.
//! - Payload versions are compared each with itself: v1 and v2 webhooks write one field in two ways.
//! - Members are compared by their paths. The items of a list that have an `id`, as amoCRM's custom
//!   fields, are members named by it. Any other list is one value. (amoCRM's lists are objects with
//!   positions as keys.)
//! - Values are equal if their canonical JSON is.
//! - Some events carry a part of the entity, as amoCRM's changes of a status do. A member that such
//!   an event does not carry stays as it was known.

use crate::{
    filter::provider_of,
    node::{Node, text},
};
use models::{Event, json::canonical};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    ops::Bound,
};

/// The known states of one entity, by the version of the payload.
#[derive(Debug, Default)]
pub(crate) struct Entity(HashMap<Option<String>, State>);

/// Values by their paths.
type State = BTreeMap<Path, Box<RawValue>>;

/// The keys that lead to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(Vec<String>);

/// A value that an event added, changed or removed.
#[derive(Debug, Serialize)]
pub(crate) struct Change {
    pub(crate) path: Path,
    #[serde(flatten)]
    pub(crate) what: What,
}

#[derive(Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum What {
    Added {
        to: Box<RawValue>,
    },
    Changed {
        from: Box<RawValue>,
        to: Box<RawValue>,
    },
    Removed {
        from: Box<RawValue>,
    },
}

impl Entity {
    /// What an event changes of the entity, in the order of paths. Events are passed in their order.
    /// `None` if there is nothing to compare it with.
    pub(crate) fn change(&mut self, event: &Event) -> Option<Vec<Change>> {
        let state = state(event)?;
        let Some(known) = self.0.get_mut(&event.apiversion) else {
            self.0.insert(event.apiversion.clone(), state);
            return None;
        };
        Some(update(known, state, is_complete(event)))
    }
}

/// The state that an event carries.
fn state(event: &Event) -> Option<State> {
    let root = match (
        provider_of(&event.source)?.name,
        event.apiversion.as_deref(),
    ) {
        ("pipedrive", Some("1")) => member(&event.data, "current")?,
        ("pipedrive", _) => member(&event.data, "data")?,
        _ => &event.data,
    };
    let mut state = State::new();
    flatten(root, Path::default(), &mut state);
    if event.source == "closer" {
        state.remove(&Path(vec!["timestamp".to_owned()]));
    }
    // `null` is a single value without a path.
    let is_object = !state.contains_key(&Path::default());
    is_object.then_some(state)
}

fn member<'a>(json: &'a RawValue, name: &str) -> Option<&'a RawValue> {
    let Node::Object(members) = Node::from(json) else {
        return None;
    };
    let mut members = members.into_iter();
    members.find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Whether an event carries all that its provider tells of the entity.
fn is_complete(event: &Event) -> bool {
    match event.source.split('/').next() {
        Some("pipedrive") => true,
        Some("amocrm") => {
            event.channel.as_deref() != Some("digital_pipeline")
                && [".add", ".update", ".restore"]
                    .iter()
                    .any(|action| event.originaltype.ends_with(action))
        }
        _ => false,
    }
}

fn flatten(json: &RawValue, path: Path, state: &mut State) {
    match Node::from(json) {
        Node::Object(members) if !members.is_empty() => {
            let by_id = identified(members.iter().map(|(_, item)| *item));
            let has_positions = members.iter().all(|(key, _)| is_number(key));
            match by_id.filter(|_| has_positions) {
                Some(items) => flatten_items(items, &path, state),
                None => {
                    for (key, value) in members {
                        flatten(value, path.member(&key), state);
                    }
                }
            }
        }
        Node::List(items) => match identified(items.into_iter()) {
            Some(items) => flatten_items(items, &path, state),
            None => {
                state.insert(path, json.to_owned());
            }
        },
        Node::Object(_) | Node::Scalar => {
            state.insert(path, json.to_owned());
        }
    }
}

fn is_number(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

/// The items of a list by their ids. `None` if one has no id, two have the same one, or there are
/// no items.
fn identified<'a>(
    items: impl Iterator<Item = &'a RawValue>,
) -> Option<BTreeMap<String, Vec<(String, &'a RawValue)>>> {
    let mut by_id = BTreeMap::new();
    for item in items {
        let Node::Object(members) = Node::from(item) else {
            return None;
        };
        let (_, id) = members.iter().find(|(key, _)| key == "id")?;
        if !matches!(Node::from(*id), Node::Scalar) || by_id.insert(text(id), members).is_some() {
            return None;
        }
    }
    (!by_id.is_empty()).then_some(by_id)
}

fn flatten_items(
    items: BTreeMap<String, Vec<(String, &RawValue)>>,
    path: &Path,
    state: &mut State,
) {
    for (id, members) in items {
        let path = path.member(&id);
        for (key, value) in members.into_iter().filter(|(key, _)| key != "id") {
            flatten(value, path.member(&key), state);
        }
    }
}

/// Updates what is known with the state of the next event, and returns the changes.
fn update(known: &mut State, state: State, is_complete: bool) -> Vec<Change> {
    let carried: BTreeSet<_> = state.keys().map(Path::first).map(str::to_owned).collect();
    let mut changes = Vec::new();
    // An object that is or was empty is not told beside the members that it lost or got.
    let emptied: BTreeSet<_> = state
        .keys()
        .filter(|path| has_below(known, path))
        .cloned()
        .collect();
    known.retain(|path, from| {
        let is_removed =
            !state.contains_key(path) && (is_complete || carried.contains(path.first()));
        if is_removed && !has_below(&state, path) {
            let from = from.clone();
            changes.push(Change::new(path, What::Removed { from }));
        }
        !is_removed
    });
    for (path, to) in state {
        let change = match known.get(&path) {
            None if emptied.contains(&path) => None,
            None => Some(What::Added { to: to.clone() }),
            Some(from) if canonical(from, &[]) == canonical(&to, &[]) => None,
            Some(from) => Some(What::Changed {
                from: from.clone(),
                to: to.clone(),
            }),
        };
        changes.extend(change.map(|what| Change::new(&path, what)));
        known.insert(path, to);
    }
    changes.sort_by(|a, b| a.path.cmp(&b.path));
    changes
}

/// Whether a state has members of the object at a path.
fn has_below(state: &State, path: &Path) -> bool {
    let mut behind = state.range((Bound::Excluded(path), Bound::Unbounded));
    behind
        .next()
        .is_some_and(|(next, _)| next.0.starts_with(&path.0))
}

impl Change {
    fn new(path: &Path, what: What) -> Self {
        Self {
            path: path.clone(),
            what,
        }
    }
}

impl Path {
    fn member(&self, key: &str) -> Self {
        Self([&self.0[..], &[key.to_owned()]].concat())
    }

    fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

impl Serialize for Path {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.what {
            What::Added { to } => write!(f, "+ {path}: {to}"),
            What::Changed { from, to } => write!(f, "~ {path}: {from} → {to}"),
            What::Removed { from } => write!(f, "- {path}: {from}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use models::{Delivery, Record, Timestamp};
    use providers::{AMOCRM, CLOSER, PIPEDRIVE, Provider};
    use serde_json::{Value, json};

    fn events(provider: &Provider, body: &str) -> Vec<Event> {
        let arrival = Timestamp::parse("2026-11-21T20:43:00Z").unwrap();
        let delivery = Delivery::new(body.into(), arrival, "request");
        let parsed = (provider.parse)(&delivery);
        let records = Record::from_delivery(provider.name, &delivery, parsed);
        let events = records.into_iter().filter_map(|record| match record {
            Record::Event { event, .. } => Some(event),
            Record::Body { .. } | Record::Quarantined { .. } => None,
        });
        events.collect()
    }

    /// The changes of each event of these bodies, as they are printed.
    fn changes(provider: &Provider, bodies: &[String]) -> Vec<Option<Vec<String>>> {
        let mut entity = Entity::default();
        let events = bodies.iter().flat_map(|body| events(provider, body));
        let changes = events.map(|event| entity.change(&event));
        let lines = |changes: Vec<Change>| changes.iter().map(ToString::to_string).collect();
        changes.map(|changes| changes.map(lines)).collect()
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with what may be none"
    )]
    fn lines(lines: &[&str]) -> Option<Vec<String>> {
        Some(lines.iter().map(|line| (*line).to_owned()).collect())
    }

    fn v2(action: &str, data: &Value) -> String {
        let meta = json!({ "action": action, "entity": "deal", "entity_id": "42", "company_id": "7",
            "id": "9b3c1d52-52a8-45c8-9f6e-d9cfae9a8d11", "version": "2.0", "timestamp": "2026-11-21T10:18:00Z" });
        json!({ "data": data, "previous": { "stage_id": 1 }, "meta": meta }).to_string()
    }

    fn v1(action: &str, current: &Value) -> String {
        let meta = json!({ "action": action, "object": "deal", "id": 42, "company_id": 7,
            "timestamp_micro": 1_795_255_260_000_217_i64 });
        json!({ "v": 1, "meta": meta, "current": current, "previous": null,
            "event": format!("{action}.deal") })
        .to_string()
    }

    #[test]
    fn an_object_that_was_emptied_or_filled_is_told_by_its_members() {
        let states = [
            json!({ "a": { "b": 1, "c": 2 }, "d": {} }),
            json!({ "a": {}, "d": { "e": 3 } }),
        ];
        let bodies = states.map(|state| v2("change", &state));
        let changed = lines(&["- a.b: 1", "- a.c: 2", "+ d.e: 3"]);
        assert_eq!(changes(&PIPEDRIVE, &bodies), [None, changed]);
    }

    #[test]
    fn pipedrive_v2_is_compared_by_its_data_and_custom_fields_by_key() {
        let key = "5e1d0c9b8a7f6e5d4c3b2a190817263544332211";
        let first = json!({ "id": 42, "stage_id": 3, "lost_reason": "price", "label_ids": [1, 2],
            "custom_fields": { key: { "type": "monetary", "value": 10, "currency": "EUR" } } });
        let second = json!({ "label_ids": [1, 2, 3], "id": 42, "stage_id": 4,
            "custom_fields": { key: { "type": "monetary", "value": 20, "currency": "EUR" } }, "won": true });
        let bodies = [
            v2("create", &first),
            v2("change", &second),
            v2("change", &second),
            v2("delete", &Value::Null),
        ];
        assert_eq!(
            changes(&PIPEDRIVE, &bodies),
            [
                None,
                lines(&[
                    &format!("~ custom_fields.{key}.value: 10 → 20"),
                    "~ label_ids: [1,2] → [1,2,3]",
                    r#"- lost_reason: "price""#,
                    "~ stage_id: 3 → 4",
                    "+ won: true",
                ]),
                lines(&[]),
                None,
            ]
        );
    }

    #[test]
    fn pipedrive_v1_is_compared_by_current_and_not_with_v2() {
        let key = "0f1e2d3c4b5a69788796a5b4c3d2e1f001122334";
        let bodies = [
            v1("added", &json!({ "id": 42, "value": 100, key: null })),
            v2("change", &json!({ "id": 42, "value": 150 })),
            v1("updated", &json!({ "id": 42, "value": 150, key: "38" })),
            v2("change", &json!({ "id": 42, "value": 150.0 })),
        ];
        assert_eq!(
            changes(&PIPEDRIVE, &bodies),
            [
                None,
                None,
                lines(&[&format!(r#"~ {key}: null → "38""#), "~ value: 100 → 150"]),
                lines(&["~ value: 150 → 150.0"]),
            ]
        );
    }

    /// A change of the lead 42 in amoCRM, with these fields.
    fn lead(action: &str, fields: &str) -> String {
        let fields = fields.split('&').filter(|field| !field.is_empty());
        let fields = fields.map(|field| {
            let (path, value) = field.split_once('=').unwrap();
            format!("&leads[{action}][0]{path}={value}")
        });
        let fields: String = fields.collect();
        format!("account[id]=1001&leads[{action}][0][id]=42{fields}")
    }

    #[test]
    fn amocrm_custom_fields_are_compared_by_id_in_any_order() {
        let bodies = [
            lead(
                "update",
                "[price]=1&[custom_fields][0][id]=7&[custom_fields][0][name]=Boat\
                 &[custom_fields][0][values][0][value]=sloop\
                 &[custom_fields][1][id]=8&[custom_fields][1][values][0]=1",
            ),
            lead(
                "update",
                "[price]=1&[custom_fields][0][id]=8&[custom_fields][0][values][0]=2\
                 &[custom_fields][1][id]=7&[custom_fields][1][name]=Boat\
                 &[custom_fields][1][values][0][value]=sloop",
            ),
            lead(
                "update",
                "[custom_fields][0][id]=8&[custom_fields][0][values][0]=2",
            ),
        ];
        assert_eq!(
            changes(&AMOCRM, &bodies),
            [
                None,
                lines(&[r#"~ custom_fields.8.values.0: "1" → "2""#]),
                lines(&[
                    r#"- custom_fields.7.name: "Boat""#,
                    r#"- custom_fields.7.values.0.value: "sloop""#,
                    r#"- price: "1""#,
                ]),
            ]
        );
    }

    #[test]
    fn a_partial_event_of_amocrm_removes_nothing() {
        let bodies = [
            lead("add", "[name]=Yacht&[status_id]=1"),
            lead("status", "[status_id]=2&[old_status_id]=1"),
            lead("update", "[name]=Yacht&[status_id]=3"),
        ];
        assert_eq!(
            changes(&AMOCRM, &bodies),
            [
                None,
                lines(&[r#"+ old_status_id: "1""#, r#"~ status_id: "1" → "2""#]),
                lines(&[r#"- old_status_id: "1""#, r#"~ status_id: "2" → "3""#]),
            ]
        );
    }

    #[test]
    fn closer_is_compared_without_its_time() {
        let body = |time: u64, phone: &str| {
            json!({ "customer": { "id": "c-1", "firstName": "Ada", "phone": phone },
                "timestamp": time, "eventType": "ThreadCreatedEvent" })
            .to_string()
        };
        let bodies = [body(1_795_428_000_789, "1"), body(1_795_428_000_999, "2")];
        assert_eq!(
            changes(&CLOSER, &bodies),
            [None, lines(&[r#"~ customer.phone: "1" → "2""#])]
        );
    }
}
