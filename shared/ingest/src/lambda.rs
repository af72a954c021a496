//! Entry point of a Lambda function.

use crate::{Receiver, request::Payload};
use lambda_runtime::{LambdaEvent, service_fn};
use providers::Provider;
use serde_json::json;
use std::{
    convert::Infallible,
    io::{self, Write},
    panic,
    process::ExitCode,
};

/// Receives a provider's webhooks on Lambda until the execution environment ends. The settings come
/// from the process environment.
///
/// If the settings are incomplete, it prints one sentence that says what to set, and returns
/// [`ExitCode::FAILURE`].
pub async fn run(provider: Provider) -> ExitCode {
    panic::set_hook(Box::new(log_panic));
    let receiver = match Receiver::from_env(provider) {
        Ok(receiver) => receiver,
        Err(error) => {
            eprintln!("{} cannot start: {error}", provider.name);
            return ExitCode::FAILURE;
        }
    };
    // In the Init phase, Lambda does not throttle the CPU.
    receiver.warm_up().await;
    let receiver = &receiver;
    let handler = async |event: LambdaEvent<Payload>| {
        Ok::<_, Infallible>(receiver.answer(event.payload.0).await)
    };
    match lambda_runtime::run(service_fn(handler)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{} lost the Lambda runtime: {error}", provider.name);
            ExitCode::FAILURE
        }
    }
}

/// Logs the location of a panic. Does not log its message, which may quote the input of the parser.
fn log_panic(info: &panic::PanicHookInfo) {
    let place = info.location().map(ToString::to_string);
    writeln!(io::stdout(), "{}", json!({ "panic": place })).ok();
}
