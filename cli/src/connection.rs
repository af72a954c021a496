//! Connection of a command to the table and the queues: on this machine, or on AWS with its
//! ordinary configuration.

use crate::{Failure, http::innermost, queues::Queues};
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig, profile};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudformation::types::Stack;
use aws_sdk_dynamodb::{
    config::Credentials,
    error::{ProvideErrorMetadata, SdkError},
    types::{KeySchemaElement, TableDescription},
};
use aws_types::os_shim_internal::{Env, Fs};
use clap::Args;
use hookkeeper::{
    dev::TABLE,
    template::{TEMPLATE, has_keys, table_schema},
};
use serde_json::{Value, json};
use std::{env, error::Error, iter, str::FromStr, time::Duration};
use storage::{Backlog, Policy, Table};

/// Where the table and the queues are.
#[derive(Args, Clone)]
pub(crate) struct Connection {
    /// Use the table of `cargo dev`, whose DynamoDB is on this port of 127.0.0.1 [default: 8000]
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "8000")]
    #[arg(conflicts_with_all = ["stack", "table", "profile", "region", "endpoint_url"])]
    pub(crate) local: Option<u16>,
    /// Name of the table [default: the output TableName of the stack]
    #[arg(long, conflicts_with = "stack")]
    pub(crate) table: Option<String>,
    #[command(flatten)]
    pub(crate) on_aws: OnAws,
}

/// A stack on AWS.
#[derive(Args, Clone)]
pub(crate) struct OnAws {
    /// Name of the stack
    #[arg(long, default_value = STACK)]
    pub(crate) stack: String,
    #[command(flatten)]
    pub(crate) aws: Aws,
}

/// The AWS account and region, from the usual configuration.
#[derive(Args, Clone)]
pub(crate) struct Aws {
    /// Profile of the AWS configuration [default: AWS_PROFILE, else default]
    #[arg(long)]
    profile: Option<String>,
    /// AWS region [default: AWS_REGION, else the profile's]
    #[arg(long)]
    region: Option<String>,
    /// Endpoint to use instead of AWS [default: AWS_ENDPOINT_URL, else the profile's]
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
}

/// Value of an environment variable. `None` if it is not set or empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Name of the stack in `samconfig.toml`.
pub(crate) const STACK: &str = "hookkeeper";
/// Maximum number of idle connections. A command sends several requests at the same time.
const IDLE_CONNECTIONS: usize = 32;

/// Missing or invalid AWS configuration. The message says what to do.
#[derive(Debug, thiserror::Error)]
enum Unconfigured {
    #[error(
        "there is no AWS profile {0}: `aws configure list-profiles` lists them; \
        choose one with --profile or AWS_PROFILE"
    )]
    Profile(String),
    #[error("the AWS configuration cannot be read ({0})")]
    Unreadable(String),
    #[error("no AWS region is set: use --region or AWS_REGION")]
    Region,
    #[error("no AWS credentials were found: run `aws sso login`, or set AWS_PROFILE or --profile")]
    NoCredentials,
    #[error(
        "the AWS credentials cannot be loaded ({0}): run `aws sso login`, \
        or set AWS_PROFILE or --profile"
    )]
    Credentials(String),
    #[error(
        "AWS, or the endpoint that is set, cannot be reached ({0}): check the network, \
        --endpoint-url and AWS_ENDPOINT_URL"
    )]
    Unreachable(String),
}

impl Aws {
    /// The options that were given, for a command to paste: ` --profile crm --region eu-central-1`.
    /// The AWS CLI has the same ones.
    pub(crate) fn options(&self) -> String {
        let options = [
            ("--profile", &self.profile),
            ("--region", &self.region),
            ("--endpoint-url", &self.endpoint_url),
        ];
        let given = options.iter().filter_map(|(name, value)| {
            let value = value.as_ref()?;
            Some(format!(" {name} {value}"))
        });
        given.collect()
    }

