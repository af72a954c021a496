//! The guardian: looks at each account's webhook, and creates it again if the provider removed or
//! disabled it. The function and the command `hookkeeper guard` are the same code.
//!
//! It acts only on a well-formed list. It creates before it deletes, lists again in between, and
//! deletes nothing but webhooks with our own URL. What no webhook reported meanwhile, it reads back
//! from the API.

mod client;
mod decision;
mod heal;
mod pass;
mod recovery;
mod report;
pub mod secrets;

use secrets::SecretError;
use serde_json::json;
use std::{
    env,
    io::{self, Write},
};
use storage::{Backlog, Settings, SettingsError, Table, guardian::GuardError, require};

pub use client::{Client, TIMEOUT, Usage};
pub use decision::{Creation, Decision, Deletion, Facts, Finding};
pub use heal::{Comparison, HealError, Healer, Missing};
pub use pass::{DOUBT, MAX_CREATIONS, MAX_ROTATION, Pass};
pub use recovery::Recovery;
pub use report::{Action, Line, Report};
pub use secrets::{Secret, Target, parameter};

/// The function: all accounts whose secrets are below a path of Systems Manager.
#[derive(Debug)]
pub struct Watch {
    table: Table,
    backlog: Backlog,
    ssm: aws_sdk_ssm::Client,
    path: String,
    stack: String,
}

impl Watch {
    /// Creates it with the settings of the process environment.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn from_env() -> Result<Self, SettingsError> {
        let settings = Settings::from_env()?;
        let queues = [
            require("HOOKKEEPER_FALLBACK_QUEUE_URL")?,
            require("HOOKKEEPER_DEAD_LETTER_QUEUE_URL")?,
        ];
        let client = storage::Client::background();
        Ok(Self {
            table: Table::new(&client, &settings),
            backlog: Backlog::new(&client, &settings, queues.into()),
            ssm: secrets::client(&settings),
            path: require("HOOKKEEPER_SECRETS")?,
            stack: env::var("HOOKKEEPER_STACK").unwrap_or_else(|_| "local".to_owned()),
        })
    }

    /// Watches each account once, and writes a log line for each.
    ///
    /// # Errors
    /// The number of accounts that could not be watched: the table or their secrets failed. A
    /// failure of a provider's API is a finding.
    pub async fn run(&self) -> Result<(), String> {
        let targets = secrets::targets(&self.ssm, &self.path).await;
        let targets = targets.map_err(|error| error.to_string())?;
        let count = targets.len();
        let mut failed = 0;
        for target in targets {
            failed += usize::from(self.watch(target).await.is_err());
        }
        if failed > 0 {
            return Err(format!("{failed} of {count} accounts were not watched"));
        }
        Ok(())
    }

    async fn watch(&self, target: Result<Target, SecretError>) -> Result<(), ()> {
        let target = target
            .map_err(|error| write_line(&json!({ "error": error.to_string() }).to_string()))?;
        let client = Client::new(target.api.limits);
        let pass = Pass {
            target: &target,
            client: &client,
            table: &self.table,
            doubt: DOUBT,
        };
        let horizon = target.api.horizon;
        match pass.run(Some(&self.backlog), horizon).await {
            Ok(report) => {
                write_line(&report.log_line(&self.stack, target.provider.name, &target.id));
                Ok(())
            }
            Err(error) => {
                let account = target.account();
                write_line(&json!({ "account": account, "error": error.to_string() }).to_string());
                match error {
                    // The other process watches it.
                    GuardError::Held(_) => Ok(()),
                    GuardError::Lost | GuardError::Table(_) => Err(()),
                }
            }
        }
    }
}

/// Writes a line to standard output, where Lambda collects it. A failed write must not fail a pass.
fn write_line(line: &str) {
    writeln!(io::stdout(), "{line}").ok();
}
