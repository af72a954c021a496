//! One provider's receiver over a new table, and what is stored there.

use crate::request::accepted;
use hookkeeper::{
    dev::{CREDENTIAL, Data, DynamoDb},
    template::TEMPLATE,
};
use ingest::{Authenticator, Receiver, Verdict};
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use models::{Body, Record};
use providers::{Credentials, Provider};
use storage::{Client, Key, Store, Table};

/// The URL key that is accepted here of a provider that may carry one.
pub const KEY: &str = "local-key";

/// The provider of this name.
#[must_use]
pub fn provider(name: &str) -> Provider {
    providers::ALL
        .into_iter()
        .find(|provider| provider.name == name)
        .unwrap_or_else(|| panic!("{name} is no provider"))
}

/// One provider's receiver with a new table in memory, which is gone when this is dropped. It accepts the user name and
/// password `local`, and [`KEY`] where the provider may carry one.
#[derive(Debug)]
pub struct House {
    receiver: Receiver,
    table: Table,
    _dynamodb: DynamoDb,
}

impl House {
    /// Of a provider.
    pub async fn of(provider: Provider) -> Self {
        let dynamodb = DynamoDb::start(&Data::Memory, 0, TEMPLATE).await.unwrap();
        let store = Store::new(&Client::background(), &dynamodb.settings());
        let key = match provider.credentials {
            Credentials::Basic => String::new(),
            Credentials::BasicOrKey => accepted("url", KEY),
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

    /// What becomes of a request that comes in by the door.
    pub async fn receive(&self, event: ApiGatewayV2httpRequest) -> Verdict {
        self.receiver.receive(event).await
    }

    /// All that is stored, each record under the key that it has by the design, in the order of the keys.
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

/// Delivers requests one after the other to a provider's receiver: what becomes of each, and all that is stored in the end.
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
    /// Its partition.
    pub pk: String,
    /// Its place there.
    pub sk: String,
    /// What is there.
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
        Record::Body {
            provider, delivery, ..
        } => (format!("delivery#{provider}#{delivery}"), "body".to_owned()),
        Record::Quarantined {
            provider,
            delivery,
            origin,
            ..
        } => (
            storage::schema::quarantine_pk(
                provider,
                &origin.arrival.day(),
                models::shard(delivery),
            ),
            format!("{}#{delivery}", origin.arrival),
        ),
    };
    Key { pk, sk }
}

/// The exact bytes of the one delivery that these records are of, had back from each of them.
#[must_use]
pub fn bytes(records: &[Stored]) -> Vec<Vec<u8>> {
    let shared = |name: &str| {
        records.iter().find_map(|stored| match &stored.record {
            Record::Body {
                delivery, bytes, ..
            } if delivery == name => Some(bytes.clone()),
            _ => None,
        })
    };
    let of_one = |stored: &Stored| match &stored.record {
        Record::Event {
            event,
            body: Body::Data,
            ..
        } => event.data.get().as_bytes().to_vec(),
        Record::Event {
            body: Body::Here(bytes),
            ..
        }
        | Record::Body { bytes, .. }
        | Record::Quarantined { bytes, .. } => bytes.clone(),
        Record::Event {
            body: Body::Shared(delivery),
            ..
        } => shared(delivery).expect("the body of the delivery"),
    };
    records.iter().map(of_one).collect()
}
