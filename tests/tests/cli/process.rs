//! Processes that tests start and end.

use std::{
    io::{BufRead, BufReader},
    process::{Child, ExitStatus},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};
use tokio::task::block_in_place;

/// A process that is killed when this is dropped.
pub(crate) struct Killed(pub(crate) Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Timeout of a test that waits for a process.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The lines that a process prints, as it prints them.
pub(crate) fn lines_of(process: &mut Killed) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(process.0.stdout.take().unwrap());
    thread::spawn(move || {
        stdout
            .lines()
            .try_for_each(|line| sender.send(line.unwrap()))
    });
    lines
}

/// How a process ends.
pub(crate) fn wait(process: &mut Killed) -> ExitStatus {
    let started = Instant::now();
    loop {
        match process.0.try_wait().unwrap() {
            Some(status) => return status,
            None => assert!(started.elapsed() < PATIENCE, "it does not end"),
        }
        block_in_place(|| thread::sleep(Duration::from_millis(10)));
    }
}
