//! A table on this machine, its records, and the `hookkeeper` command as a process that uses it.

use crate::{
    dev::hookkeeper,
    exact::deliveries,
    runtime_api::{Environment, Function, binary},
};
use hookkeeper::{
    dev::{Data, DynamoDb, TABLE},
    template::TEMPLATE,
};
use models::{Delivery, Event, ParseError, Record, Timestamp};
use providers::Provider;
use std::{
    process::{Command, Output},
    sync::LazyLock,
};
use storage::{Client, Expiry, Key, Policy, Settings, Stored, Table, schema::Item};
use tokio::task::block_in_place;

/// Client of the tables. It is shared, because a new client reads the system's certificates, which
/// is slow.
static BACKGROUND: LazyLock<Client> = LazyLock::new(Client::background);

/// Table in memory, which is deleted on drop.
#[derive(Debug)]
pub struct Site {
    dynamodb: DynamoDb,
    /// The table.
    pub table: Table,
}

/// Arrival time of the deliveries of [`delivery`].
pub const ARRIVAL: &str = "2026-11-21T20:43:00.000000Z";

impl Site {
    /// Starts a DynamoDB with an empty table.
    pub async fn start() -> Self {
        let dynamodb = DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap();
        let table = Table::new(&BACKGROUND, &dynamodb.settings());
        Self { dynamodb, table }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.dynamodb.port()
    }

    /// Its endpoint: `http://127.0.0.1:8000`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.dynamodb.endpoint()
    }

    /// Settings of a store with this table.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.dynamodb.settings()
    }

    /// Stops the DynamoDB. Its port refuses connections afterwards.
    pub async fn stop(self) {
        self.dynamodb.stop().await;
    }

    /// A client of its DynamoDB.
    #[must_use]
    pub fn client(&self) -> aws_sdk_dynamodb::Client {
        client(&self.dynamodb.endpoint())
    }

    /// Environment of a provider's function with this table.
    #[must_use]
    pub fn environment(&self, provider: &Provider) -> Environment {
        Environment::of(provider.name, &self.endpoint()).accepting(provider)
    }

    /// Starts the real binary of a provider's function with this table.
    pub async fn spawn(&self, provider: &Provider) -> Function {
        Function::spawn(binary(provider.name), &self.environment(provider)).await
    }

    /// Puts an item as it is, and replaces an item with the same key.
    pub async fn put_item(&self, item: Item) {
        let put = self.client().put_item().table_name(TABLE);
        put.set_item(Some(item)).send().await.unwrap();
    }

    /// Puts records, with an expiry time or without one.
    pub async fn put(&self, records: &[Record], expires: Option<i64>) {
        for record in records {
            let expiry = Expiry::same(expires);
            self.table.put_record(record.clone(), expiry).await.unwrap();
        }
    }

    /// The record with a key.
    pub async fn get(&self, key: &Key) -> Option<Stored> {
        self.table.get(key).await.unwrap()
    }

    /// All complete records with their keys, in the order of the keys.
    pub async fn stored(&self) -> Vec<Stored> {
        let mut stored = Vec::new();
        for record in self.table.records().await.unwrap() {
            let key = Key::from_record(&record);
            let found = self.get(&key).await;
            stored.push(found.unwrap_or_else(|| panic!("no item has the key {key:?}")));
        }
        stored.sort_by(|a, b| (&a.key.pk, &a.key.sk).cmp(&(&b.key.pk, &b.key.sk)));
        stored
    }

    /// The exact bytes of every stored delivery, in no order.
    pub async fn deliveries(&self) -> Vec<Vec<u8>> {
        deliveries(&self.table.records().await.unwrap())
    }

    /// The command with `--local` for this table.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hookkeeper(arguments);
        command.arg(format!("--local={}", self.port()));
        command
    }

    /// Runs the command, while the runtime's other threads serve the table.
    #[must_use]
    pub fn output(&self, arguments: &[&str]) -> Output {
        block_in_place(|| self.command(arguments).output().unwrap())
    }

    /// Standard output of a command that must succeed.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Error of a command that must fail.
    #[must_use]
    pub fn fail(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.output(arguments);
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success(), "{arguments:?}: {stdout}");
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }
}

/// A delivery of a body, which arrived at [`ARRIVAL`].
#[must_use]
pub fn delivery(body: &str) -> Delivery {
    Delivery::new(body.into(), Timestamp::parse(ARRIVAL).unwrap(), "request")
}

/// Records that this version stores for a body.
#[must_use]
pub fn records(provider: &Provider, body: &str) -> Vec<Record> {
    let delivery = delivery(body);
    Record::from_delivery(provider.name, &delivery, (provider.parse)(&delivery))
}

/// A delivery that an older parser could not parse, and quarantined.
#[must_use]
pub fn quarantined(provider: &Provider, body: &str) -> Record {
    let parsed = Err(ParseError::Panicked);
    Record::from_delivery(provider.name, &delivery(body), parsed).remove(0)
}

/// The items of a record that never expires: its chunks, and after them the item itself.
#[must_use]
pub fn encoded(record: &Record) -> Vec<Item> {
    let compress_above = Policy::default().compress_above;
    storage::schema::encode(record.clone(), Expiry::same(None), compress_above)
}

/// The same record, as another parser would have made it with a different event.
#[must_use]
pub fn altered(record: &Record, alter: impl FnOnce(&mut Event)) -> Record {
    let mut record = record.clone();
    let Record::Event { event, .. } = &mut record else {
        panic!("no event: {record:?}")
    };
    alter(event);
    record
}

/// A client of a DynamoDB on this machine, which does not use the product's code.
#[must_use]
pub fn client(endpoint: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version_latest()
        .region(aws_sdk_dynamodb::config::Region::from_static("us-east-1"))
        .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(
            "local", "local", None, None, "local",
        ))
        .http_client(storage::network(1))
        .endpoint_url(endpoint);
    aws_sdk_dynamodb::Client::from_conf(config.build())
}
