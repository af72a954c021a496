//! A consumer: a named, durable cursor over the stored events, for programs that must get every
//! event.
//!
//! ```no_run
//! # async fn consume(table: &storage::Table) -> Result<(), Box<dyn std::error::Error>> {
//! use storage::consumer::{Options, Start};
//!
//! let options = Options::new(Start::Beginning);
//! let mut cursor = table.open_cursor("warehouse", &options).await?;
//! while let Some(stored) = cursor.next().await? {
//!     println!("{:?}", stored.record); // Handle the event here.
//!     cursor.commit().await?;
//! }
//! cursor.close().await?; // Every event up to a minute ago was handled.
//! # Ok(())
//! # }
//! ```
//!
//! # What is guaranteed
//!
//! - **Every event is delivered at least once**, in the order of recording. An event can be
//!   delivered again after a crash: `id` is the same.
//! - **Nothing is skipped**, as long as an event is visible in the index within [`Options::delay`]
//!   of its `recordedtime`. The clocks of all writers bound that: a receiver stamps an event with
//!   the larger of its own clock and API Gateway's, the drain with the largest of its clock, SQS's
//!   and DynamoDB's. With a clock that is 2 s off, a put of 15 s and an index that is 10 s behind,
//!   27 s are needed; the default is 60 s. "Now" is DynamoDB's time, not this machine's.
//! - **What is written later is found.** A cursor compares the last 15 minutes before its position
//!   with the index, when it is opened and every minute. It delivers what was written there since,
//!   and counts it in [`Consumer::behindcount`].
//! - **The position never goes back**, except by [`Cursor::reset`]. Every write of it is
//!   conditional on the one before, so of two processes one fails with [`ConsumerError::Lost`].
//! - An event that this version cannot read stops the cursor: skipping it would lose it.
//!
//! # What it costs
//!
//! A look at the index reads its 16 shards (8 read units), an event 1 read unit for each 4 KB, and a
//! commit is a write unit.

mod state;
mod window;

use crate::{IndexEntry, Key, Stored, Table, TableError, index::Positioned, schema::consumer};
use futures_util::{StreamExt, stream::BoxStream};
use models::Timestamp;
use state::Difference;
use std::{collections::VecDeque, fmt, time::Duration};
use window::Window;

pub use crate::schema::consumer::{Consumer, Position, Stopped};

/// How long a process holds a consumer without a sign of life.
pub const LEASE: Duration = Duration::from_secs(20);
/// Time between two signs of life.
pub const RENEWAL: Duration = Duration::from_secs(7);
/// Time between two searches for events that were written behind the position.
const CHECK: Duration = Duration::from_mins(1);
/// Number of events that are read concurrently.
const CONCURRENT_GETS: usize = 8;
/// Number of events that the state lists as skipped, and as written behind the position.
const LISTED: usize = 20;
/// Number of undelivered events up to which [`Table::pending`] counts.
pub const COUNTED: usize = 10_000;

/// Where a new consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// At the first event that is stored.
    Beginning,
    /// With the events that are recorded from now on.
    Now,
    /// With the events that were recorded at a time or later.
    At(Timestamp),
}

/// How a cursor reads.
pub struct Options<'a> {
    /// Where a new consumer begins. One that exists continues.
    pub start: Start,
    /// How old an event must be to be delivered.
    pub delay: Duration,
    /// Which events are delivered. The cursor passes the others.
    pub select: &'a (dyn Fn(&IndexEntry) -> bool + Sync),
}

impl Options<'_> {
    /// All events that are older than a minute.
    #[must_use]
    pub fn new(start: Start) -> Self {
        Self {
            start,
            delay: Duration::from_mins(1),
            select: &|_| true,
        }
    }
}

impl fmt::Debug for Options<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = f.debug_struct("Options");
        options.field("start", &self.start);
        options.field("delay", &self.delay);
        options.finish_non_exhaustive()
    }
}

/// An error of a consumer. Contains no value of an event but its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumerError {
    /// Another process holds the consumer.
    #[error("another process holds the consumer until {0}")]
    Held(Timestamp),
    /// Another process took the consumer over, or removed it.
    #[error("another process took the consumer over")]
    Lost,
    /// An event cannot be read by this version.
    #[error("an event cannot be read: {1}")]
    Unreadable(Box<Position>, TableError),
    /// There is no such consumer.
    #[error("there is no consumer of this name")]
    Missing,
    /// The consumer did not stop at an event.
    #[error("the consumer has not stopped at an event")]
    NotStopped,
    /// The table failed. The same call may be made again.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// The events that a consumer has not handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Their number, up to [`COUNTED`]. They are of all types.
    pub events: usize,
    /// When the first of them was recorded.
    pub oldest: Option<Timestamp>,
    /// The number of events that were written behind the position, and not delivered yet.
    pub behind: u64,
}

