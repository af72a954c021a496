//! `/`: the list of events.

use super::{Site, document, entity_url, event_url, problem_section, sections, skipped, time};
use crate::{
    called::as_called,
    commands::send::catalogue,
    handle::Handle,
    output::{cell, local, short_type},
    ui::query::{Found, Query, Words},
};
use axum::{
    extract::State,
    http::Uri,
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream::once};
use maud::{Markup, html};
use providers::Provider;
use std::{
    future::ready,
    sync::{Arc, LazyLock},
};
use storage::IndexEntry;

pub(in crate::ui) async fn page(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let words = Words::from(&uri);
    let form = html! {
        h1 { "Events" }
        @if site.user.is_some() { (samples()) }
        (form(&words))
    };
    match words.query() {
        Ok(query) => {
            let results = results(Arc::clone(&site), words, query);
            let parts = once(ready(form)).chain(once(results));
            sections(&site, "Events", parts)
        }
        Err(problem) => {
            let content = html! { (form) (problem_section(&problem)) };
            (problem.status(), document(&site, "Events", &content)).into_response()
        }
    }
}

/// Sends a sample to the receivers of `cargo dev`.
fn samples() -> Markup {
    /// The names of all samples. They do not change, and to find them takes a while.
    static NAMES: LazyLock<Vec<(&str, Vec<String>)>> = LazyLock::new(|| {
        let names = |provider: &Provider| catalogue::samples(provider).into_iter();
        let of = |provider: Provider| names(&provider).map(|sample| sample.name).collect();
        providers::ALL
            .map(|provider| (provider.name, of(provider)))
            .into()
    });
    html! {
        form.action data-post="/api/samples/send" hidden {
            label { "Sample"
                select name="sample" {
                    @for (provider, names) in &*NAMES {
                        optgroup label=(provider) {
                            @for name in names {
                                option value=(format!("{provider}/{name}")) { (name) }
                            }
                        }
                    }
                }
            }
            button { "Send it" }
        }
    }
}

fn form(words: &Words) -> Markup {
    let chosen = words.get("provider").unwrap_or_default();
    html! {
        form.filter action="/" role="search" {
            label { "Provider"
                select name="provider" {
                    option value="" { "all" }
                    @for provider in providers::ALL {
                        option value=(provider.name) selected[provider.name == chosen] {
                            (provider.name)
                        }
                    }
                }
            }
            (field(words, "type", "Type", "deal.updated"))
            (field(words, "subject", "Subject", "deal/42"))
            (field(words, "since", "Since", "24h"))
            (field(words, "until", "Until", "now"))
            (field(words, "q", "Text", "in the data or the body"))
            button { "Filter" }
            @if words.filters() { a href="/" { "Clear" } }
        }
    }
}

fn field(words: &Words, name: &str, label: &str, placeholder: &str) -> Markup {
    let value = words.get(name).unwrap_or_default();
    html! {
        label { (label)
            input name=(name) value=(value) placeholder=(placeholder) autocomplete="off"
                spellcheck="false";
        }
    }
}

async fn results(site: Arc<Site>, words: Words, query: Query) -> Markup {
    match query.find(&site.table).await {
        Ok(found) => table(&site, &words, &query, &found),
        Err(error) => problem_section(&error.into()),
    }
}

fn table(site: &Site, words: &Words, query: &Query, found: &Found) -> Markup {
    let is_live = words.get("after").is_none() && words.get("until").is_none();
    html! {
        @if !found.hits.is_empty() {
            // `page.js` fills it. Its height is reserved: nothing moves then.
            section #activity hidden {
                h2 { "Last 24 hours: counting …" }
                div.bars {}
                ul.kinds {}
            }
        }
        table.events data-live[is_live] data-now=(site.table.now()) {
            thead {
                tr {
                    @for name in ["Handle", "Recorded", "Type", "Subject", "Source"] {
                        th { (name) }
                    }
                }
            }
            tbody #rows { @for hit in &found.hits { (row(&hit.entry)) } }
        }
        @if found.hits.is_empty() { (nothing(words, query, found)) }
        (skipped(found.skipped))
        (next(words, found))
        p.keys {
            kbd { "j" } " " kbd { "k" } " next and previous, " kbd { "Enter" } " open, "
            kbd { "Esc" } " back, " kbd { "/" } " search"
        }
    }
}

/// One event. `page.js` copies it for events that come later.
fn row(entry: &IndexEntry) -> Markup {
    let handle = Handle::for_entry(entry).to_string();
    let event = &entry.event;
    html! {
        tr data-testid="event-row" data-handle=(handle) data-recorded=(entry.recorded) {
            td { a.handle href=(event_url(&handle)) { (cell(&handle)) } }
            td { (time(entry.recorded)) }
            td.type title=(cell(&entry.r#type)) { (cell(short_type(&entry.r#type))) }
            td {
                a.subject href=(entity_url(&event.source, &event.subject)) {
                    (cell(&event.subject))
                }
            }
            td.source { (cell(&event.source)) }
        }
    }
}

/// What to do when no event is listed.
fn nothing(words: &Words, query: &Query, found: &Found) -> Markup {
    if found.is_cut {
        return html! {};
    }
    let since = local(query.span.start);
    html! {
        div.empty {
            @if words.get("after").is_some() {
                p { "There are no more events since " (since) "." }
            } @else if words.filters() {
                p { "No events since " (since) " match the filter." }
            } @else {
                p { "No events since " (since) "." }
                p {
                    "Send one to a local server: "
                    code { (as_called("cargo hookkeeper send pipedrive deal.updated")) }
                }
            }
            p { a href=(words.with("since", "7d")) { "Look at the last 7 days" } }
        }
    }
}

/// The link to older events.
fn next(words: &Words, found: &Found) -> Markup {
    html! {
        @if let Some(after) = &found.after {
            @let url = words.with("after", &after.to_string());
            @if found.is_cut {
                p.note { "Nothing else was found so far: the search stopped to answer in time." }
                p { a.next rel="next" href=(url) { "Search further back" } }
            } @else {
                p { a.next rel="next" href=(url) { "Older events" } }
            }
        }
    }
}
