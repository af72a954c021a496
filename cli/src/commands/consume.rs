//! `hookkeeper consume`: hands every event to a program or a server, once it is stored, and
//! remembers the position.

mod destination;
mod progress;

use crate::{
    Failure, Held, Usage,
    connection::Connection,
    filter::Filter,
    forward::{Waits, url},
    handle::Handle,
    output::{Output, cell},
    signal::Stop,
    span::{duration, limit, moment},
};
use clap::Args;
pub(crate) use destination::CLOUD_EVENT;
use destination::{Attempt, Destination};
use progress::Progress;
use std::time::Duration;
use storage::{
    Cursor, Position, Stored, Table, TableError,
    budget::now,
    consumer::{ConsumerError, Options, RENEWAL, Start},
};
use tokio::time::sleep;

/// Hands every event to a command or a server, in the order of recording, and remembers the position under a name.
///
/// Each event is delivered at least once: after a crash, events since the last commit are delivered again with the same id.
/// The position moves only when an event was handled. Without --exec and --forward-to, events are printed as JSON Lines.
///
/// --exec and --forward-to get the event as a CloudEvent in JSON (structured mode). A command is done when its exit code is
/// 0, and is run up to --attempts times. A server is done when it answers 2xx; no answer, 408, 429 and 5xx are tried again
/// until it takes the event. A command that keeps failing and any other answer stop the consumer with exit code 1 at this
/// event: `hookkeeper consumers skip NAME` skips it. Exit code 75: another process holds the consumer.
///
/// Example: cargo hookkeeper consume warehouse --forward-to http://localhost:3000/events
#[derive(Args)]
pub(crate) struct Consume {
    /// Name of the consumer, 1 to 64 of a-z, 0-9 and -
    #[arg(value_parser = name)]
    name: String,
    /// Run this command for each event, with the event and a newline on its standard input
    #[arg(long, value_name = "CMD", conflicts_with = "forward_to")]
    exec: Option<String>,
    /// POST each event to this URL
    #[arg(long, value_name = "URL", value_parser = url)]
    forward_to: Option<String>,
    /// Where a new consumer begins: beginning, now, a duration ago, or a time. An existing one continues where it is
    #[arg(long, value_name = "TIME", value_parser = start, default_value = "beginning")]
    from: Start,
    #[command(flatten)]
    filter: Filter,
    /// Number of events per commit
    #[arg(long, value_name = "N", value_parser = limit, default_value_t = 25)]
    batch: usize,
    /// Deliver an event only when it is this old, so that none that is still being written is missed [default: 60s, with --local 2s]
    #[arg(long, value_parser = duration)]
    delay: Option<Duration>,
    /// Number of times that --exec is run for an event before the consumer stops
    #[arg(long, value_name = "N", value_parser = limit, default_value_t = 10)]
    attempts: usize,
    /// End when all events are handled
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    connection: Connection,
    /// Format of the progress, not of the events. It is on standard error if the events are printed
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// The delay on AWS, see [`storage::consumer`].
const DELAY: Duration = Duration::from_mins(1);
/// The delay with the table of `cargo dev`: one clock, and an index that is never late.
const LOCAL_DELAY: Duration = Duration::from_secs(2);
/// Longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a delivery may go on after Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);

/// Parses where a consumer begins.
pub(crate) fn start(text: &str) -> Result<Start, String> {
    match text {
        "beginning" => Ok(Start::Beginning),
        "now" => Ok(Start::Now),
        _ => match moment(text) {
            Ok(moment) => Ok(Start::At(moment.resolve(now()))),
            Err(error) => Err(format!("{error}, or beginning, or now")),
        },
    }
}

/// Parses the name of a consumer.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let is_name_char = |char: char| matches!(char, 'a'..='z' | '0'..='9' | '-');
    if (1..=64).contains(&text.len()) && text.chars().all(is_name_char) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 64 of a-z, 0-9 and -".to_owned())
}

