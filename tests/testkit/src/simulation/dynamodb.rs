//! DynamoDB: one table in memory, which throttles as a new on-demand table does.
//!
//! Sources: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html>,
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Mutex,
    time::Duration,
};

/// What a new on-demand table takes: 4,000 write units a second, on partitions that take 1,000 each. (The bursts that
/// DynamoDB may grant beyond are no promise, and not modelled.)
const PARTITIONS: u64 = 4;
const UNITS_PER_SECOND: f64 = 1_000.0;
/// A write unit is a put of up to so many bytes.
const UNIT_BYTES: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Table {
    items: Mutex<BTreeMap<[String; 2], Value>>,
    /// Of each partition, what is left of its units and when that was; `None` where the table is old and has grown.
    units: Option<Mutex<HashMap<u64, (f64, Duration)>>>,
}

impl Table {
    /// A table that takes no more than a new one does.
    pub(crate) fn new_on_demand() -> Self {
        Self {
            units: Some(Mutex::default()),
            ..Self::default()
        }
    }

    pub(crate) fn call(&self, operation: &str, request: &Value, now: Duration) -> (u16, Value) {
        match operation {
            "PutItem" => self.put(request, now),
            "GetItem" => {
                let item = self
                    .items
                    .lock()
                    .unwrap()
                    .get(&key(&request["Key"]))
                    .cloned();
                (
                    200,
                    item.map_or_else(|| json!({}), |item| json!({ "Item": item })),
                )
            }
            other => panic!("no {other} is known"),
        }
    }

    fn put(&self, request: &Value, now: Duration) -> (u16, Value) {
        let (item, key) = (&request["Item"], key(&request["Item"]));
        if self.is_throttled(&key[0], size(item), now) {
            return error("ThrottlingException");
        }
        let mut items = self.items.lock().unwrap();
        let there = items.get(&key);
        let takes = match request.get("ConditionExpression").and_then(Value::as_str) {
            None => true,
            Some("attribute_not_exists(pk)") => there.is_none(),
            Some("attribute_not_exists(pk) OR attribute_exists(expires)") => {
                there.is_none_or(|there| there.get("expires").is_some())
            }
            Some(other) => panic!("no condition {other} is known"),
        };
        if !takes {
            return error("ConditionalCheckFailedException");
        }
        items.insert(key, item.clone());
        (200, json!({}))
    }

    fn is_throttled(&self, pk: &str, bytes: usize, now: Duration) -> bool {
        let Some(units) = &self.units else {
            return false;
        };
        let mut hasher = DefaultHasher::new();
        pk.hash(&mut hasher);
        let mut units = units.lock().unwrap();
        let (left, since) = units
            .entry(hasher.finish() % PARTITIONS)
            .or_insert((UNITS_PER_SECOND, now));
        let refilled = *left + UNITS_PER_SECOND * now.saturating_sub(*since).as_secs_f64();
        (*left, *since) = (refilled.min(UNITS_PER_SECOND), now);
        let cost = u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap().into();
        if *left < cost {
            return true;
        }
        *left -= cost;
        false
    }

    pub(crate) fn items(&self) -> Vec<Value> {
        self.items.lock().unwrap().values().cloned().collect()
    }
}

fn key(item: &Value) -> [String; 2] {
    ["pk", "sk"].map(|name| item[name]["S"].as_str().unwrap().to_owned())
}

/// The size of an item, near enough: base64 counts for the bytes that it stands for.
fn size(item: &Value) -> usize {
    let attributes = item.as_object().unwrap().iter();
    let bytes = attributes.map(|(name, value)| {
        let text = |kind| value[kind].as_str().map(str::len);
        name.len()
            + text("S")
                .or(text("N"))
                .unwrap_or_else(|| text("B").unwrap_or_default() * 3 / 4)
    });
    bytes.sum()
}

fn error(name: &str) -> (u16, Value) {
    (
        400,
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{name}"), "message": name }),
    )
}
