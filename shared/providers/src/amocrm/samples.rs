//! Fields that are new in each of amoCRM's deliveries, and a form that is rewritten field by field.
//! `hookkeeper send` uses them; receivers do not.

use super::{form, payload};
use crate::samples::{Place, SampleFields};
use form_urlencoded::byte_serialize;

/// The fields to change so that one of amoCRM's samples becomes another delivery.
pub const FIELDS: SampleFields = SampleFields {
    ids: &[
        "*.*.id",
        "*.*.*.id",
        "*.*.*.uid",
        "*.*.*.talk_id",
        "*.*.*.chat_id",
        "*.*.*.note.id",
        "*.*.*.note.element_id",
    ],
    references: &[],
    times: &[
        "*.*.*.updated_at",
        "*.*.*.note.updated_at",
        "*.*.*.last_modified",
        "*.*.*.created_at",
        "*.*.*.note.created_at",
        "*.*.*.date_create",
        "*.*.*.date_modify",
        "*.*.*.note.date_create",
        "*.*.*.note.timestamp_x",
        "*.*.*.source_data.date",
    ],
    // The request id distinguishes an attempt from another event; the body does not.
    attempts: &[],
    places,
};

/// The locations of the objects in a form. An item is listed under its object type, and an object
/// inside the item under its own.
fn places(fields: &[(String, String)]) -> Vec<Place> {
    let text = |path: String| {
        fields
            .iter()
            .find(|(it, _)| *it == path)
            .map(|(_, text)| &**text)
    };
    let mut items: Vec<_> = fields.iter().filter_map(|(path, _)| item(path)).collect();
    items.dedup();
    let mut places = Vec::new();
    for item in items {
        let object = payload::object_word(item.split('.').next().unwrap_or_default());
        let place = |object: &str, path: &str, id| Place {
            object: object.to_owned(),
            path: path.to_owned(),
            id,
        };
        let note = format!("{item}.note");
        let is_company = text(format!("{item}.type")) == Some("company")
            || text(format!("{note}.element_type")) == Some("3");
        let object = if object == "contact" && is_company {
            "company"
        } else {
            object
        };
        if text(format!("{note}.element_id")).is_some() {
            places.push(place(object, &note, "element_id"));
            places.push(place("note", &note, "id"));
            continue;
        }
        if let "message" | "outgoing_message" = object {
            places.push(place("chat", item, "chat_id"));
        }
        let id = match object {
            "talk" => "talk_id",
            "unsorted" => "uid",
            _ => "id",
        };
        places.push(place(object, item, id));
    }
    places
}

/// The path of the item that contains a field: `leads.add.0`, or `contacts.delete` if a single item
/// has no number.
fn item(path: &str) -> Option<&str> {
    let ends: Vec<_> = path.match_indices('.').map(|(at, _)| at).collect();
    let end = match ends.as_slice() {
        _ if path.starts_with("account.") => None,
        [_, second] => Some(*second),
        [_, _, third, ..] => Some(*third),
        _ => None,
    };
    path.get(..end?)
}

/// A field of a form. It is written with its original bytes unless it gets another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    name: Vec<u8>,
    /// `None` if the body was cut off within the name.
    value: Option<Vec<u8>>,
}

/// Splits a form into its fields.
#[must_use]
pub fn fields(form: &[u8]) -> Vec<Field> {
    let field = |pair: &[u8]| {
        let mut halves = pair.splitn(2, |byte| *byte == b'=').map(<[u8]>::to_vec);
        Field {
            name: halves.next().unwrap_or_default(),
            value: halves.next(),
        }
    };
    form.split(|byte| *byte == b'&').map(field).collect()
}

/// Joins fields into a form.
#[must_use]
pub fn form(fields: &[Field]) -> Vec<u8> {
    let pair = |field: &Field| match &field.value {
        Some(value) => [&*field.name, value].join(&b'='),
        None => field.name.clone(),
    };
    fields.iter().map(pair).collect::<Vec<_>>().join(&b'&')
}

/// Joins the items of several forms into one form, with consecutive numbers. `None` if the items
/// have no numbers. All other fields are those of the first form.
#[must_use]
pub fn joined(forms: &[Vec<Field>]) -> Option<Vec<Field>> {
    let (first, others) = forms.split_first()?;
    let count = first.iter().filter_map(Field::number).max()? + 1;
    let last = first.iter().rposition(|field| field.number().is_some())?;
    let (items, rest) = first.split_at_checked(last + 1)?;
    let others = others.iter().zip(1..).flat_map(|(form, nth)| {
        let of_items = form.iter().filter(|field| field.number().is_some());
        of_items.map(move |field| field.numbered_on(nth * count))
    });
    Some(
        items
            .iter()
            .cloned()
            .chain(others)
            .chain(rest.iter().cloned())
            .collect(),
    )
}

impl Field {
    /// The path of the field, decoded from its name: `leads.add.0.id`.
    #[must_use]
    pub fn path(&self) -> String {
        form::path(&decoded(&self.name))
            .collect::<Vec<_>>()
            .join(".")
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

    /// The number of the item that the field belongs to.
    fn number(&self) -> Option<usize> {
        form::path(&decoded(&self.name)).nth(2)?.parse().ok()
    }

    /// A copy of the field whose item number is increased by `numbers`.
    fn numbered_on(&self, numbers: usize) -> Self {
        let mut later = self.clone();
        let (name, number) = (decoded(&self.name), self.number().unwrap_or_default());
        if let [entity, action, _, rest @ ..] = form::path(&name).collect::<Vec<_>>().as_slice() {
            let rest = rest
                .iter()
                .map(|part| format!("[{part}]"))
                .collect::<Vec<_>>()
                .concat();
            later.name = encoded(&format!("{entity}[{action}][{}]{rest}", number + numbers));
        }
        later
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
    fn what_is_not_changed_is_written_as_it_came() {
        for body in [
            "",
            "a",
            "a=",
            "a=b=c&&d%5B0%5D=+%2B&[=\u{e9}&leads%5Badd%5D%5B0",
        ] {
            assert_eq!(form(&fields(body.as_bytes())), body.as_bytes());
        }
        let mut changed = fields(b"a=1&b=2");
        changed[1].set("\u{e9} *");
        assert_eq!(form(&changed), b"a=1&b=%C3%A9+%2A");
    }

    #[test]
    fn items_are_numbered_on() {
        let of = |body: &str| fields(body.as_bytes());
        let one = of("account[id]=1&leads[add][0][id]=1&leads[add][0][tags][0][id]=5&x=y");
        let two = of("account[id]=1&leads[add][0][id]=2&leads[add][0][tags][0][id]=5&x=y");
        let both = form(&joined(&[one, two]).unwrap());
        let both = form_urlencoded::parse(&both)
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>();
        let expected = "account[id]=1&leads[add][0][id]=1&leads[add][0][tags][0][id]=5\
            &leads[add][1][id]=2&leads[add][1][tags][0][id]=5&x=y";
        assert_eq!(both.join("&"), expected);
        assert_eq!(joined(&[of("contacts[delete][id]=1")]), None);
    }
}
