//! `hookkeeper quarantine show`: shows the exact bytes of one delivery.

use super::find;
use crate::{
    Failure,
    connection::Connection,
    handle::Handle,
    output::{cell, printable, say},
};
use clap::Args;
use std::io::{self, Write};

/// Shows one delivery that could not be read, as exactly as a terminal can.
///
/// Example: cargo hookkeeper quarantine show tcxk8q-a3f41c --local
#[derive(Args)]
pub(super) struct Show {
    /// As the list prints it
    handle: Handle,
    #[command(flatten)]
    connection: Connection,
    /// The body in hexadecimal, as it is when it is not text
    #[arg(long)]
    hex: bool,
    /// The body alone, byte for byte
    #[arg(long, conflicts_with = "hex")]
    raw: bool,
}

impl Show {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let it = find(&self.connection.table().await?, &self.handle).await?;
        if self.raw {
            return Ok(io::stdout().write_all(&it.bytes)?);
        }
        say!("{:<12}  {}", "provider", it.provider.name)?;
        say!("{:<12}  {}", "reason", cell(&it.reason.message))?;
        say!("{:<12}  {}", "arrival", it.origin.arrival)?;
        say!("{:<12}  {}", "requestid", cell(&it.origin.request_id))?;
        say!(
            "{:<12}  {}",
            "contenttype",
            cell(&it.origin.content_type.unwrap_or_default())
        )?;
        say!("{:<12}  {}\n", "bytes", it.bytes.len())?;
        match str::from_utf8(&it.bytes) {
            Ok(text) if !self.hex => say!("{}", printable(text))?,
            _ => say!("{}", hex_dump(&it.bytes))?,
        }
        Ok(())
    }
}

/// Formats sixteen bytes per line: their offset, their hexadecimal digits, and their ASCII
/// characters.
fn hex_dump(bytes: &[u8]) -> String {
    let line = |(number, bytes): (usize, &[u8])| {
        let digits = bytes
            .iter()
            .map(|byte| hex::encode([*byte]))
            .collect::<Vec<_>>()
            .join(" ");
        let text: String = bytes
            .iter()
            .map(|byte| {
                if byte.is_ascii_graphic() {
                    char::from(*byte)
                } else {
                    '.'
                }
            })
            .collect();
        format!("{:08x}  {digits:<47}  {text}", number * 16)
    };
    bytes
        .chunks(16)
        .enumerate()
        .map(line)
        .collect::<Vec<_>>()
        .join("\n")
}