/// The error of a command that uses a consumer.
pub(crate) fn failure(error: ConsumerError, name: &str) -> Failure {
    match error {
        ConsumerError::Held(until) => Held(format!(
            "another process holds the consumer {name} until {until}: end that process, or wait"
        ))
        .into(),
        ConsumerError::Lost => Held(format!(
            "another process took the consumer {name} over, so this one ended"
        ))
        .into(),
        ConsumerError::Missing => {
            format!("there is no consumer {name}: `hookkeeper consumers` lists them").into()
        }
        ConsumerError::NotStopped => {
            format!("the consumer {name} has not stopped at an event, so there is none to skip")
                .into()
        }
        error @ (ConsumerError::Unreadable(..) | ConsumerError::Table(_)) => error.into(),
    }
}

/// Error codes of DynamoDB that somebody has to correct.
const PERMANENT: [&str; 4] = [
    "AccessDeniedException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
];

/// Whether the same call may succeed later.
fn is_temporary(error: &ConsumerError) -> bool {
    match error {
        ConsumerError::Table(error @ TableError::Failed(_)) => !PERMANENT.contains(&error.word()),
        _ => false,
    }
}

/// How the work on an event ended.
enum Handled {
    Done,
    /// It never will be, for this reason.
    Refused(String),
    /// A signal came first.
    Interrupted,
}

