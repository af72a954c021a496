//! Pipedrive webhooks for any object and action, made from the existing samples.

use serde_json::{Map, Value, json};

/// A kind of webhook: a version, an action and an object, in the words of the version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    version: Version,
    action: &'static str,
    object: &'static str,
}

impl Happening {
    /// Parses a name like `v2_delete_person` or `v1_added_activityType`, or a type like
    /// `person.deleted`. A type uses version 2 if that version reports it, else version 1.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if let Some((object, word)) = name.split_once('.') {
            let v2 = match word {
                "created" => "create",
                "updated" => "change",
                "deleted" => "delete",
                _ => "",
            };
            let v1 = if word == "created" { "added" } else { word };
            return Self::from_words(Version::V2, v2, object)
                .or_else(|| Self::from_words(Version::V1, v1, object));
        }
        let (version, rest) = name.split_once('_')?;
        let (action, object) = rest.split_once('_')?;
        match version {
            "v1" => Self::from_words(Version::V1, action, object),
            "v2" => Self::from_words(Version::V2, action, object),
            _ => None,
        }
    }

    /// All kinds of webhooks, of both versions.
    pub fn all() -> impl Iterator<Item = Self> {
        [Version::V1, Version::V2].into_iter().flat_map(|version| {
            let (actions, objects) = version.words();
            actions.iter().flat_map(move |action| {
                objects.iter().map(move |object| Self {
                    version,
                    action,
                    object,
                })
            })
        })
    }

    fn from_words(version: Version, action: &str, object: &str) -> Option<Self> {
        let (actions, objects) = version.words();
        let action = actions.iter().find(|known| **known == action)?;
        let object = objects.iter().find(|known| plain(known) == plain(object))?;
        Some(Self {
            version,
            action,
            object,
        })
    }

    /// The name of the kind: `v2_delete_person`.
    #[must_use]
    pub fn name(&self) -> String {
        let version = if self.version == Version::V1 {
            "v1"
        } else {
            "v2"
        };
        format!("{version}_{}_{}", self.action, self.object)
    }

    /// A webhook of this kind, made from samples. A sample with the same version, object and action
    /// is returned unchanged. Otherwise the webhook has the fields that any sample has for such an
    /// object, in the envelope of the nearest sample.
    #[must_use]
    pub fn webhook(&self, samples: &[Value]) -> Option<Value> {
        let of_version = samples
            .iter()
            .filter(|sample| Version::from_sample(sample) == self.version);
        let differs = |sample: &&Value, name: &str, word: &str| meta(sample, name) != Some(word);
        let nearest = of_version.min_by_key(|sample| {
            (
                differs(sample, self.version.object(), self.object),
                differs(sample, "action", self.action),
            )
        })?;
        if meta(nearest, self.version.object()) == Some(self.object)
            && meta(nearest, "action") == Some(self.action)
        {
            return Some(nearest.clone());
        }
        let object = self.object(samples);
        Some(match self.version {
            Version::V1 => self.v1(nearest, object),
            Version::V2 => self.v2(nearest, object),
        })
    }

    fn v2(&self, nearest: &Value, object: Map<String, Value>) -> Value {
        let mut meta = nearest
            .get("meta")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        for other in ["merged_from_id", "merged_to_id"] {
            meta.remove(other);
        }
        let id = object.get("id").map(text).unwrap_or_default();
        for (name, value) in [
            ("action", self.action),
            ("entity", self.object),
            ("entity_id", &*id),
        ] {
            meta.insert(name.to_owned(), value.into());
        }
        let (data, previous) = match self.action {
            "create" => (object.into(), Value::Null),
            "delete" => (Value::Null, object.into()),
            _ => {
                let previous = changed(&object);
                (
                    object.into(),
                    previous.into_iter().collect::<Map<_, _>>().into(),
                )
            }
        };
        json!({ "data": data, "previous": previous, "meta": meta })
    }

    fn v1(&self, nearest: &Value, object: Map<String, Value>) -> Value {
        let mut webhook = nearest.clone();
        let mut before = object.clone();
        before.extend(changed(&object));
        let id = object.get("id").cloned().unwrap_or_default();
        let whole = |object: Map<String, Value>| {
            if self.object == "user" {
                json!([object])
            } else {
                object.into()
            }
        };
        let (current, previous) = match self.action {
            "added" => (whole(object), Value::Null),
            "deleted" => (Value::Null, whole(object)),
            _ => (whole(object), whole(before)),
        };
        if let Some(meta) = webhook.get_mut("meta").and_then(Value::as_object_mut) {
            if self.object != "activity" {
                meta.retain(|name, _| !OF_ACTIVITIES.contains(&&**name));
            }
            meta.insert("action".to_owned(), self.action.into());
            meta.insert("object".to_owned(), self.object.into());
            meta.insert("id".to_owned(), id);
        }
        let event = format!("{}.{}", self.action, self.object).into();
        if let Some(webhook) = webhook.as_object_mut() {
            for (name, value) in [
                ("current", current),
                ("previous", previous),
                ("event", event),
            ] {
                webhook.insert(name.to_owned(), value);
            }
        }
        webhook
    }

    /// All fields that samples of this version have for such an object. If there are none, those of
    /// the other version; if there are none either, the minimum that any object has.
    fn object(&self, samples: &[Value]) -> Map<String, Value> {
        let mut of_version = Map::new();
        let mut of_other = Map::new();
        for sample in samples {
            let version = Version::from_sample(sample);
            if meta(sample, version.object()) != Some(self.object) {
                continue;
            }
            let fields = if version == self.version {
                &mut of_version
            } else {
                &mut of_other
            };
            for part in ["data", "current", "previous"] {
                let part = sample
                    .get(part)
                    .map(|part| part.get(0).unwrap_or(part))
                    .and_then(Value::as_object);
                for (name, value) in part.into_iter().flatten() {
                    fields.entry(name).or_insert_with(|| value.clone());
                }
            }
        }
        let fewest = || {
            Map::from_iter([
                ("id".to_owned(), json!(31)),
                ("name".to_owned(), json!("Winter refit")),
            ])
        };
        [of_version, of_other]
            .into_iter()
            .find(|fields| !fields.is_empty())
            .unwrap_or_else(fewest)
    }
}

