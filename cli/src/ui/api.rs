//! `GET /api/...`: what the page shows as JSON, for its script and for programs.

use super::{
    Problem, Site,
    activity::Activity,
    query::{Words, events as read},
};
use crate::{commands::events::json, skipped::Skipped};
use axum::{
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use std::sync::Arc;

/// The events of a page as `events --output json` prints them, where the next page begins, and the
/// number of items that cannot be read.
pub(super) async fn events(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    respond(list(&site, &uri).await)
}

/// The number of events in each of the last 24 hours by provider, and of the most frequent types.
pub(super) async fn activity(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    respond(count(&site, &uri).await)
}

async fn count(site: &Site, uri: &Uri) -> Result<String, Problem> {
    let filter = Words::from(uri).filter()?;
    let activity = Activity::count(&site.table, &filter).await?;
    let json = serde_json::to_string(&activity);
    Ok(json.unwrap_or_default())
}

fn respond(body: Result<String, Problem>) -> Response {
    let (status, body) = match body {
        Ok(body) => (StatusCode::OK, body),
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
