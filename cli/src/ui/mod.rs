//! The page over the table, for a browser on this machine. It is rendered here and works without
//! JavaScript, which adds live updates, keys and copying. Nothing is read but the table, and
//! everything that the page loads is in this binary.

mod actions;
mod activity;
mod api;
mod pages;
mod query;
mod security;

use crate::{Failure, queues::Queues};
use axum::{
    Router,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hookkeeper::dev::User;
use std::sync::Arc;
use storage::{Table, TableError};

/// What the page shows, and what it may change.
pub(crate) struct Site {
    table: Table,
    /// Secret of this process. The page sends it with each request that changes something.
    token: String,
    /// Whether the page may change the table.
    may_write: bool,
    /// The queues of the stack, if there is one.
    queues: Option<Queues>,
    /// The user that the receivers beside the page accept, if it is that of `cargo dev`.
    user: Option<User>,
}

impl Site {
    /// A page that changes nothing.
    pub(crate) fn new(table: Table) -> Result<Self, Failure> {
        Ok(Self {
            table,
            token: security::token()?,
            may_write: false,
            queues: None,
            user: None,
        })
    }

    /// Allows the page to change the table.
    #[must_use]
    pub(crate) fn with_writes(self, may_write: bool) -> Self {
        Self { may_write, ..self }
    }

    /// Shows the queues of a stack.
    #[must_use]
    pub(crate) fn with_queues(self, queues: Option<Queues>) -> Self {
        Self { queues, ..self }
    }

    /// Sends samples to the receivers beside the page, which accept this user.
    #[must_use]
    pub(crate) fn with_receivers(self, user: User) -> Self {
        let user = Some(user);
        Self { user, ..self }
    }
}

/// Reason why a request has no result.
#[derive(Debug, thiserror::Error)]
enum Problem {
    /// The request is wrong. The message says what to change.
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Missing(String),
    #[error("this page only reads: start it with --write")]
    ReadOnly,
    /// Another server did not take a request.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::Refused(_) | Self::Table(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure.downcast::<TableError>() {
            Ok(error) => Self::Table(*error),
            Err(failure) => Self::Missing(failure.to_string()),
        }
    }
}

pub(crate) fn router(site: Site) -> Router {
    let site = Arc::new(site);
    Router::new()
        .route("/", get(pages::events::page))
        .route("/events/{handle}", get(pages::event::page))
        .route("/events/{handle}/body", get(pages::event::body))
        .route("/entities/{*path}", get(pages::entity::page))
        .route("/quarantine", get(pages::quarantine::page))
        .route("/overview", get(pages::overview::page))
        .route("/api/events", get(api::events))
        .route("/api/activity", get(api::activity))
        .route("/api/events/{handle}/send", post(actions::send_again))
        .route("/api/quarantine/replay", post(actions::replay))
        .route("/api/quarantine/drop", post(actions::drop))
        .route("/api/samples/send", post(actions::send_sample))
        .route(
            "/assets/page.css",
            get(async || asset("text/css", PAGE_CSS)),
        )
        .route(
            "/assets/page.js",
            get(async || asset("text/javascript", PAGE_JS)),
        )
        .route(
            "/assets/icon.svg",
            get(async || asset("image/svg+xml", ICON)),
        )
        .fallback(pages::nothing)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&site),
            security::guard,
        ))
        .with_state(site)
}

const PAGE_CSS: &str = include_str!("assets/page.css");
const PAGE_JS: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("assets/icon.svg");

fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, content_type)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assets_are_below_100_kilobytes_and_load_nothing() {
        assert!(PAGE_CSS.len() + PAGE_JS.len() + ICON.len() < 100_000);
        for text in [PAGE_CSS, PAGE_JS] {
            for word in ["http:", "https:", "url(", "@import", "innerHTML", "eval("] {
                assert!(!text.contains(word), "{word}");
            }
        }
    }
}
