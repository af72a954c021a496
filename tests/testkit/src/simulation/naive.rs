//! Naive receiver for comparison: the defaults of the SDK, one password, 400 for a body that it
//! cannot parse, 500 when the table fails, and a conditional put with the hash of the body as key,
//! so that a repeated body is stored once.

use super::{aws::Connections, crm};
use aws_sdk_dynamodb::{
    Client, Config,
    config::{
        BehaviorVersion, Credentials, Region, StalledStreamProtectionConfig, retry::RetryPartition,
    },
    error::SdkError,
    types::AttributeValue,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use hookkeeper::dev::TABLE;
use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) struct Naive {
    provider: &'static str,
    /// The password that it accepts at present.
    password: Box<dyn Fn() -> &'static str + Send + Sync>,
    client: Client,
}

impl Naive {
    pub(crate) fn new(
        provider: &'static str,
        password: impl Fn() -> &'static str + Send + Sync + 'static,
        connections: &Connections,
    ) -> Self {
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "simulation"))
            .http_client(connections.transport())
            // As in its own process, because the quota of retries belongs to a process.
            .retry_partition(RetryPartition::custom("environment").build())
            // It uses the system's clock.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        Self {
            provider,
            password: Box::new(password),
            client: Client::from_conf(config.build()),
        }
    }

    pub(crate) async fn answer(&self, event: ApiGatewayV2httpRequest) -> u16 {
        if !self.accepts(&event) {
            return 401;
        }
        let body = event.body.unwrap_or_default();
        let body = if event.is_base64_encoded {
            STANDARD.decode(body).unwrap()
        } else {
            body.into_bytes()
        };
        if !self.can_parse(&body) {
            return 400;
        }
        let item = [
            ("pk", STANDARD.encode(Sha256::digest(&body))),
            ("sk", self.provider.to_owned()),
            ("data", String::from_utf8_lossy(&body).into_owned()),
        ];
        let item = item.map(|(name, text)| (name.to_owned(), AttributeValue::S(text)));
        let put = self
            .client
            .put_item()
            .table_name(TABLE)
            .set_item(Some(item.into()));
        match put
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await
        {
            Ok(_) => 200,
            Err(SdkError::ServiceError(error))
                if error.err().is_conditional_check_failed_exception() =>
            {
                200
            }
            Err(_) => 500,
        }
    }

    /// Whether a request has the password, in its header or as the key in its URL.
    fn accepts(&self, event: &ApiGatewayV2httpRequest) -> bool {
        let password = (self.password)();
        let authorization = event.headers.get("authorization");
        let query = event.raw_query_string.as_deref();
        authorization.is_some_and(|shown| *shown == *crm::basic(password))
            || query == Some(&format!("key={password}"))
    }

    fn can_parse(&self, body: &[u8]) -> bool {
        if self.provider == "amocrm" {
            return form_urlencoded::parse(body).any(|(name, _)| name.ends_with("[id]"));
        }
        let known = if self.provider == "closer" {
            "eventType"
        } else {
            "meta"
        };
        serde_json::from_slice::<Value>(body).is_ok_and(|body| body.get(known).is_some())
    }
}
