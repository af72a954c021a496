//! Progress of a consumer: a line that changes on a terminal, lines otherwise.

use super::destination::Destination;
use crate::{
    Failure,
    output::{Output, json_line, say, seconds},
};
use indicatif::{HumanCount, ProgressBar};
use models::Timestamp;
use serde::Serialize;
use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};
use storage::{Consumer, Cursor};

/// Time between two lines, if there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Progress {
    name: String,
    output: Output,
    /// Whether events are printed, so that standard output is not for progress.
    is_aside: bool,
    handled: u64,
    /// How many were handled when the last line was printed, and when that was.
    printed: (u64, Option<Instant>),
    bar: Option<ProgressBar>,
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    consumer: &'a str,
    handled: u64,
    position: &'a str,
    lag_seconds: Option<i64>,
    behind: u64,
}

impl Progress {
    pub(super) fn start(
        name: &str,
        destination: &Destination,
        output: Output,
        cursor: &Cursor<'_>,
    ) -> Result<Self, Failure> {
        let is_aside = matches!(destination, Destination::StandardOutput);
        let is_live = io::stderr().is_terminal() && !(is_aside && io::stdout().is_terminal());
        let progress = Self {
            name: name.to_owned(),
            output,
            is_aside,
            handled: 0,
            printed: (0, None),
            bar: (is_live && output == Output::Table).then(ProgressBar::new_spinner),
        };
        let from = &cursor.consumer().position;
        let from = from.time().map_or(from.recordedtime.clone(), seconds);
        let to = destination.shown();
        if output == Output::Table {
            progress.print(&format!(
                "{name}: events since {from} to {to}. Ctrl-C ends it."
            ))?;
        }
        Ok(progress)
    }

    /// Counts an event.
    pub(super) fn handled(&mut self) {
        self.handled += 1;
    }

    /// Shows the position after a commit.
    pub(super) fn committed(&mut self, consumer: &Consumer, now: Timestamp) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.set_message(self.line(consumer, Some(now))?);
            bar.tick();
            return Ok(());
        }
        let (handled, time) = self.printed;
        let is_due = time.is_none_or(|time| time.elapsed() >= INTERVAL);
        if handled == self.handled || !is_due {
            return Ok(());
        }
        self.printed = (self.handled, Some(Instant::now()));
        self.print(&self.line(consumer, Some(now))?)
    }

    /// Shows the last position.
    pub(super) fn end(self, consumer: &Consumer) -> Result<(), Failure> {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.print(&self.line(consumer, None)?)
    }

    fn line(&self, consumer: &Consumer, now: Option<Timestamp>) -> Result<String, Failure> {
        let time = consumer.position.time();
        let lag = now
            .zip(time)
            .map(|(now, time)| now.as_seconds() - time.as_seconds());
        if self.output == Output::Json {
            return Ok(json_line(&Line {
                consumer: &self.name,
                handled: self.handled,
                position: &consumer.position.recordedtime,
                lag_seconds: lag,
                behind: consumer.behindcount,
            })?);
        }
        let handled = match self.handled {
            1 => "1 event".to_owned(),
            more => format!("{} events", HumanCount(more)),
        };
        let position = time.map_or(consumer.position.recordedtime.clone(), seconds);
        let lag = lag.map_or_else(String::new, |lag| format!(", {lag} s ago"));
        let behind = match consumer.behindcount {
            0 => String::new(),
            behind => format!(", {behind} written behind the position"),
        };
        let name = &self.name;
        Ok(format!(
            "{name}: {handled} handled, up to {position}{lag}{behind}"
        ))
    }

    fn print(&self, line: &str) -> Result<(), Failure> {
        if self.is_aside {
            eprintln!("{line}");
            return Ok(());
        }
        Ok(say!("{line}")?)
    }
}
