//! `hookkeeper dev`: runs a local Hookkeeper until Ctrl-C.

mod lines;

use crate::{
    Failure,
    called::as_called,
    handle::Handle,
    output::{cell, local, say, seconds, short_type},
    signal::stop,
    ui::{Site, router},
};
use anstyle::{AnsiColor, Style};
use clap::{Args, ValueEnum};
use hookkeeper::{
    dev::{Answered, Data, DynamoDb, Gateway, TABLE, User, check_ports},
    template::TEMPLATE,
};
use lines::Lines;
use models::Record;
use serde_json::json;
use std::{
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
};
use storage::{Client, Table, budget::now};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Runs an embedded DynamoDB, all receivers, and the page that shows what arrives on this machine, until Ctrl-C.
///
/// Example: cargo dev --port 9001 --data memory
#[derive(Args)]
pub(crate) struct Dev {
    /// Port of the receivers and the page on 127.0.0.1
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Port of the embedded DynamoDB on 127.0.0.1
    #[arg(long, default_value_t = 8000)]
    dynamodb_port: u16,
    /// Folder in which the table is stored, or `memory`
    #[arg(long, default_value = "target/dev", value_parser = data)]
    data: Data,
    /// User name and password that the receivers accept [env: HOOKKEEPER_DEV_USER] [default: local:local]. Choose your own,
    /// in the environment, before you make them public with a tunnel
    #[arg(long, value_name = "USER:PASSWORD")]
    user: Option<User>,
    /// SAM template with the schema of the table [default: the template of this version]
    #[arg(long)]
    template: Option<PathBuf>,
    /// What is logged of each delivery
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log: Format,
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A line for people: time, status, verdict, milliseconds, provider, type, subject, handle
    Text,
    /// The line of the functions on AWS, which CloudWatch also reads as metrics
    Json,
}

#[expect(clippy::unnecessary_wraps, reason = "clap asks for a result")]
fn data(argument: &str) -> Result<Data, String> {
    Ok(if argument == "memory" {
        Data::Memory
    } else {
        Data::Folder(argument.into())
    })
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let template = match &self.template {
            None => TEMPLATE.to_owned(),
            Some(path) => fs::read_to_string(path)
                .map_err(|error| format!("cannot read {} ({error})", path.display()))?,
        };
        let user = match &self.user {
            Some(user) => user.clone(),
            None => User::from_env()?,
        };
        check_ports(self.port, self.dynamodb_port).await?;
        let dynamodb = DynamoDb::start(&self.data, self.dynamodb_port, &template).await?;
        let (log, answered) = unbounded_channel();
        let table = Table::new(&Client::background(), &dynamodb.settings());
        let site = Site::new(table)?
            .with_writes(true)
            .with_receivers(user.clone());
        let settings = dynamodb.settings();
        let page = router(site);
        let gateway = Gateway::start(self.port, &user, &settings, log, page).await?;
        // Listen before the ready line is printed: a signal that follows it must end this in order.
        let stopped = stop()?;
        self.print(&dynamodb, &gateway, &user);
        let printing = tokio::spawn(print_lines(answered, self.log));
        stopped.await;
        eprintln!("\nStopping.");
        gateway.stop().await;
        // The gateway has closed the channel.
        let dropped = printing.await?;
        if dropped > 0 {
            eprintln!("{}", missing(dropped));
        }
        dynamodb.stop().await;
        Ok(())
    }

    fn print(&self, dynamodb: &DynamoDb, gateway: &Gateway, user: &User) {
        // A secret of the environment is not printed, and the commands take it from there.
        let is_secret = self.user.is_none() && *user != User::known();
        let (password, word) = if is_secret {
            (
                "in HOOKKEEPER_DEV_USER",
                "\"$HOOKKEEPER_DEV_USER\"".to_owned(),
            )
        } else {
            (user.password(), user.shell_word())
        };
        println!(
            "See what arrives on {}\n\n\
            Hookkeeper receives webhooks (user name {}, password {password}):\n",
            gateway.page_url(),
            user.name()
        );
        for provider in providers::ALL {
            println!("  {:<10} {}", provider.name, gateway.url(provider.name));
        }
        let data = match &self.data {
            Data::Memory => "in memory, deleted when this command stops".to_owned(),
            Data::Folder(folder) => format!("in {}", folder.display()),
        };
        println!(
            "\nand stores them in the table {TABLE} of the DynamoDB on {} ({data}).",
            dynamodb.endpoint()
        );
        println!("\nSend one from another terminal:\n");
        for provider in providers::ALL {
            println!(
                "  {}",
                curl(&word, &gateway.url(provider.name), provider.samples.example)
            );
        }
        let to = match gateway.port() {
            9000 => String::new(),
            port => format!(" --local={port}"),
        };
        let shown = match &self.user {
            Some(user) if *user != User::known() => format!(" --user {word}"),
            _ => String::new(),
        };
        let send = as_called("cargo hookkeeper send");
        println!(
            "\nOr send any webhook of a provider (send --list):\n\n  {send} pipedrive deal.updated{to}{shown}"
        );
        let port = match dynamodb.port() {
            8000 => " --local".to_owned(),
            port => format!(" --local={port}"),
        };
        let events = as_called("cargo hookkeeper events");
        println!(
            "\nList the stored events:\n\n  {events}{port}\n\nPress Ctrl-C to stop. One line is logged for each delivery:\n"
        );
    }
}

