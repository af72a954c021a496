//! Resources of a template: all of them, those that a stack must have, and the differences between
//! two templates.

use crate::credential::has_credentials;
use aws_sdk_cloudformation::types::Stack;
use hookkeeper::template::logical_name;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Resource types by logical id.
pub(crate) type Types = BTreeMap<String, String>;

/// Maximum number of names that a message lists.
const NAMES: usize = 5;

/// Types of all resources of a template, regardless of its conditions.
pub(crate) fn types(template: &Value) -> Types {
    section(template, "Resources")
        .filter_map(|(id, resource)| Some((id.clone(), resource.get("Type")?.as_str()?.to_owned())))
        .collect()
}

/// Logical ids of the resources that the stack must have: those without a condition, and those whose
/// condition holds. CloudFormation evaluates the conditions: one holds if the stack has any resource
/// or output with it. `there` has the logical ids of these. The condition of a provider also holds
/// if the provider has credentials, even if all of its resources are missing.
pub(crate) fn expected(template: &Value, stack: &Stack, there: &BTreeSet<&str>) -> Vec<String> {
    let made = section(template, "Resources").chain(section(template, "Outputs"));
    let mut holding: BTreeSet<String> = made
        .filter(|(id, _)| there.contains(&***id))
        .filter_map(|(_, part)| Some(condition(part)?.to_owned()))
        .collect();
    let used = providers::ALL.into_iter();
    let used = used.filter(|provider| has_credentials(provider, stack));
    holding.extend(used.map(|provider| format!("Use{}", logical_name(provider.name, ""))));
    section(template, "Resources")
        .filter(|(_, resource)| condition(resource).is_none_or(|name| holding.contains(name)))
        .map(|(id, _)| id.clone())
        .collect()
}

fn condition(part: &Value) -> Option<&str> {
    part.get("Condition")?.as_str()
}

/// Describes in one line the resources that a deployed template lacks or has in addition to ours,
/// and those with another type.
pub(crate) fn differences(deployed: &Types, ours: &Types) -> Option<String> {
    let common = deployed.iter().filter(|(id, _)| ours.contains_key(*id));
    let of_another_type = common.filter(|(id, kind)| ours.get(*id) != Some(kind));
    let differences = [
        ("without", missing(ours, deployed)),
        ("with", missing(deployed, ours)),
        (
            "of another type:",
            of_another_type.map(|(id, _)| id.clone()).collect(),
        ),
    ];
    let said: Vec<_> = differences
        .iter()
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(how, ids)| format!("{how} {}", some(ids)))
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Logical ids of the resources that `there` lacks.
fn missing(wanted: &Types, there: &Types) -> Vec<String> {
    let ids = wanted.keys();
    ids.filter(|id| !there.contains_key(*id)).cloned().collect()
}

/// Lists the first names, and the number of the other ones.
pub(crate) fn some(ids: &[String]) -> String {
    let first = ids.get(..NAMES).unwrap_or(ids).join(", ");
    match ids.len().saturating_sub(NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn section<'a>(template: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let section = template.get(name).and_then(Value::as_object);
    section.into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_cloudformation::types::Parameter;
    use hookkeeper::template::{TEMPLATE, parse};

    fn owned((id, kind): (&str, &str)) -> (String, String) {
        (id.to_owned(), kind.to_owned())
    }

    #[test]
    fn a_condition_holds_for_all_of_its_resources_or_for_none() {
        let template = parse(TEMPLATE).unwrap();
        let expected = |parameters: &[(&str, &str)], there: &[&str]| -> BTreeSet<String> {
            let parameters = parameters.iter().map(|(name, value)| {
                Parameter::builder()
                    .parameter_key(*name)
                    .parameter_value(*value)
                    .build()
            });
            let stack = Stack::builder()
                .set_parameters(Some(parameters.collect()))
                .build();
            let there = there.iter().copied().collect();
            super::expected(&template, &stack, &there)
                .into_iter()
                .collect()
        };
        let without_conditions = expected(&[("PipedriveCredentials", "")], &[]);
        assert!(without_conditions.contains("Table"));
        for id in ["PipedriveFunction", "Domain", "AlarmMail"] {
            assert!(!without_conditions.contains(id), "{id}");
        }
        let with_credentials = expected(&[("PipedriveCredentials", "a:b")], &[]);
        assert!(with_credentials.contains("PipedriveFunction"));
        assert!(!with_credentials.contains("PipedriveNoTrafficAlarm"));
        let with_a_key = expected(&[("AmocrmKeys", "a:b")], &[]);
        assert!(with_a_key.contains("AmocrmFunction") && !with_a_key.contains("CloserFunction"));
        assert_eq!(expected(&[], &["AmocrmLog"]), with_a_key);
        assert_eq!(expected(&[], &["AmocrmUrl"]), with_a_key, "an output");
        let types = types(&template);
        let all: Vec<_> = types.keys().map(|id| &**id).collect();
        assert_eq!(expected(&[], &all).len(), all.len());
        for id in ["PipedriveNoTrafficAlarm", "Domain", "AlarmMail"] {
            assert!(all.contains(&id), "{id} is not in the template");
        }
    }

    #[test]
    fn differences_list_missing_added_and_changed_resources() {
        let ours = Types::from([("A", "x"), ("B", "x")].map(owned));
        assert_eq!(differences(&ours, &ours), None);
        let deployed = Types::from([("B", "y"), ("C", "x")].map(owned));
        assert_eq!(
            differences(&deployed, &ours).unwrap(),
            "without A; with C; of another type: B"
        );
        assert_eq!(differences(&Types::new(), &ours).unwrap(), "without A, B");
        let many: Vec<_> = (0..7).map(|number| number.to_string()).collect();
        assert_eq!(some(&many), "0, 1, 2, 3, 4 and 2 more");
    }
}
