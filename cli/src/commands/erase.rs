//! `hookkeeper erase`: removes the data of one person from the table.
//!
//! The table is read once, page by page. Then each record that was found is noted as erased, and
//! removed with its chunks. The note comes first, and what others refer to is removed before them,
//! so an interrupted command can be run again.

use crate::{
    Failure, Usage,
    confirm::{NO_TERMINAL, confirmed},
    connection::Connection,
    filter::{is_within, provider, provider_of, source, subject},
    handle::Handle,
    mention::{Mention, mention},
    output::{Output, cell, say},
    reading::read,
    skipped::Skipped,
};
use clap::Args;
use futures_util::TryStreamExt;
use models::{Body, Origin, Record};
use serde_json::json;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    pin::pin,
};
use storage::{Erased, EventKey, Key, Scanned, Stored, Table};

/// Erases the data of one person: the events of a subject, and every record that mentions a text.
///
/// It reads the whole table. A mention is found in events, bodies and quarantine, also if it is escaped in JSON, encoded
/// in a form, or compressed. A body that an erased event shares with other events is erased too: the others keep their
/// data, but cannot be replayed. Hashes of what was erased stay in the table, so that the drain and the replays do not
/// store it again.
///
/// It does nothing (exit status 1) while the fallback queue or the dead-letter queue holds messages. With --local and
/// --table no queue is known. The exit status is also 1 if there are records that cannot be searched: those of another
/// version, and incomplete ones.
///
/// Example: cargo hookkeeper erase --local --source pipedrive/7 --subject person/42 --mention ada@example.com --dry-run
#[derive(Args)]
pub(crate) struct Erase {
    /// Only in this source, like pipedrive/7, or in all of a provider, like pipedrive. Bodies and quarantined
    /// deliveries: of its provider
    #[arg(long, value_parser = source)]
    source: Option<String>,
    /// Subject whose events are erased, like person/42
    #[arg(long, value_parser = subject)]
    subject: Option<String>,
    /// Text, such as an e-mail address, and every record that contains it is erased. Case does not matter
    #[arg(long, value_name = "TEXT", value_parser = mention)]
    mention: Option<Mention>,
    #[command(flatten)]
    connection: Connection,
    /// Print what would be erased, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// What an erasure does not reach.
const NOT_REACHED: &str = "\
Not reached: backups (point-in-time recovery, 35 days), the table's stream (24 hours), logs, and copies that \
consumers or exports made. A provider that still has the data can send it again.";

/// The records to remove.
#[derive(Default)]
struct Found {
    events: Vec<Key>,
    bodies: BTreeSet<Key>,
    quarantined: Vec<Key>,
    /// Chunks of all of them.
    chunks: usize,
    /// Records whose removal was interrupted.
    half_removed: Vec<Key>,
    /// The number of records that cannot be searched: they are of another version, or incomplete.
    unreadable: u64,
}

impl Erase {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        if self.subject.is_none() && self.mention.is_none() {
            return Err(
                Usage("say what to erase: --subject, --mention, or both".to_owned()).into(),
            );
        }
        let is_asked = !self.dry_run && !self.yes;
        if is_asked && self.output == Output::Json {
            return Err(Usage("--output json needs --yes or --dry-run".to_owned()).into());
        }
        if is_asked && !io::stdin().is_terminal() {
            return Err(Usage(NO_TERMINAL.to_owned()).into());
        }
        let table = self.connection.table().await?;
        let queues = self.connection.queues().await?;
        match &queues {
            Some(queues) => queues.check_empty().await?,
            None => eprintln!("No stack is known, so no queue was checked for messages."),
        }
        table.check_clock()?;
        let found = self.find(&table).await?;
        if self.dry_run {
            self.report(&found)?;
            return found.check_readable();
        }
        let question = format!("Erase {} for good?", found.counts());
        if is_asked && !confirmed(&question)? {
            return Err("nothing was erased".into());
        }
        self.erase(&table, &found).await?;
        self.report(&found)?;
        if let Some(queues) = &queues {
            queues.check_empty().await?;
        }
        found.check_readable()
    }

