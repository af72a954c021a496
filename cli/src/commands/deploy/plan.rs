//! Parameters of a deployment, and the credentials that it makes.

use crate::{
    Failure, Usage,
    connection::parameter,
    credential::{Accepted, Made, has_credentials, parameter_names, scheme},
};
use aws_sdk_cloudformation::types::{Parameter, Stack};
use providers::Provider;
use std::collections::{BTreeMap, BTreeSet};

/// The template's parameter with the address for alarms.
pub(crate) const ALARM_EMAIL: &str = "AlarmEmail";

/// The template's parameter with the architecture of the functions. A release has one alone, which is
/// the default of its template.
const ARCHITECTURE: &str = "Architecture";

/// Values by name of the template's parameter.
pub(crate) type Settings = BTreeMap<String, String>;

/// What a deployment deploys beside the template.
pub(crate) struct Plan {
    pub(crate) parameters: Vec<Parameter>,
    /// New credentials. The parameters have their digests.
    pub(crate) made: Vec<Made>,
    /// The address that AWS asks to confirm the alarm mails, if it is a new one.
    pub(crate) new_address: Option<String>,
}

impl Plan {
    /// Makes a credential for each provider that has none. All parameters of an existing stack that
    /// are not set keep their values, except the architecture.
    pub(crate) fn new(
        names: &BTreeSet<String>,
        existing: Option<&Stack>,
        providers: &[Provider],
        mut settings: Settings,
    ) -> Result<Self, Failure> {
        let mut made = Vec::new();
        for provider in providers {
            if let Some(name) = credential_in(&settings, provider) {
                let provider = provider.name;
                let why = format!("{name} is set: leave out {provider}, or --set {name}");
                return Err(Usage(why).into());
            }
            if existing.is_some_and(|stack| has_credentials(provider, stack)) {
                eprintln!("{} has a credential already, and keeps it.", provider.name);
                continue;
            }
            let new = Made::new(provider, scheme(provider), Accepted::default(), None)?;
            settings.insert(new.parameter.clone(), new.value.clone());
            made.push(new);
        }
        let new_address = settings.get(ALARM_EMAIL).filter(|address| {
            let before = existing.and_then(|stack| parameter::<String>(stack, ALARM_EMAIL));
            !address.is_empty() && before.as_ref() != Some(address)
        });
        Ok(Self {
            new_address: new_address.cloned(),
            parameters: parameters(names, existing, &settings),
            made,
        })
    }
}

/// The parameter with a credential of a provider that the user sets.
pub(crate) fn credential_in(settings: &Settings, provider: &Provider) -> Option<String> {
    let mut names = parameter_names(provider).into_iter();
    names.find(|name| settings.get(name).is_some_and(|value| !value.is_empty()))
}

/// Parameters of a change set: the values that are set, and the previous ones. Any other parameter
/// gets the template's default.
fn parameters(
    names: &BTreeSet<String>,
    existing: Option<&Stack>,
    settings: &Settings,
) -> Vec<Parameter> {
    let deployed = existing.map(Stack::parameters).unwrap_or_default().iter();
    let deployed = deployed.filter_map(Parameter::parameter_key);
    let kept: BTreeSet<_> = deployed.filter(|name| *name != ARCHITECTURE).collect();
    let parameters = names.iter().filter_map(|name| {
        let parameter = Parameter::builder().parameter_key(name);
        match settings.get(name) {
            Some(value) => Some(parameter.parameter_value(value).build()),
            None if kept.contains(&**name) => Some(parameter.use_previous_value(true).build()),
            None => None,
        }
    });
    parameters.collect()
}
