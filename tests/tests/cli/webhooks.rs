//! `hookkeeper register`, `rotate` and `unregister`, with the simulated APIs of the providers and a
//! stack that can be updated.

mod register;
mod rotate;
mod unregister;

use serde_json::Value;
use std::{
    process::{Command, Output},
    time::Duration,
};
use testkit::{
    api::{AmocrmApi, Api, ApiServer, PipedriveApi, WebhookTarget},
    live_stack::LiveStack,
    request::event,
};
use tokio::task::block_in_place;

/// Digest of a credential that is deployed already.
const BEFORE: &str = "before:0f7d5b1b1a8a8f2b0f7d5b1b1a8a8f2b0f7d5b1b1a8a8f2b0f7d5b1b1a8a8f2b";
const TOKEN: &str = "api-token";
/// The sources of the events of the simulated accounts.
const PIPEDRIVE_ACCOUNT: &str = "pipedrive/5155039";
const AMOCRM_ACCOUNT: &str = "amocrm/30307558";

/// A stack and the account of a provider.
struct Scene<A> {
    stack: LiveStack,
    provider: &'static str,
    server: ApiServer<A>,
}

impl Scene<PipedriveApi> {
    async fn pipedrive() -> Self {
        Self::start("pipedrive", PipedriveApi::new(TOKEN)).await
    }
}

impl Scene<AmocrmApi> {
    async fn amocrm() -> Self {
        Self::start("amocrm", AmocrmApi::new(TOKEN)).await
    }
}

impl<A: Api> Scene<A> {
    async fn start(provider: &'static str, api: A) -> Self {
        let values = [("PipedriveCredentials", BEFORE), ("AmocrmKeys", BEFORE)];
        Self {
            stack: LiveStack::start(&values).await,
            provider,
            server: ApiServer::start(api).await,
        }
    }

    /// A command about the account.
    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        self.with_api(self.stack.command(&[name, self.provider]), arguments)
    }

    /// Adds the API to a command.
    fn with_api(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.args(["--api-url", &self.server.url()]);
        command.args(["--output", "json"]).args(arguments);
        command.env("PIPEDRIVE_API_TOKEN", TOKEN);
        command.env("AMOCRM_API_TOKEN", TOKEN);
        command
    }

    /// Runs a command, and returns the lines that it printed.
    fn run(&self, name: &str, arguments: &[&str]) -> Vec<Value> {
        let output = output(self.command(name, arguments));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {stderr}");
        lines(&output)
    }

    /// The error of a command that fails with exit code 1.
    fn fail(&self, name: &str, arguments: &[&str]) -> String {
        let output = output(self.command(name, arguments));
        assert_eq!(output.status.code(), Some(1), "{name}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Delivers an event through every webhook. Returns the statuses.
    async fn deliver(&self, number: u32) -> Vec<Option<u16>> {
        let (kind, content_type) = match self.provider {
            "pipedrive" => ("change.deal", "application/json"),
            _ => ("update_lead", "application/x-www-form-urlencoded"),
        };
        let body = event(self.provider, number);
        let attempts = self.server.deliver(kind, content_type, &body).await;
        attempts.iter().map(|attempt| attempt.status).collect()
    }

    /// The ids and the URLs of the webhooks.
    fn webhooks(&self) -> Vec<WebhookTarget> {
        let kind = match self.provider {
            "pipedrive" => "change.deal",
            _ => "update_lead",
        };
        self.server.api().targets(kind, Duration::ZERO)
    }

    /// The labels of the credentials that the receiver accepts.
    fn labels(&self) -> Vec<String> {
        let name = match self.provider {
            "pipedrive" => "PipedriveCredentials",
            _ => "AmocrmKeys",
        };
        let state = self.stack.state();
        let entries = state.parameters[name].split(',');
        let entries = entries.filter(|entry| !entry.is_empty());
        let labels = entries.map(|entry| entry.split_once(':').unwrap().0.to_owned());
        labels.collect()
    }

    /// The secret of the account in Systems Manager.
    fn secret(&self, account: &str) -> Option<Value> {
        let name = format!("/hookkeeper/hookkeeper/{account}");
        let state = self.stack.state();
        let value = state.secrets.get(&name)?;
        Some(serde_json::from_str(value).unwrap())
    }
}

fn output(mut command: Command) -> Output {
    block_in_place(|| command.output().unwrap())
}

fn lines(output: &Output) -> Vec<Value> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let lines = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

/// What was done: the findings and actions of lines.
fn actions(lines: &[Value]) -> Vec<String> {
    let actions = lines.iter().map(|line| {
        let [finding, action] = ["finding", "action"].map(|name| line[name].as_str().unwrap());
        format!("{finding} {action}")
    });
    actions.collect()
}
