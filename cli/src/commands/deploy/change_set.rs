//! The change set of a deployment: what CloudFormation would change.

use crate::{
    Failure,
    connection::{causes, find_stack, unasked},
    output::{Page, cell},
    stack_update::{status, waits},
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        Capability, Change, ChangeSetStatus, ChangeSetType, Parameter, Replacement, ResourceChange,
        Stack,
    },
};
use tokio::time::sleep;
use uuid::Uuid;

/// The change set of a deployment.
#[derive(Debug)]
pub(crate) struct ChangeSet<'a> {
    sdk: &'a SdkConfig,
    client: Client,
    stack: &'a str,
    /// Its name, and the token of the requests that create and execute it.
    name: String,
    kind: ChangeSetType,
}

/// Why a change set was not executed, or may not have been.
#[derive(Debug)]
pub(crate) enum Unexecuted {
    /// AWS refused it: nothing is deployed.
    Refused(Failure),
    /// The outcome is not known: AWS may have deployed it.
    Unknown(Failure),
}

/// A description of a change set.
struct Described {
    status: Option<ChangeSetStatus>,
    reason: String,
    changes: Vec<ResourceChange>,
}

impl<'a> ChangeSet<'a> {
    /// A change set that is to be created, for a new stack or for an update.
    pub(crate) fn new(sdk: &'a SdkConfig, stack: &'a str, existing: Option<&Stack>) -> Self {
        Self {
            sdk,
            client: Client::new(sdk),
            stack,
            name: format!("hookkeeper-{}", Uuid::new_v4()),
            kind: match existing {
                Some(_) => ChangeSetType::Update,
                None => ChangeSetType::Create,
            },
        }
    }

    /// Creates it, and waits until it is complete. Returns the changes of resources. `None`: nothing
    /// would change, not even an output.
    pub(crate) async fn create(
        &self,
        template_url: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Option<Vec<ResourceChange>>, Failure> {
        let create = self
            .client
            .create_change_set()
            .stack_name(self.stack)
            .change_set_name(&self.name)
            .client_token(&self.name)
            .change_set_type(self.kind.clone())
            .template_url(template_url)
            .set_parameters(Some(parameters))
            .capabilities(Capability::CapabilityIam)
            .capabilities(Capability::CapabilityAutoExpand);
        create
            .send()
            .await
            .map_err(|error| refused(&causes(&error)))?;
        let mut waits = waits();
        loop {
            let described = self.describe().await?;
            match described.status {
                Some(ChangeSetStatus::CreatePending | ChangeSetStatus::CreateInProgress) => {
                    sleep(waits.next().unwrap_or_default()).await;
                }
                Some(ChangeSetStatus::CreateComplete) => return Ok(Some(described.changes)),
                _ if is_without_changes(&described.reason) => return Ok(None),
                _ => return Err(refused(&described.reason)),
            }
        }
    }

    async fn describe(&self) -> Result<Described, Failure> {
        let mut pages = self
            .client
            .describe_change_set()
            .stack_name(self.stack)
            .change_set_name(&self.name)
            .into_paginator()
            .send();
        let mut described = Described {
            status: None,
            reason: String::new(),
            changes: Vec::new(),
        };
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| {
                unasked(&error, |why| {
                    format!("the change set cannot be read ({why})")
                })
            })?;
            let changes = page.changes.unwrap_or_default().into_iter();
            described
                .changes
                .extend(changes.filter_map(|change: Change| change.resource_change));
            described.status = page.status;
            described.reason = page.status_reason.unwrap_or_default();
        }
        Ok(described)
    }

    /// Deletes it, and for a new stack the empty stack that it made.
    pub(crate) async fn discard(&self) -> Result<(), Failure> {
        if self.kind == ChangeSetType::Create {
            return self.delete_empty_stack().await;
        }
        let delete = self
            .client
            .delete_change_set()
            .stack_name(self.stack)
            .change_set_name(&self.name);
        match delete.send().await {
            Err(error) if !is_not_found(&error) => Err(self.left(&causes(&error))),
            _ => Ok(()),
        }
    }

    /// Deletes the stack with all of its change sets, if it has nothing else.
    async fn delete_empty_stack(&self) -> Result<(), Failure> {
        let found = find_stack(self.sdk, self.stack).await?;
        if found.is_none_or(|stack| status(&stack) != "REVIEW_IN_PROGRESS") {
            return Ok(());
        }
        let delete = self.client.delete_stack().stack_name(self.stack);
        let deleted = delete.send().await.map(drop);
        deleted.map_err(|error| self.left(&causes(&error)))
    }

    fn left(&self, why: &str) -> Failure {
        format!(
            "nothing is deployed, but the change set {} of the stack {} cannot be deleted ({why}): \
            delete it in the console of CloudFormation",
            self.name, self.stack
        )
        .into()
    }

    /// Begins the deployment.
    pub(crate) async fn execute(&self) -> Result<(), Unexecuted> {
        let execute = self
            .client
            .execute_change_set()
            .stack_name(self.stack)
            .change_set_name(&self.name)
            .client_request_token(&self.name);
        let Err(error) = execute.send().await else {
            return Ok(());
        };
        let is_refused = match &error {
            SdkError::ServiceError(error) => error.raw().status().is_client_error(),
            SdkError::ConstructionFailure(_) => true,
            _ => false,
        };
        let failure = unasked(&error, |why| {
            format!("the deployment cannot be begun ({why})")
        });
        Err(if is_refused {
            Unexecuted::Refused(failure)
        } else {
            Unexecuted::Unknown(failure)
        })
    }
}

fn refused(why: &str) -> Failure {
    format!("CloudFormation refuses the deployment ({why}): nothing is deployed").into()
}

/// Whether there is no such change set.
fn is_not_found(error: &impl ProvideErrorMetadata) -> bool {
    let code = error.code().unwrap_or_default();
    code.starts_with("ChangeSetNotFound")
}

/// Whether a change set failed because the stack is already as it would make it. It has no code for
/// that.
fn is_without_changes(reason: &str) -> bool {
    let reasons = ["didn't contain changes", "No updates are to be performed"];
    reasons.iter().any(|text| reason.contains(text))
}

/// Formats changes as a table.
pub(crate) fn table(page: Page, changes: &[ResourceChange]) -> String {
    let rows: Vec<_> = changes.iter().map(row).collect();
    page.table(["ACTION", "RESOURCE", "TYPE", ""], &rows, &[2])
}

fn row(change: &ResourceChange) -> [String; 4] {
    let action = change.action().map_or("", |action| action.as_str());
    let replaced = match change.replacement() {
        Some(Replacement::True) => "replaced",
        Some(Replacement::Conditional) => "may be replaced",
        _ => "",
    };
    let [id, kind] = [change.logical_resource_id(), change.resource_type()];
    [Some(action), id, kind, Some(replaced)].map(|text| cell(text.unwrap_or_default()))
}
