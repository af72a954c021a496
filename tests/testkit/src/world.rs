//! DynamoDB in this process, with a clock that a test moves, an index that is behind the table, and
//! processes that crash between any two requests.

pub use crate::sdk::set_date;
use crate::sdk::{ServiceRequest, refused, response, transport};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture},
    orchestrator::{HttpRequest, HttpResponse},
};
use dynoxide::Database;
use hookkeeper::{
    dev::TABLE,
    template::{TEMPLATE, table_schema},
};
use models::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use storage::{
    Client, Settings, Table,
    budget::now,
    schema::{self, Item},
};

/// A table with its clock.
pub struct World {
    database: Database,
    now: Mutex<Timestamp>,
    /// When the index shows an item, by its key.
    visible: Mutex<HashMap<[String; 2], Timestamp>>,
    /// Items that are put later, and when.
    coming: Mutex<Vec<(Timestamp, Duration, Item)>>,
    requests: AtomicUsize,
    /// The capacity units that the processes consumed.
    units: Mutex<Units>,
}

/// Capacity units of DynamoDB.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Units {
    /// Of queries, gets and scans.
    pub read: f64,
    /// Of puts and deletes.
    pub write: f64,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").finish_non_exhaustive()
    }
}

impl World {
    /// An empty table at the current time.
    #[must_use]
    pub fn new() -> Arc<Self> {
        let database = Database::memory().unwrap();
        let schema = table_schema(TEMPLATE, TABLE).unwrap();
        let create = serde_json::from_value(schema.create).unwrap();
        database.create_table(create).unwrap();
        Arc::new(Self {
            database,
            now: Mutex::new(now()),
            visible: Mutex::default(),
            coming: Mutex::default(),
            requests: AtomicUsize::new(0),
            units: Mutex::default(),
        })
    }

    /// The time of its clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    /// The number of requests so far.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// The capacity units since the last call.
    pub fn units(&self) -> Units {
        std::mem::take(&mut *self.units.lock().unwrap())
    }

    fn count(&self, operation: &str, answer: &Value) {
        let units = answer["ConsumedCapacity"]["CapacityUnits"].as_f64();
        let mut counted = self.units.lock().unwrap();
        match operation {
            "PutItem" | "DeleteItem" => counted.write += units.unwrap_or_default(),
            _ => counted.read += units.unwrap_or_default(),
        }
    }

    /// Lets time pass. What is to be put by then is put.
    pub fn wait(&self, time: Duration) {
        let now = self.now().after(time);
        *self.now.lock().unwrap() = now;
        let coming = std::mem::take(&mut *self.coming.lock().unwrap());
        let (due, later) = coming.into_iter().partition(|(time, ..)| *time <= now);
        *self.coming.lock().unwrap() = later;
        for (time, lag, item) in due {
            self.put(item, time.after(lag));
        }
    }

    /// Puts an item after a time. The index shows it `lag` later.
    pub fn put_after(&self, time: Duration, lag: Duration, item: Item) {
        let time = self.now().after(time);
        self.coming.lock().unwrap().push((time, lag, item));
        self.wait(Duration::ZERO);
    }

    fn put(&self, item: Item, visible: Timestamp) {
        let text = |name: &str| item[name].as_s().unwrap().clone();
        let key = [text("pk"), text("sk")];
        self.visible.lock().unwrap().insert(key, visible);
        let item: serde_json::Map<String, Value> = item
            .into_iter()
            .map(|(name, value)| (name, attribute(&value)))
            .collect();
        let request = json!({ "TableName": TABLE, "Item": item });
        self.run("PutItem", &request).unwrap();
    }

    /// All items.
    pub(crate) fn items(&self) -> Vec<Value> {
        let mut items = Vec::new();
        let mut scan = json!({ "TableName": TABLE });
        loop {
            let mut page = self.run("Scan", &scan).unwrap();
            items.append(page["Items"].as_array_mut().unwrap());
            match page.get("LastEvaluatedKey").filter(|key| !key.is_null()) {
                Some(key) => scan["ExclusiveStartKey"] = key.clone(),
                None => return items,
            }
        }
    }

