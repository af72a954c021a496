//! `hookkeeper quarantine show`: shows the exact bytes of one delivery.

use super::{BODY_MISSING, Quarantined, find};
use crate::{
    Failure,
    connection::Connection,
    handle::Handle,
    output::{Output, cell, json_line, printable, say},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Shows one delivery that could not be parsed, as exactly as a terminal can.
///
/// Example: cargo hookkeeper quarantine show tcxk8q-a3f41c --local
#[derive(Args)]
pub(super) struct Show {
    /// Handle of the delivery, as the list prints it
    handle: Handle,
    #[command(flatten)]
    connection: Connection,
    /// Print the body in hexadecimal (default for a body that is not text)
    #[arg(long)]
    hex: bool,
    /// Print only the body, byte for byte
    #[arg(long, conflicts_with = "hex")]
    raw: bool,
    /// Output format (json: the body in `body`, or in `bodybase64` if it is not text)
    #[arg(long, value_enum, default_value_t = Output::Table, conflicts_with_all = ["hex", "raw"])]
    output: Output,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let delivery = find(&self.connection.table().await?, &self.handle).await?;
        if self.output == Output::Json {
            return Ok(say!("{}", json_line(&json(&delivery))?)?);
        }
        let bytes = delivery.bytes.ok_or(BODY_MISSING)?;
        if self.raw {
            return Ok(io::stdout().write_all(&bytes)?);
        }
        say!("{:<12}  {}", "provider", delivery.provider.name)?;
        say!("{:<12}  {}", "reason", cell(&delivery.reason.message))?;
        say!("{:<12}  {}", "arrival", delivery.origin.arrival)?;
        say!("{:<12}  {}", "requestid", cell(&delivery.origin.request_id))?;
        say!(
            "{:<12}  {}",
            "contenttype",
            cell(&delivery.origin.content_type.unwrap_or_default())
        )?;
        if let Some(credential) = delivery.origin.credential {
            say!("{:<12}  {}", "credential", cell(&credential))?;
        }
        if let Some(gateway_id) = delivery.origin.gateway_id {
            say!("{:<12}  {}", "gatewayid", cell(&gateway_id))?;
        }
        say!("{:<12}  {}\n", "bytes", bytes.len())?;
        match str::from_utf8(&bytes) {
            Ok(text) if !self.hex => say!("{}", printable(text))?,
            _ => say!("{}", hex_dump(&bytes))?,
        }
        Ok(())
    }
}

/// The delivery for programs. Without a body if that is shared and not in the table.
fn json(delivery: &Quarantined) -> Value {
    let origin = &delivery.origin;
    let mut json = json!({
        "handle": delivery.handle.to_string(),
        "provider": delivery.provider.name,
        "code": delivery.reason.code,
        "reason": delivery.reason.message,
        "arrival": origin.arrival,
        "requestid": origin.request_id,
        "gatewayid": origin.gateway_id,
        "contenttype": origin.content_type,
        "credential": origin.credential,
    });
    let bytes = delivery.bytes.as_deref();
    let body = bytes.map(|bytes| match str::from_utf8(bytes) {
        Ok(text) => ("body", text.to_owned()),
        Err(_) => ("bodybase64", STANDARD.encode(bytes)),
    });
    if let (Some(members), Some((name, body))) = (json.as_object_mut(), body) {
        members.insert(name.to_owned(), body.into());
    }
    json
}

/// Formats sixteen bytes per line: their offset, their hexadecimal digits, and their ASCII
/// characters.
fn hex_dump(bytes: &[u8]) -> String {
    let lines = bytes.chunks(16).zip((0_usize..).step_by(16));
    let lines: Vec<_> = lines
        .map(|(bytes, offset)| hex_line(bytes, offset))
        .collect();
    lines.join("\n")
}

fn hex_line(bytes: &[u8], offset: usize) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| hex::encode([*byte])).collect();
    let text: String = bytes.iter().copied().map(ascii).collect();
    format!("{offset:08x}  {:<47}  {text}", digits.join(" "))
}

fn ascii(byte: u8) -> char {
    if byte.is_ascii_graphic() {
        char::from(byte)
    } else {
        '.'
    }
}
