//! How amoCRM's samples become other deliveries. `hookkeeper send` uses this; receivers do not.

use super::{form, payload};
use crate::samples::{
    Place, SampleRules,
    form::{Field, Form},
    text,
};

/// The rules for amoCRM's samples.
pub const RULES: SampleRules = SampleRules {
    ids: &[
        "*.*.id",
        "*.*.*.id",
        "*.*.*.uid",
        "*.*.*.talk_id",
        "*.*.*.chat_id",
        "*.*.*.note.id",
        "*.*.*.note.element_id",
    ],
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
    join: Some(join),
    prefixes: &["dp"],
    // The digital pipeline reports less data than the account's webhooks.
    is_last_choice: |event| event.channel.as_deref() == Some("digital_pipeline"),
    numbered,
    // With a time of its own, so that a second one is a duplicate.
    example: "leads[status][0][id]=42&leads[status][0][status_id]=143\
        &leads[status][0][pipeline_id]=7&leads[status][0][updated_at]=1795255200&account[id]=1001",
    ..SampleRules::NONE
};

fn numbered(number: u32) -> String {
    format!(
        "leads%5Badd%5D%5B0%5D%5Bid%5D={number}&leads%5Badd%5D%5B0%5D%5Bupdated_at%5D=1795255200"
    )
}

/// The locations of the objects in a form. An item is listed under its object type, and an object
/// inside the item under its own.
fn places(fields: &[(String, String)]) -> Vec<Place> {
    let mut items: Vec<_> = fields.iter().filter_map(|(path, _)| item(path)).collect();
    items.dedup();
    let mut places = Vec::new();
    for item in items {
        let object = payload::object_word(item.split('.').next().unwrap_or_default());
        let note = format!("{item}.note");
        let is_company = text(fields, &format!("{item}.type")) == Some("company")
            || text(fields, &format!("{note}.element_type")) == Some("3");
        let object = if object == "contact" && is_company {
            "company"
        } else {
            object
        };
        if text(fields, &format!("{note}.element_id")).is_some() {
            places.push(Place::new(object, &note, "element_id"));
            places.push(Place::new("note", &note, "id"));
            continue;
        }
        if let "message" | "outgoing_message" = object {
            places.push(Place::new("chat", item, "chat_id"));
        }
        let id = match object {
            "talk" => "talk_id",
            "unsorted" => "uid",
            _ => "id",
        };
        places.push(Place::new(object, item, id));
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

/// Joins the items of several forms into one form, with consecutive numbers. `None` if the items
/// have no numbers. All other fields are those of the first form.
fn join(forms: &[Form]) -> Option<Form> {
    let (first, others) = forms.split_first()?;
    let count = first.iter().filter_map(number).max()? + 1;
    let last = first.iter().rposition(|field| number(field).is_some())?;
    let (items, rest) = first.split_at_checked(last + 1)?;
    let mut joined = items.to_vec();
    for (form, nth) in others.iter().zip(1..) {
        joined.extend(
            form.iter()
                .filter_map(|field| renumbered(field, nth * count)),
        );
    }
    joined.extend_from_slice(rest);
    Some(joined)
}

/// The number of the item that a field belongs to.
fn number(field: &Field) -> Option<usize> {
    form::path(&field.name()).nth(2)?.parse().ok()
}

/// A copy of an item's field, with the item's number increased by `increase`.
fn renumbered(field: &Field, increase: usize) -> Option<Field> {
    let number = number(field)? + increase;
    let name = field.name();
    let parts: Vec<_> = form::path(&name).collect();
    let [entity, action, _, rest @ ..] = &parts[..] else {
        return None;
    };
    let rest: Vec<_> = rest.iter().map(|part| format!("[{part}]")).collect();
    Some(field.renamed(&format!("{entity}[{action}][{number}]{}", rest.concat())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::form::{split, write};

    #[test]
    fn joined_items_have_consecutive_numbers() {
        let one = split(b"account[id]=1&leads[add][0][id]=1&leads[add][0][tags][0][id]=5&x=y");
        let two = split(b"account[id]=1&leads[add][0][id]=2&leads[add][0][tags][0][id]=5&x=y");
        let both = write(&join(&[one, two]).unwrap());
        let both = form_urlencoded::parse(&both)
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>();
        let expected = "account[id]=1&leads[add][0][id]=1&leads[add][0][tags][0][id]=5\
            &leads[add][1][id]=2&leads[add][1][tags][0][id]=5&x=y";
        assert_eq!(both.join("&"), expected);
        assert_eq!(join(&[split(b"contacts[delete][id]=1")]), None);
    }
}
