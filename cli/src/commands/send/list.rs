//! `hookkeeper send --list`: lists everything that can be sent.

use super::catalogue::{self, Sample};
use crate::{
    Failure,
    filter::selected,
    output::{Output, json_line, say, table},
};
use providers::Provider;
use serde::Serialize;
use std::collections::BTreeSet;

/// Row of the list: one sample.
#[derive(Serialize)]
struct Row {
    provider: &'static str,
    name: String,
    /// Event types that the provider's parser returns.
    types: Vec<String>,
    /// Reason why the sample is quarantined.
    quarantined: Option<String>,
}

/// Prints the samples of one provider, or of all providers.
pub(crate) fn print(only: Option<Provider>, output: Output) -> Result<(), Failure> {
    let providers = selected(only);
    let rows: Vec<Row> = providers.clone().flat_map(rows_of).collect();
    if output == Output::Json {
        return rows
            .iter()
            .try_for_each(|row| Ok(say!("{}", json_line(row)?)?));
    }
    say!(
        "{}",
        table(
            ["PROVIDER", "NAME", "TYPE"],
            &rows.iter().map(cells).collect::<Vec<_>>()
        )
    )?;
    let generators = providers.filter_map(|provider| provider.samples.generator);
    for generator in generators {
        say!("\n{}", generator.description)?;
    }
    Ok(())
}

fn cells(row: &Row) -> [String; 3] {
    let told = row.quarantined.as_ref().map_or_else(
        || row.types.join(", "),
        |reason| format!("quarantined: {reason}"),
    );
    [row.provider.to_owned(), row.name.clone(), told]
}

fn rows_of(provider: Provider) -> impl Iterator<Item = Row> {
    let samples = catalogue::samples(&provider).into_iter();
    samples.map(move |sample| row(&provider, sample))
}

fn row(provider: &Provider, sample: Sample) -> Row {
    let parsed = catalogue::parse_sample(provider, &sample);
    let types: BTreeSet<_> = parsed
        .events
        .iter()
        .map(|event| catalogue::short(&event.r#type).to_owned())
        .collect();
    Row {
        provider: provider.name,
        name: sample.name,
        types: types.into_iter().collect(),
        quarantined: parsed.quarantined.map(|reason| reason.code),
    }
}
