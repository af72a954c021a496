//! `hookkeeper deploy`: deploys a release to AWS.

mod bucket;
mod change_set;
mod plan;
mod release;
mod report;
mod watch;

use crate::{
    Failure, Usage,
    confirm::{NO_TERMINAL, asked, confirmed},
    connection::{OnAws, find_stack},
    credential::parameter_names,
    filter::provider,
    output::{Output, Page},
    secret::secret,
    signal::Stop,
    similar::nearest,
    stack_update::status,
};
use aws_config::SdkConfig;
use aws_sdk_cloudformation::types::{Parameter, Stack};
use bucket::Bucket;
use change_set::{ChangeSet, Unexecuted, table};
use clap::Args;
use plan::{ALARM_EMAIL, Plan, Settings, credential_in};
use providers::Provider;
use release::Release;
use report::Report;
use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    path::PathBuf,
    thread,
};
use tokio::sync::oneshot;
use watch::{Watch, status_problem};

/// Deploys a release to AWS: a new stack, or an update of one.
///
/// A new stack gets a credential for each PROVIDER. It is printed once and stored nowhere; only its SHA-256 digest is
/// deployed. An update keeps all parameters that are not set, and the credentials. The code of the functions is uploaded
/// to a bucket of the stack hookkeeper-code, which is created if it is missing. The changes are shown before they are made.
///
/// Example: cargo hookkeeper deploy pipedrive amocrm closer --alarm-email you@example.com
#[derive(Args)]
pub(crate) struct Deploy {
    /// Providers that get a receiver and a credential, if they have none. Needed for a new stack
    #[arg(value_name = "PROVIDER", value_parser = provider)]
    providers: Vec<Provider>,
    /// Folder of the release [default: the folder of this executable]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Address that receives alarms
    #[arg(long, value_name = "ADDRESS")]
    alarm_email: Option<String>,
    /// Value of another parameter of the template, such as RetentionDays=365. With `-`, it asks for the value, or takes a
    /// line of standard input
    #[arg(long, value_name = "NAME=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Bucket for the code, in the region of the stack [default: the one of the stack hookkeeper-code]
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,
    /// Deploy without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    on_aws: OnAws,
    /// Output format. For json, one object with the outputs and the new credentials
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let setting = text.split_once('=');
    let (name, value) = setting.ok_or("expected NAME=VALUE, like RetentionDays=365")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// A deployment that can begin, or the reason why it does not.
enum Prepared<'a> {
    /// The user has seen the changes.
    Confirmed(Watch<'a>),
    Declined,
    /// The stack is already so.
    Unchanged,
}

impl Deploy {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.check_arguments()?;
        let release = Release::read(self.from.as_deref())?;
        let mut settings = self.settings(&release)?;
        let name = &*self.on_aws.stack;
        let sdk = self.on_aws.aws.configured().await?;
        let existing = find_stack(&sdk, name).await?;
        let providers = match &existing {
            Some(stack) => {
                check_stack(stack, &self.on_aws)?;
                self.providers.clone()
            }
            None => self.complete(&mut settings)?,
        };
        let plan = Plan::new(&release.parameters, existing.as_ref(), &providers, settings)?;
        let template_url = self.upload(&sdk, &release).await?;
        let change_set = ChangeSet::new(&sdk, name, existing.as_ref());
        let mut stop = Stop::listen()?;
        let prepared = tokio::select! {
            prepared = self.prepare(&sdk, &change_set, &template_url, &plan) => prepared,
            () = stop.arrived() => {
                eprintln!();
                Ok(Prepared::Declined)
            }
        };
        match (prepared, &existing) {
            (Ok(Prepared::Confirmed(watch)), _) => {
                self.deploy(&sdk, &change_set, &watch, &plan, &mut stop)
                    .await
            }
            (Ok(Prepared::Unchanged), Some(stack)) => {
                change_set.discard().await?;
                eprintln!("No changes: the stack {name} is already so.");
                Report::unchanged(&sdk, &self.on_aws, stack).print(self.output)
            }
            (Ok(_), _) => {
                change_set.discard().await?;
                Err("nothing was deployed".into())
            }
            (Err(failure), _) => {
                // The first error says more.
                change_set.discard().await.ok();
                Err(failure)
            }
        }
    }

