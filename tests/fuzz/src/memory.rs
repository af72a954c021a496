//! Table in memory, behind the SDK: a conditional `PutItem` that rejects the items that DynamoDB
//! rejects.

use crate::reading::fits;
use aws_sdk_dynamodb::{
    config::http::{HttpRequest, HttpResponse},
    primitives::Blob,
    types::AttributeValue,
};
use aws_smithy_runtime_api::{
    client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    http::StatusCode,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use models::{Body, Record};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
};
use storage::{
    Client, Key, Settings, Store,
    schema::{self, Item},
};

/// A table in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<[String; 2], Item>>>);

impl Memory {
    /// A store with this table, without a fallback queue.
    #[must_use]
    pub fn store(&self) -> Store {
        let connector = SharedHttpConnector::new(self.clone());
        let client = Client::with_transport(http_client_fn(move |_, _| connector.clone()));
        Store::new(
            &client,
            &Settings::local("fuzz", "http://table.invalid".to_owned()),
        )
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.items().clear();
    }

    /// The keys of all items.
    #[must_use]
    pub fn keys(&self) -> Vec<[String; 2]> {
        self.items().keys().cloned().collect()
    }

    /// The exact bytes of every delivery that is kept whole.
    ///
    /// # Panics
    /// When an item is none of ours.
    #[must_use]
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        let items = self.items();
        let heads = items.values().filter(|item| !schema::is_chunk(item));
        let records = heads.map(|head| {
            let keys = schema::chunk_keys(head).into_iter();
            let parts = keys
                .map(|Key { pk, sk }| items[&[pk, sk]].clone())
                .collect();
            let mut head = head.clone();
            schema::decompress(&mut head, parts)
                .and_then(|()| schema::decode(head))
                .expect("an item of ours")
        });
        records.filter_map(bytes).collect()
    }

    fn items(&self) -> std::sync::MutexGuard<'_, BTreeMap<[String; 2], Item>> {
        self.0.lock().expect("a lock that no panic poisoned")
    }

    fn put(&self, request: &[u8]) -> Result<(), &'static str> {
        let put: PutItem = serde_json::from_slice(request).expect("a PutItem");
        let item: Item = put
            .item
            .into_iter()
            .map(|(name, value)| (name, value.into()))
            .collect();
        // Nothing here expires.
        let names_its_bytes = schema::is_chunk(&item) || schema::is_shared_body(&item);
        let condition = if names_its_bytes {
            "attribute_not_exists(pk) OR attribute_exists(expires)"
        } else {
            "attribute_not_exists(pk)"
        };
        assert_eq!(put.condition_expression, condition);
        fits(item.clone());
        let key = ["pk", "sk"].map(|name| item[name].as_s().expect("a text").clone());
        let mut items = self.items();
        if items.contains_key(&key) {
            return Err("com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException");
        }
        items.insert(key, item);
        Ok(())
    }
}

fn bytes(record: Record) -> Option<Vec<u8>> {
    match record {
        Record::Event {
            event,
            body: Body::Data,
            ..
        } => Some(event.data.get().as_bytes().to_vec()),
        Record::Event {
            body: Body::Shared(_),
            ..
        } => None,
        Record::Event {
            body: Body::Here(bytes),
            ..
        }
        | Record::Body { bytes, .. }
        | Record::Quarantined { bytes, .. } => Some(bytes),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutItem {
    item: HashMap<String, Value>,
    condition_expression: String,
}

#[derive(Deserialize)]
enum Value {
    S(String),
    N(String),
    B(String),
}

impl From<Value> for AttributeValue {
    fn from(value: Value) -> Self {
        match value {
            Value::S(text) => Self::S(text),
            Value::N(number) => Self::N(number),
            Value::B(base64) => Self::B(Blob::new(STANDARD.decode(base64).expect("base64"))),
        }
    }
}

impl HttpConnector for Memory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let put = self.put(request.body().bytes().expect("a body in memory"));
        let (status, body) = match put {
            Ok(()) => (200, "{}".to_owned()),
            Err(kind) => (400, format!(r#"{{"__type":"{kind}"}}"#)),
        };
        let status = StatusCode::try_from(status).expect("a status");
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, body.into())))
    }
}
