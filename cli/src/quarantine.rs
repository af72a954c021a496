//! `hookkeeper quarantine`: what could not be read, and putting it right.

use crate::{
    Failure,
    connection::Connection,
    filter::provider,
    handle::{Handle, id},
    output::{Output, printable, seconds, table},
    reading::read,
    span::Span,
};
use clap::{Args, Subcommand};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use hookkeeper::PROVIDERS;
use intake::Provider;
use models::{Origin, Record, Timestamp, Unreadable};
use serde_json::json;
use std::{
    future::ready,
    io::{self, BufRead, IsTerminal, Write},
    ops::Range,
    pin::pin,
};
use store::{Key, Order, Stored, Table, TableError};

/// Lists the deliveries that could not be read, newest first, with the reasons.
///
/// Example: cargo hookkeeper quarantine --local --since 30d
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Quarantine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
enum Command {
    Show(Show),
    Replay(Replay),
    Drop(Remove),
}

/// Which deliveries.
#[derive(Args)]
struct Which {
    #[command(flatten)]
    connection: Connection,
    /// Those of one provider
    #[arg(long, value_parser = provider)]
    provider: Option<Provider>,
    #[command(flatten)]
    span: Span,
}

#[derive(Args)]
struct List {
    #[command(flatten)]
    which: Which,
    /// How many to list at the most
    #[arg(long, default_value_t = 20)]
    limit: usize,
    /// What to print
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

impl Quarantine {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run().await,
            Some(Command::Show(show)) => show.run().await,
            Some(Command::Replay(replay)) => replay.run().await,
            Some(Command::Drop(remove)) => remove.run().await,
        }
    }
}

/// A quarantined delivery.
struct Quarantined {
    handle: Handle,
    key: Key,
    provider: Provider,
    origin: Origin,
    reason: Unreadable,
    bytes: Vec<u8>,
}

impl Quarantined {
    fn of(stored: Stored) -> Option<Self> {
        let handle = Handle::of_quarantined(&stored);
        let Record::Quarantined { provider: name, origin, reason, bytes, .. } = stored.record else { return None };
        Some(Self { handle, key: stored.key, provider: provider(&name).ok()?, origin, reason, bytes })
    }
}

/// The quarantined deliveries of a span, provider by provider.
fn quarantined(
    table: &Table,
    only: Option<Provider>,
    span: Range<Timestamp>,
    order: Order,
) -> impl Stream<Item = Result<Quarantined, TableError>> {
    let providers = PROVIDERS.into_iter().filter(move |it| only.is_none_or(|only| only.name == it.name));
    let of_each = stream::iter(providers).flat_map(move |it| table.quarantined(it.name, span.clone(), order));
    of_each.try_filter_map(async |stored| Ok(Quarantined::of(stored)))
}

/// The one delivery of a handle.
async fn find(table: &Table, handle: &Handle) -> Result<Quarantined, Failure> {
    let all = quarantined(table, None, handle.span(), Order::OldestFirst);
    let mut found: Vec<_> = all.try_filter(|it| ready(handle.is_of(id(&it.key)))).try_collect().await?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(one), false) => {
            Err(format!("several deliveries have the handle {handle}: give more of the id, {}", id(&one.key)).into())
        }
        (None, _) => {
            Err(format!("no quarantined delivery has the handle {handle}: `hookkeeper quarantine` lists them").into())
        }
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let (table, span) = (self.which.connection.table().await?, self.which.span.resolve());
        let mut rows = Vec::new();
        for provider in PROVIDERS.into_iter().filter(|it| self.which.provider.is_none_or(|only| only.name == it.name)) {
            let all = quarantined(&table, Some(provider), span.clone(), Order::NewestFirst).take(self.limit);
            rows.extend(all.map_ok(|it| (it.key.sk.clone(), self.row(&it))).try_collect::<Vec<_>>().await?);
        }
        rows.sort_by(|(a, _), (b, _)| b.cmp(a));
        rows.truncate(self.limit);
        let rows: Vec<_> = rows.into_iter().map(|(_, row)| row).collect();
        self.print(&rows, &span);
        Ok(())
    }

    fn row(&self, it: &Quarantined) -> [String; 5] {
        let arrival = match self.output {
            Output::Table => seconds(it.origin.arrival),
            Output::Json => it.origin.arrival.to_string(),
        };
        [it.handle.to_string(), arrival, it.provider.name.to_owned(), it.bytes.len().to_string(), it.reason.to_string()]
    }

    fn print(&self, rows: &[[String; 5]], span: &Range<Timestamp>) {
        match self.output {
            Output::Json => {
                for [handle, arrival, provider, bytes, reason] in rows {
                    let bytes: u64 = bytes.parse().unwrap_or_default();
                    println!(
                        "{}",
                        json!({ "handle": handle, "arrival": arrival, "provider": provider, "bytes": bytes, "reason": reason })
                    );
                }
            }
            Output::Table if rows.is_empty() => println!("Nothing was quarantined since {}.", seconds(span.start)),
            Output::Table => {
                print!("{}", table(["HANDLE", "ARRIVAL", "PROVIDER", "BYTES", "REASON"], rows));
                if rows.len() == self.limit {
                    println!("\nThese are the newest {}: more with --limit.", self.limit);
                }
            }
        }
    }
}

