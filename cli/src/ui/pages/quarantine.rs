//! `/quarantine`: the deliveries that could not be parsed.

use super::{Site, problem, problem_section, sections, skipped, time};
use crate::{
    called::as_called,
    commands::quarantine::{Quarantined, newest},
    output::{cell, local, printable},
    skipped::Skipped,
    span::A_WEEK,
    ui::query::Words,
};
use axum::{extract::State, http::Uri, response::Response};
use futures_util::{StreamExt, stream::once};
use maud::{Markup, html};
use models::{ParseError, Timestamp, json::check};
use std::{future::ready, ops::Range, sync::Arc};

/// The page shows this many deliveries, the newest.
const MAX_DELIVERIES: usize = 50;

/// Number of bytes that are shown around the position of an error.
const AROUND: usize = 300;

/// What is shown of a delivery.
struct Row {
    handle: String,
    provider: &'static str,
    arrival: Timestamp,
    reason: String,
    excerpt: Option<Excerpt>,
}

/// A part of a body.
struct Excerpt {
    bytes: usize,
    before: String,
    /// The character at which the body stops being JSON. Empty for another reason.
    error: String,
    after: String,
}

pub(in crate::ui) async fn page(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let words = Words::from(&uri);
    let span = match words.span(A_WEEK) {
        Ok(span) => span,
        Err(error) => return problem(&site, &error),
    };
    let heading = html! {
        h1 { "Quarantine" }
        p { "Deliveries that could not be parsed since " (local(span.start)) "." }
    };
    let list = list(Arc::clone(&site), words, span);
    let parts = once(ready(heading)).chain(once(list));
    sections(&site, "Quarantine", parts)
}

async fn list(site: Arc<Site>, words: Words, span: Range<Timestamp>) -> Markup {
    let count = Skipped::default();
    let rows = newest(&site.table, None, &span, MAX_DELIVERIES, &count, Row::from).await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(failure) => return problem_section(&failure.into()),
    };
    let replay = as_called("cargo hookkeeper quarantine replay");
    html! {
        @if rows.is_empty() {
            div.empty {
                p { "There are none: every delivery became events." }
                p { a href="/quarantine?since=30d" { "Look at the last 30 days" } }
            }
        } @else {
            p { "After an update, " code { (replay) } " parses them again." }
            @if site.may_write {
                form.action data-post="/api/quarantine/replay" hidden {
                    @if let Some(since) = words.get("since") {
                        input type="hidden" name="since" value=(since);
                    }
                    button { "Replay all" }
                }
            }
            ol.history { @for row in &rows { (view(&site, row)) } }
        }
        @if rows.len() == MAX_DELIVERIES {
            p.note { "Only the newest " (MAX_DELIVERIES) " are shown." }
        }
        (skipped(count.count()))
    }
}

fn view(site: &Site, row: &Row) -> Markup {
    let show = format!("cargo hookkeeper quarantine show {}", row.handle);
    html! {
        li data-testid="quarantine-row" data-handle=(row.handle) {
            h2 { (row.provider) " " (time(row.arrival)) }
            p.problem { (cell(&row.reason)) }
            @match &row.excerpt {
                None => p.note { "The body of the delivery is not in the table." },
                Some(excerpt) => (excerpt_view(excerpt)),
            }
            p.note { code { (cell(&as_called(&show))) } }
            @if site.may_write { (buttons(row)) }
        }
    }
}

fn buttons(row: &Row) -> Markup {
    let handle = cell(&row.handle);
    html! {
        div.buttons {
            form.action data-post="/api/quarantine/replay" hidden {
                input type="hidden" name="handle" value=(handle);
                button { "Replay" }
            }
            form.action data-post="/api/quarantine/drop" hidden
                data-confirm=(format!("Drop {handle} for good?")) {
                input type="hidden" name="handle" value=(handle);
                button { "Drop" }
            }
        }
    }
}

fn excerpt_view(excerpt: &Excerpt) -> Markup {
    html! {
        pre.bytes tabindex="0" {
            (printable(&excerpt.before))
            @if !excerpt.error.is_empty() {
                mark data-testid="error-position" { (printable(&excerpt.error)) }
            }
            (printable(&excerpt.after))
        }
        p.note { (excerpt.bytes) " bytes in all" }
    }
}

impl From<Quarantined> for Row {
    fn from(delivery: Quarantined) -> Self {
        let code = delivery.reason.code;
        Self {
            handle: delivery.handle.to_string(),
            provider: delivery.provider.name,
            arrival: delivery.origin.arrival,
            reason: delivery.reason.message,
            excerpt: delivery.bytes.map(|bytes| excerpt(&code, &bytes)),
        }
    }
}

fn excerpt(code: &str, bytes: &[u8]) -> Excerpt {
    let position = if code == "not_json" {
        error_position(bytes)
    } else {
        None
    };
    let (before, rest) = bytes
        .split_at_checked(position.unwrap_or(0))
        .unwrap_or((bytes, &[]));
    let marked = position.map_or(0, |_| character(rest));
    let (error, after) = rest.split_at_checked(marked).unwrap_or((rest, &[]));
    let skipped = before.len().saturating_sub(AROUND);
    Excerpt {
        bytes: bytes.len(),
        before: shown(before.get(skipped..).unwrap_or_default()),
        error: shown(error),
        after: shown(after.get(..AROUND).unwrap_or(after)),
    }
}

/// Where a body stops being JSON.
fn error_position(bytes: &[u8]) -> Option<usize> {
    let Err(ParseError::NotJson { line, column }) = check(bytes) else {
        return None;
    };
    // The byte order mark is not a part of the first line.
    let mark = if bytes.starts_with("\u{feff}".as_bytes()) {
        3
    } else {
        0
    };
    let lines = bytes.get(mark..)?.split_inclusive(|byte| *byte == b'\n');
    let lines_before = lines.take(line.saturating_sub(1));
    let start: usize = lines_before.map(<[u8]>::len).sum();
    let position = mark + start + column.saturating_sub(1);
    (0..=position).rev().find(|index| {
        bytes
            .get(*index)
            .is_some_and(|byte| !is_continuation(*byte))
    })
}

/// Length of the first character.
fn character(bytes: &[u8]) -> usize {
    let rest = bytes.iter().skip(1).take(3);
    1.min(bytes.len()) + rest.take_while(|byte| is_continuation(**byte)).count()
}

/// Whether a byte continues a character in UTF-8.
fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_character_at_which_a_body_stops_being_json_is_marked() {
        let parts = |body: &str| {
            let excerpt = excerpt("not_json", body.as_bytes());
            [excerpt.before, excerpt.error, excerpt.after]
        };
        assert_eq!(parts("{\"a\":x}"), ["{\"a\":", "x", "}"]);
        assert_eq!(parts("{\n\"a\": 1,\n é}"), ["{\n\"a\": 1,\n ", "é", "}"]);
        assert_eq!(parts("\u{feff}{\"a\":x}"), ["\u{feff}{\"a\":", "x", "}"]);
        assert_eq!(parts("{\"a\":"), ["{\"a\"", ":", ""]);
        assert_eq!(parts(""), ["", "", ""]);
    }

    #[test]
    fn an_excerpt_of_a_long_body_is_short() {
        let body = format!("[\"{}\",x,\"{}\"]", "a".repeat(9_000), "b".repeat(9_000));
        let excerpt = excerpt("not_json", body.as_bytes());
        assert_eq!(excerpt.error, "x");
        assert_eq!([excerpt.before.len(), excerpt.after.len()], [AROUND; 2]);
    }
}
