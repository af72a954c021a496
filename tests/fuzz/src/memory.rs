//! Table in memory, behind the SDK: a conditional `PutItem` that rejects the items that DynamoDB
//! rejects.

use crate::{exact::deliveries, parser::assert_fits};
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
        let settings = Settings::local("fuzz", "http://table.invalid".to_owned());
        Store::new(&client, &settings)
    }

    /// Removes all items.
    pub fn clear(&self) {
        self.items().clear();
    }

    /// The keys of all items.
    #[must_use]
    pub fn keys(&self) -> Vec<[String; 2]> {
        self.items().keys().cloned().collect()
    }

    /// The exact bytes of every stored delivery.
    ///
    /// # Panics
    /// If an item cannot be decoded.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Vec<u8>> {
        let items = self.items();
        let heads = items.values().filter(|item| !schema::is_chunk(item));
        let records = heads.map(|head| {
            let keys = schema::chunk_keys(head).into_iter();
            let chunks = keys.map(|Key { pk, sk }| items[&[pk, sk]].clone());
            schema::decode(head.clone(), chunks.collect()).expect("an item of this version")
        });
        deliveries(&records.collect::<Vec<_>>())
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
        // No item expires here.
        let condition = if schema::is_chunk(&item) || schema::is_shared_body(&item) {
            "attribute_not_exists(pk) OR attribute_exists(expires)"
        } else {
            "attribute_not_exists(pk)"
        };
        assert_eq!(put.condition_expression, condition);
        assert_fits(item.clone());
        let key = ["pk", "sk"].map(|name| item[name].as_s().expect("a text").clone());
        let mut items = self.items();
        if items.contains_key(&key) {
            return Err("com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException");
        }
        items.insert(key, item);
        Ok(())
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