    /// Loads the AWS configuration as other AWS tools do. Fails if anything is missing that a
    /// request needs, except credentials.
    pub(crate) async fn configured(&self) -> Result<SdkConfig, Failure> {
        self.check_profile().await?;
        let sdk = self.sdk().await;
        if sdk.region().is_none() {
            return Err(Unconfigured::Region.into());
        }
        Ok(sdk)
    }

    /// Fails if the requested profile is in no AWS configuration file.
    #[expect(
        clippy::default_trait_access,
        reason = "the type is of a crate that is not needed otherwise"
    )]
    async fn check_profile(&self) -> Result<(), Unconfigured> {
        let profile = self.profile.clone();
        let Some(name) = profile.or_else(|| variable("AWS_PROFILE")) else {
            return Ok(());
        };
        let profiles = profile::load(&Fs::real(), &Env::real(), &Default::default(), None).await;
        let profiles = profiles.map_err(|error| Unconfigured::Unreadable(innermost(&error)))?;
        match profiles.get_profile(&name) {
            Some(_) => Ok(()),
            None => Err(Unconfigured::Profile(name)),
        }
    }

    /// Loads the AWS configuration as other AWS tools do.
    pub(crate) async fn sdk(&self) -> SdkConfig {
        let mut loader = loader();
        if let Some(profile) = &self.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = self.region.clone() {
            loader = loader.region(Region::new(region));
        }
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        loader.load().await
    }
}

fn loader() -> ConfigLoader {
    aws_config::defaults(BehaviorVersion::latest()).http_client(storage::network(IDLE_CONNECTIONS))
}

impl OnAws {
    /// The queues of the stack.
    pub(crate) async fn queues(&self) -> Result<Queues, Failure> {
        let (sdk, stack) = self.described().await?;
        Queues::new(&sdk, &stack)
    }

    async fn described(&self) -> Result<(SdkConfig, Stack), Failure> {
        let sdk = self.aws.configured().await?;
        let stack = stack(&sdk, &self.stack).await?;
        Ok((sdk, stack))
    }
}

impl Connection {
    /// Fails if the AWS configuration lacks anything that a request needs, except credentials.
    pub(crate) async fn check_configuration(&self) -> Result<(), Failure> {
        if self.local.is_none() {
            self.on_aws.aws.configured().await?;
        }
        Ok(())
    }

    /// The queues of the stack whose messages are not in the table yet. `None`: there is no stack.
    pub(crate) async fn backlog(&self) -> Result<Option<Backlog>, Failure> {
        let Some((sdk, stack)) = self.described().await? else {
            return Ok(None);
        };
        let Queues {
            fallback,
            dead_letter,
            ..
        } = Queues::new(&sdk, &stack)?;
        let urls = vec![fallback.url, dead_letter.url];
        Ok(Some(Backlog::from_client(fallback.client, urls)))
    }

    /// Opens the table. Fails unless it exists with the schema of this version.
    pub(crate) async fn table(&self) -> Result<Table, Failure> {
        let table = self.checked_table().await;
        table.map_err(|failure| match failure.downcast::<Unconfigured>() {
            Ok(unconfigured) => format!("{unconfigured}, or use --local for `cargo dev`").into(),
            Err(failure) => failure,
        })
    }

    async fn checked_table(&self) -> Result<Table, Failure> {
        let sdk = match self.local {
            Some(_) => self.sdk().await,
            None => self.on_aws.aws.configured().await?,
        };
        let (name, policy) = match (self.local, &self.table) {
            (Some(_), _) => (TABLE.to_owned(), Policy::default()),
            (None, Some(table)) => (table.clone(), Policy::default()),
            (None, None) => {
                let stack = stack(&sdk, &self.on_aws.stack).await?;
                let name = output(&stack, "TableName");
                (
                    name.ok_or("the stack has no output TableName: deploy it again")?,
                    policy(&stack),
                )
            }
        };
        let client = aws_sdk_dynamodb::Client::new(&sdk);
        self.check(&client, &name).await?;
        Ok(Table::from_client(&client, &name, policy))
    }

