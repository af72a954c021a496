//! The Lambda function that receives amoCRM's webhooks.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    ingest::run(providers::AMOCRM).await
}