/// A version of Pipedrive's webhooks. Version 1 was the default until March 2025.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    fn from_sample(sample: &Value) -> Self {
        let is_v2 = sample.pointer("/meta/entity").is_some();
        if is_v2 { Self::V2 } else { Self::V1 }
    }

    /// The name of the field in `meta` that holds the object type.
    fn object(self) -> &'static str {
        match self {
            Self::V1 => "object",
            Self::V2 => "entity",
        }
    }

    /// The actions and the objects that the version reports.
    fn words(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::V1 => (
                &["added", "updated", "deleted", "merged"],
                &[
                    "activity",
                    "activityType",
                    "deal",
                    "note",
                    "organization",
                    "person",
                    "pipeline",
                    "product",
                    "stage",
                    "user",
                ],
            ),
            Self::V2 => (
                &["create", "change", "delete"],
                &[
                    "activity",
                    "board",
                    "deal",
                    "deal_installment",
                    "deal_product",
                    "lead",
                    "note",
                    "organization",
                    "person",
                    "phase",
                    "pipeline",
                    "product",
                    "project",
                    "stage",
                    "task",
                    "user",
                ],
            ),
        }
    }
}

/// Fields that `meta` has only for activities.
const OF_ACTIVITIES: [&str; 2] = [
    "send_activity_notifications",
    "activity_notifications_language",
];

/// A changed field of an object: its name and its value before the change.
fn changed(object: &Map<String, Value>) -> Option<(String, Value)> {
    let names = ["title", "name", "subject", "content"].into_iter();
    let text = names
        .clone()
        .find(|name| object.get(*name).is_some_and(Value::is_string));
    let text = text.map(|name| (name.to_owned(), json!("Untitled")));
    let number = || {
        object
            .iter()
            .rev()
            .find(|(name, value)| *name != "id" && value.is_number())
    };
    text.or_else(|| number().map(|(name, _)| (name.clone(), json!(0))))
}

fn meta<'a>(sample: &'a Value, name: &str) -> Option<&'a str> {
    sample.get("meta")?.get(name)?.as_str()
}

fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}

/// Converts an id to text: version 2 has all ids as text in `meta`.
fn text(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}
