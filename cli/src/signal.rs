//! Signals that end a command.

use std::io;

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
