//! `hookkeeper export`: writes the events of a time span as JSON Lines.

use crate::{
    Failure,
    commands::events::{cloud_event, entries, events},
    filter::Selection,
    mention::{Mention, mention},
    output::{OnlyJson, cell},
    progress::{micros, progress},
    signal::stop,
};
use clap::Args;
use futures_util::TryStreamExt;
use models::Record;
use std::{
    fs,
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    pin::pin,
};
use storage::Order;
use tempfile::{Builder, NamedTempFile};

/// Writes the events of a time range as JSON Lines, one CloudEvent per line, in the order of recording.
///
/// Only its owner can read FILE (mode 0600). The lines are written to a temporary file in the same folder, which replaces
/// FILE when it is complete, and is removed if the export fails. A FILE that is a symbolic link is rejected.
///
/// Example: cargo hookkeeper export --local --since 2026-11-01 --until 2026-12-01 november.jsonl
#[derive(Args)]
pub(crate) struct Export {
    /// File to write [default: standard output]
    file: Option<PathBuf>,
    /// Only events that contain this text, however it is encoded. Case does not matter
    #[arg(long, value_name = "TEXT", value_parser = mention)]
    mention: Option<Mention>,
    #[command(flatten)]
    selection: Selection,
    /// Output format
    #[arg(long, value_enum, default_value_t = OnlyJson::Json)]
    output: OnlyJson,
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match &self.file {
            None => self.to_standard_output().await,
            Some(file) => self.to_file(file).await,
        }
    }

    async fn to_standard_output(&self) -> Result<(), Failure> {
        let mut out = BufWriter::new(io::stdout().lock());
        let exported = self
            .write(&mut out)
            .await
            .map_err(|failure| unwritten(failure, "the standard output"))?;
        eprintln!("{exported} events exported.");
        Ok(())
    }

    async fn to_file(&self, file: &Path) -> Result<(), Failure> {
        check(file)?;
        let name = file.display().to_string();
        // Listen for signals before the temporary file exists, so that it is always removed.
        let stop = stop()?;
        let temporary = temporary(file).map_err(|error| unwritten(error.into(), &name))?;
        let mut out = BufWriter::new(temporary.as_file());
        let exported = tokio::select! {
            exported = self.write(&mut out) => exported.map_err(|failure| unwritten(failure, &name))?,
            () = stop => return Err(format!("interrupted: {name} was not written").into()),
        };
        drop(out);
        temporary
            .as_file()
            .sync_all()
            .map_err(|error| unwritten(error.into(), &name))?;
        // A rename replaces a symbolic link that was created in the meantime, and does not follow
        // it.
        temporary
            .persist(file)
            .map_err(|error| unwritten(error.error.into(), &name))?;
        eprintln!("{exported} events exported to {}.", cell(&name));
        Ok(())
    }

    fn is_wanted(&self, record: &Record) -> bool {
        let mention = self.mention.as_ref();
        mention.is_none_or(|mention| mention.is_in(record))
    }

    /// Writes all events, and returns their number.
    async fn write(&self, out: &mut impl Write) -> Result<u64, Failure> {
        let (table, span) = self.selection.open().await?;
        let progress = progress(&span)?;
        let mut exported = 0;
        let entries = entries(
            &table,
            span.clone(),
            Order::OldestFirst,
            &self.selection.filter,
        );
        let mut events = pin!(events(&table, entries));
        while let Some((entry, stored)) = events.try_next().await? {
            if self.is_wanted(&stored.record) {
                writeln!(out, "{}", cloud_event(&stored)?)?;
                exported += 1;
            }
            progress.set_position(micros(&(span.start..entry.recorded)));
            progress.set_message(format!("{exported} events"));
        }
        out.flush()?;
        progress.finish_and_clear();
        Ok(exported)
    }
}

/// Fails if the path exists and is not a regular file.
fn check(file: &Path) -> Result<(), Failure> {
    let Ok(metadata) = fs::symlink_metadata(file) else {
        return Ok(());
    };
    let kind = metadata.file_type();
    let name = file.display();
    if kind.is_symlink() {
        return Err(format!("{name} is a symbolic link: name a file").into());
    }
    if kind.is_dir() {
        return Err(format!("{name} is a directory: name a file").into());
    }
    if !kind.is_file() {
        return Err(format!(
            "{name} is not a regular file: name another one, or none for the standard output"
        )
        .into());
    }
    Ok(())
}

/// Creates a temporary file beside `file`, with a unique name and readable only by its owner. It is
/// removed when it is dropped.
fn temporary(file: &Path) -> io::Result<NamedTempFile> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    Builder::new()
        .prefix(".hookkeeper-export-")
        .suffix(".partial")
        .tempfile_in(folder.unwrap_or(Path::new(".")))
}

/// Adds the name of the output to a write error. A closed pipe unchanged: `main` handles it.
fn unwritten(failure: Failure, name: &str) -> Failure {
    match failure.downcast::<io::Error>() {
        Ok(error) if error.kind() == ErrorKind::BrokenPipe => error,
        Ok(error) => format!("cannot write {name} ({error})").into(),
        Err(failure) => failure,
    }
}
