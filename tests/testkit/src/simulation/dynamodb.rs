//! DynamoDB: one table in memory, which throttles as a new on-demand table does, or which answers
//! queries.
//!
//! Sources: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_PutItem.html>,
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html>

use crate::world;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// Capacity of a new on-demand table: 4,000 write units a second, on partitions of 1,000 each.
/// Bursts above it are not guaranteed, and not modelled.
const PARTITIONS: u64 = 4;
const UNITS_PER_SECOND: f64 = 1_000.0;
/// Maximum size of an item that costs one write unit.
const UNIT_BYTES: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Table {
    items: Mutex<BTreeMap<[String; 2], Put>>,
    /// The remaining units of each partition, and the time of that count. `None` if the table is
    /// old and has grown.
    units: Option<Mutex<HashMap<u64, (f64, Duration)>>>,
    /// A table that answers every request, and has the items. It is slower. `None`: the answer to a
    /// query is empty.
    queried: Option<Arc<world::World>>,
}

/// An item, and when it was put.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) item: Value,
    pub(crate) at: Duration,
}

impl Table {
    /// A table with the capacity of a new one.
    pub(crate) fn new_on_demand() -> Self {
        Self {
            units: Some(Mutex::default()),
            ..Self::default()
        }
    }

    /// A table that answers queries.
    pub(crate) fn with_queries() -> Self {
        Self {
            queried: Some(world::World::new()),
            ..Self::default()
        }
    }

    /// Whether it may throttle.
    pub(crate) fn throttles(&self) -> bool {
        self.units.is_some()
    }

    /// Executes an operation.
    ///
    /// # Errors
    /// The error code of DynamoDB.
    pub(crate) fn call(
        &self,
        operation: &str,
        request: &Value,
        now: Duration,
    ) -> Result<Value, &'static str> {
        if let Some(table) = &self.queried {
            return table.run(operation, request);
        }
        match operation {
            "PutItem" => self.put(request, now),
            "GetItem" => {
                let items = self.items.lock().unwrap();
                let put = items.get(&key(&request["Key"]));
                Ok(put.map_or_else(|| json!({}), |put| json!({ "Item": put.item })))
            }
            // Nothing is erased.
            "Query" => Ok(json!({ "Items": [] })),
            other => panic!("the operation {other} is not simulated"),
        }
    }

    fn put(&self, request: &Value, now: Duration) -> Result<Value, &'static str> {
        let item = &request["Item"];
        let key = key(item);
        if self.is_throttled(&key[0], size(item), now) {
            return Err("ThrottlingException");
        }
        let mut items = self.items.lock().unwrap();
        let existing = items.get(&key);
        let is_met = match request.get("ConditionExpression").and_then(Value::as_str) {
            None => true,
            Some("attribute_not_exists(pk)") => existing.is_none(),
            Some("attribute_not_exists(pk) OR attribute_exists(expires)") => {
                existing.is_none_or(|existing| existing.item.get("expires").is_some())
            }
            Some(other) => panic!("the condition {other} is not simulated"),
        };
        if !is_met {
            return Err("ConditionalCheckFailedException");
        }
        let item = item.clone();
        items.insert(key, Put { item, at: now });
        Ok(json!({}))
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
        if let Some(table) = &self.queried {
            return table.items();
        }
        let puts = self.puts();
        puts.values().map(|put| put.item.clone()).collect()
    }

    /// The items of a table that does not answer queries.
    pub(crate) fn puts(&self) -> MutexGuard<'_, BTreeMap<[String; 2], Put>> {
        self.items.lock().unwrap()
    }
}

fn key(item: &Value) -> [String; 2] {
    ["pk", "sk"].map(|name| item[name]["S"].as_str().unwrap().to_owned())
}

/// The approximate size of an item. Base64 counts as its decoded bytes.
fn size(item: &Value) -> usize {
    let attributes = item.as_object().unwrap().iter();
    let bytes = attributes.map(|(name, value)| {
        let text = value["S"].as_str().or(value["N"].as_str());
        let base64 = value["B"].as_str().unwrap_or_default();
        name.len() + text.map_or(base64.len() * 3 / 4, str::len)
    });
    bytes.sum()
}
