//! `hookkeeper events show`: shows one event completely.

use super::json;
use crate::{
    Failure,
    connection::Connection,
    handle::Handle,
    output::{Output, cell, pretty, printable, say, seconds},
};
use clap::Args;
use futures_util::TryStreamExt;
use models::{Record, Timestamp};
use serde_json::Value;
use std::{future::ready, time::Duration};
use storage::{Order, Stored, Table};

/// Shows one event with its data.
///
/// Example: cargo hookkeeper events show tcxk8q-4ad6a8 --local
#[derive(Args)]
pub(crate) struct Show {
    /// As the list prints it
    handle: Handle,
    #[command(flatten)]
    connection: Connection,
    /// What to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Show {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let stored = find(&table, &self.handle).await?;
        match self.output {
            Output::Json => say!("{}", json(&stored)?)?,
            Output::Table => print(&stored)?,
        }
        Ok(())
    }
}

/// Finds the only event with a handle.
async fn find(table: &Table, handle: &Handle) -> Result<Stored, Failure> {
    let recorded = table.recorded(handle.span(), Order::OldestFirst);
    let mut found: Vec<_> = recorded
        .try_filter(|entry| ready(handle.is_of(entry.id())))
        .try_collect()
        .await?;
    let Some(entry) = found.pop() else {
        return Err(
            format!("no event has the handle {handle}: `hookkeeper events` lists them").into(),
        );
    };
    if !found.is_empty() {
        return Err(format!(
            "several events have the handle {handle}: give more of the id, {}",
            entry.id()
        )
        .into());
    }
    let stored = table.get(&entry.key).await?;
    stored.ok_or_else(|| format!("the event {handle} was removed a moment ago").into())
}

fn print(stored: &Stored) -> Result<(), Failure> {
    let Record::Event { event, origin, .. } = &stored.record else {
        return Ok(());
    };
    let optional = |name, value: Option<&str>| value.map(|value| (name, value.to_owned()));
    let problem = event
        .timeproblem
        .and_then(|problem| serde_json::to_value(problem).ok());
    let expires = stored
        .expires
        .and_then(|at| u64::try_from(at).ok())
        .map(Duration::from_secs)
        .map(Timestamp::from_unix);
    let lines = [
        Some(("type", event.r#type.clone())),
        Some(("source", event.source.clone())),
        Some(("subject", event.subject.clone())),
        Some(("time", event.time.to_string())),
        optional("timeproblem", problem.as_ref().and_then(Value::as_str)),
        Some(("id", event.id.to_string())),
        Some(("originaltype", event.originaltype.clone())),
        optional("apiversion", event.apiversion.as_deref()),
        optional("channel", event.channel.as_deref()),
        optional("eventid", event.eventid.as_deref()),
        optional("credential", origin.credential.as_deref()),
        Some(("arrival", origin.arrival.to_string())),
        Some(("requestid", origin.request_id.clone())),
        optional("gatewayid", origin.gateway_id.as_deref()),
        optional("contenttype", origin.content_type.as_deref()),
        stored
            .recorded
            .map(|recorded| ("recordedtime", recorded.to_string())),
        expires.map(|at| ("expires", seconds(at))),
    ];
    for (name, value) in lines.into_iter().flatten() {
        say!("{name:<12}  {}", cell(&value))?;
    }
    Ok(say!("\n{}", printable(&pretty(event.data.get())))?)
}
