//! One level of a JSON text. Keys, numbers and their order stay as the sender wrote them, which
//! `serde_json::Value` does not promise.

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;
use std::fmt;

/// A JSON value, with the texts of the values in it.
#[derive(Debug)]
pub(crate) enum Node<'a> {
    Object(Vec<(String, &'a RawValue)>),
    List(Vec<&'a RawValue>),
    Scalar,
}

impl<'a> From<&'a RawValue> for Node<'a> {
    fn from(json: &'a RawValue) -> Self {
        let text = json.get();
        // A `RawValue` is valid JSON, so neither can fail.
        match text.as_bytes().first() {
            Some(b'{') => serde_json::from_str(text)
                .map_or(Self::Scalar, |Members(members)| Self::Object(members)),
            Some(b'[') => serde_json::from_str(text).map_or(Self::Scalar, Self::List),
            _ => Self::Scalar,
        }
    }
}

/// The members of an object, in their order, also those with equal keys.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((key, value)) = map.next_entry::<&RawValue, _>()? {
            members.push((text(key), value));
        }
        Ok(Members(members))
    }
}

/// The text of a string with its escapes decoded, and any other JSON value as it is written. A
/// string with a lone surrogate, which has no text, stays as it is written too.
pub(crate) fn text(json: &RawValue) -> String {
    serde_json::from_str(json.get()).unwrap_or_else(|_| json.get().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_keys_and_digits() {
        let json = r#"{"b":1.10,"a":{"x":[1]},"b":"\u0410","\ud800":[true , null]}"#;
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let Node::Object(members) = Node::from(raw) else {
            panic!("no object")
        };
        let members: Vec<_> = members
            .iter()
            .map(|(key, value)| (&**key, value.get()))
            .collect();
        assert_eq!(
            members,
            [
                ("b", "1.10"),
                ("a", r#"{"x":[1]}"#),
                ("b", r#""\u0410""#),
                (r#""\ud800""#, "[true , null]"),
            ]
        );
        let Node::List(items) =
            Node::from(serde_json::from_str::<&RawValue>("[true , 1e9]").unwrap())
        else {
            panic!("no list")
        };
        assert_eq!(
            items.iter().map(|item| item.get()).collect::<Vec<_>>(),
            ["true", "1e9"]
        );
    }
}
