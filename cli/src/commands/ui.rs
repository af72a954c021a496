//! `hookkeeper ui`: serves the page over the table until Ctrl-C.

use crate::{
    Failure,
    connection::Connection,
    output::say,
    signal::stop,
    ui::{Site, router},
};
use clap::Args;
use hookkeeper::dev::Server;
use std::process::{Command, Stdio};

/// Shows the stored events in a browser on this machine, until Ctrl-C.
///
/// The page reads the table with your own AWS configuration. It changes nothing without --write, and only this machine can
/// open it.
///
/// Example: cargo hookkeeper ui --local --open
#[derive(Args)]
pub(crate) struct Ui {
    #[command(flatten)]
    connection: Connection,
    /// Port of the page on 127.0.0.1 (0: any free port)
    #[arg(long, default_value_t = 9100)]
    port: u16,
    /// Allow the page to change the table: to replay and to drop quarantined deliveries
    #[arg(long)]
    write: bool,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
}

impl Ui {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let table = self.connection.table().await?;
        let name = table.name().to_owned();
        let site = Site::new(table)?
            .with_writes(self.write)
            .with_queues(self.connection.queues().await?);
        let server = Server::listen(self.port, router(site)).await?;
        // Listen before the ready line is printed: a signal that follows it must end this in order.
        let stopped = stop()?;
        let address = format!("http://{}/", server.address());
        say!("Hookkeeper shows the table {name} on {address}\nPress Ctrl-C to stop.")?;
        if self.open {
            open(&address);
        }
        stopped.await;
        server.stop().await;
        Ok(())
    }
}

/// Opens an address in the browser. A machine without one has the printed address.
fn open(address: &str) {
    let program = if cfg!(target_os = "macos") {
        "open"
    } else if cfg!(windows) {
        "explorer"
    } else {
        "xdg-open"
    };
    let mut command = Command::new(program);
    let opened = command
        .arg(address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    if let Err(error) = opened {
        eprintln!("cannot open a browser ({program}: {error}): open the address yourself");
    }
}
