//! The Lambda function behind the spool.

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::json;
use std::{convert::Infallible, panic, process::ExitCode};
use store::{Client, Settings, Table};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // The place of a panic and not its message, which may quote an item.
    panic::set_hook(Box::new(|info| println!("{}", json!({ "panic": info.location().map(ToString::to_string) }))));
    let table = match Settings::from_env() {
        Ok(settings) => &Table::new(&Client::patient(), &settings),
        Err(error) => {
            eprintln!("drain cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let handler = async |event: LambdaEvent<SqsEvent>| {
        let messages = event.payload.records.len();
        let response = drain::drain(table, event.payload).await;
        log(messages, &response);
        Ok::<_, Infallible>(response)
    };
    match lambda_runtime::run(service_fn(handler)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drain lost the Lambda runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One line a batch.
fn log(messages: usize, response: &SqsBatchResponse) {
    let left = response.batch_item_failures.len();
    println!("{}", json!({ "drained": messages - left, "left": left }));
}