    /// Fails if the arguments contradict each other, or if the user could not be asked.
    fn check_arguments(&self) -> Result<(), Failure> {
        let names = self.providers.iter().map(|provider| provider.name);
        if names.collect::<BTreeSet<_>>().len() < self.providers.len() {
            return Err(Usage("a provider is named twice".to_owned()).into());
        }
        if !self.yes && !io::stdin().is_terminal() {
            return Err(Usage(NO_TERMINAL.to_owned()).into());
        }
        Ok(())
    }

    /// The parameters that the user sets.
    fn settings(&self, release: &Release) -> Result<Settings, Failure> {
        let mut settings = Settings::new();
        for (name, value) in &self.set {
            if name == ALARM_EMAIL {
                return Err(Usage(format!("set {name} with --alarm-email")).into());
            }
            if !release.parameters.contains(name) {
                let names = release.parameters.iter().map(|name| &**name).collect();
                let names = nearest(names, name).join(", ");
                let why = format!("the template has no parameter {name}. Similar: {names}");
                return Err(Usage(why).into());
            }
            let value = secret(value, name).map_err(Usage)?;
            if settings.insert(name.clone(), value).is_some() {
                return Err(Usage(format!("{name} is set twice")).into());
            }
        }
        let address = self.alarm_email.clone();
        settings.extend(address.map(|address| (ALARM_EMAIL.to_owned(), address)));
        Ok(settings)
    }

    /// Asks for what a new stack needs. Returns its providers.
    fn complete(&self, settings: &mut Settings) -> Result<Vec<Provider>, Failure> {
        let mut all = providers::ALL.iter();
        let is_set = all.any(|provider| credential_in(settings, provider).is_some());
        if is_set || !self.providers.is_empty() {
            return Ok(self.providers.clone());
        }
        if !io::stdin().is_terminal() {
            let why = format!(
                "there is no stack {}: for a new one, name its providers, such as `hookkeeper deploy \
                pipedrive --alarm-email you@example.com --yes`",
                self.on_aws.stack
            );
            return Err(Usage(why).into());
        }
        let providers = asked_providers(&self.on_aws.stack)?;
        if self.alarm_email.is_none() {
            let address = asked("Address for alarms (empty: none):")?;
            settings.insert(ALARM_EMAIL.to_owned(), address);
        }
        Ok(providers)
    }

    /// Uploads the code that the bucket does not have, and the template. Returns the template's URL.
    async fn upload(&self, sdk: &SdkConfig, release: &Release) -> Result<String, Failure> {
        let bucket = match &self.bucket {
            Some(name) => Bucket::of_user(sdk, name),
            None => Bucket::of_stack(sdk, &self.on_aws.aws.options()).await?,
        };
        eprintln!("Uploading the code to the bucket {}...", bucket.name);
        for (uri, file) in &release.code {
            let name = uri.trim_start_matches("./");
            let done = if bucket.put(file).await? {
                "uploaded"
            } else {
                "is there already"
            };
            eprintln!("  {name} {done}");
        }
        let template = release.template_with_code_in(&bucket.name)?;
        bucket.put(&template).await?;
        bucket.url(&template).await
    }