/// Shows one delivery that could not be read, as exactly as a terminal can.
///
/// Example: cargo hookkeeper quarantine show tcxk8q-a3f41c --local
#[derive(Args)]
struct Show {
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
    async fn run(self) -> Result<(), Failure> {
        let it = find(&self.connection.table().await?, &self.handle).await?;
        if self.raw {
            return Ok(io::stdout().write_all(&it.bytes)?);
        }
        println!("{:<12}  {}", "provider", it.provider.name);
        println!("{:<12}  {}", "reason", it.reason);
        println!("{:<12}  {}", "arrival", it.origin.arrival);
        println!("{:<12}  {}", "requestid", printable(&it.origin.request_id));
        println!("{:<12}  {}", "contenttype", printable(&it.origin.content_type.unwrap_or_default()));
        println!("{:<12}  {}\n", "bytes", it.bytes.len());
        match str::from_utf8(&it.bytes) {
            Ok(text) if !self.hex => println!("{}", printable(text)),
            _ => print!("{}", hex_dump(&it.bytes)),
        }
        Ok(())
    }
}

/// Sixteen bytes a line: their place, their digits, and what of them is ASCII.
fn hex_dump(bytes: &[u8]) -> String {
    let line = |(number, bytes): (usize, &[u8])| {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        let text: String =
            bytes.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        format!("{:08x}  {digits:<48} {text}\n", number * 16)
    };
    bytes.chunks(16).enumerate().map(line).collect()
}

/// Reads quarantined deliveries again, and moves those that this version can read into the events.
///
/// What is read is put before the delivery leaves the quarantine, under ids that are the same each time: an interruption
/// loses nothing and doubles nothing.
///
/// Example: cargo hookkeeper quarantine replay --local --provider closer --dry-run
#[derive(Args)]
struct Replay {
    /// Only these [default: all of --provider and --since]
    handles: Vec<Handle>,
    #[command(flatten)]
    which: Which,
    /// Only say what would become of them
    #[arg(long)]
    dry_run: bool,
}

impl Replay {
    async fn run(self) -> Result<(), Failure> {
        let table = self.which.connection.table().await?;
        let (mut read, mut stay) = (0_u64, 0_u64);
        let mut count = |is_read| if is_read { read += 1 } else { stay += 1 };
        if self.handles.is_empty() {
            let mut all = pin!(quarantined(&table, self.which.provider, self.which.span.resolve(), Order::OldestFirst));
            while let Some(it) = all.try_next().await? {
                count(self.replay(&table, it).await?);
            }
        }
        for handle in &self.handles {
            count(self.replay(&table, find(&table, handle).await?).await?);
        }
        let but = if self.dry_run { ", and nothing was changed (--dry-run)" } else { "" };
        println!("{read} deliveries can be read now, {stay} stay in the quarantine{but}.");
        Ok(())
    }

    /// Reads one again; says whether it could be.
    async fn replay(&self, table: &Table, it: Quarantined) -> Result<bool, Failure> {
        let records = match read(&it.provider, &it.origin, it.bytes) {
            Ok(records) => records,
            Err(reason) => {
                println!("{}  {}  stays: {reason}", it.handle, it.provider.name);
                return Ok(false);
            }
        };
        for record in &records {
            if let Record::Event { event, .. } = record {
                println!(
                    "{}  {}  {}  {}",
                    it.handle,
                    it.provider.name,
                    printable(&event.r#type),
                    printable(&event.subject)
                );
            }
        }
        if !self.dry_run {
            let expires = table.expiry();
            for record in records {
                table.put_until(record, expires).await?;
            }
            table.remove(&it.key).await?;
        }
        Ok(true)
    }
}

/// Drops quarantined deliveries for good, after asking.
///
/// Example: cargo hookkeeper quarantine drop tcxk8q-a3f41c --local
#[derive(Args)]
struct Remove {
    /// As the list prints them
    #[arg(required = true)]
    handles: Vec<Handle>,
    #[command(flatten)]
    connection: Connection,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Remove {
    async fn run(self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let mut found = Vec::new();
        for handle in &self.handles {
            let it = find(&table, handle).await?;
            println!("{}  {}  {} bytes  {}", it.handle, it.provider.name, it.bytes.len(), it.reason);
            found.push(it.key);
        }
        if !self.yes && !confirmed(found.len())? {
            return Err("nothing was dropped".into());
        }
        for key in &found {
            table.remove(key).await?;
        }
        println!("Dropped {}.", found.len());
        Ok(())
    }
}

/// Asks whoever sits there.
fn confirmed(deliveries: usize) -> Result<bool, Failure> {
    if !io::stdin().is_terminal() {
        return Err("nobody can be asked here: say --yes".into());
    }
    print!("Drop {deliveries} for good? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.trim().eq_ignore_ascii_case("y"))
}
