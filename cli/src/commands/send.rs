//! `hookkeeper send`: sends deliveries as a provider would, to a receiver on this machine or on
//! AWS.

mod body;
pub(crate) mod catalogue;
mod deliver;
mod find;
mod fresh;
mod list;
mod recipe;
mod report;
mod target;

use crate::{
    Failure,
    called::as_called,
    connection::variable,
    filter::provider,
    http::{Answer, Credential},
    output::{Output, json_line, say},
    secret::secret,
};
use anstream::adapter::strip_str;
use body::Body;
use catalogue::Sample;
use clap::{Args, Command, error::ErrorKind};
use deliver::{Pace, attempt};
use futures_util::StreamExt;
use hookkeeper::dev::User;
use indicatif::{ProgressBar, ProgressStyle};
use providers::{Provider, Scheme};
use recipe::Recipe;
use report::Sent;
use std::{
    fs,
    io::{self, IsTerminal, Read},
    path::{Path, PathBuf},
    pin::pin,
    time::Instant,
};
use target::Target;

/// What is asked for with `--user -`.
const USER: &str = "user name and password (USER:PASSWORD)";

/// Maximum number of deliveries that have a line each.
const LINES: u64 = 10;

/// Sends webhooks as a provider does: realistic bodies and headers, each with a new event.
///
/// Example: cargo hookkeeper send pipedrive deal.updated --set deal.stage_id=3
#[derive(Args)]
#[command(override_usage = "hookkeeper send [OPTIONS] <PROVIDER> <WHAT>
       hookkeeper send [OPTIONS] <PROVIDER> --file <FILE>
       hookkeeper send --list [PROVIDER]")]
#[command(after_help = "Examples:
  cargo hookkeeper send --list amocrm
  cargo hookkeeper send amocrm lead.status_changed --set lead.id=42 --duplicate
  cargo hookkeeper send closer created --count 500 --rate 50
  cargo hookkeeper send pipedrive --file body.json --url https://hooks.example.com/pipedrive")]
pub(crate) struct Send {
    /// Provider to act as
    #[arg(value_parser = provider, required_unless_present = "list")]
    provider: Option<Provider>,
    /// Name or type of a webhook, as --list prints it
    #[arg(required_unless_present_any = ["list", "file"], conflicts_with = "file")]
    what: Option<String>,
    /// List what can be sent, and send nothing
    #[arg(long, conflicts_with_all = ["what", "file"])]
    list: bool,
    /// Set a field, like deal.stage_id=3, deal.id=42 or meta.user_id=5 (can be repeated)
    #[arg(long, value_name = "PATH=VALUE", value_parser = setting, conflicts_with = "file")]
    set: Vec<(String, String)>,
    /// Number of deliveries
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Deliveries per second [default: as fast as they are answered, 16 at a time]
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
    /// Send each delivery twice, as a provider does after no answer
    #[arg(long)]
    duplicate: bool,
    /// Number of items in each delivery (amoCRM)
    #[arg(
        long,
        default_value_t = 1,
        value_name = "ITEMS",
        conflicts_with = "file"
    )]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Send exactly the bytes of a file (-: standard input)
    #[arg(long)]
    file: Option<PathBuf>,
    /// Content type of --file [default: the provider's]
    #[arg(long, requires = "file", value_name = "TYPE")]
    content_type: Option<String>,
    /// Send to `cargo dev` on this port
    #[arg(
        long,
        value_name = "PORT",
        default_value = "9000",
        default_missing_value = "9000"
    )]
    #[arg(num_args = 0..=1, require_equals = true)]
    local: u16,
    /// Send to this URL
    #[arg(long, conflicts_with = "local")]
    url: Option<String>,
    /// User name and password [env: HOOKKEEPER_USER for --url, HOOKKEEPER_DEV_USER for `cargo dev`] [default: none for
    /// --url, local:local for `cargo dev`]. They are asked for with -; what is on a command line is in the shell's
    /// history and in the list of processes
    #[arg(long, value_name = "USER:PASSWORD", conflicts_with = "key")]
    user: Option<String>,
    /// Key that is added to --url (amoCRM, Closer) [env: HOOKKEEPER_KEY]. It is asked for with -, as --user is
    #[arg(long, requires = "url")]
    key: Option<String>,
    /// Output format
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (path, value) = text
        .split_once('=')
        .ok_or("expected PATH=VALUE, like deal.stage_id=3")?;
    Ok((path.to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| "expected a number above 0".to_owned())
}

/// Reason why not everything was sent.
enum Wrong {
    /// The arguments are wrong.
    Usage(String),
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for Wrong {
    fn from(failure: E) -> Self {
        Self::Failed(failure.into())
    }
}

impl Send {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let done = match &self.provider {
            Some(provider) if !self.list => self.send(*provider).await,
            only => list::print(*only, self.output).map_err(Wrong::from),
        };
        match done {
            Ok(()) => Ok(()),
            Err(Wrong::Failed(failure)) => Err(failure),
            Err(Wrong::Usage(sentence)) => {
                let command = Command::new("hookkeeper send");
                Self::augment_args(command)
                    .error(ErrorKind::ValueValidation, as_called(&sentence))
                    .exit()
            }
        }
    }

    async fn send(&self, provider: Provider) -> Result<(), Wrong> {
        let sample = self.sample(&provider)?;
        let mut recipe = Recipe::new(provider, sample, self.batch.into()).map_err(Wrong::Usage)?;
        for (path, value) in &self.set {
            recipe.set(path, value).map_err(Wrong::Usage)?;
        }
        // An error in the first delivery would be in all of them.
        recipe.make().map_err(Wrong::Usage)?;
        let target = self.target(&provider).map_err(Wrong::Usage)?;
        let pace = Pace {
            count: self.count,
            rate: self.rate,
            attempts: if self.duplicate { 2 } else { 1 },
        };
        let started = Instant::now();
        let done = self.deliver(&pace, &recipe, &target).await?;
        if self.output == Output::Table && done.answers.len() > 1 {
            say!("{}", report::summary(&done.answers, started.elapsed()))?;
        }
        if let Some(sentence) = report::failure(&done.answers, &target) {
            return Err(Wrong::Failed(sentence.into()));
        }
        Ok(self.hint(&done, &target)?)
    }