    /// Finds the records to remove, and prints them.
    async fn find(&self, table: &Table) -> Result<Found, Failure> {
        let skipped = Skipped::default();
        let mut found = Found::default();
        // Quarantined items of deliveries whose bodies may be removed: without them they are empty.
        let mut with_body = Vec::new();
        let mut with_chunks = BTreeSet::new();
        let mut scan = pin!(skipped.readable(table.scan()));
        while let Some(scanned) = scan.try_next().await? {
            let stored = match scanned {
                Scanned::Record(stored) => *stored,
                Scanned::HalfRemoved(key) => {
                    found.half_removed.push(key);
                    continue;
                }
                Scanned::Incomplete(key) => {
                    self.add_incomplete(key, "its chunks are missing", &mut found);
                    continue;
                }
                Scanned::ChunkOf(key) => {
                    with_chunks.insert(key);
                    continue;
                }
            };
            if self.is_wanted(&stored.record) {
                self.print(&stored)?;
                found.add(stored);
            } else if let Record::Quarantined {
                provider,
                body: Body::Shared(name),
                ..
            } = &stored.record
            {
                with_body.push((Key::for_body(provider, name), stored));
            }
        }
        for (body, stored) in with_body {
            if found.bodies.contains(&body) {
                self.print(&stored)?;
                found.add(stored);
            }
        }
        for key in with_chunks {
            if !table.has_all(vec![key.clone()]).await? {
                self.add_incomplete(key, "it is missing, but has chunks", &mut found);
            }
        }
        found.complete(table).await?;
        skipped.report();
        found.unreadable += skipped.count();
        if found.keys().next().is_none() {
            eprintln!("Nothing was found: check the source and the subject in `events`.");
        }
        Ok(found)
    }

    /// Adds an incomplete record: its key alone tells whether it is wanted.
    fn add_incomplete(&self, key: Key, problem: &str, found: &mut Found) {
        let event = EventKey::parse(&key);
        let is_wanted = event.is_some_and(|event| {
            let source = self.source.as_ref();
            let is_in_source = source.is_none_or(|source| is_within(&event.source, source));
            is_in_source && self.subject.as_ref() == Some(&event.subject)
        });
        if is_wanted {
            found.events.push(key);
        } else {
            let item = format!("{} {}", key.pk, key.sk);
            eprintln!("{}: {problem}", cell(&item));
            found.unreadable += 1;
        }
    }

    fn is_wanted(&self, record: &Record) -> bool {
        self.is_in_scope(record)
            && (self.is_of_subject(record)
                || self
                    .mention
                    .as_ref()
                    .is_some_and(|mention| mention.is_in(record)))
    }

    fn is_in_scope(&self, record: &Record) -> bool {
        let Some(source) = &self.source else {
            return true;
        };
        match record {
            Record::Event { event, .. } => is_within(&event.source, source),
            Record::Body { provider, .. } | Record::Quarantined { provider, .. } => {
                provider_of(source).is_some_and(|found| found.name == provider)
            }
        }
    }

    /// Whether a record is an event of the subject, or this version parses one from its bytes.
    fn is_of_subject(&self, record: &Record) -> bool {
        match record {
            Record::Event { event, .. } => {
                let source = self.source.as_ref();
                source.is_none_or(|source| is_within(&event.source, source))
                    && self.subject.as_ref() == Some(&event.subject)
            }
            Record::Body {
                provider,
                origin,
                bytes,
                ..
            }
            | Record::Quarantined {
                provider,
                origin,
                body: Body::Here(bytes),
                ..
            } => self.has_subject(provider, origin, bytes),
            Record::Quarantined { .. } => false,
        }
    }

    fn has_subject(&self, name: &str, origin: &Origin, bytes: &[u8]) -> bool {
        let (Some(_), Ok(provider)) = (&self.subject, provider(name)) else {
            return false;
        };
        let records = read(&provider, origin, bytes.to_vec()).unwrap_or_default();
        let mut events = records.iter().filter(|record| record.is_event());
        events.any(|event| self.is_of_subject(event))
    }

