//! `hookkeeper dev`: runs a local Hookkeeper until Ctrl-C.

use crate::{Failure, signal::stop};
use clap::Args;
use hookkeeper::{
    dev::{Data, DynamoDb, Gateway, TABLE, User, check_ports},
    template::TEMPLATE,
};
use std::{fs, path::PathBuf};

/// Runs an embedded DynamoDB and all receivers on this machine, until Ctrl-C.
///
/// Example: cargo dev --port 9001 --data memory
#[derive(Args)]
pub(crate) struct Dev {
    /// Port of the receivers on 127.0.0.1
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// Port of the embedded DynamoDB on 127.0.0.1
    #[arg(long, default_value_t = 8000)]
    dynamodb_port: u16,
    /// Folder in which the table is stored, or `memory`
    #[arg(long, default_value = "target/dev", value_parser = data)]
    data: Data,
    /// User name and password that the receivers accept. Choose your own before you make them public with a tunnel
    /// [env: HOOKKEEPER_USER] [default: local:local]
    #[arg(long, value_name = "USER:PASSWORD")]
    user: Option<User>,
    /// SAM template with the schema of the table [default: the template of this version]
    #[arg(long)]
    template: Option<PathBuf>,
}

#[expect(clippy::unnecessary_wraps, reason = "clap asks for a result")]
fn data(argument: &str) -> Result<Data, String> {
    Ok(if argument == "memory" {
        Data::Memory
    } else {
        Data::Folder(argument.into())
    })
}

impl Dev {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let template = match &self.template {
            None => TEMPLATE.to_owned(),
            Some(path) => fs::read_to_string(path)
                .map_err(|error| format!("cannot read {} ({error})", path.display()))?,
        };
        let user = match &self.user {
            Some(user) => user.clone(),
            None => User::from_env()?,
        };
        check_ports(self.port, self.dynamodb_port).await?;
        let dynamodb = DynamoDb::start(&self.data, self.dynamodb_port, &template).await?;
        let gateway = Gateway::start(self.port, &user, &dynamodb.settings()).await?;
        // Listen before the ready line is printed: a signal that follows it must end this in order.
        let stopped = stop()?;
        self.print(&dynamodb, &gateway, &user);
        stopped.await;
        eprintln!("\nStopping.");
        gateway.stop().await;
        dynamodb.stop().await;
        Ok(())
    }

    fn print(&self, dynamodb: &DynamoDb, gateway: &Gateway, user: &User) {
        println!(
            "Hookkeeper receives webhooks (user name {}, password {}):\n",
            user.name(),
            user.password()
        );
        for provider in providers::ALL {
            println!("  {:<10} {}", provider.name, gateway.url(provider.name));
        }
        let data = match &self.data {
            Data::Memory => "in memory, deleted when this command stops".to_owned(),
            Data::Folder(folder) => format!("in {}", folder.display()),
        };
        println!(
            "\nand stores them in the table {TABLE} of the DynamoDB on {} ({data}).",
            dynamodb.endpoint()
        );
        println!("\nSend one from another terminal:\n");
        for provider in providers::ALL {
            println!(
                "  {}",
                curl(user, &gateway.url(provider.name), provider.samples.example)
            );
        }
        let to = match gateway.port() {
            9000 => String::new(),
            port => format!(" --local={port}"),
        };
        let shown = if *user == User::known() {
            String::new()
        } else {
            format!(" --user {}", user.shell_word())
        };
        println!(
            "\nOr send any webhook of a provider (send --list):\n\n  cargo hookkeeper send pipedrive deal.updated{to}{shown}"
        );
        let port = match dynamodb.port() {
            8000 => " --local".to_owned(),
            port => format!(" --local={port}"),
        };
        println!(
            "\nList the stored events:\n\n  cargo hookkeeper events{port}\n\nPress Ctrl-C to stop. One line is logged for each delivery:\n"
        );
    }
}

fn curl(user: &User, url: &str, body: &str) -> String {
    let json = if body.starts_with('{') {
        " -H 'content-type: application/json'"
    } else {
        ""
    };
    format!("curl -i -u {} {url}{json} -d '{body}'", user.shell_word())
}
