//! Sent bodies have the shape of recorded bodies of the providers: see [`testkit::corpus`].

use super::{over_the_wire, sink};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use testkit::{
    corpus::{self, Row},
    sink::Sink,
};

/// The types that values have, by their paths.
type Types = BTreeMap<String, BTreeSet<&'static str>>;

#[tokio::test(flavor = "multi_thread")]
async fn json_bodies_have_the_members_and_types_of_the_corpus() {
    let Some(rows) = corpus::rows() else { return };
    let rows: Vec<&Row> = rows
        .iter()
        .filter(|row| row.is_faithful() && row.provider != "amocrm")
        .collect();
    let sink = sink().await;
    let mut wrong = BTreeSet::new();
    for row in &rows {
        let ours = types_of(&serde_json::from_slice(&sent_as(&sink, row)).unwrap());
        let of_version: Vec<&Row> = rows
            .iter()
            .copied()
            .filter(|it| family(it) == family(row))
            .collect();
        let envelopes: Vec<Types> = of_version.iter().map(|row| types_in(row)).collect();
        let objects = of_version.iter().filter(|other| other.entity == row.entity);
        let objects: Vec<Types> = objects.map(|row| types_in(row)).collect();
        wrong.extend(
            missing(&ours, &envelopes).map(|path| format!("{} has no {path}", name_of(row))),
        );
        for (path, kinds) in &ours {
            let seen = if path.starts_with("object.") {
                &objects
            } else {
                &envelopes
            };
            let seen: BTreeSet<_> = seen
                .iter()
                .filter_map(|types| types.get(path))
                .flatten()
                .copied()
                .collect();
            if is_unlike(kinds, &seen) {
                wrong.insert(format!(
                    "{}: {path} is {kinds:?}, and was seen as {seen:?}",
                    name_of(row)
                ));
            }
        }
    }
    println!("{} bodies compared", rows.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The body that `hookkeeper send` sends for the same webhook.
fn sent_as(sink: &Sink, row: &Row) -> Vec<u8> {
    over_the_wire(sink, &[&row.provider, &name_of(row)])
        .remove(0)
        .body
}

/// The name of the same webhook in `hookkeeper send`.
fn name_of(row: &Row) -> String {
    let digital = row.version.starts_with("digital");
    let kind = row.expected().0;
    let kind = kind.splitn(3, '.').last().unwrap();
    match &*row.provider {
        "pipedrive" => format!(
            "v{}_{}_{}",
            row.version.split('.').next().unwrap(),
            row.action,
            row.entity
        ),
        // A webhook that the documentation only drafts shares its type with another shape.
        "closer" if row.version.starts_with("draft") => kind.replace('.', "_"),
        "amocrm" if digital => format!("dp_{}", row.action.split(' ').next().unwrap()),
        _ => kind.to_owned(),
    }
}

/// Rows with the same value have the same envelope.
fn family(row: &Row) -> (&str, &str) {
    (&row.provider, row.version.split(' ').next().unwrap())
}

/// Envelope members that all other bodies have and ours does not. The object is not compared: its
/// fields differ between accounts.
fn missing<'a>(ours: &'a Types, others: &'a [Types]) -> impl Iterator<Item = &'a String> {
    let seen = others
        .first()
        .unwrap()
        .keys()
        .filter(|path| !path.starts_with("object."));
    seen.filter(|path| {
        others.iter().all(|types| types.contains_key(*path)) && !ours.contains_key(*path)
    })
}

/// Whether a value has a type that was never seen at a path whose types are known.
fn is_unlike(kinds: &BTreeSet<&str>, seen: &BTreeSet<&str>) -> bool {
    let is_known = seen.iter().any(|kind| *kind != "null");
    is_known
        && !kinds
            .iter()
            .all(|kind| *kind == "null" || seen.contains(kind))
}

fn types_in(row: &Row) -> Types {
    types_of(&serde_json::from_slice(&row.body).unwrap())
}

/// The types of the members of the envelope and of the fields of the object.
fn types_of(body: &Value) -> Types {
    let mut types = Types::new();
    for (name, value) in body.as_object().unwrap() {
        types.entry(name.clone()).or_default().insert(kind(value));
        let prefix = if ["data", "current", "previous"].contains(&&**name) {
            "object"
        } else {
            name
        };
        // A user is in a list of one element.
        let members = value
            .get(0)
            .unwrap_or(value)
            .as_object()
            .into_iter()
            .flatten();
        for (name, value) in members {
            types
                .entry(format!("{prefix}.{name}"))
                .or_default()
                .insert(kind(value));
        }
    }
    types
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn form_bodies_have_the_fields_of_the_corpus() {
    let Some(rows) = corpus::rows() else { return };
    let is_one = |row: &&Row| {
        row.provider == "amocrm" && row.is_faithful() && !row.action.contains([',', '/', 'x'])
    };
    let rows: Vec<&Row> = rows
        .iter()
        .filter(is_one)
        .filter(|row| is_of_today(row))
        .collect();
    let sink = sink().await;
    let mut wrong = BTreeSet::new();
    for row in &rows {
        let (ours, theirs) = (fields_of(&sent_as(&sink, row)), fields_of(&row.body));
        let alike = rows.iter().filter(|it| name_of(it) == name_of(row));
        let alike: Vec<_> = alike.map(|it| fields_of(&it.body)).collect();
        let of_all = theirs
            .iter()
            .filter(|field| alike.iter().all(|fields| fields.contains(*field)));
        let missing = of_all.filter(|field| !ours.contains(*field));
        wrong.extend(missing.map(|field| format!("{} has no {field}", name_of(row))));
        for (one, other) in [(&ours, &theirs), (&theirs, &ours)] {
            let holds_more =
                |field: &&String| other.iter().any(|it| it.starts_with(&format!("{field}[")));
            wrong.extend(
                one.iter()
                    .filter(holds_more)
                    .map(|field| format!("{}: {field} is text", name_of(row))),
            );
        }
    }
    println!("{} forms compared", rows.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Since 2020 the account's webhooks have the envelope that they have now.
fn is_of_today(row: &Row) -> bool {
    let year = row
        .version
        .find("20")
        .and_then(|at| row.version.get(at..at + 4)?.parse::<u16>().ok());
    year.is_none_or(|year| year >= 2020)
}

/// Fields whose content differs between accounts or between objects.
const OF_ONE_ACCOUNT: [&str; 7] = [
    "accept_result",
    "custom_fields",
    "data",
    "decline_result",
    "linked_leads_id",
    "source_data",
    "tags",
];

/// The names of the fields, whatever the numbers in them are.
fn fields_of(form: &[u8]) -> BTreeSet<String> {
    let fields = form_urlencoded::parse(form);
    let names = fields.map(|(name, _)| unnumbered(&name));
    names.filter(|name| !is_of_one_account(name)).collect()
}

/// The name of a field with 0 in place of each number.
fn unnumbered(name: &str) -> String {
    let name = name.replace(']', "");
    let parts = name.split('[').map(|part| {
        let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { "0" } else { part }
    });
    parts.collect::<Vec<_>>().join("[")
}

fn is_of_one_account(name: &str) -> bool {
    name.split('[').any(|part| OF_ONE_ACCOUNT.contains(&part))
}
