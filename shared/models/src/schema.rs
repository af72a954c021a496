//! The JSON Schema of the event, for consumers in other languages.

use crate::Event;
use schemars::{Schema, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value};

/// The JSON Schema (draft 2020-12) of an [`Event`] in JSON. Every stored event is valid against it.
/// It allows additional attributes, because a later version may have them.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(constant));
    let mut generated = settings.into_generator().into_root_schema_for::<Event>();
    generated.insert("$id".to_owned(), "urn:hookkeeper:event".into());
    generated.insert("title".to_owned(), "An event of Hookkeeper".into());
    let first = ["$schema", "$id", "title", "description"];
    let mut schema: Map<_, _> = first
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), generated.remove(name)?)))
        .collect();
    schema.extend(generated.ensure_object().clone());
    schema.into()
}

/// Replaces a `oneOf` with a single `const` by that `const`.
fn constant(schema: &mut Schema) {
    let only = |choices: &Value| match choices.as_array().map(Vec::as_slice) {
        Some([only]) => only.get("const").cloned(),
        _ => None,
    };
    if let Some(only) = schema.get("oneOf").and_then(only) {
        schema.remove("oneOf");
        schema.insert("const".to_owned(), only);
    }
}
