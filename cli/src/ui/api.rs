//! `GET /api/events`: the list as JSON, for the page and for programs.

use super::{
    Problem, Site,
    query::{Words, events as read},
};
use crate::{commands::events::json, skipped::Skipped};
use axum::{
    extract::State,
    http::{Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::sync::Arc;

/// The events of a page as `events --output json` prints them, where the next page begins, and the
/// number of items that cannot be read.
pub(super) async fn events(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let (status, body) = match list(&site, &uri).await {
        Ok(body) => (axum::http::StatusCode::OK, body),
        Err(problem) => {
            let body = json!({ "message": problem.to_string() });
            (problem.status(), body.to_string())
        }
    };
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, body).into_response()
}

async fn list(site: &Site, uri: &Uri) -> Result<String, Problem> {
    let query = Words::from(uri).query()?;
    let found = query.find(&site.table).await?;
    let after = json!(found.after.map(|after| after.to_string()));
    let skipped = Skipped::default();
    let events = read(&site.table, found.hits, &skipped).await?;
    let skipped = found.skipped + skipped.count();
    let events: Vec<_> = events.iter().map(json).collect::<Result<_, _>>()?;
    Ok(format!(
        r#"{{"events":[{}],"after":{after},"skipped":{skipped}}}"#,
        events.join(",")
    ))
}
