//! The Lambda function that consumes the fallback queue.

use aws_lambda_events::sqs::SqsEvent;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::json;
use std::{
    convert::Infallible,
    io::{self, Write},
    panic,
    process::ExitCode,
};
use storage::{Client, Settings, Table};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Log only the location of a panic: its message may quote an item.
    panic::set_hook(Box::new(|info| {
        let line = json!({ "panic": info.location().map(ToString::to_string) });
        writeln!(io::stdout(), "{line}").ok();
    }));
    let table = match Settings::from_env() {
        Ok(settings) => &Table::new(&Client::background(), &settings),
        Err(error) => {
            writeln!(io::stderr(), "drain cannot start: {error}").ok();
            return ExitCode::FAILURE;
        }
    };
    let handler = async |event: LambdaEvent<SqsEvent>| {
        let drained = drain::drain(table, event.payload).await;
        drained.log();
        Ok::<_, Infallible>(drained.response())
    };
    match lambda_runtime::run(service_fn(handler)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "drain lost the Lambda runtime: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
