//! Finds the sample for a name: a sample of that name, the plainest one of an event type, or one
//! that the provider's generator makes from other samples.

use super::{
    body::Body,
    catalogue::{Sample, parse_sample, samples, short},
};
use crate::similar::nearest;
use providers::Provider;

/// Finds a sample by its name or by an event type. If there is none, returns the most similar
/// names.
pub(crate) fn find(provider: &Provider, what: &str) -> Result<Sample, Vec<String>> {
    let samples = samples(provider);
    if let Some(sample) = samples.iter().find(|sample| sample.name == what) {
        return Ok(sample.clone());
    }
    let told: Vec<_> = samples
        .iter()
        .filter_map(|sample| Some((plainness(provider, sample)?, sample)))
        .collect();
    let of_type = told
        .iter()
        .filter(|(plainness, _)| plainness.types.iter().any(|kind| short(kind) == what));
    let plainest = of_type.min_by_key(|(plainness, _)| plainness.rank());
    let found = match plainest {
        Some((plainness, sample)) if !plainness.is_last_choice => Some((*sample).clone()),
        last => made(provider, what, &told).or_else(|| last.map(|(_, sample)| (*sample).clone())),
    };
    found.ok_or_else(|| nearest_names(provider, &samples, &told, what))
}

/// Headers of a delivery without a sample: those of the provider's plainest sample.
pub(crate) fn headers(provider: &Provider) -> Vec<(String, String)> {
    let samples = samples(provider);
    let told = samples
        .iter()
        .filter_map(|sample| Some((plainness(provider, sample)?.rank(), sample)));
    told.min_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, sample)| sample.headers.clone())
        .unwrap_or_default()
}

/// Plainness of a sample: the less it differs from an ordinary event of its type, the lower its
/// rank.
struct Plainness {
    types: Vec<String>,
    is_last_choice: bool,
    /// Number of words in the sample's name that its type does not contain.
    more_words: usize,
    name_len: usize,
}

impl Plainness {
    fn rank(&self) -> impl Ord + use<> {
        (
            self.is_last_choice,
            self.types.len(),
            self.more_words,
            self.name_len,
        )
    }
}

fn plainness(provider: &Provider, sample: &Sample) -> Option<Plainness> {
    let parsed = parse_sample(provider, sample);
    if parsed.quarantined.is_some() {
        return None;
    }
    let first = parsed.events.first()?;
    let rules = provider.samples;
    let said = words(&format!("{}.{}", first.r#type, first.originaltype));
    let mut more_words = words(&sample.name);
    more_words.retain(|word| !said.contains(word) && !rules.prefixes.contains(&&**word));
    Some(Plainness {
        is_last_choice: (rules.is_last_choice)(first),
        more_words: more_words.len(),
        name_len: sample.name.len(),
        types: parsed
            .events
            .into_iter()
            .map(|event| event.r#type)
            .collect(),
    })
}

/// Splits a name: `updated.activityType` becomes `updated`, `activity`, `type`.
fn words(name: &str) -> Vec<String> {
    let mut spaced = String::new();
    for char in name.chars() {
        if char.is_ascii_uppercase() {
            spaced.push('_');
        }
        spaced.push(char.to_ascii_lowercase());
    }
    spaced.split(['_', '.']).map(str::to_owned).collect()
}

/// Makes a sample with the provider's generator, from the plain samples.
fn made(provider: &Provider, what: &str, told: &[(Plainness, &Sample)]) -> Option<Sample> {
    let generator = provider.samples.generator?;
    let plain = told
        .iter()
        .filter(|(plainness, _)| plainness.more_words == 0)
        .map(|(_, sample)| *sample);
    let bodies = plain.filter_map(|sample| match &sample.body {
        Body::Json { value, .. } => Some(value.clone()),
        Body::Form(_) | Body::Exact(_) => None,
    });
    let generated = (generator.make)(what, &bodies.collect::<Vec<_>>())?;
    let body = Body::Json {
        before: Vec::new(),
        value: generated.body,
        after: Vec::new(),
    };
    Some(Sample {
        name: generated.name,
        headers: headers(provider),
        body,
    })
}

/// Names that are most similar to an unknown name.
fn nearest_names(
    provider: &Provider,
    samples: &[Sample],
    told: &[(Plainness, &Sample)],
    what: &str,
) -> Vec<String> {
    let mut names: Vec<_> = samples.iter().map(|sample| sample.name.clone()).collect();
    names.extend(
        told.iter()
            .flat_map(|(plainness, _)| &plainness.types)
            .map(|kind| short(kind).to_owned()),
    );
    if let Some(generator) = provider.samples.generator {
        names.extend((generator.names)());
    }
    names.sort();
    names.dedup();
    nearest(names, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_selects_its_plainest_sample() {
        for (provider, what, name) in [
            ("pipedrive", "deal.updated", "v2_change_deal"),
            ("pipedrive", "deal.merged", "v2_change_deal_merged"),
            ("pipedrive", "deal.created", "v2_create_deal"),
            ("pipedrive", "person.deleted", "v2_delete_person"),
            ("pipedrive", "note.created", "v2_create_note"),
            ("pipedrive", "organization.merged", "v1_merged_organization"),
            ("pipedrive", "person.merged", "v1_merged_person"),
            (
                "pipedrive",
                "activityType.updated",
                "v1_updated_activityType",
            ),
            ("amocrm", "lead.status_changed", "leads_status"),
            ("amocrm", "lead.created", "leads_add"),
            ("amocrm", "lead.updated", "leads_update"),
            ("amocrm", "company.updated", "company_update"),
            ("amocrm", "contact.note_added", "contacts_note"),
            ("amocrm", "customer.period_changed", "dp_period"),
            ("closer", "conversation.created", "created"),
            ("closer", "conversation.closed", "closed"),
        ] {
            let provider = providers::ALL
                .into_iter()
                .find(|known| known.name == provider)
                .unwrap();
            assert_eq!(find(&provider, what).unwrap().name, name, "{what}");
        }
    }
}
