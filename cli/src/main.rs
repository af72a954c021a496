//! The `hookkeeper` command.

mod credentials;
mod dev;
mod events;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Receives the webhooks of Pipedrive, amoCRM (Kommo) and Closer, and keeps every one of them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Credentials(credentials::Credentials),
    Dev(dev::Dev),
    Events(events::Events),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Credentials(credentials) => credentials.run().await,
        Command::Dev(dev) => dev.run().await,
        Command::Events(events) => events.run().await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What ends a command: a sentence that says what to do.
type Failure = Box<dyn std::error::Error + Send + Sync>;