/// What the index has at a position.
struct Read {
    position: Position,
    found: Found,
}

enum Found {
    Event(Box<Stored>),
    /// An event that is not selected.
    NotSelected,
    /// The event was removed, or a replay is moving it to another key.
    Nothing,
    Unreadable(TableError),
}

/// An event that the cursor returned, and that is not handled yet.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Returned {
    position: Position,
    is_behind: bool,
}

/// A consumer that this process holds.
pub struct Cursor<'a> {
    table: &'a Table,
    options: &'a Options<'a>,
    /// The state in the table.
    saved: Consumer,
    /// The state after the next commit.
    next: Consumer,
    returned: Option<Returned>,
    /// The event that cannot be read.
    stuck: Option<(Position, TableError)>,
    ahead: Option<Ahead<'a>>,
    /// Events behind the position that are to be delivered.
    behind: VecDeque<Positioned>,
    /// Set while `behind` is the whole window, because the saved digest differs: it is not known
    /// which events are new.
    difference: Difference,
    window: Window,
    checked: Timestamp,
}

/// What is ahead of the position, up to a time.
struct Ahead<'a> {
    reads: BoxStream<'a, Result<Read, TableError>>,
    until: Position,
}

impl fmt::Debug for Cursor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cursor = f.debug_struct("Cursor");
        cursor.field("state", &self.next);
        cursor.finish_non_exhaustive()
    }
}

impl Table {
    /// Opens a consumer, and creates it if it does not exist.
    ///
    /// # Errors
    /// - [`ConsumerError::Held`]: another process has it.
    /// - [`ConsumerError::Table`].
    pub async fn open_cursor<'a>(
        &'a self,
        name: &str,
        options: &'a Options<'a>,
    ) -> Result<Cursor<'a>, ConsumerError> {
        let saved = loop {
            let taken = match self.consumer(name).await? {
                Some(consumer) => self.take(consumer).await?,
                None => self.create(name, options.start).await?,
            };
            // Another process was faster. Look again.
            if let Some(taken) = taken {
                break taken;
            }
        };
        let mut cursor = Cursor {
            table: self,
            options,
            next: saved.clone(),
            saved,
            returned: None,
            stuck: None,
            ahead: None,
            behind: VecDeque::new(),
            difference: Difference::None,
            window: Window::default(),
            checked: self.now(),
        };
        cursor.compare_window().await?;
        Ok(cursor)
    }

    /// Opens a consumer that exists.
    ///
    /// # Errors
    /// As [`open_cursor`](Self::open_cursor), and [`ConsumerError::Missing`].
    pub async fn open_existing_cursor<'a>(
        &'a self,
        name: &str,
        options: &'a Options<'a>,
    ) -> Result<Cursor<'a>, ConsumerError> {
        match self.consumer(name).await? {
            Some(_) => self.open_cursor(name, options).await,
            None => Err(ConsumerError::Missing),
        }
    }

    /// Reads the event of an index entry.
    async fn read(
        &self,
        entry: Positioned,
        select: &(dyn Fn(&IndexEntry) -> bool + Sync),
    ) -> Result<Read, TableError> {
        let position = entry.position;
        let found = match entry.entry {
            Ok(entry) if !select(&entry) => Found::NotSelected,
            Ok(entry) => self.found(&entry.key).await?,
            Err(error) => Found::Unreadable(error.into()),
        };
        Ok(Read { position, found })
    }

    async fn found(&self, key: &Key) -> Result<Found, TableError> {
        match self.get(key).await {
            Ok(Some(stored)) => Ok(Found::Event(Box::new(stored))),
            Ok(None) => Ok(Found::Nothing),
            Err(error) if error.is_about_item() => Ok(Found::Unreadable(error)),
            Err(error) => Err(error),
        }
    }
}

impl<'a> Cursor<'a> {
    /// The state of the consumer, with the events that were handled since the last commit.
    #[must_use]
    pub fn consumer(&self) -> &Consumer {
        &self.next
    }

