//! A function's whole life.

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

/// Receives a provider's webhooks on Lambda until the environment ends, with the settings of the process's environment.
///
/// Fails when the settings are not enough to start with, and says in one sentence what to set.
pub async fn run(provider: Provider) -> ExitCode {
    panic::set_hook(Box::new(log_panic));
    let receiver = match Receiver::from_env(provider) {
        Ok(receiver) => receiver,
        Err(error) => {
            eprintln!("{} cannot start: {error}", provider.name);
            return ExitCode::FAILURE;
        }
    };
    // In Init, where Lambda does not hold the processor back.
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

/// Logs where a panic was. Not its message, which may quote what was being read.
fn log_panic(info: &panic::PanicHookInfo) {
    let place = info.location().map(ToString::to_string);
    writeln!(io::stdout(), "{}", json!({ "panic": place })).ok();
}
