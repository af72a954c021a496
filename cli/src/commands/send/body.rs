//! Request body whose values can be changed one by one. Everything else stays as it is.

use providers::samples::form::{self, Form};
use serde_json::Value;

/// Body of a provider's request.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Json {
        /// Byte order mark, or white space.
        before: Vec<u8>,
        value: Value,
        /// White space.
        after: Vec<u8>,
    },
    Form(Form),
    /// Body that is sent unchanged.
    Exact(Vec<u8>),
}

impl Body {
    pub(crate) fn read(bytes: &[u8], content_type: &str) -> Self {
        if content_type.starts_with("application/x-www-form-urlencoded") {
            return Self::Form(form::split(bytes));
        }
        let start = bytes
            .iter()
            .position(|byte| *byte == b'{')
            .unwrap_or_default();
        let (before, rest) = bytes.split_at_checked(start).unwrap_or_default();
        let json = rest.trim_ascii_end();
        let after = rest.get(json.len()..).unwrap_or_default();
        match serde_json::from_slice(json) {
            Ok(value) => Self::Json {
                before: before.to_vec(),
                value,
                after: after.to_vec(),
            },
            Err(_) => Self::Exact(bytes.to_vec()),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json {
                before,
                value,
                after,
            } => [before, value.to_string().as_bytes(), after].concat(),
            Self::Form(fields) => form::write(fields),
            Self::Exact(bytes) => bytes.clone(),
        }
    }

    /// Values by path, as in [`providers::samples::SampleRules`]. Numbers keep their digits, and
    /// `null` is an empty text.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        match self {
            Self::Json { value, .. } => {
                let mut fields = Vec::new();
                collect(value, "", &mut fields);
                fields
            }
            Self::Form(fields) => fields
                .iter()
                .map(|field| (field.path(), field.text()))
                .collect(),
            Self::Exact(_) => Vec::new(),
        }
    }

    /// Sets one of [`Body::fields`] to another value of the same type. The error says which type is
    /// required.
    pub(crate) fn put(&mut self, path: &str, text: &str) -> Result<(), &'static str> {
        match self {
            Self::Json { value, .. } => value
                .pointer_mut(&pointer(path))
                .map_or(Ok(()), |value| replace(value, text)),
            Self::Form(fields) => {
                if let Some(field) = fields.iter_mut().find(|field| field.path() == path) {
                    field.set(text);
                }
                Ok(())
            }
            Self::Exact(_) => Ok(()),
        }
    }
}

fn collect(value: &Value, path: &str, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                collect(value, &joined(path, name), fields);
            }
        }
        Value::Array(items) => {
            for (number, value) in items.iter().enumerate() {
                collect(value, &joined(path, &number.to_string()), fields);
            }
        }
        Value::String(text) => fields.push((path.to_owned(), text.clone())),
        Value::Null => fields.push((path.to_owned(), String::new())),
        scalar => fields.push((path.to_owned(), scalar.to_string())),
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// JSON pointer of a path. No name contains `/` or `~`, which pointers escape.
fn pointer(path: &str) -> String {
    format!("/{}", path.replace('.', "/"))
}

fn replace(value: &mut Value, text: &str) -> Result<(), &'static str> {
    let given = serde_json::from_str::<Value>(text).ok();
    *value = match value {
        Value::Number(_) => given.filter(Value::is_number).ok_or("a number")?,
        Value::Bool(_) => given.filter(Value::is_boolean).ok_or("true or false")?,
        Value::Null => given
            .filter(|given| !given.is_object() && !given.is_array())
            .unwrap_or_else(|| text.into()),
        _ => text.into(),
    };
    Ok(())
}
