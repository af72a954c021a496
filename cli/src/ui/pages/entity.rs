//! `/entities/<source>/<subject>`: the history of one entity.

use super::{Site, document, entity_url, event_url, problem, segment, skipped, time};
use crate::{
    difference::{Change, Entity, What},
    handle::Handle,
    node::text,
    output::{cell, short_type},
    skipped::Skipped,
    ui::{Problem, query::Words},
};
use axum::{
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, TryStreamExt};
use maud::{Markup, html};
use models::{Event, Record};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use std::{pin::pin, sync::Arc};
use storage::{Key, Order, Stored, TableError};

/// A page shows this many events of an entity.
const MAX_EVENTS: usize = 100;

/// An event of the entity, and what it changed if that is known.
struct Step {
    stored: Stored,
    changes: Option<Vec<Change>>,
}

/// Events of an entity, the newest first.
struct History {
    source: String,
    subject: String,
    steps: Vec<Step>,
    has_older: bool,
    skipped: u64,
}

pub(in crate::ui) async fn page(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    match find(&site, &uri).await {
        Ok(history) => view(&site, &history).into_response(),
        Err(error) => problem(&site, &error),
    }
}

async fn find(site: &Site, uri: &Uri) -> Result<History, Problem> {
    let path = uri.path().trim_start_matches("/entities/");
    let words = Words::from(uri);
    for (source, subject) in readings(path) {
        let history = history(site, source, subject, words.get("before")).await?;
        if !history.steps.is_empty() {
            return Ok(history);
        }
    }
    let path = percent_decode_str(path).decode_utf8_lossy();
    Err(Problem::Missing(format!("no events of {path}")))
}

/// The sources and subjects that a path may name. The links of the page encode the slashes in
/// both. A person writes them as they are: the source is then a provider, or that and an account.
fn readings(path: &str) -> impl Iterator<Item = (String, String)> {
    let slashes = path.match_indices('/').take(2);
    slashes
        .map(|(index, slash)| {
            let (source, subject) = path.split_at(index);
            let subject = subject.strip_prefix(slash).unwrap_or_default();
            [source, subject].map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned())
        })
        .map(|[source, subject]| (source, subject))
}

/// Reads the newest events, or the newest of those before one with a sort key.
async fn history(
    site: &Site,
    source: String,
    subject: String,
    before: Option<&str>,
) -> Result<History, TableError> {
    let count = Skipped::default();
    let pk = Key::history_pk(&source, &subject);
    let newest = match before {
        Some(before) => site.table.history_before(&pk, before).boxed(),
        None => site.table.history(&pk, Order::NewestFirst).boxed(),
    };
    let mut newest = pin!(count.readable(newest).take(MAX_EVENTS + 1));
    let mut events = Vec::new();
    while let Some(stored) = newest.try_next().await? {
        events.push(stored);
    }
    let mut entity = Entity::default();
    let steps = events.into_iter().rev().map(|stored| Step {
        changes: event(&stored).and_then(|event| entity.change(event)),
        stored,
    });
    let mut steps: Vec<_> = steps.collect();
    steps.reverse();
    let has_older = steps.len() > MAX_EVENTS;
    steps.truncate(MAX_EVENTS);
    Ok(History {
        source,
        subject,
        steps,
        has_older,
        skipped: count.count(),
    })
}

fn event(stored: &Stored) -> Option<&Event> {
    match &stored.record {
        Record::Event { event, .. } => Some(event),
        Record::Body { .. } | Record::Quarantined { .. } => None,
    }
}

fn view(site: &Site, history: &History) -> Response {
    let subject = cell(&history.subject);
    let content = html! {
        h1 { (subject) }
        p { "in " (cell(&history.source)) ", the newest first" }
        ol.history {
            @for step in &history.steps { (step_view(step)) }
        }
        @if let Some(url) = older(history) { p { a.next rel="next" href=(url) { "Older events" } } }
        (skipped(history.skipped))
    };
    document(site, &subject, &content).into_response()
}

/// The address of the page with the events before these.
fn older(history: &History) -> Option<String> {
    let last = history.steps.last().filter(|_| history.has_older)?;
    let entity = entity_url(&history.source, &history.subject);
    Some(format!("{entity}?before={}", segment(&last.stored.key.sk)))
}

fn step_view(step: &Step) -> Markup {
    let Some(event) = event(&step.stored) else {
        return html! {};
    };
    let handle = Handle::for_event(&step.stored).to_string();
    html! {
        li {
            h2 {
                a href=(event_url(&handle)) { (cell(short_type(&event.r#type))) }
                " " (time(event.time))
            }
            @match step.changes.as_deref() {
                None => p.note { "There is nothing to compare it with." },
                Some([]) => p.note { "No value changed." },
                Some(changes) => ul.changes { @for change in changes { (change_view(change)) } },
            }
        }
    }
}

fn change_view(change: &Change) -> Markup {
    let path = cell(&change.path.to_string());
    html! {
        @match &change.what {
            What::Added { to } => li data-testid="diff-added" {
                span.word { "added" } " " span.key { (path) } ": " ins { (json(to)) }
            },
            What::Changed { from, to } => li data-testid="diff-changed" {
                span.word { "changed" } " " span.key { (path) } ": "
                del { (json(from)) } " → " ins { (json(to)) }
            },
            What::Removed { from } => li data-testid="diff-removed" {
                span.word { "removed" } " " span.key { (path) } ": " del { (json(from)) }
            },
        }
    }
}

/// A value of a sender. A scalar is shown with its escapes decoded.
fn json(json: &RawValue) -> String {
    let text = text(json);
    if json.get().starts_with('"') {
        format!("\"{}\"", cell(&text))
    } else {
        cell(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_an_entity_with_its_slashes_encoded_or_not() {
        let all = |path| readings(path).collect::<Vec<_>>();
        let pair = |source: &str, subject: &str| (source.to_owned(), subject.to_owned());
        assert_eq!(
            all("pipedrive%2F7/deal%2F42"),
            [pair("pipedrive/7", "deal/42")]
        );
        assert_eq!(
            all("pipedrive/7/deal/42"),
            [
                pair("pipedrive", "7/deal/42"),
                pair("pipedrive/7", "deal/42")
            ]
        );
        assert_eq!(
            all("closer/customer/c-1")[0],
            pair("closer", "customer/c-1")
        );
        assert!(all("closer").is_empty());
    }
}
