//! Entry point of the `hookkeeper` command: parses the arguments, runs the subcommand, and maps
//! errors to exit codes.

mod called;
mod commands;
mod confirm;
mod connection;
mod credential;
mod deployer;
mod difference;
mod filter;
mod follower;
mod forward;
mod handle;
mod http;
mod managed_account;
mod mention;
mod node;
mod output;
mod progress;
mod queues;
mod reading;
mod secret;
mod signal;
mod similar;
mod skipped;
mod span;
mod stack_update;
mod ui;

use called::{as_called, with_names};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use commands::{
    consume, consumers, credentials, deploy, dev, doctor, erase, events, export, guard, heal,
    listen, mcp, quarantine, queue, register, replay, republish, rotate, schema, send, ui as page,
    unregister,
};
use output::cell;
use std::{io, process::ExitCode};

/// Receives webhooks of Pipedrive, amoCRM (Kommo) and Closer, and stores every one of them.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Deploy(deploy::Deploy),
    Credentials(credentials::Credentials),
    Dev(dev::Dev),
    Ui(page::Ui),
    Mcp(mcp::Mcp),
    Send(send::Send),
    Events(events::Events),
    Guard(guard::Guard),
    Heal(heal::Heal),
    Listen(listen::Listen),
    Consume(consume::Consume),
    Consumers(consumers::Consumers),
    Quarantine(quarantine::Quarantine),
    Replay(replay::Replay),
    Republish(republish::Republish),
    Export(export::Export),
    Erase(erase::Erase),
    Queue(queue::Queue),
    Schema(schema::Schema),
    Doctor(doctor::Doctor),
    Register(register::Register),
    Rotate(rotate::Rotate),
    Unregister(unregister::Unregister),
}

#[tokio::main]
async fn main() -> ExitCode {
    let matches = with_names(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let done = match cli.command {
        Command::Deploy(deploy) => Box::pin(deploy.run()).await,
        Command::Credentials(credentials) => credentials.run().await,
        Command::Dev(dev) => dev.run().await,
        Command::Ui(ui) => ui.run().await,
        Command::Mcp(_) => mcp::serve().await,
        Command::Send(send) => send.run().await,
        Command::Events(events) => events.run().await,
        Command::Guard(guard) => Box::pin(guard.run()).await,
        Command::Heal(heal) => Box::pin(heal.run()).await,
        Command::Listen(listen) => listen.run().await,
        Command::Consume(consume) => Box::pin(consume.run()).await,
        Command::Consumers(consumers) => Box::pin(consumers.run()).await,
        Command::Quarantine(quarantine) => quarantine.run().await,
        Command::Replay(replay) => Box::pin(replay.run()).await,
        Command::Republish(republish) => Box::pin(republish.run()).await,
        Command::Export(export) => export.run().await,
        Command::Erase(erase) => Box::pin(erase.run()).await,
        Command::Queue(queue) => queue.run().await,
        Command::Schema(_) => schema::print(),
        Command::Doctor(doctor) => doctor.run().await,
        Command::Register(register) => Box::pin(register.run()).await,
        Command::Rotate(rotate) => Box::pin(rotate.run()).await,
        Command::Unregister(unregister) => Box::pin(unregister.run()).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        // The reader closed the pipe (`| head`): not an error.
        Err(error)
            if error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) =>
        {
            ExitCode::SUCCESS
        }
        Err(error) if error.is::<Usage>() => subcommand(&matches)
            .error(ErrorKind::ValueValidation, as_called(&error.to_string()))
            .exit(),
        Err(error) => {
            // The message may quote text from a sender.
            eprintln!("error: {}", cell(&as_called(&error.to_string())));
            let is_temporary = error.is::<Held>();
            ExitCode::from(if is_temporary { EX_TEMPFAIL } else { 1 })
        }
    }
}

/// The exit code of a command that may succeed later.
///
/// Source: `sysexits.h` of BSD.
const EX_TEMPFAIL: u8 = 75;

/// The subcommand that was called, whose usage an error shows.
fn subcommand(mut matches: &ArgMatches) -> clap::Command {
    let mut command = Cli::command();
    command.build();
    while let Some((name, of_subcommand)) = matches.subcommand() {
        command = command.find_subcommand(name).cloned().unwrap_or_default();
        matches = of_subcommand;
    }
    command
}

/// Error that ends a command. Its message says what to do.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Arguments that contradict each other. The message names them. The command exits with code 2, as
/// clap does.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Another process holds what the command needs. The command exits with code 75.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Held(String);

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that can be run, with their full names.
    fn commands(command: &clap::Command, name: &str) -> Vec<(String, clap::Command)> {
        let subcommands = command.get_subcommands();
        let below =
            subcommands.flat_map(|sub| commands(sub, &format!("{name} {}", sub.get_name())));
        let own =
            (!command.is_subcommand_required_set()).then(|| (name.to_owned(), command.clone()));
        own.into_iter().chain(below).collect()
    }

    #[test]
    fn every_command_that_prints_results_has_an_output_format() {
        let commands = commands(&Cli::command(), "hookkeeper").into_iter();
        let without = commands.filter(|(_, command)| {
            let mut arguments = command.get_arguments();
            arguments.all(|argument| argument.get_id() != "output")
        });
        let names: Vec<_> = without.map(|(name, _)| name).collect();
        // They are servers. The log of the first has `--log json`.
        assert_eq!(names, ["hookkeeper dev", "hookkeeper ui", "hookkeeper mcp"]);
    }
}
