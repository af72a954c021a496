//! `hookkeeper export`: the events of a span of time as JSON Lines.

use crate::{
    Failure,
    events::{entries, events, json},
    filter::Selection,
};
use clap::Args;
use futures_util::TryStreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use models::Timestamp;
use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    ops::Range,
    path::{Path, PathBuf},
    pin::pin,
};
use store::{Order, Table};

/// Writes the events that were kept in a span of time as JSON Lines, one CloudEvent a line, in the order of keeping.
///
/// Example: cargo hookkeeper export --local --since 2026-11-01 --until 2026-12-01 november.jsonl
#[derive(Args)]
pub(crate) struct Export {
    /// A file, which is there once it is complete [default: standard output]
    file: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let (table, span) = self.selection.open().await?;
        let Some(file) = &self.file else {
            let mut out = BufWriter::new(io::stdout().lock());
            let exported = self.write(&table, &span, &mut out).await?;
            out.flush()?;
            eprintln!("{exported} events exported.");
            return Ok(());
        };
        let partial = partial(file);
        let refused = |error: io::Error| format!("cannot write {} ({error})", partial.display());
        let mut out = BufWriter::new(File::create(&partial).map_err(refused)?);
        let exported = self.write(&table, &span, &mut out).await?;
        out.flush().map_err(refused)?;
        fs::rename(&partial, file).map_err(|error| format!("cannot write {} ({error})", file.display()))?;
        eprintln!("{exported} events exported to {}.", file.display());
        Ok(())
    }

    async fn write(&self, table: &Table, span: &Range<Timestamp>, out: &mut impl Write) -> Result<u64, Failure> {
        let (progress, mut exported) = (progress(span)?, 0);
        let entries = entries(table, span.clone(), Order::OldestFirst, &self.selection.filter);
        let mut events = pin!(events(table, entries));
        while let Some((entry, stored)) = events.try_next().await? {
            writeln!(out, "{}", json(&stored)?)?;
            exported += 1;
            progress.set_position(micros(&(span.start..entry.kept)));
            progress.set_message(format!("{exported} events"));
        }
        progress.finish_and_clear();
        Ok(exported)
    }
}

/// `november.jsonl.partial`
fn partial(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// A bar on a terminal, as long as the span.
fn progress(span: &Range<Timestamp>) -> Result<ProgressBar, Failure> {
    let style = ProgressStyle::with_template("{wide_bar} {percent} %  {msg}  {eta} left")?;
    Ok(ProgressBar::new(micros(span)).with_style(style))
}

fn micros(span: &Range<Timestamp>) -> u64 {
    u64::try_from(span.end.as_micros() - span.start.as_micros()).unwrap_or_default()
}
