//! The views of the page, as HTML. Text of a sender is a value in `html!`, which escapes it.

pub(super) mod entity;
pub(super) mod event;
pub(super) mod events;
pub(super) mod overview;
pub(super) mod quarantine;
mod tree;

use super::{Problem, Site};
use crate::{called::as_called, output::local};
use axum::{
    body::Body,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{Html, IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream::once};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use models::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{convert::Infallible, future::ready, sync::Arc};

/// The characters of a segment of a path that are not encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

fn entity_url(source: &str, subject: &str) -> String {
    format!("/entities/{}/{}", segment(source), segment(subject))
}

fn event_url(handle: &str) -> String {
    format!("/events/{}", segment(handle))
}

/// A whole document.
fn document(site: &Site, title: &str, content: &Markup) -> Html<String> {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="hookkeeper-token" content=(site.token);
                title { (title) " · Hookkeeper" }
                link rel="icon" href="/assets/icon.svg";
                link rel="stylesheet" href="/assets/page.css";
                script src="/assets/page.js" defer {}
            }
            body {
                header {
                    strong { "Hookkeeper" }
                    nav aria-label="Views" {
                        a href="/" { "Events" }
                        a href="/quarantine" { "Quarantine" }
                        a href="/overview" { "Overview" }
                    }
                    span.table { "table " (site.table.name()) }
                }
                main {
                    (content)
                    p #status role="status" {}
                }
            }
        }
    };
    Html(markup.into_string())
}

/// A document whose sections are sent as soon as they are there: the browser shows the first ones
/// while the table is read.
fn sections(
    site: &Site,
    title: &str,
    sections: impl Stream<Item = Markup> + Send + 'static,
) -> Response {
    const PLACE: &str = "<!-- sections -->";
    let place = PreEscaped(PLACE.to_owned());
    let Html(document) = document(site, title, &place);
    let (head, foot) = document.split_once(PLACE).unwrap_or_default();
    let [head, foot] = [head, foot].map(|text| once(ready(text.to_owned())));
    let sections = sections.map(PreEscaped::into_string);
    let parts = head.chain(sections).chain(foot);
    let body = Body::from_stream(parts.map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

/// A section that has no result.
fn problem_section(problem: &Problem) -> Markup {
    html! { p.problem role="alert" { (sentence(problem)) } }
}

/// The document of a request that has no result.
fn problem(site: &Site, problem: &Problem) -> Response {
    let content = html! {
        h1 { "Nothing to show" }
        p.problem role="alert" { (sentence(problem)) }
        p { a href="/" { "All events" } }
    };
    let document = document(site, "Nothing to show", &content);
    (problem.status(), document).into_response()
}

fn sentence(problem: &Problem) -> String {
    as_called(&problem.to_string())
}

/// The view of an unknown path.
pub(super) async fn nothing(State(site): State<Arc<Site>>) -> Response {
    let nothing = Problem::Missing("there is no such view".to_owned());
    problem(&site, &nothing)
}

fn time(time: Timestamp) -> Markup {
    html! { time datetime=(time) { (local(time)) } }
}

/// A note on the items that are not shown, if there are any.
fn skipped(count: u64) -> Markup {
    html! {
        @if count > 0 {
            p.note { "Items that cannot be read: " (count) "." }
        }
    }
}
