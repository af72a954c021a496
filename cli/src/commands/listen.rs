//! `hookkeeper listen`: sends events to a local server as they are stored, as the provider sent them.

use crate::{
    Failure,
    commands::consume::CLOUD_EVENT,
    connection::Connection,
    filter::{Filter, provider_of},
    follower::{Follower, INTERVAL},
    forward::{Response, Server, Waits, header, said, url},
    handle::Handle,
    output::{Output, cell, json_line, say, seconds, short_type},
    reading::exact_bytes,
    signal::stop,
    span::{Moment, moment},
};
use clap::{Args, ValueEnum};
use models::{Event, Origin, Record, Timestamp};
use serde::Serialize;
use std::{
    collections::HashMap,
    io::{self, IsTerminal},
    time::Duration,
};
use storage::{IndexEntry, Stored, Table, TableError, budget::now};
use tokio::time::sleep;

/// Sends each event to a server, such as one on this machine, as soon as it is stored, until Ctrl-C.
///
/// Events come from the table, so none is lost while this machine sleeps, the network is away or the server does not run:
/// they are sent when they can be. A server that does not answer, or answers 408, 429 or 5xx, gets the same event again.
/// Any other answer is shown, and the next event is sent. No position is saved: after a restart use --since, or `consume`.
///
/// --as webhook sends one request per delivery, with the exact bytes and the content type of the provider. --as cloudevent
/// sends one per event, as JSON. One line per event: method, status, milliseconds, handle.
///
/// Example: cargo hookkeeper listen --local --forward-to http://localhost:3000/hook
#[derive(Args)]
pub(crate) struct Listen {
    /// URL of the server
    #[arg(long, value_name = "URL", value_parser = url)]
    forward_to: String,
    /// What is sent
    #[arg(long = "as", value_enum, default_value_t = Form::Webhook)]
    form: Form,
    /// Also send the events that were recorded since then: 30s, 15m, 2h, 7d ago, a date, or a time [default: new events]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// A header of each request, like 'X-Key: value'
    #[arg(long, value_name = "K: V", value_parser = header)]
    header: Vec<(String, String)>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    connection: Connection,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// The form in which an event is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One POST per delivery, as the provider sent it
    Webhook,
    /// One POST per event, a CloudEvent in JSON
    Cloudevent,
}

/// Longest wait between two attempts: a developer restarts the server often.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A response, as it is printed.
#[derive(Debug, Clone, Copy)]
struct Sent {
    status: u16,
    milliseconds: u128,
}

/// One line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    method: &'a str,
    status: u16,
    ms: u128,
    handle: &'a str,
    r#type: &'a str,
    subject: &'a str,
}

/// A request, without its handle.
struct Message {
    /// The name of the delivery, if it has several events.
    delivery: Option<String>,
    content_type: Option<String>,
    body: Vec<u8>,
}

/// The events that were sent, and where they go.
struct Listener<'a> {
    listen: &'a Listen,
    table: &'a Table,
    server: Server,
    follower: Follower,
    /// The responses to deliveries with several events, which are sent once, and when these events
    /// were recorded.
    sent: HashMap<String, (Sent, Timestamp)>,
}

impl Listen {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let stop = stop()?;
        tokio::select! {
            listened = self.listen() => listened,
            () = stop => Ok(()),
        }
    }

    async fn listen(&self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let follower = match self.since {
            None => Follower::from_now(&table, &self.filter).await?,
            Some(since) => Follower::since(since.resolve(now())),
        };
        let mut listener = Listener {
            listen: self,
            table: &table,
            server: Server::new(self.forward_to.clone(), self.header.clone()),
            follower,
            sent: HashMap::new(),
        };
        self.say_ready(&listener.server)?;
        loop {
            match listener.look().await {
                Ok(()) => {}
                // The next look reaches back to the last one that succeeded.
                Err(failure) if failure.is::<TableError>() => {
                    eprintln!("{}: looking again", cell(&failure.to_string()));
                }
                Err(failure) => return Err(failure),
            }
            sleep(INTERVAL).await;
        }
    }

    fn say_ready(&self, server: &Server) -> Result<(), Failure> {
        let since = match self.since {
            None => "new events".to_owned(),
            Some(since) => format!("events since {}", seconds(since.resolve(now()))),
        };
        let form = match self.form {
            Form::Webhook => "as the provider sent them",
            Form::Cloudevent => "as CloudEvents",
        };
        let ready = format!(
            "Ready: {since}, {form}, to {}. Ctrl-C ends it.",
            server.shown()
        );
        match self.output {
            Output::Table => say!("{ready}")?,
            Output::Json => eprintln!("{ready}"),
        }
        Ok(())
    }

    fn print(&self, sent: Sent, handle: &str, event: &Event) -> Result<(), Failure> {
        let Sent {
            status,
            milliseconds,
        } = sent;
        if self.output == Output::Json {
            let line = Line {
                method: "POST",
                status,
                ms: milliseconds,
                handle,
                r#type: &event.r#type,
                subject: &event.subject,
            };
            return Ok(say!("{}", json_line(&line)?)?);
        }
        let line = format!("POST {status} {milliseconds} {handle}");
        if io::stdout().is_terminal() {
            let r#type = cell(short_type(&event.r#type));
            return Ok(say!("{line}  {type}  {}", cell(&event.subject))?);
        }
        Ok(say!("{line}")?)
    }
}

