//! Output of the deliveries: lines, a summary, and error messages.

use super::{catalogue::Parsed, target::Target};
use crate::{http::Answer, output::cell};
use anstyle::{AnsiColor, Style};
use models::Timestamp;
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};

/// Delivery that was sent.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Number of the attempt: 1, or 2 for the duplicate.
    pub(crate) attempt: u32,
    /// Whether the delivery has a request id of its own. Otherwise the receiver assigns one, and an
    /// id to each event that has no time of its own.
    pub(crate) has_an_id: bool,
    /// Result of the provider's parser.
    pub(crate) parsed: Parsed,
    pub(crate) answer: Answer,
}

impl Sent {
    /// Formats the delivery as one line for people.
    pub(crate) fn line(&self) -> String {
        let colour = if self.answer.is_taken() {
            AnsiColor::Green
        } else {
            AnsiColor::Red
        };
        let style = Style::new().fg_color(Some(colour.into())).bold();
        let latency = milliseconds(self.answer.latency);
        let answered = match &self.answer.status {
            Ok(status) => format!("{style}{status}{style:#} in {latency}"),
            Err(reason) => format!("{style}no answer{style:#} in {latency} ({})", cell(reason)),
        };
        let once_more = if self.attempt > 1 { "  once more" } else { "" };
        format!("{answered}  {}{once_more}", self.content())
    }

    /// Subject of the event, if there is exactly one.
    pub(crate) fn subject(&self) -> Option<String> {
        let [event] = &self.parsed.events[..] else {
            return None;
        };
        Some(event.subject.clone())
    }

    fn content(&self) -> String {
        let quarantined = self.parsed.quarantined.as_ref();
        let quarantined = quarantined.map(|reason| format!("quarantined: {}", reason.code));
        let events = &self.parsed.events;
        let Some(first) = events.first() else {
            return quarantined.unwrap_or_default();
        };
        let quarantined = quarantined.map_or_else(String::new, |reason| format!("  {reason}"));
        let more = if events.len() > 1 {
            format!("  and {} more", events.len() - 1)
        } else {
            String::new()
        };
        cell(&format!(
            "{}  {}#{}{more}{quarantined}",
            first.r#type, first.source, first.subject
        ))
    }

    /// Serializable line for programs.
    pub(crate) fn json(&self) -> impl Serialize {
        let events = self.parsed.events.iter();
        let told = events.map(|event| Told {
            r#type: &event.r#type,
            source: &event.source,
            subject: &event.subject,
            time: event.timeproblem.is_none().then_some(event.time),
            id: (self.has_an_id || event.timeproblem.is_none()).then_some(event.id.as_str()),
        });
        Line {
            status: self.answer.status.as_ref().ok().copied(),
            latency_ms: (self.answer.latency.as_secs_f64() * 1e6).round() / 1e3,
            attempt: self.attempt,
            error: self.answer.status.as_ref().err().map(|reason| &**reason),
            quarantined: self.parsed.quarantined.as_ref().map(|reason| &*reason.code),
            events: told.collect(),
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    status: Option<u16>,
    latency_ms: f64,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quarantined: Option<&'a str>,
    events: Vec<Told<'a>>,
}

/// Event that the provider's parser returns.
#[derive(Serialize)]
struct Told<'a> {
    r#type: &'a str,
    source: &'a str,
    subject: &'a str,
    /// Time of the event itself. `None` if the receiver assigns the time.
    time: Option<Timestamp>,
    id: Option<&'a str>,
}

/// Formats the summary that follows several deliveries.
pub(crate) fn summary(answers: &[Answer], took: Duration) -> String {
    let mut counts = BTreeMap::<String, usize>::new();
    for answer in answers {
        let status = answer
            .status
            .as_ref()
            .map_or_else(|_| "no answer".to_owned(), ToString::to_string);
        *counts.entry(status).or_default() += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(status, count)| format!("{count} × {status}"))
        .collect();
    let mut latencies: Vec<_> = answers.iter().map(|answer| answer.latency).collect();
    latencies.sort_unstable();
    // Nearest-rank percentile.
    let [p50, p99, max] = [50, 99, 100].map(|percent| {
        let rank = (latencies.len() * percent).div_ceil(100);
        let latency = latencies.get(rank.saturating_sub(1)).copied();
        latency.map(milliseconds).unwrap_or_default()
    });
    #[expect(clippy::cast_precision_loss, reason = "nobody sends that many")]
    let rate = answers.len() as f64 / took.as_secs_f64();
    format!(
        "{} deliveries in {:.1} s ({rate:.1} a second): {}\n\
        latency: p50 {p50}, p99 {p99}, max {max}",
        answers.len(),
        took.as_secs_f64(),
        counts.join(", ")
    )
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

/// Error message with advice, if a delivery was not answered with a 2xx status.
pub(crate) fn failure(answers: &[Answer], target: &Target) -> Option<String> {
    let failed: Vec<_> = answers.iter().filter(|answer| !answer.is_taken()).collect();
    let url = target.shown();
    let how_many = format!("{} of {} deliveries", failed.len(), answers.len());
    Some(match (&failed.first()?.status, target.is_local) {
        (Err(reason), true) => format!("no answer from {url} ({reason}): is `cargo dev` running?"),
        (Err(reason), false) => {
            format!("no answer from {url} ({reason}): check the URL and the network")
        }
        (Ok(401), _) => format!(
            "{url} does not accept the credentials (401): give others in HOOKKEEPER_USER or HOOKKEEPER_KEY (for `cargo dev`: \
             HOOKKEEPER_DEV_USER), or make new ones with \
             `hookkeeper credentials`"
        ),
        (Ok(404), _) => {
            format!("no receiver at {url} (404): the URL must end with the provider's name")
        }
        (Ok(413), _) => format!("{url} accepts no body of this size (413): send a smaller one"),
        (Ok(503), _) => {
            format!("{url} could not store {how_many} (503): check its table and its queue")
        }
        (Ok(status), _) => format!("{url} answered {status} to {how_many}: check its log"),
    })
}
