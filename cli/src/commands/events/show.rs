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
use models::{Event, Origin, Record, Timestamp};
use serde_json::Value;
use std::{future::ready, time::Duration};
use storage::{Order, Stored, Table};

/// Shows one event with its data.
///
/// Example: cargo hookkeeper events show tcxk8q-4ad6a8 --local
#[derive(Args)]
pub(crate) struct Show {
    /// Handle of the event, as the list prints it
    handle: Handle,
    #[command(flatten)]
    connection: Connection,
    /// Output format
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
pub(crate) async fn find(table: &Table, handle: &Handle) -> Result<Stored, Failure> {
    let recorded = table.recorded(handle.span(), Order::OldestFirst);
    let mut found: Vec<_> = recorded
        .try_filter(|entry| ready(handle.is_of(&entry.event.id)))
        .try_collect()
        .await?;
    let Some(entry) = found.pop() else {
        return Err(
            format!("no event has the handle {handle}: `hookkeeper events` lists them").into(),
        );
    };
    if !found.is_empty() {
        return Err(format!(
            "several events have the handle {handle}: give more characters of the id, {}",
            entry.event.id
        )
        .into());
    }
    let stored = table.get(&entry.key).await?;
    stored.ok_or_else(|| format!("the event {handle} was removed in the meantime").into())
}

pub(super) fn print(stored: &Stored) -> Result<(), Failure> {
    let Record::Event { event, origin, .. } = &stored.record else {
        return Ok(());
    };
    for (name, value) in attributes(stored, event, origin) {
        say!("{name:<12}  {}", cell(&value))?;
    }
    Ok(say!("\n{}", printable(&pretty(event.data.get())))?)
}

/// The attributes of an event and of its delivery, with their names.
pub(crate) fn attributes(
    stored: &Stored,
    event: &Event,
    origin: &Origin,
) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let problem = event
        .timeproblem
        .and_then(|problem| serde_json::to_value(problem).ok());
    let problem = problem.as_ref().and_then(Value::as_str).map(str::to_owned);
    let expires = stored
        .expires
        .and_then(|at| u64::try_from(at).ok())
        .map(Duration::from_secs)
        .map(Timestamp::from_unix);
    let lines = [
        ("type", Some(event.r#type.clone())),
        ("source", Some(event.source.clone())),
        ("subject", Some(event.subject.clone())),
        ("time", Some(event.time.to_string())),
        ("timeproblem", problem),
        ("id", Some(event.id.to_string())),
        ("dataschema", event.dataschema.clone()),
        ("originaltype", Some(event.originaltype.clone())),
        ("apiversion", event.apiversion.clone()),
        ("channel", event.channel.clone()),
        ("eventid", event.eventid.clone()),
        ("credential", origin.credential.clone()),
        ("arrival", Some(origin.arrival.to_string())),
        ("requestid", Some(origin.request_id.clone())),
        ("gatewayid", origin.gateway_id.clone()),
        ("contenttype", origin.content_type.clone()),
        ("recordedtime", stored.recorded.map(|time| time.to_string())),
        ("expires", expires.map(seconds)),
    ];
    let lines = lines.into_iter();
    lines.filter_map(|(name, value)| Some((name, value?)))
}
