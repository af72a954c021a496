//! The floor with a store: a function that puts the body that it gets, and does nothing else.

use aws_sdk_dynamodb::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use lambda_http::{Body, Error, Request, RequestExt, Response, run, service_fn};
use std::env;

#[cfg(feature = "aws-lc")]
const CRYPTO: CryptoMode = CryptoMode::AwsLc;
#[cfg(not(feature = "aws-lc"))]
const CRYPTO: CryptoMode = CryptoMode::Ring;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let var = |name: &str| env::var(name).ok();
    let [key, secret] =
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(|name| var(name).unwrap_or_default());
    let mut config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(var("AWS_REGION").map(Region::new))
        .credentials_provider(Credentials::new(
            key,
            secret,
            var("AWS_SESSION_TOKEN"),
            None,
            "environment",
        ))
        .http_client(
            Builder::new()
                .tls_provider(Provider::Rustls(CRYPTO))
                .build_https(),
        );
    config.set_endpoint_url(var("AWS_ENDPOINT_URL_DYNAMODB"));
    let client = &Client::from_conf(config.build());
    let table = &var("HOOKKEEPER_TABLE").unwrap_or_default();
    run(service_fn(async |request: Request| {
        put(client, table, request).await
    }))
    .await
}

async fn put(client: &Client, table: &str, request: Request) -> Result<Response<Body>, Error> {
    let id = request.lambda_context().request_id;
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let put = client
        .put_item()
        .table_name(table)
        .item("pk", AttributeValue::S(id.clone()));
    put.item("sk", AttributeValue::S(id))
        .item("data", AttributeValue::S(body))
        .send()
        .await?;
    Ok(Response::new(Body::Empty))
}
