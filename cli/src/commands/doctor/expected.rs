//! Resources of a template: all of them, those that its conditions select, and the differences
//! between two templates.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Parameters of a stack: values by name.
pub(crate) type Parameters = BTreeMap<String, String>;
/// Resource types by logical id.
pub(crate) type Types = BTreeMap<String, String>;

/// Maximum number of names that a message lists.
const NAMES: usize = 5;

/// Types of all resources of a template, regardless of its conditions.
pub(crate) fn types(template: &Value) -> Types {
    let typed =
        |(id, it): (&String, &Value)| Some((id.clone(), it.get("Type")?.as_str()?.to_owned()));
    resources(template).filter_map(typed).collect()
}

/// Logical ids of the resources that the template creates with these parameters.
pub(crate) fn expected(template: &Value, parameters: &Parameters) -> Vec<String> {
    let is_made = |it: &Value| {
        it.get("Condition")
            .is_none_or(|name| holds_by_name(name, template, parameters))
    };
    resources(template)
        .filter(|(_, it)| is_made(it))
        .map(|(id, _)| id.clone())
        .collect()
}

/// Describes in one line the resources that a deployed template lacks or has in addition to ours,
/// and those with another type.
pub(crate) fn differences(deployed: &Types, ours: &Types) -> Option<String> {
    let beside = |one: &Types, other: &Types| -> Vec<String> {
        one.keys()
            .filter(|id| !other.contains_key(*id))
            .cloned()
            .collect()
    };
    let is_other = |(id, kind): (&String, &String)| {
        ours.get(id)
            .is_some_and(|ours| ours != kind)
            .then(|| id.clone())
    };
    let differences = [
        ("without", beside(ours, deployed)),
        ("with", beside(deployed, ours)),
        (
            "of another type:",
            deployed.iter().filter_map(is_other).collect(),
        ),
    ];
    let said: Vec<_> = differences
        .iter()
        .filter(|(_, ids)| !ids.is_empty())
        .map(|(how, ids)| format!("{how} {}", some(ids)))
        .collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Lists the first names, and the number of the other ones.
pub(crate) fn some(ids: &[String]) -> String {
    let first = ids
        .iter()
        .take(NAMES)
        .map(|id| &**id)
        .collect::<Vec<_>>()
        .join(", ");
    match ids.len().saturating_sub(NAMES) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

fn resources(template: &Value) -> impl Iterator<Item = (&String, &Value)> {
    template
        .get("Resources")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn holds_by_name(name: &Value, template: &Value, parameters: &Parameters) -> bool {
    let condition = name
        .as_str()
        .and_then(|name| template.get("Conditions")?.get(name));
    condition.is_some_and(|condition| holds(condition, template, parameters))
}

/// Evaluates a condition of a template. Supports the functions that our template uses.
///
/// Source: <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-conditions.html>
fn holds(condition: &Value, template: &Value, parameters: &Parameters) -> bool {
    let Some((function, argument)) = condition.as_object().and_then(|it| it.iter().next()) else {
        return false;
    };
    let mut operands = argument.as_array().into_iter().flatten();
    let holds = |it: &Value| holds(it, template, parameters);
    match &**function {
        "Condition" => holds_by_name(argument, template, parameters),
        "Not" => !operands.all(holds),
        "And" => operands.all(holds),
        "Or" => operands.any(holds),
        "Equals" => {
            let values: Vec<_> = operands.map(|it| value(it, template, parameters)).collect();
            values.iter().all(|value| Some(value) == values.first())
        }
        _ => false,
    }
}

/// Literal value, or the value of the referenced parameter.
fn value(operand: &Value, template: &Value, parameters: &Parameters) -> String {
    let Some(name) = operand.get("Ref").and_then(Value::as_str) else {
        return text(operand);
    };
    let default = || template.get("Parameters")?.get(name)?.get("Default");
    parameters
        .get(name)
        .cloned()
        .or_else(|| default().map(text))
        .unwrap_or_default()
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookkeeper::template::{TEMPLATE, parse};

    #[test]
    fn a_provider_without_credentials_is_not_expected() {
        let template = parse(TEMPLATE).unwrap();
        let made = |given: &[(&str, &str)]| {
            let parameters = given
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            expected(&template, &parameters)
        };
        let has = |made: &[String], id: &str| made.iter().any(|it| it == id);
        let none = made(&[]);
        assert!(has(&none, "Table") && has(&none, "DrainFunction"));
        for id in [
            "PipedriveFunction",
            "AmocrmFunction",
            "Domain",
            "AlarmMail",
            "PipedriveSilentAlarm",
        ] {
            assert!(!has(&none, id), "{id}");
        }
        let some = made(&[
            ("PipedriveCredentials", "a:b"),
            ("AmocrmKeys", "a:b"),
            ("SilenceHours", "24"),
        ]);
        for id in [
            "PipedriveFunction",
            "PipedriveSilentAlarm",
            "AmocrmFunction",
            "AmocrmSilentAlarm",
        ] {
            assert!(has(&some, id), "{id}");
        }
        assert!(!has(&some, "CloserFunction") && !has(&some, "CloserSilentAlarm"));
        let all = [
            "PipedriveCredentials",
            "AmocrmCredentials",
            "CloserKeys",
            "DomainName",
            "AlarmEmail",
            "SilenceHours",
        ];
        assert_eq!(
            made(&all.map(|name| (name, "1"))).len(),
            types(&template).len(),
            "not all conditions hold"
        );
    }

    #[test]
    fn templates_differ_by_what_one_lacks() {
        let types = |all: &[(&str, &str)]| {
            all.iter()
                .map(|(id, kind)| ((*id).to_owned(), (*kind).to_owned()))
                .collect()
        };
        let ours: Types = types(&[("A", "x"), ("B", "x")]);
        assert_eq!(differences(&ours, &ours), None);
        let deployed = types(&[("B", "y"), ("C", "x")]);
        assert_eq!(
            differences(&deployed, &ours).unwrap(),
            "without A; with C; of another type: B"
        );
        assert_eq!(differences(&Types::new(), &ours).unwrap(), "without A, B");
        let many: Vec<_> = (0..7).map(|it| it.to_string()).collect();
        assert_eq!(some(&many), "0, 1, 2, 3, 4 and 2 more");
    }
}