    /// Creates the change set, shows it, and asks whether it is to be deployed.
    async fn prepare<'a>(
        &'a self,
        sdk: &'a SdkConfig,
        change_set: &ChangeSet<'_>,
        template_url: &str,
        plan: &Plan,
    ) -> Result<Prepared<'a>, Failure> {
        eprintln!("Asking CloudFormation for the changes...");
        let parameters = plan.parameters.clone();
        let Some(changes) = change_set.create(template_url, parameters).await? else {
            return Ok(Prepared::Unchanged);
        };
        if changes.is_empty() {
            eprintln!("No resource changes, but the template or its outputs do.");
        } else {
            anstream::eprintln!("\n{}\n", table(Page::of_stderr(), &changes));
        }
        if !self.yes && !is_confirmed().await? {
            return Ok(Prepared::Declined);
        }
        let watch = Watch::from_now(sdk, &self.on_aws.stack, changes.len()).await?;
        Ok(Prepared::Confirmed(watch))
    }

    /// Executes the change set, waits for the end, and prints it.
    async fn deploy(
        &self,
        sdk: &SdkConfig,
        change_set: &ChangeSet<'_>,
        watch: &Watch<'_>,
        plan: &Plan,
        stop: &mut Stop,
    ) -> Result<(), Failure> {
        eprintln!("Deploying the stack {}...", self.on_aws.stack);
        let ended = tokio::select! {
            ended = execute(change_set, watch) => ended,
            () = stop.arrived() => Err(Unexecuted::Unknown("interrupted".into())),
        };
        match ended {
            Ok(stack) if is_complete(&stack) => {
                Report::deployed(sdk, &self.on_aws, &stack, plan).print(self.output)
            }
            // The stack accepts none of the new credentials: they are not shown.
            Ok(stack) => Err(self.failed(watch, &stack).await),
            Err(Unexecuted::Refused(failure)) => {
                change_set.discard().await.ok();
                Err(failure)
            }
            Err(Unexecuted::Unknown(failure)) => {
                Report::unknown(sdk, &self.on_aws, plan).print(self.output)?;
                Err(self.unknown(&failure))
            }
        }
    }

    /// Error of a deployment that AWS has undone.
    async fn failed(&self, watch: &Watch<'_>, stack: &Stack) -> Failure {
        let name = &self.on_aws.stack;
        let reasons = watch.failures().await;
        let reasons = reasons.unwrap_or_else(|failure| failure.to_string());
        let problem = status_problem(stack, &self.on_aws.aws.options());
        let advice = problem.unwrap_or_else(|| {
            format!("the stack {name} is as it was before. Fix the cause, and deploy again")
        });
        format!("the deployment failed ({reasons}); {advice}").into()
    }

    /// The error if AWS does not say how the deployment ended.
    fn unknown(&self, failure: &Failure) -> Failure {
        let name = &self.on_aws.stack;
        let options = self.on_aws.aws.options();
        format!(
            "{failure}: AWS goes on with the deployment of the stack {name}. `aws cloudformation \
            describe-stack-events --stack-name {name}{options}` shows it, and \
            `hookkeeper doctor --stack {name}{options}` its end"
        )
        .into()
    }
}

/// Fails if the stack cannot be updated, or is another one: its resources would be deleted.
fn check_stack(stack: &Stack, on_aws: &OnAws) -> Result<(), Failure> {
    if let Some(problem) = status_problem(stack, &on_aws.aws.options()) {
        return Err(problem.into());
    }
    let names = providers::ALL.iter().flat_map(parameter_names);
    let names: BTreeSet<_> = names.collect();
    let mut deployed = stack
        .parameters()
        .iter()
        .filter_map(Parameter::parameter_key);
    if deployed.any(|name| names.contains(name)) {
        return Ok(());
    }
    let name = &on_aws.stack;
    Err(
        format!("the stack {name} is not one of Hookkeeper: choose another name with --stack")
            .into(),
    )
}

/// Asks for the providers of a new stack until the answer is a list of them.
fn asked_providers(stack: &str) -> Result<Vec<Provider>, Failure> {
    let all = providers::ALL.map(|provider| provider.name).join(" ");
    eprintln!("There is no stack {stack} yet. It gets a receiver for each provider.");
    loop {
        let answer = asked(&format!("Providers ({all}):"))?;
        let words = answer.split([' ', ',']).filter(|word| !word.is_empty());
        let words: BTreeSet<_> = words.collect();
        let providers: Result<Vec<_>, _> = words.into_iter().map(provider).collect();
        match providers {
            Ok(providers) if providers.is_empty() => return Err("no provider was named".into()),
            Ok(providers) => return Ok(providers),
            Err(why) => eprintln!("{why}"),
        }
    }
}

/// Asks whether the changes are to be deployed.
async fn is_confirmed() -> Result<bool, Failure> {
    let (sender, answer) = oneshot::channel();
    // A thread that nobody waits for: after Ctrl-C, nobody answers.
    thread::spawn(move || sender.send(confirmed("Deploy?")));
    answer.await?
}

async fn execute(change_set: &ChangeSet<'_>, watch: &Watch<'_>) -> Result<Stack, Unexecuted> {
    change_set.execute().await?;
    watch.ended().await.map_err(Unexecuted::Unknown)
}

/// Whether a deployment has succeeded.
fn is_complete(stack: &Stack) -> bool {
    let complete = [
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS",
    ];
    complete.contains(&status(stack))
}
