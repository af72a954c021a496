//! Where events go: a command, a server, or standard output.

use crate::{
    Failure,
    commands::events::cloud_event,
    forward::{Response, Server, said},
    handle::Handle,
    output::say,
};
use std::{
    io::{self, Write},
    process::{ExitStatus, Stdio},
};
use storage::Stored;
use tokio::{io::AsyncWriteExt, process::Command};

/// The media type of a CloudEvent in structured mode.
pub(crate) const CLOUD_EVENT: &str = "application/cloudevents+json";

/// Where events go.
#[derive(Debug)]
pub(super) enum Destination {
    /// A command of the shell.
    Command(String),
    Server(Server),
    StandardOutput,
}

/// The outcome of one attempt to deliver an event.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Done,
    /// The command failed.
    Failed(String),
    /// The server can take the event later.
    Unavailable(String),
    /// The server will not take the event.
    Refused(String),
}

impl Destination {
    pub(super) fn server(url: &str) -> Self {
        Self::Server(Server::new(url.to_owned(), Vec::new()))
    }

    /// Delivers an event once.
    pub(super) async fn deliver(&self, event: &Stored) -> Result<Attempt, Failure> {
        let json = cloud_event(event)?;
        match self {
            Self::Command(command) => run(command, &json).await,
            Self::Server(server) => Ok(post(server, event, &json).await),
            Self::StandardOutput => {
                say!("{json}")?;
                io::stdout().flush()?;
                Ok(Attempt::Done)
            }
        }
    }

    /// Its name in messages.
    pub(super) fn shown(&self) -> &str {
        match self {
            // Its arguments may be secrets.
            Self::Command(_) => "a command",
            Self::Server(server) => server.shown(),
            Self::StandardOutput => "standard output",
        }
    }
}

async fn post(server: &Server, event: &Stored, json: &str) -> Attempt {
    let handle = Handle::for_event(event).to_string();
    let answer = server
        .post(&handle, Some(CLOUD_EVENT), json.as_bytes())
        .await;
    let said = said(&answer);
    match Response::of(&answer) {
        Response::Taken => Attempt::Done,
        Response::Unavailable => Attempt::Unavailable(said),
        Response::Refused => Attempt::Refused(said),
    }
}

/// Runs a command of the shell with a line on its standard input.
async fn run(command: &str, line: &str) -> Result<Attempt, Failure> {
    let mut process = shell(command)
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("the shell cannot be started ({error})"))?;
    if let Some(mut stdin) = process.stdin.take() {
        // A command may end without reading the event. Its exit code decides.
        stdin.write_all(format!("{line}\n").as_bytes()).await.ok();
    }
    let status = process.wait().await?;
    if status.success() {
        return Ok(Attempt::Done);
    }
    Ok(Attempt::Failed(format!("the command {}", ended(status))))
}

fn ended(status: ExitStatus) -> String {
    match status.code() {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by a signal".to_owned(),
    }
}

#[cfg(unix)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd");
    shell.args(["/C", command]);
    shell
}
