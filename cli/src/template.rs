//! Table schema, read from the SAM template, which is its only definition.

use serde_json::{Map, Value, json};

/// SAM template of this version of Hookkeeper.
pub const TEMPLATE: &str = include_str!("../../template.yaml");

/// Reason why a template does not define a table that can be created.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// The template is not YAML.
    #[error("the template is not YAML ({0})")]
    NotYaml(serde_norway::Error),
    /// The template has no DynamoDB table, or several. Contains their number.
    #[error(
        "the template has {0} resources of type AWS::DynamoDB::Table (Hookkeeper needs exactly one)"
    )]
    Tables(usize),
    /// The table lacks a property that is required to create it.
    #[error("the template's table has no {0}")]
    Property(&'static str),
}

/// Requests that create the template's table in DynamoDB.
#[derive(Debug, Clone, PartialEq)]
pub struct TableSchema {
    /// `CreateTable` request.
    pub create: Value,
    /// `UpdateTimeToLive` request, if the template has a time to live.
    pub time_to_live: Option<Value>,
}

/// Reads the only table of a template, to be created with the name `name`, without its stream: nobody
/// reads that of the embedded DynamoDB, whose puts it would slow down more with each event.
///
/// # Errors
/// Any [`TemplateError`].
pub fn table_schema(template: &str, name: &str) -> Result<TableSchema, TemplateError> {
    let template = parse(template)?;
    let resources = template
        .get("Resources")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::values);
    let tables: Vec<&Value> = resources
        .filter(|resource| resource.get("Type") == Some(&json!("AWS::DynamoDB::Table")))
        .collect();
    let [table] = tables[..] else {
        return Err(TemplateError::Tables(tables.len()));
    };
    let properties = table.get("Properties").unwrap_or(&Value::Null);
    let mut create = Map::from_iter([("TableName".to_owned(), json!(name))]);
    for required in ["AttributeDefinitions", "KeySchema", "BillingMode"] {
        let property = properties.get(required);
        let property = property.ok_or(TemplateError::Property(required))?;
        create.insert(required.to_owned(), property.clone());
    }
    if let Some(indexes) = properties.get("GlobalSecondaryIndexes") {
        create.insert("GlobalSecondaryIndexes".to_owned(), indexes.clone());
    }
    let time_to_live = properties.get("TimeToLiveSpecification");
    Ok(TableSchema {
        create: create.into(),
        time_to_live: time_to_live
            .map(|spec| json!({ "TableName": name, "TimeToLiveSpecification": spec })),
    })
}

/// Whether a described table has the keys and indexes of a `CreateTable` request. Both are in the
/// JSON format of the API.
#[must_use]
pub fn has_keys(described: &Value, create: &Value) -> bool {
    described.get("KeySchema") == create.get("KeySchema")
        && index_keys(described).eq(index_keys(create))
}

/// Names and keys of the indexes of a table.
fn index_keys(table: &Value) -> impl Iterator<Item = [Option<&Value>; 2]> {
    let indexes = table.get("GlobalSecondaryIndexes");
    let indexes = indexes.and_then(Value::as_array).into_iter().flatten();
    indexes.map(|index| ["IndexName", "KeySchema"].map(|name| index.get(name)))
}

/// Name of a provider's parameter or output in the template: `PipedriveUrl`.
#[must_use]
pub fn logical_name(provider: &str, kind: &str) -> String {
    let (first, rest) = provider.split_at_checked(1).unwrap_or((provider, ""));
    format!("{}{rest}{kind}", first.to_uppercase())
}

/// Parses a template to JSON. A short form like `!Ref Table` becomes `{"Ref": "Table"}`.
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
            "by_recordedtime"
        );
        assert_eq!(
            schema.time_to_live.unwrap()["TimeToLiveSpecification"]["AttributeName"],
            "expires"
        );
    }

    #[test]
    fn a_template_without_the_table_is_an_error() {
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
