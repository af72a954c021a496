//! `hookkeeper schema`: prints the JSON Schema of an event, for consumers in other languages.

use crate::{
    Failure,
    output::{OnlyJson, say},
};
use clap::Args;

/// Prints the JSON Schema of the event.
///
/// Example: cargo hookkeeper schema > event.schema.json
#[derive(Args)]
pub(crate) struct Schema {
    /// Output format
    #[arg(long, value_enum, default_value_t = OnlyJson::Json)]
    output: OnlyJson,
}

pub(crate) fn print() -> Result<(), Failure> {
    Ok(say!(
        "{}",
        serde_json::to_string_pretty(&models::schema())?
    )?)
}
