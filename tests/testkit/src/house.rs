//! Receiver of one provider with a new table, and access to the stored records.

use crate::{kept, request::accepted};
use hookkeeper::{
    dev::{CREDENTIAL, Data, DynamoDb},
    template::TEMPLATE,
};
use ingest::{Authenticator, Receiver, Verdict};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use models::{Body, Record};
use providers::{Provider, Scheme};
use storage::{Client, Key, Store, Table};

/// Accepted URL key of a provider that may send one.
pub const KEY: &str = "local-key";

/// The provider of this name.
#[must_use]
pub fn provider(name: &str) -> Provider {
    providers::ALL
        .into_iter()
        .find(|provider| provider.name == name)
        .unwrap_or_else(|| panic!("{name} is no provider"))
}

/// Receiver of one provider with a new table in memory, which is deleted on drop. It accepts the
/// user name and password `local`, and [`KEY`] if the provider may send one.
#[derive(Debug)]
pub struct House {
    receiver: Receiver,
    table: Table,
    _dynamodb: DynamoDb,
}

impl House {
    /// Starts the receiver of a provider.
    pub async fn of(provider: Provider) -> Self {
        let dynamodb = DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap();
        let store = Store::new(&Client::background(), &dynamodb.settings());
        let key = if provider.supports(Scheme::UrlKey) {
            accepted("url", KEY)
        } else {
            String::new()
        };
        let gate = Authenticator::new(
            &provider,
            &accepted("local", &format!("{CREDENTIAL}:{CREDENTIAL}")),
            &key,
        )
        .unwrap();
        let table = store.table().clone();
        Self {
            receiver: Receiver::new(provider, gate, store).silent(),
            table,
            _dynamodb: dynamodb,
        }
    }

    /// Handles a request and returns its verdict.
    pub async fn receive(&self, event: ApiGatewayV2httpRequest) -> Verdict {
        self.receiver.receive(event).await
    }

    /// All stored records, each with the key that the design gives it, in the order of the keys.
    pub async fn records(&self) -> Vec<Stored> {
        let mut stored = Vec::new();
        for record in self.table.records().await.unwrap() {
            let key = key(&record);
            let found = self.table.get(&key).await.unwrap();
            assert!(found.is_some(), "nothing has the key {key:?}");
            stored.push(Stored {
                pk: key.pk,
                sk: key.sk,
                record,
            });
        }
        stored.sort_by(|a, b| (&a.pk, &a.sk).cmp(&(&b.pk, &b.sk)));
        stored
    }
}

/// Delivers requests one after the other to a provider's receiver. Returns the verdict of each
/// request, and all stored records.
pub async fn deliver(
    provider: Provider,
    events: &[ApiGatewayV2httpRequest],
) -> (Vec<Verdict>, Vec<Stored>) {
    let house = House::of(provider).await;
    let mut verdicts = Vec::new();
    for event in events {
        verdicts.push(house.receive(event.clone()).await);
    }
    (verdicts, house.records().await)
}

/// A record in the table.
#[derive(Debug)]
pub struct Stored {
    /// Partition key.
    pub pk: String,
    /// Sort key.
    pub sk: String,
    /// The stored record.
    pub record: Record,
}

/// The key that the design gives a record.
#[must_use]
pub fn key(record: &Record) -> Key {
    let (pk, sk) = match record {
        Record::Event { event, .. } => (
            format!("{}#{}", event.source, event.subject),
            format!("{}#{}", event.time, event.id),
        ),
        Record::Body { provider, name, .. } => {
            (format!("delivery#{provider}#{name}"), "body".to_owned())
        }
        Record::Quarantined {
            provider,
            name,
            index,
            origin,
            ..
        } => (
            storage::schema::quarantine_pk(provider, &origin.arrival.day(), models::shard(name)),
            format!("{}#{name}#{index}", origin.arrival),
        ),
    };
    Key { pk, sk }
}

/// The exact bytes of the one delivery of these records, restored from each of them.
#[must_use]
pub fn bytes(records: &[Stored]) -> Vec<Vec<u8>> {
    let shared = |name: &str| {
        records.iter().find_map(|stored| match &stored.record {
            Record::Body {
                name: stored,
                bytes,
                ..
            } if stored == name => Some(bytes.clone()),
            _ => None,
        })
    };
    let of_one = |stored: &Stored| match &stored.record {
        Record::Event {
            body: Body::Shared(delivery),
            ..
        }
        | Record::Quarantined {
            body: Body::Shared(delivery),
            ..
        } => shared(delivery).expect("the body of the delivery"),
        record => kept::bytes(record).expect("a record with its own body"),
    };
    records.iter().map(of_one).collect()
}