impl Consume {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.forward_to.is_none() && self.exec.is_none() && self.output == Output::Json {
            let why = "--output json is for --exec and --forward-to: the events are JSON already";
            return Err(Usage(why.to_owned()).into());
        }
        let table = self.connection.table().await?;
        let is_local = self.connection.local.is_some();
        let delay = if is_local { LOCAL_DELAY } else { DELAY };
        let options = Options {
            start: self.from,
            delay: self.delay.unwrap_or(delay),
            select: &|entry| self.filter.takes(entry),
        };
        // From here on, a signal ends the command without losing the position.
        let mut stop = Stop::listen()?;
        let opened = table.open_cursor(&self.name, &options);
        let cursor = tokio::select! {
            cursor = opened => cursor.map_err(|error| failure(error, &self.name))?,
            () = stop.arrived() => return Ok(()),
        };
        Box::pin(self.consume(&table, cursor, options.delay, stop)).await
    }

    async fn consume(
        &self,
        table: &Table,
        mut cursor: Cursor<'_>,
        delay: Duration,
        mut stop: Stop,
    ) -> Result<(), Failure> {
        let destination = self.destination();
        let poll = (delay / 6).clamp(Duration::from_secs(1), Duration::from_secs(10));
        let mut progress = Progress::start(&self.name, &destination, self.output, &cursor)?;
        let mut uncommitted = 0;
        let mut waits = Waits::up_to(LONGEST_WAIT);
        loop {
            let next = tokio::select! {
                // No further event is begun after a signal, however many are ready.
                biased;
                () = stop.arrived() => break,
                next = cursor.next() => next,
            };
            let pause = match next {
                Ok(Some(event)) => {
                    waits = Waits::up_to(LONGEST_WAIT);
                    match self
                        .handle(&destination, &event, &mut cursor, &mut stop)
                        .await?
                    {
                        Handled::Done => {}
                        Handled::Interrupted => return self.close(cursor, progress).await,
                        Handled::Refused(reason) => {
                            return self.stop(cursor, progress, &event, &reason).await;
                        }
                    }
                    uncommitted += 1;
                    progress.handled();
                    if uncommitted < self.batch {
                        continue;
                    }
                    Duration::ZERO
                }
                Ok(None) if self.once => break,
                Ok(None) => poll,
                Err(ConsumerError::Unreadable(position, error)) => {
                    return self.unreadable(cursor, progress, &position, &error).await;
                }
                Err(error) if is_temporary(&error) && !self.once => {
                    eprintln!("{}: trying again", cell(&error.to_string()));
                    waits.next().unwrap_or(LONGEST_WAIT)
                }
                Err(error) => return Err(failure(error, &self.name)),
            };
            match cursor.commit().await {
                Ok(()) => uncommitted = 0,
                // The events stay uncommitted until a later commit succeeds.
                Err(error) if is_temporary(&error) && !self.once => {
                    eprintln!("{}: trying again", cell(&error.to_string()));
                }
                Err(error) => return Err(failure(error, &self.name)),
            }
            progress.committed(cursor.consumer(), table.now())?;
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.arrived() => break,
            }
        }
        cursor
            .commit()
            .await
            .map_err(|error| failure(error, &self.name))?;
        self.close(cursor, progress).await
    }

    fn destination(&self) -> Destination {
        match (&self.exec, &self.forward_to) {
            (Some(command), _) => Destination::Command(command.clone()),
            (None, Some(url)) => Destination::server(url),
            (None, None) => Destination::StandardOutput,
        }
    }

    /// Delivers an event until it is done or refused. Keeps the consumer meanwhile.
    async fn handle(
        &self,
        destination: &Destination,
        event: &Stored,
        cursor: &mut Cursor<'_>,
        stop: &mut Stop,
    ) -> Result<Handled, Failure> {
        let mut waits = Waits::up_to(LONGEST_WAIT);
        let mut attempts = 0;
        let mut is_reported = false;
        loop {
            let attempt = {
                let attempt = destination.deliver(event);
                match self.attended(attempt, cursor, stop).await? {
                    Some(attempt) => attempt?,
                    None => return Ok(Handled::Interrupted),
                }
            };
            attempts += 1;
            let reason = match attempt {
                Attempt::Done => return Ok(Handled::Done),
                // Ctrl-C ends the command too.
                _ if stop.has_arrived() => return Ok(Handled::Interrupted),
                Attempt::Refused(reason) => return Ok(Handled::Refused(reason)),
                Attempt::Failed(reason) if attempts >= self.attempts => {
                    return Ok(Handled::Refused(reason));
                }
                Attempt::Failed(reason) | Attempt::Unavailable(reason) => reason,
            };
            if !is_reported {
                let handle = Handle::for_event(event);
                eprintln!("{handle}: {}: trying again", cell(&reason));
                is_reported = true;
            }
            let wait = sleep(waits.next().unwrap_or(LONGEST_WAIT));
            tokio::pin!(wait);
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    () = sleep(RENEWAL) => self.renew(cursor).await?,
                    () = stop.arrived() => return Ok(Handled::Interrupted),
                }
            }
        }
    }

    /// Awaits an attempt to its end, and renews the lease meanwhile. After a signal it waits for a
    /// short time only: `None`.
    async fn attended<T>(
        &self,
        attempt: impl Future<Output = T>,
        cursor: &mut Cursor<'_>,
        stop: &mut Stop,
    ) -> Result<Option<T>, Failure> {
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                biased;
                attempt = &mut attempt => return Ok(Some(attempt)),
                () = sleep(RENEWAL) => self.renew(cursor).await?,
                () = stop.arrived() => {
                    return Ok(tokio::time::timeout(GRACE, attempt).await.ok());
                }
            }
        }
    }

    /// Renews the lease. If the table does not respond, the next commit shows who holds the
    /// consumer.
    async fn renew(&self, cursor: &mut Cursor<'_>) -> Result<(), Failure> {
        match cursor.renew().await {
            Err(error) if !is_temporary(&error) => Err(failure(error, &self.name)),
            _ => Ok(()),
        }
    }

    async fn close(&self, cursor: Cursor<'_>, progress: Progress) -> Result<(), Failure> {
        let closed = cursor.close().await;
        let consumer = closed.map_err(|error| failure(error, &self.name))?;
        progress.end(&consumer)
    }

    async fn unreadable(
        &self,
        cursor: Cursor<'_>,
        progress: Progress,
        position: &Position,
        error: &TableError,
    ) -> Result<(), Failure> {
        let consumer = cursor.stop(error.word()).await;
        progress.end(&consumer.map_err(|error| failure(error, &self.name))?)?;
        let name = &self.name;
        Err(format!(
            "the consumer {name} stopped at an event that it cannot read ({error}): {} | {}. \
            Update hookkeeper, or pass the event with `hookkeeper consumers skip {name}`",
            position.pk, position.sk
        )
        .into())
    }

    async fn stop(
        &self,
        cursor: Cursor<'_>,
        progress: Progress,
        event: &Stored,
        reason: &str,
    ) -> Result<(), Failure> {
        let consumer = cursor.stop(reason).await;
        progress.end(&consumer.map_err(|error| failure(error, &self.name))?)?;
        let (name, handle) = (&self.name, Handle::for_event(event));
        Err(format!(
            "the consumer {name} stopped at event {handle}: {reason}. Run it again when that is \
            corrected, or pass the event with `hookkeeper consumers skip {name}`"
        )
        .into())
    }
}