/// Prints a line for each answered request, until the gateway stops. Returns the number of lines at
/// the end that were dropped, because nobody read the output.
async fn print_lines(mut answered: UnboundedReceiver<Answered>, format: Format) -> u64 {
    let note = match format {
        Format::Text => missing,
        Format::Json => |dropped| json!({ "dropped_lines": dropped }).to_string(),
    };
    // A write fails when the reader has closed the pipe.
    let mut lines = Lines::start(note, |line| {
        say!("{line}").ok();
    });
    while let Some(answered) = answered.recv().await {
        lines.push(match format {
            Format::Text => line(&answered),
            Format::Json => answered.log_line,
        });
    }
    lines.finish().await
}

fn missing(dropped: u64) -> String {
    format!("{dropped} lines of the log were dropped, because nobody read the output")
}

/// Formats an answered request for people.
fn line(answered: &Answered) -> String {
    let now = now();
    let time = if io::stdout().is_terminal() {
        local(now).chars().skip("2026-11-21 ".len()).collect()
    } else {
        seconds(now)
    };
    let status = answered.verdict.status();
    let colour = if status.is_success() {
        AnsiColor::Green
    } else {
        AnsiColor::Red
    };
    let style = Style::new().fg_color(Some(colour.into())).bold();
    let code = status.as_u16();
    let verdict = answered.verdict.word();
    let milliseconds = answered.latency.as_millis();
    let content = cell(&content(answered));
    let provider = answered.provider;
    let line = format!(
        "{time}  {style}{code}{style:#}  {verdict:<12}  {milliseconds:>4} ms  {provider:<9}  {content}"
    );
    line.trim_end().to_owned()
}

/// Type, subject and handle of the first event, or the reason and the handle of the first
/// quarantined item.
fn content(answered: &Answered) -> String {
    let Some(stored) = &answered.first else {
        return String::new();
    };
    let more = match answered.verdict.events() {
        0 | 1 => String::new(),
        events => format!("  and {} more", events - 1),
    };
    match &stored.record {
        Record::Event { event, .. } => {
            let r#type = short_type(&event.r#type);
            let handle = Handle::for_event(stored);
            format!("{type}  {}  {handle}{more}", event.subject)
        }
        Record::Quarantined { reason, .. } => {
            let handle = Handle::for_quarantined(&stored.key);
            format!("{}  {handle}", reason.code)
        }
        Record::Body { .. } => String::new(),
    }
}

fn curl(user: &str, url: &str, body: &str) -> String {
    let json = if body.starts_with('{') {
        " -H 'content-type: application/json'"
    } else {
        ""
    };
    format!("curl -i -u {user} {url}{json} -d '{body}'")
}
