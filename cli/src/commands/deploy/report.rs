//! What a deployment prints at its end: credentials, outputs, and the next steps.

use super::plan::Plan;
use crate::{
    Failure,
    called::as_called,
    connection::{OnAws, STACK},
    credential::Made,
    filter::provider,
    managed_account::default_api_url,
    output::{Output, json_line, say, table},
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::Stack;
use hookkeeper::template::logical_name;
use serde::Serialize;
use std::collections::BTreeMap;

/// The end of a deployment. Serialized as a line for programs.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    stack: &'a str,
    region: &'a str,
    changed: bool,
    outputs: BTreeMap<String, String>,
    credentials: &'a [Made],
    #[serde(skip)]
    steps: Vec<String>,
}

impl<'a> Report<'a> {
    /// A stack that is deployed.
    pub(crate) fn deployed(
        sdk: &'a SdkConfig,
        on_aws: &'a OnAws,
        stack: &Stack,
        plan: &'a Plan,
    ) -> Self {
        Self {
            changed: true,
            outputs: outputs(stack),
            credentials: &plan.made,
            steps: steps(on_aws, stack, plan),
            ..Self::without_stack(sdk, on_aws)
        }
    }

    /// A stack that needed no deployment.
    pub(crate) fn unchanged(sdk: &'a SdkConfig, on_aws: &'a OnAws, stack: &Stack) -> Self {
        Self {
            outputs: outputs(stack),
            ..Self::without_stack(sdk, on_aws)
        }
    }

    /// The report if AWS does not say how the deployment ended. The stack may accept the credentials.
    pub(crate) fn unknown(sdk: &'a SdkConfig, on_aws: &'a OnAws, plan: &'a Plan) -> Self {
        Self {
            changed: true,
            credentials: &plan.made,
            ..Self::without_stack(sdk, on_aws)
        }
    }

    fn without_stack(sdk: &'a SdkConfig, on_aws: &'a OnAws) -> Self {
        Self {
            stack: &on_aws.stack,
            region: sdk.region().map_or("", AsRef::as_ref),
            changed: false,
            outputs: BTreeMap::new(),
            credentials: &[],
            steps: Vec::new(),
        }
    }

    pub(crate) fn print(&self, output: Output) -> Result<(), Failure> {
        if output == Output::Json {
            say!("{}", json_line(self)?)?;
            return Ok(());
        }
        self.credentials.iter().try_for_each(Made::print)?;
        if !self.outputs.is_empty() {
            say!("{}", table(["OUTPUT", "VALUE"], &self.rows()))?;
        }
        if !self.steps.is_empty() {
            say!("\nNext:")?;
        }
        for (number, step) in (1..).zip(&self.steps) {
            say!("{number}. {}", as_called(step))?;
        }
        Ok(())
    }

    /// The outputs, the URLs of the providers first.
    fn rows(&self) -> Vec<[String; 2]> {
        let urls = providers::ALL.map(|provider| logical_name(provider.name, "Url"));
        let (first, rest): (Vec<_>, Vec<_>) = self
            .outputs
            .iter()
            .partition(|(name, _)| urls.contains(name));
        let rows = first.into_iter().chain(rest);
        rows.map(|(name, value)| [name.clone(), value.clone()])
            .collect()
    }
}

fn outputs(stack: &Stack) -> BTreeMap<String, String> {
    let outputs = stack.outputs().iter();
    let outputs =
        outputs.filter_map(|output| output.output_key.clone().zip(output.output_value.clone()));
    outputs.collect()
}

/// What the user has to do now.
fn steps(on_aws: &OnAws, stack: &Stack, plan: &Plan) -> Vec<String> {
    let mail = plan.new_address.as_ref().map(|address| {
        format!(
            "Follow the link in the mail that AWS sent to {address}. Until then, it gets no alarm."
        )
    });
    let options = options(on_aws);
    let webhooks = plan.made.iter().map(|made| webhook(made, &options));
    let doctor = format!("Check everything with `hookkeeper doctor{options}`.");
    let is_protected = stack.enable_termination_protection() == Some(true);
    let protection = (!is_protected).then(|| {
        format!(
            "Protect the stack from being deleted by mistake: `aws cloudformation update-termination-protection \
            --enable-termination-protection --stack-name {}{}`, here or in AWS CloudShell.",
            on_aws.stack,
            on_aws.aws.options()
        )
    });
    let steps = mail.into_iter().chain(webhooks).chain([doctor]);
    steps.chain(protection).collect()
}

/// The options of other commands for this stack.
fn options(on_aws: &OnAws) -> String {
    let stack = match &*on_aws.stack {
        STACK => String::new(),
        name => format!(" --stack {name}"),
    };
    stack + &on_aws.aws.options()
}

/// How a provider gets a URL and its new credential.
fn webhook(made: &Made, options: &str) -> String {
    let name = made.provider;
    let by_hand = format!(
        "enter its URL and the credential above in its settings: docs/providers/{name}.md of the source"
    );
    match register(name) {
        None => format!("{name}: {by_hand}."),
        Some(register) => format!(
            "{name}: run `{register}{options}`, which makes a credential of its own, or {by_hand}."
        ),
    }
}

/// The command that registers the webhook of a provider. `None`: only a person can.
fn register(name: &str) -> Option<String> {
    let provider = provider(name).ok()?;
    let api = provider.api?;
    let account = match default_api_url(&provider, api) {
        Ok(_) => "",
        Err(_) => " --account <host of the account>",
    };
    Some(format!("hookkeeper register {name}{account}"))
}
