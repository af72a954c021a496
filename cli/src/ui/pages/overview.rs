//! `/overview`: what the providers delivered, whether their webhooks are alive, what waits in the
//! queues, and how far consumers are.

use super::{Site, problem_section, sections, skipped, time};
use crate::{
    Failure,
    commands::consumers,
    filter::Filter,
    managed_account::completeness,
    output::{Page, cell},
    queues::Queues,
    ui::{Problem, activity::Activity},
};
use axum::{extract::State, response::Response};
use futures_util::{StreamExt, stream::once};
use maud::{Markup, html};
use models::Timestamp;
use std::{future::ready, sync::Arc};
use storage::Guardian;

pub(in crate::ui) async fn page(State(site): State<Arc<Site>>) -> Response {
    let [of_webhooks, of_consumers, of_queues, of_providers] = [(); 4].map(|()| Arc::clone(&site));
    let title = html! { h1 { "Overview" } };
    let parts = once(ready(title))
        .chain(once(webhooks(of_webhooks)))
        .chain(once(consumers(of_consumers)))
        .chain(once(queues(of_queues)))
        .chain(once(providers(of_providers)));
    sections(&site, "Overview", parts)
}

/// What the guardian found about each account's webhook.
async fn webhooks(site: Arc<Site>) -> Markup {
    let guardians = match site.table.guardians().await {
        Ok(guardians) => guardians,
        Err(error) => return problem_section(&error.into()),
    };
    let rows: Vec<_> = guardians.iter().map(webhook_row).collect();
    html! {
        h2 { "Webhooks" }
        @if rows.is_empty() {
            p.note { "None is watched: " code { "hookkeeper register" } " registers one." }
        } @else {
            (table(&["Account", "State", "Since", "Last delivery", "Complete", "Looked at"], &rows))
        }
    }
}

fn webhook_row(guardian: &Guardian) -> [Markup; 6] {
    let is_ok = guardian.finding == "ok";
    let delivered = guardian
        .webhooks
        .iter()
        .filter_map(|webhook| webhook.delivered);
    let moment = |at: Option<Timestamp>| html! { @if let Some(at) = at { (time(at)) } };
    [
        html! { (cell(&guardian.account)) },
        html! {
            span.problem[!is_ok] { (guardian.finding) }
            @if guardian.rotating.is_some() { ", its credential is being rotated" }
            @if let Some(reason) = &guardian.reason { ": " (cell(reason)) }
        },
        moment(guardian.since),
        moment(delivered.max()),
        html! { (completeness(guardian).join(", ")) },
        moment(guardian.listed),
    ]
}

async fn providers(site: Arc<Site>) -> Markup {
    let activity = match Activity::count(&site.table, &Filter::default()).await {
        Ok(activity) => activity,
        Err(problem) => return problem_section(&problem),
    };
    let rows = providers::ALL.map(|provider| {
        let of_provider = activity.of_providers.get(provider.name);
        let last = of_provider.and_then(|of| of.last);
        let labels = of_provider.map(|of| of.credentials.iter().cloned().collect::<Vec<_>>());
        [
            html! { a href=(format!("/?provider={}", provider.name)) { (provider.name) } },
            html! { @match last {
                Some(last) => (time(last)),
                None => span.note { "not in the last 24 hours" },
            } },
            html! { (of_provider.map_or(0, |of| of.last_hour)) },
            html! { (of_provider.map_or(0, |of| of.all)) },
            html! { (cell(&labels.unwrap_or_default().join(", "))) },
        ]
    });
    let heading = [
        "Provider",
        "Last event",
        "Last hour",
        "Last 24 hours",
        "Credentials",
    ];
    html! {
        h2 { "Providers" }
        (table(&heading, &rows))
        (skipped(activity.skipped))
    }
}

async fn queues(site: Arc<Site>) -> Markup {
    let rows = match queue_rows(&site).await {
        Ok(rows) => rows,
        Err(failure) => return problem_section(&Problem::Refused(failure.to_string())),
    };
    html! {
        h2 { "Queues" }
        @if rows.is_empty() {
            p.note { "This table has no stack with queues (" code { "--stack" } ")." }
        } @else {
            (table(&["Queue", "Visible", "In flight", "Delayed"], &rows))
        }
    }
}

async fn queue_rows(site: &Site) -> Result<Vec<[Markup; 4]>, Failure> {
    let mut rows = Vec::new();
    for queue in site.queues.iter().flat_map(Queues::all) {
        let messages = queue.messages().await?;
        rows.push([
            html! { (queue.name) },
            html! { (messages.visible) },
            html! { (messages.in_flight) },
            html! { (messages.delayed) },
        ]);
    }
    Ok(rows)
}

async fn consumers(site: Arc<Site>) -> Markup {
    let listed = match consumers::listed(&site.table).await {
        Ok(listed) => listed,
        Err(error) => return problem_section(&error.into()),
    };
    let rows = listed.iter().map(|listed| {
        let cells = listed.cells(Page::PERSON);
        cells.map(|text| html! { (cell(&text)) })
    });
    let rows: Vec<_> = rows.collect();
    html! {
        h2 { "Consumers" }
        @if rows.is_empty() {
            p.note { "There are none: " code { "hookkeeper consume NAME" } " creates one." }
        } @else {
            (table(&consumers::HEADING, &rows))
        }
    }
}

fn table<const N: usize>(heading: &[&str; N], rows: &[[Markup; N]]) -> Markup {
    html! {
        div.wide tabindex="0" {
            table.facts {
                thead { tr { @for name in heading { th { (name) } } } }
                tbody { @for row in rows { tr { @for cell in row { td { (cell) } } } } }
            }
        }
    }
}