    /// Returns the next event, or `None` if there is none that is older than [`Options::delay`].
    /// The event that was returned before counts as handled.
    ///
    /// # Errors
    /// - [`ConsumerError::Unreadable`], again and again until it is [skipped](Self::skip).
    /// - [`ConsumerError::Lost`].
    /// - [`ConsumerError::Table`].
    pub async fn next(&mut self) -> Result<Option<Stored>, ConsumerError> {
        self.handle_returned();
        loop {
            self.renew().await?;
            if let Some((position, error)) = &self.stuck {
                let position = Box::new(position.clone());
                return Err(ConsumerError::Unreadable(position, error.clone()));
            }
            self.look_behind_if_due().await?;
            let (read, is_behind) = match self.behind.front().cloned() {
                Some(entry) => (self.read_behind(entry).await?, true),
                None => match self.read_ahead().await? {
                    Some(read) => (read, false),
                    None => return Ok(None),
                },
            };
            let position = read.position;
            match read.found {
                Found::Event(stored) => {
                    self.returned = Some(Returned {
                        position,
                        is_behind,
                    });
                    return Ok(Some(*stored));
                }
                Found::Unreadable(error) if !self.is_skipped(&position) => {
                    self.stuck = Some((position, error));
                }
                // Not in the window: if it was moved, its new key is still to be delivered.
                Found::Nothing => self.move_behind(position),
                Found::NotSelected | Found::Unreadable(_) => self.pass(position),
            }
        }
    }

    /// Saves that all returned events were handled.
    ///
    /// # Errors
    /// [`ConsumerError::Lost`] and [`ConsumerError::Table`].
    pub async fn commit(&mut self) -> Result<(), ConsumerError> {
        self.handle_returned();
        if self.next == self.saved {
            return Ok(());
        }
        self.save().await
    }

    /// Keeps the consumer, if it is time for that. Call it every few seconds while an event is
    /// handled.
    ///
    /// # Errors
    /// [`ConsumerError::Lost`] and [`ConsumerError::Table`].
    pub async fn renew(&mut self) -> Result<(), ConsumerError> {
        let renewed = self.saved.lease.leaseuntil.before(LEASE);
        if self.table.now() < renewed.after(RENEWAL) {
            return Ok(());
        }
        self.save().await
    }

    /// Saves the position, and lets another process take the consumer. The event that was returned
    /// last counts as handled only if it was committed.
    ///
    /// # Errors
    /// [`ConsumerError::Lost`] and [`ConsumerError::Table`].
    pub async fn close(mut self) -> Result<Consumer, ConsumerError> {
        self.release().await?;
        Ok(self.saved)
    }

    /// Like [`close`](Self::close), at the event that was returned last or cannot be read. Notes the
    /// reason.
    ///
    /// # Errors
    /// [`ConsumerError::Lost`] and [`ConsumerError::Table`].
    pub async fn stop(mut self, reason: &str) -> Result<Consumer, ConsumerError> {
        let returned = self.returned.as_ref().map(|returned| &returned.position);
        let stuck = self.stuck.as_ref().map(|(position, _)| position);
        self.next.stopped = returned.or(stuck).map(|position| Stopped {
            position: position.clone(),
            reason: reason.to_owned(),
            time: self.table.now(),
        });
        self.release().await?;
        Ok(self.saved)
    }

    /// Passes the event at which the consumer stopped, and notes that.
    ///
    /// # Errors
    /// [`ConsumerError::NotStopped`], [`ConsumerError::Lost`] and [`ConsumerError::Table`].
    pub async fn skip(mut self) -> Result<Stopped, ConsumerError> {
        let Some(stopped) = self.next.stopped.take() else {
            self.release().await?;
            return Err(ConsumerError::NotStopped);
        };
        let skipped = &mut self.next.skipped;
        skipped.push(stopped.clone());
        // A window that is delivered again passes these.
        let start = window::start(&self.next.position, &self.next.start);
        while skipped.len() > LISTED && skipped.first().is_some_and(|old| old.position < start) {
            skipped.remove(0);
        }
        self.release().await?;
        Ok(stopped)
    }

    /// Moves the consumer to another position, forward or back.
    ///
    /// # Errors
    /// [`ConsumerError::Lost`] and [`ConsumerError::Table`].
    pub async fn reset(mut self, start: Start) -> Result<Consumer, ConsumerError> {
        let (start, position) = self.table.start(start).await?;
        self.next.position = position;
        self.next.start = start;
        self.next.stopped = None;
        self.window = Window::default();
        self.difference = Difference::None;
        self.release().await?;
        Ok(self.saved)
    }

    /// Deletes the consumer. The events stay.
    ///
    /// # Errors
    /// [`ConsumerError::Lost`] and [`ConsumerError::Table`].
    pub async fn delete(self) -> Result<(), ConsumerError> {
        let Self { table, saved, .. } = self;
        if !table.delete_leased(&saved).await? {
            return Err(ConsumerError::Lost);
        }
        // Last, so that every consumer is listed.
        Ok(table.delete(&consumer::name_key(&saved.name)).await?)
    }

    async fn release(&mut self) -> Result<(), ConsumerError> {
        self.update_window();
        let mut released = self.next.clone();
        released.lease.owner = None;
        self.replace(released).await
    }

    /// Saves the position, with the lease extended.
    async fn save(&mut self) -> Result<(), ConsumerError> {
        self.update_window();
        let mut extended = self.next.clone();
        extended.lease.leaseuntil = self.table.now().after(LEASE);
        self.replace(extended).await
    }

