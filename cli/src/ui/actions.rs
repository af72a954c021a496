//! `POST /api/...`: what a person does on the page. A request is a form, and the response an object
//! with a `message` for the person.

use super::{Problem, Site, pages::event::whole};
use crate::{
    commands::{
        quarantine::{Outcome, drop as quarantine_drop, replay::Replayer},
        send,
    },
    filter::provider,
    forward::{self, Server},
    handle::Handle,
    http::check_secrecy,
    span::{A_WEEK, Span, moment},
};
use axum::{
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// What was done.
#[derive(Serialize)]
struct Done {
    message: String,
    /// The handles of the deliveries that are no longer in quarantine.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    gone: Vec<String>,
}

impl From<String> for Done {
    fn from(message: String) -> Self {
        let gone = Vec::new();
        Self { message, gone }
    }
}

fn respond(done: Result<Done, Problem>) -> Response {
    let (status, done) = match done {
        Ok(done) => (StatusCode::OK, done),
        Err(problem) => (problem.status(), Done::from(problem.to_string())),
    };
    let json = serde_json::to_string(&done).unwrap_or_default();
    let content_type = [(header::CONTENT_TYPE, "application/json")];
    (status, content_type, json).into_response()
}

/// The fields of a form that are filled in.
struct Form(BTreeMap<String, String>);

impl From<&Bytes> for Form {
    fn from(body: &Bytes) -> Self {
        let fields = form_urlencoded::parse(body).into_owned();
        let fields = fields.map(|(name, value)| (name, value.trim().to_owned()));
        Self(fields.filter(|(_, value)| !value.is_empty()).collect())
    }
}

impl Form {
    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Problem> {
        let parsed = self.0.get(name).map(|value| parse(value)).transpose();
        parsed.map_err(|why| Problem::Wrong(format!("{name}: {why}")))
    }

    fn required<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Problem> {
        let missing = || Problem::Wrong(format!("{name} is missing"));
        self.parsed(name, parse)?.ok_or_else(missing)
    }
}

impl Site {
    fn check_may_write(&self) -> Result<(), Problem> {
        self.may_write.then_some(()).ok_or(Problem::ReadOnly)
    }
}

/// Parses the delivery of the field `handle` again, or all that arrived after `since` (7 days ago).
pub(super) async fn replay(State(site): State<Arc<Site>>, body: Bytes) -> Response {
    respond(replayed(&site, &Form::from(&body)).await)
}

async fn replayed(site: &Site, form: &Form) -> Result<Done, Problem> {
    site.check_may_write()?;
    let mut outcomes = Vec::new();
    let mut note = |outcome: &Outcome| {
        outcomes.push((
            outcome.handle.clone(),
            outcome.action,
            outcome.reason.clone(),
        ));
        Ok(())
    };
    let mut replayer = Replayer::new(&site.table, false);
    if let Some(handle) = form.parsed("handle", str::parse::<Handle>)? {
        replayer.replay(&handle, &mut note).await?;
    } else {
        let span = Span::new(form.parsed("since", moment)?, None);
        let span = span.resolve(A_WEEK);
        let span = span.map_err(|usage| Problem::Wrong(usage.to_string()))?;
        replayer.replay_all(None, span, &mut note).await?;
    }
    let (stay, gone): (Vec<_>, Vec<_>) = outcomes
        .into_iter()
        .partition(|(_, action, _)| *action == "stays");
    let message = match &stay[..] {
        [(_, _, Some(reason))] if gone.is_empty() => format!("It stays: {reason}"),
        _ => format!(
            "{} replayed, {} still in quarantine.",
            gone.len(),
            stay.len()
        ),
    };
    let gone = gone.into_iter().map(|(handle, ..)| handle).collect();
    Ok(Done { message, gone })
}

/// Deletes the quarantined delivery of the field `handle`.
pub(super) async fn drop(State(site): State<Arc<Site>>, body: Bytes) -> Response {
    respond(dropped(&site, &Form::from(&body)).await)
}

async fn dropped(site: &Site, form: &Form) -> Result<Done, Problem> {
    site.check_may_write()?;
    let handle = form.required("handle", str::parse::<Handle>)?;
    quarantine_drop::drop(&site.table, &handle).await?;
    Ok(Done {
        message: format!("Dropped {handle}."),
        gone: vec![handle.to_string()],
    })
}

/// Sends the exact bytes of an event's delivery to the field `url`, with the field `header`, if there
/// is one. It changes nothing in the table.
pub(super) async fn send_again(
    State(site): State<Arc<Site>>,
    Path(handle): Path<String>,
    body: Bytes,
) -> Response {
    respond(sent_again(&site, &handle, &Form::from(&body)).await)
}

async fn sent_again(site: &Site, handle: &str, form: &Form) -> Result<Done, Problem> {
    let url = form.required("url", forward::url)?;
    check_secrecy(&url, None).map_err(Problem::Wrong)?;
    let header = form.parsed("header", forward::header)?;
    let whole = whole(site, handle).await?;
    let missing = || Problem::Missing("the body is not in the table".to_owned());
    let bytes = whole.bytes.ok_or_else(missing)?;
    let content_type = whole.stored.record.origin().content_type.as_deref();
    let server = Server::new(url, header.into_iter().collect());
    let answer = server.post(handle, content_type, &bytes).await;
    let sentence = forward::said(&answer);
    if !answer.is_taken() {
        return Err(Problem::Refused(sentence));
    }
    let milliseconds = answer.latency.as_millis();
    Ok(format!("Sent: {sentence} in {milliseconds} ms.").into())
}

/// Sends a new event, made from the field `sample` (`pipedrive/v2_change_deal`), to the receivers of
/// `cargo dev`.
pub(super) async fn send_sample(
    State(site): State<Arc<Site>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    respond(sent_sample(&site, &headers, &Form::from(&body)).await)
}

async fn sent_sample(site: &Site, headers: &HeaderMap, form: &Form) -> Result<Done, Problem> {
    let no_receivers = || Problem::Missing("only the page of `cargo dev` sends samples".to_owned());
    let user = site.user.as_ref().ok_or_else(no_receivers)?;
    let (provider, name) = form.required("sample", sample)?;
    // It names this machine: `security` has checked it.
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let url = format!("http://{}/{}", host.unwrap_or_default(), provider.name);
    let sent = send::send_sample(provider, &name, &url, user).await;
    let line = sent.map_err(|failure| Problem::Refused(failure.to_string()))?;
    Ok(line.into())
}

fn sample(text: &str) -> Result<(providers::Provider, String), String> {
    let (name, sample) = text.split_once('/').ok_or("expected PROVIDER/SAMPLE")?;
    Ok((provider(name)?, sample.to_owned()))
}