    fn print(&self, stored: &Stored) -> Result<(), Failure> {
        let line = match (&stored.record, self.output) {
            (_, Output::Json) | (Record::Body { .. }, _) => return Ok(()),
            (Record::Event { event, .. }, _) => format!(
                "{}  {}  {}  {}",
                Handle::for_event(stored),
                event.r#type,
                event.source,
                event.subject
            ),
            (Record::Quarantined { provider, .. }, _) => {
                format!(
                    "{}  {provider}  quarantined",
                    Handle::for_quarantined(&stored.key)
                )
            }
        };
        Ok(say!("{}", cell(&line))?)
    }

    async fn erase(&self, table: &Table, found: &Found) -> Result<(), Failure> {
        if let Some(subject) = &self.subject {
            let source = self.source.as_deref();
            table
                .put_erasure(&Erased::Subject { source, subject })
                .await?;
        }
        for key in found.keys() {
            table.put_erasure(&Erased::Record(key)).await?;
            table.remove(key).await?;
        }
        for key in &found.half_removed {
            table.remove(key).await?;
        }
        Ok(())
    }

    fn report(&self, found: &Found) -> Result<(), Failure> {
        match self.output {
            Output::Json => {
                let more = [
                    ("half_removed", found.half_removed.len()),
                    ("unreadable", usize::try_from(found.unreadable)?),
                ];
                let more = more.into_iter().filter(|(_, count)| *count > 0);
                for (kind, count) in found.by_kind().into_iter().chain(more) {
                    let line = json!({ "kind": kind, "count": count, "dry_run": self.dry_run });
                    say!("{line}")?;
                }
            }
            Output::Table if self.dry_run => {
                say!(
                    "{} would be erased (dry run: nothing was changed).",
                    found.counts()
                )?;
            }
            Output::Table => say!("{} erased.", found.counts())?,
        }
        if !found.half_removed.is_empty() {
            eprintln!(
                "{} interrupted removals are finished too.",
                found.half_removed.len()
            );
        }
        eprintln!("{NOT_REACHED}");
        Ok(())
    }
}

impl Found {
    fn add(&mut self, stored: Stored) {
        match &stored.record {
            Record::Event { event, body, .. } => {
                if let (Body::Shared(name), Some(provider)) = (body, provider_of(&event.source)) {
                    self.bodies.insert(Key::for_body(provider.name, name));
                }
                self.events.push(stored.key);
            }
            Record::Body { .. } => {
                self.bodies.insert(stored.key);
            }
            Record::Quarantined { .. } => self.quarantined.push(stored.key),
        }
    }

    /// Leaves out the bodies that events name and the table does not have, and counts the chunks.
    async fn complete(&mut self, table: &Table) -> Result<(), Failure> {
        let mut bodies = BTreeSet::new();
        for body in &self.bodies {
            if table.has_all(vec![body.clone()]).await? {
                bodies.insert(body.clone());
            }
        }
        self.bodies = bodies;
        let mut chunks = 0;
        for key in self.keys() {
            chunks += table.chunks_of_all_writers(key).await?.len();
        }
        self.chunks = chunks;
        Ok(())
    }

    /// Keys in the order of removal: an event leads to its body.
    fn keys(&self) -> impl Iterator<Item = &Key> {
        self.bodies
            .iter()
            .chain(&self.quarantined)
            .chain(&self.events)
    }

    /// Fails if there are records that were not searched.
    fn check_readable(&self) -> Result<(), Failure> {
        match self.unreadable {
            0 => Ok(()),
            more => Err(format!(
                "{more} records could not be searched, of another version or incomplete: \
                they may have data of the person"
            )
            .into()),
        }
    }

    fn by_kind(&self) -> [(&'static str, usize); 4] {
        [
            ("event", self.events.len()),
            ("body", self.bodies.len()),
            ("quarantine", self.quarantined.len()),
            ("chunk", self.chunks),
        ]
    }

    fn counts(&self) -> String {
        format!(
            "{} events, {} shared bodies, {} quarantined deliveries and {} chunks",
            self.events.len(),
            self.bodies.len(),
            self.quarantined.len(),
            self.chunks
        )
    }
}
