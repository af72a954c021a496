//! `hookkeeper events follow` ends after a signal.

use crate::process::{Killed, PATIENCE, lines_of};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::{
    dev::{hookkeeper, send_signal},
    proxy::{Fault, Proxy},
    site::Site,
};
use tokio::time::sleep;

/// Longest time between a signal and the end of the command.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn ends_by(signal: &str, fault: Fault) {
    let site = Site::start().await;
    let proxy = Proxy::start(&format!("http://127.0.0.1:{}", site.port()));
    let (_, port) = proxy
        .endpoint()
        .rsplit_once(':')
        .map(|(host, port)| (host.to_owned(), port.to_owned()))
        .unwrap();
    let mut command = hookkeeper(&["events", "follow", &format!("--local={port}")]);
    let mut process = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let lines = lines_of(&mut process);
    assert!(
        tokio::task::block_in_place(|| lines.recv_timeout(PATIENCE))
            .unwrap()
            .starts_with("HANDLE")
    );
    // After one complete poll of the table, the command listens for Ctrl-C.
    let looked = proxy.requests() + 32;
    while proxy.requests() < looked {
        sleep(Duration::from_millis(10)).await;
    }
    proxy.set(fault).await;
    let passed = proxy.requests();
    while proxy.requests() == passed {
        sleep(Duration::from_millis(10)).await;
    }
    send_signal(&process.0, signal);
    let signalled = Instant::now();
    let status = loop {
        match process.0.try_wait().unwrap() {
            Some(status) => break status,
            None if signalled.elapsed() > AT_ONCE => panic!("{signal} did not end it"),
            None => sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!(status.code(), Some(0), "{signal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_command_while_the_table_hangs() {
    ends_by("-INT", Fault::Hang).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_command_while_the_table_hangs() {
    ends_by("-TERM", Fault::Hang).await;
}