    /// Sample to send.
    fn sample(&self, provider: &Provider) -> Result<Sample, Wrong> {
        let Some(path) = &self.file else {
            let what = self.what.as_deref().unwrap_or_default();
            return find(provider, what).map_err(Wrong::Usage);
        };
        let bytes = bytes_of(path).map_err(|error| {
            Wrong::from(format!(
                "cannot read {} ({error}): give another --file",
                path.display()
            ))
        })?;
        let mut headers = find::headers(provider);
        if let Some(content_type) = &self.content_type {
            headers.retain(|(name, _)| name != "content-type");
            headers.push(("content-type".to_owned(), content_type.clone()));
        }
        Ok(Sample {
            name: path.display().to_string(),
            headers,
            body: Body::Exact(bytes),
        })
    }

    /// URL and credential of the receiver.
    fn target(&self, provider: &Provider) -> Result<Target, String> {
        let Some(url) = &self.url else {
            let url = format!("http://127.0.0.1:{}/{}", self.local, provider.name);
            let credentials = match &self.user {
                Some(credentials) => secret(credentials, USER)?,
                None => User::from_env()
                    .map_err(|error| error.to_string())?
                    .credentials()
                    .to_owned(),
            };
            return Target::new(&url, Some(Credential::Basic(credentials)), true);
        };
        let may_have_a_key = provider.supports(Scheme::UrlKey);
        if self.key.is_some() && !may_have_a_key {
            return Err(format!(
                "{} sends a user name and a password: use --user instead of --key",
                provider.name
            ));
        }
        let shown = match (&self.user, &self.key) {
            (Some(user), _) => Some(Credential::Basic(secret(user, USER)?)),
            (_, Some(key)) => Some(Credential::Key(secret(key, "key")?)),
            _ => variable("HOOKKEEPER_KEY")
                .filter(|_| may_have_a_key)
                .map(Credential::Key)
                .or_else(|| variable("HOOKKEEPER_USER").map(Credential::Basic)),
        };
        Target::new(url, shown, false)
    }

    /// Sends all deliveries. Prints a line for each, or a progress bar if there are many.
    async fn deliver(
        &self,
        pace: &Pace,
        recipe: &Recipe,
        target: &Target,
    ) -> Result<Done, Failure> {
        let has_lines = self.output == Output::Json || pace.total() <= LINES;
        let progress = if has_lines {
            ProgressBar::hidden()
        } else {
            bar(pace.total())
        };
        let mut done = Done {
            answers: Vec::new(),
            subject: None,
        };
        let mut deliveries = pin!(pace.deliver(recipe, target));
        while let Some(sent) = deliveries.next().await {
            for sent in sent? {
                match self.output {
                    Output::Json => say!("{}", json_line(&sent.json())?)?,
                    Output::Table if has_lines => say!("{}", sent.line())?,
                    Output::Table => progress.inc(1),
                }
                done.subject = done.subject.or_else(|| sent.subject());
                done.answers.push(sent.answer);
            }
        }
        progress.finish_and_clear();
        Ok(done)
    }

    /// Prints the command that shows the stored events.
    fn hint(&self, done: &Done, target: &Target) -> io::Result<()> {
        let is_for_a_person = self.output == Output::Table && io::stdout().is_terminal();
        match &done.subject {
            Some(subject)
                if is_for_a_person
                    && target.is_local
                    && done.answers.len() == 1
                    && is_plain(subject) =>
            {
                let command = as_called("cargo hookkeeper events history");
                say!("\nShow it: {command} {subject} --local")
            }
            Some(_) if is_for_a_person && target.is_local => {
                say!(
                    "\n{}",
                    as_called("Show them: cargo hookkeeper events --local")
                )
            }
            _ => Ok(()),
        }
    }
}

/// Whether a subject from a sender can be pasted into a shell without quotes.
fn is_plain(subject: &str) -> bool {
    let mut bytes = subject.bytes();
    !subject.starts_with('-')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte))
}

/// Finds the sample for a name or an event type.
fn find(provider: &Provider, what: &str) -> Result<Sample, String> {
    find::find(provider, what).map_err(|nearest| {
        let name = provider.name;
        let nearest = nearest.join(", ");
        format!(
            "{name} sends nothing called {what}: the nearest are {nearest}; \
            `hookkeeper send --list {name}` has all"
        )
    })
}

/// Sends a new event, made from a sample, to a receiver on this machine. Returns the line about it.
pub(crate) async fn send_sample(
    provider: Provider,
    what: &str,
    url: &str,
    user: &User,
) -> Result<String, Failure> {
    let recipe = Recipe::new(provider, find(&provider, what)?, 1)?;
    let credential = Credential::Basic(user.credentials().to_owned());
    let target = Target::new(url, Some(credential), true)?;
    let sent = attempt(&recipe, &target, 1).await?;
    let lines: Vec<_> = sent.iter().map(Sent::line).collect();
    Ok(strip_str(&lines.join("\n")).to_string())
}

/// Responses to all deliveries.
struct Done {
    answers: Vec<Answer>,
    /// Subject of the first delivery that has exactly one event.
    subject: Option<String>,
}

fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    if path != Path::new("-") {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Progress bar, which is visible only on a terminal.
fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len}, {per_sec}, {eta} left");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
