//! JSON as a tree that can be folded, without JavaScript.

use crate::{
    node::{Node, text},
    output::printable,
};
use maud::{Markup, html};
use serde_json::value::RawValue;

/// Objects and lists are open down to this level.
const OPEN_LEVELS: usize = 3;

pub(super) fn tree(json: &RawValue) -> Markup {
    html! { div.tree { (value(None, json, 0)) } }
}

/// A value with its key, if it is a member of an object.
fn value(key: Option<&str>, json: &RawValue, level: usize) -> Markup {
    match Node::from(json) {
        Node::Object(members) => {
            let count = members.len();
            let below = members
                .iter()
                .map(|(key, json)| value(Some(key), json, level + 1));
            branch(key, &format!("{{{count}}}"), below, level)
        }
        Node::List(items) => {
            let count = items.len();
            let below = items.iter().map(|json| value(None, json, level + 1));
            branch(key, &format!("[{count}]"), below, level)
        }
        Node::Scalar => html! { (name(key)) (scalar(json)) },
    }
}

fn branch(
    key: Option<&str>,
    summary: &str,
    below: impl Iterator<Item = Markup>,
    level: usize,
) -> Markup {
    html! {
        details open[level < OPEN_LEVELS] {
            summary { (name(key)) span.count { (summary) } }
            ul { @for below in below { li { (below) } } }
        }
    }
}

fn name(key: Option<&str>) -> Markup {
    html! { @if let Some(key) = key { span.key { (printable(key)) } ": " } }
}

fn scalar(json: &RawValue) -> Markup {
    let text = printable(&text(json));
    html! {
        @if json.get().starts_with('"') {
            span.string { "\"" (text) "\"" }
        } @else {
            span.literal { (text) }
        }
    }
}