    /// Executes an operation.
    ///
    /// # Errors
    /// The error code of DynamoDB.
    pub(crate) fn run(&self, operation: &str, request: &Value) -> Result<Value, &'static str> {
        let database = &self.database;
        match operation {
            "DeleteItem" => call(request, |request| database.delete_item(request)),
            "GetItem" => call(request, |request| database.get_item(request)),
            "PutItem" => call(request, |request| database.put_item(request)),
            "Scan" => call(request, |request| database.scan(request)),
            "Query" => {
                let mut found = call(request, |request| database.query(request))?;
                if request.get("IndexName").is_some() {
                    let items = found["Items"].as_array_mut().unwrap();
                    items.retain(|item| self.is_visible(item));
                    // The order of items with the same sort key of an index is not defined.
                    items.reverse();
                    items.sort_by_cached_key(|item| item["recordedtime"]["S"].to_string());
                }
                Ok(found)
            }
            other => panic!("the operation {other} is not expected"),
        }
    }

    fn is_visible(&self, item: &Value) -> bool {
        let key = ["pk", "sk"].map(|name| item[name]["S"].as_str().unwrap().to_owned());
        let visible = self.visible.lock().unwrap();
        visible.get(&key).is_none_or(|time| *time <= self.now())
    }
}

fn attribute(value: &aws_sdk_dynamodb::types::AttributeValue) -> Value {
    use aws_sdk_dynamodb::types::AttributeValue;
    match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        other => panic!("an attribute {other:?} is not expected"),
    }
}

fn call<Request, Answer>(
    request: &Value,
    method: impl FnOnce(Request) -> dynoxide::Result<Answer>,
) -> Result<Value, &'static str>
where
    Request: DeserializeOwned,
    Answer: Serialize,
{
    let request = serde_json::from_value(request.clone()).unwrap();
    match method(request) {
        Ok(answer) => Ok(serde_json::to_value(answer).unwrap()),
        Err(dynoxide::DynoxideError::ConditionalCheckFailedException(..)) => {
            Err("ConditionalCheckFailedException")
        }
        Err(error) => panic!("{error}"),
    }
}

/// When a process crashes.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    /// After this number of further requests.
    pub after: usize,
    /// Whether the last request takes effect.
    pub is_last_executed: bool,
}

/// A process with connections of its own.
#[derive(Debug, Clone)]
pub struct Process {
    world: Arc<World>,
    crash: Arc<Mutex<Option<Crash>>>,
}

impl Process {
    /// A process that runs.
    #[must_use]
    pub fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            crash: Arc::default(),
        }
    }

    /// Its table.
    #[must_use]
    pub fn table(&self) -> Table {
        let client = Client::background_with_transport(transport(self.clone()));
        Table::new(
            &client,
            &Settings::local(TABLE, "http://127.0.0.1:1".to_owned()),
        )
    }

    /// Lets it crash later.
    pub fn crash(&self, crash: Crash) {
        *self.crash.lock().unwrap() = Some(crash);
    }

    fn answer(&self, request: &ServiceRequest) -> Option<HttpResponse> {
        let mut crash = self.crash.lock().unwrap();
        let is_executed = match &mut *crash {
            None => true,
            Some(Crash { after: 0, .. }) => return None,
            Some(crash) => {
                crash.after -= 1;
                crash.after > 0 || crash.is_last_executed
            }
        };
        let is_answered = crash.is_none_or(|crash| crash.after > 0);
        drop(crash);
        if !is_executed {
            return None;
        }
        self.world.requests.fetch_add(1, Ordering::Relaxed);
        let mut body = request.body.clone();
        body["ReturnConsumedCapacity"] = json!("TOTAL");
        let result = self.world.run(&request.operation, &body);
        if let Ok(answer) = &result {
            self.world.count(&request.operation, answer);
        }
        let mut response = response(result);
        set_date(&mut response, self.world.now());
        is_answered.then_some(response)
    }
}

impl HttpConnector for Process {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = self.answer(&ServiceRequest::from(&request));
        HttpConnectorFuture::ready(answer.ok_or_else(refused))
    }
}

/// The item of an event of a deal that is recorded at a time.
///
/// # Panics
/// Never: the event is a correct one.
#[must_use]
pub fn item(deal: usize, recorded: Timestamp) -> Item {
    let provider = crate::provider("pipedrive");
    let body = crate::request::event("pipedrive", deal.try_into().unwrap());
    let mut items: Vec<Item> = crate::site::records(&provider, &body)
        .iter()
        .flat_map(crate::site::encoded)
        .collect();
    let mut item = items.pop().unwrap();
    schema::stamp(&mut item, recorded);
    item
}
