//! The bucket that the functions' code and the template are uploaded to.

use super::{
    release::File,
    watch::{Watch, status_problem},
};
use crate::{
    Failure,
    connection::{causes, find_stack, output, unasked, variable},
    stack_update::status,
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    error::ProvideErrorMetadata,
    types::{OnFailure, Stack},
};
use aws_sdk_s3::{Client, config, presigning::PresigningConfig, primitives::ByteStream};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::time::Duration;

/// Name of the stack that has the bucket. All stacks of a region share it.
const STACK: &str = "hookkeeper-code";
/// Template of this stack.
const TEMPLATE: &str = include_str!("bucket.yaml");
/// Number of its resources.
const RESOURCES: usize = 2;
/// Anything: only the URL's path is used.
const EXPIRES: Duration = Duration::from_mins(1);

/// A bucket for code.
#[derive(Debug)]
pub(crate) struct Bucket {
    client: Client,
    pub(crate) name: String,
    /// The account that owns it. Requests to a bucket that another account made with its name are refused.
    /// `None`: a bucket of the user.
    owner: Option<String>,
}

impl Bucket {
    /// A bucket of the user.
    pub(crate) fn of_user(sdk: &SdkConfig, name: &str) -> Self {
        Self {
            client: client(sdk),
            name: name.to_owned(),
            owner: None,
        }
    }

    /// The bucket of the stack `hookkeeper-code`, which is created if there is none.
    pub(crate) async fn of_stack(sdk: &SdkConfig, options: &str) -> Result<Self, Failure> {
        let stack = match find_stack(sdk, STACK).await? {
            Some(stack) => stack,
            None => create(sdk).await?,
        };
        if let Some(problem) = status_problem(&stack, options) {
            return Err(problem.into());
        }
        let name = output(&stack, "BucketName");
        let name = name.ok_or_else(|| {
            format!(
                "the stack {STACK} has no output BucketName: use a bucket of yours with --bucket"
            )
        })?;
        // arn:aws:cloudformation:<region>:<account>:stack/<name>/<id>
        let owner = stack.stack_id().and_then(|id| id.split(':').nth(4));
        Ok(Self {
            client: client(sdk),
            name,
            owner: owner.map(str::to_owned),
        })
    }

    /// Uploads a file, unless it is there. Returns whether it was uploaded.
    pub(crate) async fn put(&self, file: &File) -> Result<bool, Failure> {
        let key = file.key();
        if self.has(&key, file.bytes.len()).await? {
            return Ok(false);
        }
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone())
            .checksum_sha256(STANDARD.encode(file.digest))
            .body(ByteStream::from(file.bytes.clone()));
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) => Err(unasked(&error, |why| self.unusable(why))),
        }
    }

    /// Whether it has an object. Without the right to know, it is uploaded again.
    async fn has(&self, key: &str, length: usize) -> Result<bool, Failure> {
        let head = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(key)
            .set_expected_bucket_owner(self.owner.clone());
        match head.send().await {
            Ok(head) => Ok(head.content_length == i64::try_from(length).ok()),
            Err(error) => match error
                .raw_response()
                .map(|response| response.status().as_u16())
            {
                Some(403 | 404) => Ok(false),
                _ => Err(unasked(&error, |why| self.unusable(why))),
            },
        }
    }

    fn unusable(&self, why: &str) -> String {
        let name = &self.name;
        format!(
            "the bucket {name} cannot be used ({why}): it must be in the region of the stack, and you \
            must be allowed to read and to write its objects (docs/policies/deploy.json)"
        )
    }

    /// URL of a file, as CloudFormation reads a template.
    pub(crate) async fn url(&self, file: &File) -> Result<String, Failure> {
        // The SDK knows the host names of all partitions.
        let get = self.client.get_object().bucket(&self.name).key(file.key());
        let presigned = get.presigned(PresigningConfig::expires_in(EXPIRES)?).await;
        let presigned = presigned.map_err(|error| unasked(&error, |why| self.unusable(why)))?;
        let url = presigned.uri();
        Ok(url.split_once('?').map_or(url, |(url, _)| url).to_owned())
    }
}

/// A client of S3. An emulation of AWS has no host name for each bucket.
fn client(sdk: &SdkConfig) -> Client {
    let is_emulated = sdk.endpoint_url().is_some() || variable("AWS_ENDPOINT_URL_S3").is_some();
    let config = config::Builder::from(sdk).force_path_style(is_emulated);
    Client::from_conf(config.build())
}

/// Creates the stack. If that fails, nothing is left of it.
async fn create(sdk: &SdkConfig) -> Result<Stack, Failure> {
    eprintln!("Creating the stack {STACK} with a bucket for the functions' code...");
    let create = aws_sdk_cloudformation::Client::new(sdk)
        .create_stack()
        .stack_name(STACK)
        .template_body(TEMPLATE)
        .on_failure(OnFailure::Delete);
    let id = match create.send().await {
        Ok(created) => created.stack_id.unwrap_or_else(|| STACK.to_owned()),
        // Another deployment was faster.
        Err(error) if error.code() == Some("AlreadyExistsException") => STACK.to_owned(),
        Err(error) => {
            let why = causes(&error);
            return Err(format!(
                "the stack {STACK} cannot be created ({why}): use a bucket of yours with --bucket"
            )
            .into());
        }
    };
    let watch = Watch::from_beginning(sdk, &id, RESOURCES);
    let stack = watch.ended().await?;
    if status(&stack) == "CREATE_COMPLETE" {
        return Ok(stack);
    }
    let reasons = watch.failures().await?;
    let advice = "fix the cause, or use a bucket of yours with --bucket";
    Err(format!("the stack {STACK} was not created ({reasons}): {advice}").into())
}
