//! Runs the `hookkeeper` command as a process, and `hookkeeper dev` on this machine.

use crate::runtime_api::binary;
use hookkeeper::dev::TABLE;
use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};
use storage::{Client, Settings, Table};

/// The command with arguments, to be run.
#[must_use]
pub fn hookkeeper(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary("hookkeeper"));
    command.args(arguments);
    command
}

/// A running `hookkeeper dev` on ports of its own. Killed when it is dropped.
#[derive(Debug)]
pub struct Dev {
    process: Child,
    /// The rest of its output. A thread reads it, because a full pipe would stop the process.
    log: Option<JoinHandle<String>>,
    /// Its output until it was ready.
    greeting: String,
}

impl Dev {
    /// Starts it with a folder for its data, or `memory`.
    #[must_use]
    pub fn start(data: &str) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts it with a folder for its data, or `memory`, and with further arguments.
    #[must_use]
    pub fn start_with(data: &str, arguments: &[&str]) -> Self {
        let mut process =
            hookkeeper(&["dev", "--port", "0", "--dynamodb-port", "0", "--data", data])
                .args(["--log", "json"])
                .args(arguments)
                .env_remove("HOOKKEEPER_DEV_USER")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Press Ctrl-C to stop") {
            assert_ne!(
                stdout.read_line(&mut greeting).unwrap(),
                0,
                "it ended: {greeting}"
            );
        }
        let log = thread::spawn(move || {
            let mut log = String::new();
            stdout.read_to_string(&mut log).unwrap();
            log
        });
        Self {
            process,
            log: Some(log),
            greeting,
        }
    }

    /// The `curl` lines that it printed.
    #[must_use]
    pub fn curl_lines(&self) -> Vec<&str> {
        self.greeting
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("curl "))
            .collect()
    }

    /// The port of the receivers.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port_after("pipedrive  http://127.0.0.1:")
    }

    /// The URL of its page.
    #[must_use]
    pub fn page_url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port())
    }

    /// The port of the DynamoDB.
    #[must_use]
    pub fn dynamodb_port(&self) -> u16 {
        self.port_after("DynamoDB on http://127.0.0.1:")
    }

    fn port_after(&self, text: &str) -> u16 {
        let (_, rest) = self
            .greeting
            .split_once(text)
            .unwrap_or_else(|| panic!("{}", self.greeting));
        rest.split(|character: char| !character.is_ascii_digit())
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Its table.
    #[must_use]
    pub fn table(&self) -> Table {
        let endpoint = format!("http://127.0.0.1:{}", self.dynamodb_port());
        Table::new(&Client::background(), &Settings::local(TABLE, endpoint))
    }

    /// Output of one of the commands in its greeting: `send`, which acts as a provider, or
    /// `events`, which lists the stored events.
    #[must_use]
    pub fn paste(&self, command: &str) -> String {
        let mut lines = self
            .greeting
            .lines()
            .filter_map(|line| line.trim().strip_prefix("cargo hookkeeper "));
        let line = lines.find(|line| line.starts_with(command)).unwrap();
        let mut command = hookkeeper(&line.split(' ').collect::<Vec<_>>());
        let output = command.env_remove("HOOKKEEPER_DEV_USER").output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends Ctrl-C, and returns the exit status and the number of log lines. The rest of its
    /// output is one JSON line for each delivery.
    #[must_use]
    pub fn interrupt(mut self) -> (ExitStatus, usize) {
        send_signal(&self.process, "-INT");
        let rest = self.log.take().unwrap().join().unwrap();
        let lines = rest.lines().filter(|line| !line.is_empty());
        let lines = lines.inspect(|line| {
            assert!(
                serde_json::from_str::<serde_json::Value>(line).is_ok(),
                "{line}"
            );
        });
        (self.process.wait().unwrap(), lines.count())
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Sends a signal, like `-INT`, to a process.
pub fn send_signal(process: &Child, signal: &str) {
    let pid = process.id().to_string();
    let status = Command::new("kill").args([signal, &pid]).status().unwrap();
    assert!(status.success(), "kill {signal}: {status}");
}
