//! The Lambda function that watches the providers' webhooks, every 15 minutes.

use guardian::Watch;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use serde_json::json;
use std::{
    io::{self, Write},
    panic,
    process::ExitCode,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Log only the location of a panic: its message may quote a response.
    panic::set_hook(Box::new(|info| {
        let line = json!({ "panic": info.location().map(ToString::to_string) });
        writeln!(io::stdout(), "{line}").ok();
    }));
    let watch = match Watch::from_env() {
        Ok(watch) => watch,
        Err(error) => {
            writeln!(io::stderr(), "guardian cannot start: {error}").ok();
            return ExitCode::FAILURE;
        }
    };
    let watch = &watch;
    let handler = async |_: LambdaEvent<IgnoredAny>| Box::pin(watch.run()).await;
    match lambda_runtime::run(service_fn(handler)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "guardian lost the Lambda runtime: {error}").ok();
            ExitCode::FAILURE
        }
    }
}
