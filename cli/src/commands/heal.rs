//! `hookkeeper heal`: reads back from a provider what no webhook reported.

use crate::{
    Failure, Usage,
    managed_account::{AccountOptions, ManagedAccount},
    output::{Output, json_line, say},
    span::{A_DAY, Moment, Span, moment},
};
use clap::Args;
use guardian::{Action, Comparison, Finding, HealError, Healer, Missing};
use models::Timestamp;
use providers::api::change::{Cost, Extent, Window};
use serde::Serialize;

/// Reads back from a provider's API what changed in a time range, and stores what no webhook reported.
///
/// Nothing is stored twice: what is read is compared with the stored events first. Nothing is read from before the
/// registration of the account or from before the retention, or nearer than the last retry of a webhook may arrive.
///
/// Example: cargo hookkeeper heal pipedrive --since 2d --dry-run
#[derive(Args)]
pub(crate) struct Heal {
    #[command(flatten)]
    account: AccountOptions,
    /// Start: 30s, 15m, 2h, 7d ago, a date, or a time with its zone [default: 24h before the end]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// End, in the same form [default: the latest time that can be read back]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
}

/// The line of a change, or the last line, for programs.
#[derive(Serialize)]
struct Line<'a> {
    provider: &'static str,
    account: &'a str,
    finding: Finding,
    action: Action,
    #[serde(flatten)]
    about: About<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum About<'a> {
    Change(&'a Missing),
    All(Counts),
}

/// What was read.
#[derive(Serialize)]
struct Counts {
    since: Timestamp,
    until: Timestamp,
    /// Changes that the API shows.
    changes: u64,
    /// Changes that were in the table before.
    stored: u64,
    /// Changes that were not.
    missing: u64,
    /// Changes that are missing because their subject was erased.
    erased: u64,
    /// Lists of the API that could not be read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<&'static str>,
    api_calls: u32,
    api_tokens: u32,
}

impl Heal {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let span = Span::new(self.since, self.until).resolve(A_DAY)?;
        let account = self.account.open_without_receiver().await?;
        let target = account.target_for_reading()?;
        let backlog = self.account.connection.backlog().await?;
        let state = account.table.guardian(&account.name).await?;
        let healer = Healer {
            target: &target,
            client: &account.client,
            table: &account.table,
            backlog: backlog.as_ref(),
            horizon: account.horizon,
            registered: state.map(|state| state.registered),
        };
        let asked = Window {
            since: span.start,
            until: span.end,
        };
        let window = healer.allowed(asked).map_err(|error| match error {
            HealError::Empty(..) => Failure::from(Usage(error.to_string())),
            error => error.into(),
        })?;
        announce(&account, asked, window);
        let comparison = healer.compare(window, Extent::All).await?;
        account.table.check_clock()?;
        self.report(&account, &healer, comparison).await
    }

    async fn report(
        &self,
        account: &ManagedAccount,
        healer: &Healer<'_>,
        comparison: Comparison,
    ) -> Result<(), Failure> {
        let action = if self.account.dry_run {
            Action::None
        } else {
            healer.store(&comparison.missing).await?;
            Action::Healed
        };
        for change in &comparison.missing {
            let missing = Missing::from(change);
            self.say(account, Finding::Gap, action, About::Change(&missing))?;
        }
        for list in &comparison.unread {
            let why = "the token's user may not read it, or the account does not have it";
            eprintln!("{list} is not compared: {why}.");
        }
        let usage = account.client.usage();
        let count = comparison.missing.len() as u64;
        let counts = Counts {
            since: comparison.window.since,
            until: comparison.window.until,
            changes: comparison.shown,
            stored: comparison.stored(),
            missing: count,
            erased: comparison.erased,
            unread: comparison.unread,
            api_calls: usage.calls,
            api_tokens: usage.tokens,
        };
        let is_open = self.account.dry_run && count > 0;
        let finding = if is_open { Finding::Gap } else { Finding::Ok };
        self.say(account, finding, Action::None, About::All(counts))?;
        if is_open {
            return Err(format!("changes that are missing: {count}").into());
        }
        Ok(())
    }

    fn say(
        &self,
        account: &ManagedAccount,
        finding: Finding,
        action: Action,
        about: About<'_>,
    ) -> Result<(), Failure> {
        let line = Line {
            provider: account.provider.name,
            account: &account.account.id,
            finding,
            action,
            about,
        };
        match self.account.output {
            Output::Json => say!("{}", json_line(&line)?)?,
            Output::Table => say!("{}", line.sentence())?,
        }
        Ok(())
    }
}

impl Line<'_> {
    fn sentence(&self) -> String {
        let done = match self.action {
            Action::Healed => "healed",
            _ => "missing",
        };
        match &self.about {
            About::Change(Missing {
                subject,
                r#type,
                time,
            }) => format!("{time}  {type}  {subject}  {done}"),
            About::All(Counts {
                changes,
                stored,
                missing,
                erased,
                api_calls,
                api_tokens,
                ..
            }) => {
                let erased = match erased {
                    0 => String::new(),
                    erased => format!(", {erased} of erased subjects"),
                };
                let missing = match (self.finding, missing) {
                    (Finding::Gap, missing) => format!("{missing} are missing"),
                    (_, 0) => "none is missing".to_owned(),
                    (_, missing) => format!("{missing} were missing, and are stored now"),
                };
                format!(
                    "{changes} changes: {stored} were stored, {missing}{erased} \
                    ({api_calls} calls, {api_tokens} tokens)"
                )
            }
        }
    }
}

/// Tells what is read, and what it costs at least.
fn announce(account: &ManagedAccount, asked: Window, window: Window) {
    let Window { since, until } = window;
    let name = &account.name;
    if window.since > asked.since {
        eprintln!(
            "Nothing before {since} is read: that is before the registration, or not retained."
        );
    }
    let Cost {
        calls,
        tokens,
        budget,
    } = (account.api.cost)(window);
    let cost = if budget > 0 {
        format!("at least {tokens} tokens of {budget} or more in a day")
    } else {
        let pause = account.api.limits.pause;
        let pauses = pause.saturating_mul(calls.try_into().unwrap_or(u32::MAX));
        format!("at least {calls} calls, which take {} s", pauses.as_secs())
    };
    eprintln!("Reading {name} from {since} to {until}: {cost}.");
}
