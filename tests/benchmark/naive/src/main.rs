//! A receiver as it is usually written in Rust: all default features, the default chain of credentials, nothing warmed.

use aws_sdk_dynamodb::{Client, error::SdkError, types::AttributeValue};
use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::{Body, Error, Request, Response, run, service_fn};
use serde_json::Value;
use std::env;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let client = &Client::new(&aws_config::load_from_env().await);
    let table = &env::var("HOOKKEEPER_TABLE")?;
    let expected = &format!("Basic {}", STANDARD.encode(env::var("PEER_CREDENTIALS")?));
    run(service_fn(async |request: Request| {
        receive(client, table, expected, request).await
    }))
    .await
}

async fn receive(
    client: &Client,
    table: &str,
    expected: &str,
    request: Request,
) -> Result<Response<Body>, Error> {
    if request
        .headers()
        .get("authorization")
        .is_none_or(|shown| shown != expected)
    {
        return Ok(Response::builder().status(401).body(Body::Empty)?);
    }
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let webhook: Value = serde_json::from_str(&body)?;
    let text = |name: &str| {
        webhook["meta"][name]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let put = client
        .put_item()
        .table_name(table)
        .item(
            "pk",
            AttributeValue::S(format!("{}/{}", text("entity"), text("entity_id"))),
        )
        .item(
            "sk",
            AttributeValue::S(format!("{}#{}", text("timestamp"), text("id"))),
        )
        .item("data", AttributeValue::S(body))
        .condition_expression("attribute_not_exists(pk)");
    match put.send().await {
        Err(SdkError::ServiceError(error))
            if error.err().is_conditional_check_failed_exception() => {}
        put => drop(put?),
    }
    Ok(Response::new(Body::Empty))
}