    async fn replace(&mut self, new: Consumer) -> Result<(), ConsumerError> {
        let owner = self.saved.lease.owner.as_deref();
        let saved = self.table.replace_leased(&self.saved, new, owner).await?;
        self.saved = saved.ok_or(ConsumerError::Lost)?;
        self.next = self.saved.clone();
        Ok(())
    }

    fn update_window(&mut self) {
        // Until the window is delivered again, another process must find the difference too.
        if self.difference != Difference::None {
            return;
        }
        let start = window::start(&self.next.position, &self.next.start);
        self.window.forget_before(&start);
        let digest = self.window.digest();
        self.next.windowcount = digest.count;
        self.next.windowhash = digest.hash;
    }

    /// Counts the event that was returned last as handled.
    fn handle_returned(&mut self) {
        let Some(returned) = self.returned.take() else {
            return;
        };
        if returned.is_behind && self.difference == Difference::None {
            self.next.behindcount += 1;
            let listed = &mut self.next.behind;
            listed.push(returned.position.clone());
            listed.drain(..listed.len().saturating_sub(LISTED));
        }
        self.pass(returned.position);
    }

    /// Counts an event as handled, and moves behind it.
    fn pass(&mut self, position: Position) {
        self.window.insert(&position);
        self.move_behind(position);
    }

    fn move_behind(&mut self, position: Position) {
        let stopped = &mut self.next.stopped;
        stopped.take_if(|stopped| stopped.position <= position);
        let behind = &mut self.behind;
        let was_behind = behind.pop_front_if(|behind| behind.position == position);
        if was_behind.is_some() && self.behind.is_empty() {
            self.next.behindcount += self.difference.written();
            self.difference = Difference::None;
        }
        // A text that is no time stays ahead, because the next query could not begin there.
        if position > self.next.position && position.time().is_some() {
            self.next.position = position;
        }
    }

    fn is_skipped(&self, position: &Position) -> bool {
        self.skipped().contains(position)
    }

    fn skipped(&self) -> Vec<Position> {
        let skipped = self.next.skipped.iter();
        skipped.map(|skipped| skipped.position.clone()).collect()
    }

    /// Reads what is next. At the end it moves to the end, so that the next look is short.
    async fn read_ahead(&mut self) -> Result<Option<Read>, ConsumerError> {
        let mut ahead = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.look_ahead(),
        };
        if let Some(read) = ahead.reads.next().await {
            let read = read?;
            self.ahead = Some(ahead);
            return Ok(Some(read));
        }
        if ahead.until > self.next.position {
            self.next.position = ahead.until;
        }
        Ok(None)
    }

    fn look_ahead(&self) -> Ahead<'a> {
        let until = Position::at(self.table.now().before(self.options.delay));
        let (table, select) = (self.table, self.options.select);
        let entries = table.positions(self.next.position.clone(), until.clone());
        let skipped: Vec<Position> = self.skipped();
        let reads = entries
            .map(move |entry| {
                let entry = entry.map(|entry| (skipped.contains(&entry.position), entry));
                async move {
                    let (is_skipped, entry) = entry?;
                    let is_wanted = |entry: &IndexEntry| !is_skipped && select(entry);
                    table.read(entry, &is_wanted).await
                }
            })
            .buffered(CONCURRENT_GETS)
            .boxed();
        Ahead { reads, until }
    }

    /// Compares the window with the index, when the cursor is opened. If they differ, all of it is
    /// delivered again.
    async fn compare_window(&mut self) -> Result<(), ConsumerError> {
        let (entries, difference) = self.table.compared_window(&self.saved).await?;
        if difference == Difference::None {
            for entry in entries {
                self.window.insert(&entry.position);
            }
        } else if !entries.is_empty() {
            self.behind = entries.into();
            self.difference = difference;
        }
        Ok(())
    }

    /// Searches for events that were written behind the position, once a minute.
    async fn look_behind_if_due(&mut self) -> Result<(), ConsumerError> {
        let now = self.table.now();
        if now < self.checked.after(CHECK) || !self.behind.is_empty() {
            return Ok(());
        }
        let entries = self.table.window(&self.next).await?.into_iter();
        let unknown = entries.filter(|entry| !self.window.contains(&entry.position));
        self.behind = unknown.collect();
        self.checked = now;
        Ok(())
    }

    async fn read_behind(&self, entry: Positioned) -> Result<Read, ConsumerError> {
        let is_skipped = self.is_skipped(&entry.position);
        let is_wanted = |entry: &IndexEntry| !is_skipped && (self.options.select)(entry);
        Ok(self.table.read(entry, &is_wanted).await?)
    }
}