impl Listener<'_> {
    /// Sends the events that were not seen.
    async fn look(&mut self) -> Result<(), Failure> {
        let look = self.follower.look(self.table, &self.listen.filter).await?;
        for entry in &look.unseen {
            match self.send_entry(entry).await {
                Ok(true) => {}
                // It was removed, or a replay is moving it to another key.
                Ok(false) => continue,
                Err(failure) if is_about_item(&failure) => {
                    let handle = Handle::for_entry(entry);
                    eprintln!("{handle} is not sent: {}", cell(&failure.to_string()));
                }
                Err(failure) => return Err(failure),
            }
            self.follower.see(entry);
        }
        self.follower.end(&look);
        let reach = self.follower.reach();
        self.sent.retain(|_, (_, recorded)| *recorded >= reach);
        Ok(())
    }

    /// Sends the event of an index entry. False: there is none.
    async fn send_entry(&mut self, entry: &IndexEntry) -> Result<bool, Failure> {
        match self.table.get(&entry.key).await? {
            Some(stored) => self.send(&stored).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Sends an event, or its delivery if that was not sent yet.
    async fn send(&mut self, stored: &Stored) -> Result<(), Failure> {
        let Record::Event { event, origin, .. } = &stored.record else {
            return Ok(());
        };
        let handle = Handle::for_event(stored).to_string();
        let message = self.message(stored, event, origin).await?;
        let Some(message) = message else {
            eprintln!("{handle}: the bytes of its delivery are missing, so it is not sent");
            return Ok(());
        };
        let delivery = message.delivery.as_ref();
        let sent = match delivery.and_then(|delivery| self.sent.get(delivery)) {
            Some((sent, _)) => *sent,
            None => self.deliver(&handle, &message).await,
        };
        if let (Some(delivery), Some(recorded)) = (message.delivery, stored.recorded) {
            self.sent.insert(delivery, (sent, recorded));
        }
        self.listen.print(sent, &handle, event)
    }

    async fn message(
        &self,
        stored: &Stored,
        event: &Event,
        origin: &Origin,
    ) -> Result<Option<Message>, Failure> {
        if self.listen.form == Form::Cloudevent {
            return Ok(Some(Message {
                delivery: None,
                content_type: Some(CLOUD_EVENT.to_owned()),
                body: serde_json::to_vec(event)?,
            }));
        }
        let Some(provider) = provider_of(&event.source) else {
            return Ok(None);
        };
        let bytes = exact_bytes(self.table, &provider, &stored.record).await?;
        let shared = stored.record.shared_body();
        Ok(bytes.map(|body| Message {
            delivery: shared.map(|shared| format!("{} {shared}", provider.name)),
            content_type: origin.content_type.clone(),
            body,
        }))
    }

    /// POSTs a message until the server has taken or refused it.
    async fn deliver(&self, handle: &str, message: &Message) -> Sent {
        let mut waits = Waits::up_to(LONGEST_WAIT);
        let mut last = None;
        loop {
            let content_type = message.content_type.as_deref();
            let answer = self.server.post(handle, content_type, &message.body).await;
            if let (Ok(status), Response::Taken | Response::Refused) =
                (&answer.status, Response::of(&answer))
            {
                return Sent {
                    status: *status,
                    milliseconds: answer.latency.as_millis(),
                };
            }
            let why = said(&answer);
            if last.as_ref() != Some(&why) {
                eprintln!("{handle}: {}: trying again", cell(&why));
                last = Some(why);
            }
            sleep(waits.next().unwrap_or(LONGEST_WAIT)).await;
        }
    }
}

fn is_about_item(failure: &Failure) -> bool {
    let error = failure.downcast_ref::<TableError>();
    error.is_some_and(TableError::is_about_item)
}
