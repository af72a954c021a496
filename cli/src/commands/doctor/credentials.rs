//! Credentials check: the stack accepts no credential that everybody knows. A receiver does not
//! refuse such a credential itself: the provider would get an error for every delivery.

use super::finding::Finding;
use crate::connection::parameter;
use aws_sdk_cloudformation::types::Stack;
use hookkeeper::{known_credentials::of_digest, template::logical_name};
use providers::Provider;

/// Checks the accepted credentials of a provider. Returns the failed checks only.
pub(crate) fn check(stack: &Stack, provider: &Provider) -> Vec<Finding> {
    let lists = ["Credentials", "Keys"].map(|list| logical_name(provider.name, list));
    let lists = lists
        .iter()
        .filter_map(|list| parameter::<String>(stack, list));
    lists
        .flat_map(|list| known_labels(&list))
        .map(|label| known(provider.name, &label))
        .collect()
}

/// Labels of the well-known credentials in a list of `label:digest`.
fn known_labels(list: &str) -> Vec<String> {
    let entries = list
        .split(',')
        .filter_map(|entry| entry.trim().split_once(':'));
    let known = entries.filter(|(_, digest)| of_digest(digest).is_some());
    known.map(|(label, _)| label.to_owned()).collect()
}

fn known(provider: &str, label: &str) -> Finding {
    let text = format!("{provider} accepts a well-known credential (label {label})");
    let advice = format!(
        "make another with `hookkeeper credentials {provider} --add`, and drop this one \
        (docs/operations.md, rotate a credential)"
    );
    Finding::fail("credentials", text, advice)
}
