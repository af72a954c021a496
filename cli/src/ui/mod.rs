//! The page over the table, for a browser on this machine. It is rendered here and works without
//! JavaScript, which adds live updates, keys and copying. Nothing is read but the table, and
//! everything that the page loads is in this binary.

mod api;
mod pages;
mod query;
mod security;

use crate::Failure;
use axum::{
    Router,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::Arc;
use storage::{Table, TableError};

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Site {
    table: Table,
    /// Secret of this process. The page sends it with each request that changes something.
    token: String,
}

impl Site {
    pub(crate) fn new(table: Table) -> Result<Self, Failure> {
        Ok(Self {
            table,
            token: security::token()?,
        })
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
    #[error(transparent)]
    Table(#[from] TableError),
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Wrong(_) => StatusCode::BAD_REQUEST,
            Self::Missing(_) => StatusCode::NOT_FOUND,
            Self::Table(_) => StatusCode::BAD_GATEWAY,
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
        .route("/api/events", get(api::events))
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
