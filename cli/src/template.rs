//! The table's schema, read from the SAM template: it stands there alone.

use serde_json::{Map, Value, json};

/// The template of this version of Hookkeeper.
pub const TEMPLATE: &str = include_str!("../../template.yaml");

/// Why a template has no table to create.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// Not YAML.
    #[error("the template is not YAML ({0})")]
    NotYaml(serde_norway::Error),
    /// No resource is a DynamoDB table, or several are.
    #[error(
        "the template has {0} resources of type AWS::DynamoDB::Table (Hookkeeper needs exactly one)"
    )]
    Tables(usize),
    /// The table lacks a property that creating it needs.
    #[error("the template's table has no {0}")]
    Property(&'static str),
}

/// What DynamoDB is asked to make of the template's table.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    /// The request of `CreateTable`.
    pub create: Value,
    /// The request of `UpdateTimeToLive`, where the template has one.
    pub time_to_live: Option<Value>,
}

/// Reads the one table of a template, to be created under `name`.
///
/// # Errors
/// As [`TemplateError`] lists.
pub fn table_schema(template: &str, name: &str) -> Result<TableSchema, TemplateError> {
    let template = parse(template)?;
    let resources = template
        .get("Resources")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values);
    let tables: Vec<&Value> = resources
        .filter(|it| it.get("Type") == Some(&json!("AWS::DynamoDB::Table")))
        .collect();
    let [table] = tables[..] else {
        return Err(TemplateError::Tables(tables.len()));
    };
    let property = |property: &'static str| table.get("Properties").and_then(|it| it.get(property));
    let mut create = Map::from_iter([("TableName".to_owned(), json!(name))]);
    for required in ["AttributeDefinitions", "KeySchema", "BillingMode"] {
        create.insert(
            required.to_owned(),
            property(required)
                .ok_or(TemplateError::Property(required))?
                .clone(),
        );
    }
    if let Some(indexes) = property("GlobalSecondaryIndexes") {
        create.insert("GlobalSecondaryIndexes".to_owned(), indexes.clone());
    }
    if let Some(stream) = property("StreamSpecification").and_then(Value::as_object) {
        let mut stream = stream.clone();
        // CloudFormation leaves out what the API asks for.
        stream.insert("StreamEnabled".to_owned(), json!(true));
        create.insert("StreamSpecification".to_owned(), stream.into());
    }
    let time_to_live = property("TimeToLiveSpecification");
    Ok(TableSchema {
        create: create.into(),
        time_to_live: time_to_live
            .map(|spec| json!({ "TableName": name, "TimeToLiveSpecification": spec })),
    })
}

/// Whether a described table, as the API's JSON, has the keys and indexes of a request of `CreateTable`.
#[must_use]
pub fn has_keys(described: &Value, create: &Value) -> bool {
    let indexes = |table: &Value| -> Vec<[Option<Value>; 2]> {
        let indexes = table
            .get("GlobalSecondaryIndexes")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        indexes
            .iter()
            .map(|index| ["IndexName", "KeySchema"].map(|name| index.get(name).cloned()))
            .collect()
    };
    described.get("KeySchema") == create.get("KeySchema") && indexes(described) == indexes(create)
}

/// The template's name of what a provider has of a kind: `PipedriveUrl`.
#[must_use]
pub fn logical_name(provider: &str, kind: &str) -> String {
    let (first, rest) = provider.split_at_checked(1).unwrap_or((provider, ""));
    format!("{}{rest}{kind}", first.to_uppercase())
}

/// A template as JSON. A short form like `!Ref Table` becomes `{"Ref": "Table"}`.
///
/// # Errors
/// [`TemplateError::NotYaml`].
pub fn parse(template: &str) -> Result<Value, TemplateError> {
    serde_norway::from_str(template)
        .map(json_of)
        .map_err(TemplateError::NotYaml)
}

fn json_of(yaml: serde_norway::Value) -> Value {
    match yaml {
        serde_norway::Value::Tagged(tagged) => {
            let name = tagged.tag.to_string().trim_start_matches('!').to_owned();
            Map::from_iter([(name, json_of(tagged.value))]).into()
        }
        serde_norway::Value::Sequence(items) => items.into_iter().map(json_of).collect(),
        serde_norway::Value::Mapping(members) => {
            let members = members.into_iter();
            members
                .map(|(key, value)| (key.as_str().unwrap_or_default().to_owned(), json_of(value)))
                .collect()
        }
        scalar => serde_json::to_value(scalar).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_template_has_the_table() {
        let schema = table_schema(TEMPLATE, "hookkeeper").unwrap();
        assert_eq!(schema.create["TableName"], "hookkeeper");
        assert_eq!(
            schema.create["KeySchema"][0],
            json!({ "AttributeName": "pk", "KeyType": "HASH" })
        );
        assert_eq!(
            schema.create["GlobalSecondaryIndexes"][0]["IndexName"],
            "kept"
        );
        assert_eq!(
            schema.time_to_live.unwrap()["TimeToLiveSpecification"]["AttributeName"],
            "expires"
        );
    }

    #[test]
    fn a_template_without_the_table_is_said_so() {
        let error = |template| {
            table_schema(template, "hookkeeper")
                .unwrap_err()
                .to_string()
        };
        assert!(error("Resources: {}").contains("has 0 resources of type AWS::DynamoDB::Table"));
        assert!(error("a: b: c").contains("not YAML"));
        assert!(
            error("Resources: {T: {Type: AWS::DynamoDB::Table}}")
                .contains("no AttributeDefinitions")
        );
    }
}