    /// The queues of the stack. `None` without a stack: with `--local` or `--table`.
    pub(crate) async fn queues(&self) -> Result<Option<Queues>, Failure> {
        match self.described().await? {
            Some((sdk, stack)) => Queues::new(&sdk, &stack).map(Some),
            None => Ok(None),
        }
    }

    /// The stack. `None` without one: with `--local` or `--table`.
    pub(crate) async fn described(&self) -> Result<Option<(SdkConfig, Stack)>, Failure> {
        if self.local.is_some() || self.table.is_some() {
            return Ok(None);
        }
        self.on_aws.described().await.map(Some)
    }

    /// AWS configuration, or the configuration for the DynamoDB of `cargo dev`.
    pub(crate) async fn sdk(&self) -> SdkConfig {
        let Some(port) = self.local else {
            return self.on_aws.aws.sdk().await;
        };
        let credentials = Credentials::new("local", "local", None, None, "local");
        let local = loader()
            .region(Region::from_static("us-east-1"))
            .credentials_provider(credentials);
        local
            .endpoint_url(format!("http://127.0.0.1:{port}"))
            .load()
            .await
    }

    /// Fails unless the table exists with the keys and indexes of this version's template.
    async fn check(&self, client: &aws_sdk_dynamodb::Client, name: &str) -> Result<(), Failure> {
        let described = client.describe_table().table_name(name).send().await;
        let described = match (described, self.local) {
            (Ok(described), _) => described,
            (Err(error), Some(port)) => {
                let why = causes(&error);
                return Err(format!(
                    "nothing answers on 127.0.0.1:{port}: is `cargo dev` running? ({why})"
                )
                .into());
            }
            (Err(error), None) => {
                return Err(unasked(&error, |why| {
                    format!("the table {name} cannot be used ({why})")
                }));
            }
        };
        let schema = table_schema(TEMPLATE, name)?;
        if has_keys(
            &described.table.as_ref().map(keys).unwrap_or_default(),
            &schema.create,
        ) {
            return Ok(());
        }
        Err(format!(
            "the table {name} is not one of Hookkeeper {}: \
            its keys and indexes are others than the template's",
            env!("CARGO_PKG_VERSION")
        )
        .into())
    }
}

/// Describes a stack with its parameters and outputs.
pub(crate) async fn stack(sdk: &SdkConfig, name: &str) -> Result<Stack, Failure> {
    let found = find_stack(sdk, name).await?;
    found.ok_or_else(|| no_stack(sdk, name).into())
}

/// Describes a stack with its parameters and outputs. `None`: there is no such stack.
pub(crate) async fn find_stack(sdk: &SdkConfig, name: &str) -> Result<Option<Stack>, Failure> {
    let answer = aws_sdk_cloudformation::Client::new(sdk)
        .describe_stacks()
        .stack_name(name)
        .send()
        .await;
    match answer {
        Ok(answer) => Ok(answer.stacks.unwrap_or_default().pop()),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(unasked(&error, |why| {
            format!(
                "the stack {name} cannot be asked ({why}): \
                name another with --stack, or do without (see --help)"
            )
        })),
    }
}

/// Whether CloudFormation has no stack of that name.
pub(crate) fn is_missing<E>(error: &SdkError<E>) -> bool
where
    E: ProvideErrorMetadata,
{
    let message = error.message();
    message.is_some_and(|message| message.contains("does not exist"))
}

fn no_stack(sdk: &SdkConfig, name: &str) -> String {
    let region = sdk.region().map_or("this region", Region::as_ref);
    format!(
        "there is no stack {name} in {region}: \
        deploy it, or name another with --stack, --profile or --region"
    )
}

