//! A form that is rewritten field by field.

use crate::amocrm::form;
use form_urlencoded::byte_serialize;

/// A field of a form. It is written with its original bytes unless it gets another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    name: Vec<u8>,
    /// `None` if the body was cut off within the name.
    value: Option<Vec<u8>>,
}

/// The fields of a form, in order.
pub type Form = Vec<Field>;

/// Splits a form into its fields.
#[must_use]
pub fn split(form: &[u8]) -> Form {
    form.split(|byte| *byte == b'&')
        .map(Field::from_pair)
        .collect()
}

/// Joins fields into a form.
#[must_use]
pub fn write(fields: &[Field]) -> Vec<u8> {
    let pairs: Vec<_> = fields.iter().map(Field::pair).collect();
    pairs.join(&b'&')
}

impl Field {
    fn from_pair(pair: &[u8]) -> Self {
        let mut halves = pair.splitn(2, |byte| *byte == b'=').map(<[u8]>::to_vec);
        Self {
            name: halves.next().unwrap_or_default(),
            value: halves.next(),
        }
    }

    fn pair(&self) -> Vec<u8> {
        match &self.value {
            Some(value) => [&*self.name, value].join(&b'='),
            None => self.name.clone(),
        }
    }

    /// The decoded name of the field: `leads[add][0][id]`.
    #[must_use]
    pub fn name(&self) -> String {
        decoded(&self.name)
    }

    /// The path of the field: `leads.add.0.id`.
    #[must_use]
    pub fn path(&self) -> String {
        let name = self.name();
        let parts: Vec<_> = form::path(&name).collect();
        parts.join(".")
    }

    /// The decoded value of the field.
    #[must_use]
    pub fn text(&self) -> String {
        decoded(self.value.as_deref().unwrap_or_default())
    }

    /// Sets the value of the field.
    pub fn set(&mut self, text: &str) {
        self.value = Some(encoded(text));
    }

    /// A copy of the field with another name.
    #[must_use]
    pub fn renamed(&self, name: &str) -> Self {
        Self {
            name: encoded(name),
            value: self.value.clone(),
        }
    }
}

/// Decodes bytes as a value, because a value may contain `=` and a name may not.
fn decoded(bytes: &[u8]) -> String {
    form_urlencoded::parse(&[b"=", bytes].concat())
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// Encodes a text as PHP does.
fn encoded(text: &str) -> Vec<u8> {
    byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('*', "%2A")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_fields_keep_their_bytes() {
        for body in [
            "",
            "a",
            "a=",
            "a=b=c&&d%5B0%5D=+%2B&[=\u{e9}&leads%5Badd%5D%5B0",
        ] {
            assert_eq!(write(&split(body.as_bytes())), body.as_bytes());
        }
        let mut changed = split(b"a=1&b=2");
        changed[1].set("\u{e9} *");
        assert_eq!(write(&changed), b"a=1&b=%C3%A9+%2A");
    }
}
