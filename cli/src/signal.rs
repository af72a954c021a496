//! Signals that end a command.

use std::io;
use tokio::sync::watch;

/// Starts to listen for Ctrl-C and SIGTERM. The future resolves when one of them has arrived.
///
/// After this call neither of them ends the process by itself: await the future together with
/// everything that the command does.
#[cfg(unix)]
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Starts to listen for Ctrl-C. The future resolves when it has arrived.
#[cfg(windows)]
pub(crate) fn stop() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
    })
}

/// Whether one of these signals has arrived. It can be awaited any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Starts to listen, as [`stop`] does.
    pub(crate) fn listen() -> io::Result<Self> {
        let stop = stop()?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            stop.await;
            sender.send_replace(true);
            // The receivers see the value as long as the sender lives.
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    /// Whether a signal has arrived.
    pub(crate) fn has_arrived(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves when a signal has arrived.
    pub(crate) async fn arrived(&mut self) {
        self.0.wait_for(|has_arrived| *has_arrived).await.ok();
    }
}
