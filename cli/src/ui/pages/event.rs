//! `/events/<handle>`: one event.

use super::{Site, document, entity_url, event_url, problem, tree::tree};
use crate::{
    commands::events::{
        cloud_event,
        show::{attributes, find},
    },
    filter::provider_of,
    output::{cell, is_text, pretty, printable, short_type},
    reading::exact_bytes,
    ui::Problem,
};
use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};
use maud::{Markup, html};
use models::{Event, Origin, Record};
use std::{borrow::Cow, sync::Arc};
use storage::Stored;

/// A body up to this length is shown, and is on the command line of `curl`.
const MAX_SHOWN_BYTES: usize = 100_000;

/// An event with the exact bytes of its delivery, if these are in the table.
pub(in crate::ui) struct Whole {
    pub(in crate::ui) stored: Stored,
    pub(in crate::ui) bytes: Option<Vec<u8>>,
}

pub(in crate::ui) async fn page(
    State(site): State<Arc<Site>>,
    Path(handle): Path<String>,
) -> Response {
    match whole(&site, &handle).await {
        Ok(whole) => view(&site, &handle, &whole),
        Err(error) => problem(&site, &error),
    }
}

/// The exact bytes as a file. No browser shows it, whatever they are.
pub(in crate::ui) async fn body(
    State(site): State<Arc<Site>>,
    Path(handle): Path<String>,
) -> Response {
    let missing = || Problem::Missing("the body is not in the table".to_owned());
    let bytes = match whole(&site, &handle).await {
        Ok(whole) => whole.bytes.ok_or_else(missing),
        Err(error) => Err(error),
    };
    match bytes {
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream"),
                (header::CONTENT_DISPOSITION, "attachment; filename=\"body\""),
            ];
            (headers, bytes).into_response()
        }
        Err(error) => problem(&site, &error),
    }
}

/// Finds an event by its handle.
pub(in crate::ui) async fn whole(site: &Site, handle: &str) -> Result<Whole, Problem> {
    let handle = handle.parse().map_err(Problem::Wrong)?;
    let stored = find(&site.table, &handle).await?;
    let bytes = match provider(&stored.record) {
        Some(provider) => exact_bytes(&site.table, &provider, &stored.record).await?,
        None => None,
    };
    Ok(Whole { stored, bytes })
}

fn provider(record: &Record) -> Option<providers::Provider> {
    match record {
        Record::Event { event, .. } => provider_of(&event.source),
        Record::Body { .. } | Record::Quarantined { .. } => None,
    }
}

fn view(site: &Site, handle: &str, whole: &Whole) -> Response {
    let Record::Event { event, origin, .. } = &whole.stored.record else {
        let missing = Problem::Missing("the item is not an event".to_owned());
        return problem(site, &missing);
    };
    let title = format!("{} {}", short_type(&event.r#type), event.subject);
    let content = html! {
        h1 { (cell(&title)) }
        p {
            a href=(entity_url(&event.source, &event.subject)) {
                "All events of " (cell(&event.subject))
            }
            " in " (cell(&event.source))
        }
        h2 { "Payload" }
        label.search hidden { "Search in it"
            input type="search" data-search="payload" autocomplete="off" spellcheck="false";
        }
        div #payload data-testid="payload" { (tree(&event.data)) }
        h2 { "Attributes" }
        dl {
            @for (name, value) in attributes(&whole.stored, event, origin) {
                dt { (name) } dd { (cell(&value)) }
            }
        }
        h2 { "CloudEvent" }
        (cloud_event_view(&whole.stored))
        h2 { "Exact bytes" }
        @match &whole.bytes {
            Some(bytes) => (exact(handle, event, origin, bytes)),
            None => p.note { "The body of the delivery is not in the table." },
        }
    };
    document(site, &cell(&title), &content).into_response()
}

fn cloud_event_view(stored: &Stored) -> Markup {
    let json = cloud_event(stored).unwrap_or_default();
    copied("json", "Copy as JSON", &pretty(&json))
}

fn exact(handle: &str, event: &Event, origin: &Origin, bytes: &[u8]) -> Markup {
    let text = str::from_utf8(bytes).ok();
    let text = text.filter(|text| text.len() <= MAX_SHOWN_BYTES);
    let file = format!("{}/body", event_url(handle));
    html! {
        p {
            (bytes.len()) " bytes"
            @if let Some(content_type) = &origin.content_type { ", " (cell(content_type)) }
            ". " a href=(file) download { "Save as a file" }
        }
        @if let Some(text) = text {
            pre.bytes tabindex="0" { (printable(text)) }
        } @else {
            p.note { "They are not text, or too long to be shown here." }
        }
        h3 { "Send it again" }
        form.action data-post=(format!("/api{}/send", event_url(handle))) hidden {
            label { "URL"
                input name="url" type="url" required placeholder="http://localhost:3000/hook";
            }
            label { "Header (optional)"
                input name="header" placeholder="X-Key: value" autocomplete="off";
            }
            button { "Send" }
        }
        (copied("curl", "Copy as curl", &curl(event, origin, text)))
    }
}

/// A text with a button that copies it.
fn copied(id: &str, label: &str, text: &str) -> Markup {
    html! {
        button.copy type="button" data-copy=(id) hidden { (label) }
        details {
            summary { "Show" }
            pre id=(id) tabindex="0" { (text) }
        }
    }
}

/// A command that sends the delivery to the local receivers. It is pasted into a shell, so a body
/// with control characters is read from the saved file.
fn curl(event: &Event, origin: &Origin, text: Option<&str>) -> String {
    let provider = event.source.split('/').next().unwrap_or_default();
    let content_type = origin.content_type.as_deref().filter(|text| is_text(text));
    let content_type = content_type.map_or_else(String::new, |content_type| {
        let header = format!("content-type: {content_type}");
        format!(" -H {}", quoted(&header))
    });
    // Unlike `--data-binary`, `--data-raw` takes no file name behind an `@`.
    let body = match text.filter(|text| is_text(text)) {
        Some(text) => Cow::Owned(format!("--data-raw {}", quoted(text))),
        None => Cow::Borrowed("--data-binary @body"),
    };
    format!("curl -u USER:PASSWORD{content_type} {body} http://127.0.0.1:9000/{provider}")
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_stays_one_word() {
        assert_eq!(quoted("a'; rm -rf '/"), r"'a'\''; rm -rf '\''/'");
    }
}
