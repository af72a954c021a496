//! The Lambda function that publishes new events from the table's stream to an event bus.

use lambda_runtime::{LambdaEvent, service_fn};
use relay::{Payload, Relay};
use serde_json::json;
use std::{
    io::{self, Write},
    panic,
    process::ExitCode,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Log only the location of a panic: its message may quote an item.
    panic::set_hook(Box::new(|info| {
        let line = json!({ "panic": info.location().map(ToString::to_string) });
        writeln!(io::stdout(), "{line}").ok();
    }));
    let relay = match Relay::from_env() {
        Ok(relay) => relay,
        Err(error) => {
            writeln!(io::stderr(), "relay cannot start: {error}").ok();
            return ExitCode::FAILURE;
        }
    };
    let relay = &relay;
    let handler = async |event: LambdaEvent<Payload>| {
        let deadline = event.context.deadline();
        let relayed = Box::pin(relay.relay(event.payload, deadline)).await?;
        relay.log(&relayed);
        Ok::<_, String>(relayed.response())
    };
    match lambda_runtime::run(service_fn(handler)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "relay lost the Lambda runtime: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
