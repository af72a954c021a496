//! The log of the local server. A thread writes its lines, so a full pipe that nobody reads delays
//! no response: lines that do not fit are dropped, and counted.

use std::{
    sync::mpsc::{SyncSender, sync_channel},
    thread,
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// Maximum number of lines that wait to be written.
const CAPACITY: usize = 1_000;
/// How long the lines that wait may take at the end.
const FLUSH: Duration = Duration::from_secs(1);

/// The lines that are to be written.
pub(super) struct Lines {
    waiting: SyncSender<String>,
    /// Resolves when the thread has written all of them.
    written: oneshot::Receiver<()>,
    /// The number of lines that were dropped since the last note.
    dropped: u64,
    /// Formats the note that stands for dropped lines.
    note: fn(u64) -> String,
}

impl Lines {
    /// Starts the thread, which writes each line with `write`.
    pub(super) fn start(note: fn(u64) -> String, write: impl Fn(String) + Send + 'static) -> Self {
        let (waiting, lines) = sync_channel(CAPACITY);
        let (done, written) = oneshot::channel();
        thread::spawn(move || {
            lines.into_iter().for_each(write);
            done.send(()).ok();
        });
        Self {
            waiting,
            written,
            dropped: 0,
            note,
        }
    }

    /// Adds a line, or drops it if too many wait.
    pub(super) fn push(&mut self, line: String) {
        if self.dropped > 0 && self.waiting.try_send((self.note)(self.dropped)).is_ok() {
            self.dropped = 0;
        }
        if self.dropped > 0 || self.waiting.try_send(line).is_err() {
            self.dropped += 1;
        }
    }

    /// Waits for a moment until all lines are written. Returns the number of lines that were dropped
    /// and that no note counts.
    pub(super) async fn finish(self) -> u64 {
        drop(self.waiting);
        timeout(FLUSH, self.written).await.ok();
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn lines_that_do_not_fit_are_dropped_and_counted() {
        let (allow, allowed) = channel::<()>();
        let (sender, written) = channel();
        let mut lines = Lines::start(
            |dropped| format!("{dropped} dropped"),
            move |line| {
                allowed.recv().ok();
                sender.send(line).ok();
            },
        );
        // The thread has taken one of them when the others are added, or none yet.
        for number in 0..=CAPACITY + 10 {
            lines.push(number.to_string());
        }
        let dropped = lines.dropped;
        assert!((10..=11).contains(&dropped), "{dropped}");
        allow.send(()).unwrap();
        assert_eq!(written.recv().unwrap(), "0");
        drop(allow);
        for number in 1..CAPACITY {
            assert_eq!(written.recv().unwrap(), number.to_string());
        }
        lines.push("next".to_owned());
        assert_eq!(lines.finish().await, 0);
        let rest: Vec<String> = written.into_iter().collect();
        assert!(
            rest.ends_with(&[format!("{dropped} dropped"), "next".to_owned()]),
            "{rest:?}"
        );
    }
}