/// Value of a stack output.
pub(crate) fn output(stack: &Stack, name: &str) -> Option<String> {
    stack
        .outputs()
        .iter()
        .find(|output| output.output_key() == Some(name))?
        .output_value
        .clone()
}

/// How the receivers of a stack store new items.
fn policy(stack: &Stack) -> Policy {
    Policy {
        retention: days(stack, "RetentionDays"),
        quarantine: days(stack, "QuarantineDays"),
        compress_above: parameter(stack, "CompressAboveBytes")
            .unwrap_or(Policy::default().compress_above),
    }
}

/// A parameter of a stack that is a number of days. 0: without end.
fn days(stack: &Stack, name: &str) -> Option<Duration> {
    let days: u64 = parameter(stack, name)?;
    (days > 0).then(|| Duration::from_secs(days * 86_400))
}

/// Value of a stack parameter. `None` if there is none, or if it is not a `T`.
pub(crate) fn parameter<T: FromStr>(stack: &Stack, name: &str) -> Option<T> {
    let mut parameters = stack.parameters().iter();
    let parameter = parameters.find(|parameter| parameter.parameter_key() == Some(name))?;
    parameter.parameter_value()?.parse().ok()
}

/// Keys and indexes of a described table, in the JSON format of the API.
pub(crate) fn keys(table: &TableDescription) -> Value {
    let indexes = table.global_secondary_indexes().iter();
    let indexes: Value = indexes
        .map(|index| {
            json!({
                "IndexName": index.index_name,
                "KeySchema": key_schema(index.key_schema()),
            })
        })
        .collect();
    json!({
        "KeySchema": key_schema(table.key_schema()),
        "GlobalSecondaryIndexes": indexes,
    })
}

fn key_schema(keys: &[KeySchemaElement]) -> Value {
    keys.iter()
        .map(|key| json!({ "AttributeName": key.attribute_name, "KeyType": key.key_type.as_str() }))
        .collect()
}

/// Error of a failed request: the advice about credentials or the network if they are the cause, else
/// the sentence of the caller.
pub(crate) fn unasked<E>(error: &SdkError<E>, sentence: impl FnOnce(&str) -> String) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let advice = without_credentials(error).or_else(|| unreachable(error));
    match advice {
        Some(unconfigured) => unconfigured.into(),
        None => sentence(&causes(error)).into(),
    }
}

/// Advice about the network, if a request got no response.
fn unreachable<E: Error + 'static>(error: &SdkError<E>) -> Option<Unconfigured> {
    is_unreachable(error).then(|| Unconfigured::Unreachable(one_line(&innermost(error))))
}

/// Whether a request got no response.
pub(crate) fn is_unreachable<E>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        SdkError::TimeoutError(_) => true,
        _ => false,
    }
}

/// Advice about credentials, if a request was not sent because they are missing or cannot be
/// loaded.
fn without_credentials(error: &(dyn Error + 'static)) -> Option<Unconfigured> {
    let mut causes = iter::successors(Some(error), |error| (*error).source());
    let error = causes.find_map(|cause| cause.downcast_ref::<CredentialsError>())?;
    Some(match error {
        CredentialsError::CredentialsNotLoaded(_) => Unconfigured::NoCredentials,
        error => Unconfigured::Credentials(one_line(&innermost(error))),
    })
}

/// Cause of a failed request in one line: the error code and message of AWS if there are any, else
/// the innermost error.
pub(crate) fn causes<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let Some(unconfigured) = without_credentials(error) {
        return unconfigured.to_string();
    }
    let cause = match (error.code(), error.message(), error.raw_response()) {
        (Some(code), Some(message), _) => format!("{code}: {message}"),
        (Some(code), None, _) => code.to_owned(),
        (None, _, Some(response)) => format!(
            "HTTP status {}, and no error of AWS",
            response.status().as_u16()
        ),
        (None, _, None) => innermost(error),
    };
    one_line(&cause)
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}
