//! Compares our codec of form bodies with PHP, which writes amoCRM's.
//!
//! PHP 8.2 printed `tests/golden/php.json`: the output of `http_build_query` for our trees, and
//! the output of `parse_str` for our odd queries.

use indexmap::IndexMap;
use models::ParseError;
use proptest::prelude::*;
use providers::amocrm::form::{self, Decoded, Form, MAX_DEPTH, MAX_FIELDS, encode};
use serde::Deserialize;
use std::fs;
use testkit::workspace;

#[derive(Deserialize)]
struct Php {
    http_build_query: Vec<Encoded>,
    parse_str: Vec<Parsed>,
}

#[derive(Deserialize)]
struct Encoded {
    tree: Tree,
    encoded: String,
}

#[derive(Deserialize)]
struct Parsed {
    query: String,
    tree: Tree,
}

/// JSON in the order in which it is written.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tree {
    Text(String),
    List(Vec<Tree>),
    Object(IndexMap<String, Tree>),
}

impl From<Tree> for Form {
    fn from(tree: Tree) -> Self {
        match tree {
            Tree::Text(text) => Self::Text(text),
            Tree::List(items) => Self::Parts(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(at, item)| (at.to_string(), item.into()))
                    .collect(),
            ),
            Tree::Object(members) => Self::Parts(
                members
                    .into_iter()
                    .map(|(name, part)| (name, part.into()))
                    .collect(),
            ),
        }
    }
}

fn decode(body: &[u8]) -> Result<Form, ParseError> {
    form::decode(body).map(|decoded| decoded.form)
}

fn read(body: &[u8]) -> Result<Form, ParseError> {
    form::read(body).map(|decoded| decoded.form)
}

fn php() -> Php {
    serde_json::from_str(&fs::read_to_string(workspace("tests/golden/php.json")).unwrap()).unwrap()
}

#[test]
fn forms_of_http_build_query_decode_and_encode_to_the_same_bytes() {
    for Encoded { tree, encoded } in php().http_build_query {
        let form = Form::from(tree);
        assert_eq!(encode(&form), encoded);
        assert_eq!(
            form::decode(encoded.as_bytes()),
            Ok(Decoded {
                form,
                is_exact: true
            }),
            "{encoded}"
        );
    }
}

/// Intended differences from PHP: a name is never changed, cut or dropped, so that different
/// names stay different.
const DIFFERENT: &[(&str, &str)] = &[
    // PHP writes `_` for a character that its variable names cannot contain.
    ("a[b=1", r#"{"a":{"[b":"1"}}"#),
    ("a+b=1+2", r#"{"a b":"1 2"}"#),
    ("a.b=1", r#"{"a.b":"1"}"#),
    // PHP removes white space, and everything from a NUL on.
    (" a=1", r#"{" a":"1"}"#),
    ("a[ ]=1", r#"{"a":{" ":"1"}}"#),
    ("a[%00]=1", r#"{"a":{"\u0000":"1"}}"#),
    // PHP drops fields without a name, or without a free number.
    ("=1", r#"{"0":"1"}"#),
    ("[a]=1", r#"{"0":{"a":"1"}}"#),
    ("[]=1", r#"{"0":{"0":"1"}}"#),
    (
        "a[9223372036854775807]=x&a[]=y",
        r#"{"a":{"9223372036854775807":"x","9223372036854775808":"y"}}"#,
    ),
    // Numbers of PHP are signed.
    ("a[-5]=x&a[]=y", r#"{"a":{"-5":"x","0":"y"}}"#),
];

#[test]
fn odd_queries_decode_as_in_php_except_for_the_listed_differences() {
    let mut different = DIFFERENT
        .iter()
        .map(|(query, _)| *query)
        .collect::<Vec<_>>();
    for Parsed { query, tree } in php().parse_str {
        let ours = decode(query.as_bytes()).unwrap();
        let expected = DIFFERENT.iter().find(|(odd, _)| *odd == query);
        let expected = expected.map_or(tree, |(_, ours)| serde_json::from_str(ours).unwrap());
        assert_eq!(ours, Form::from(expected), "{query}");
        different.retain(|odd| *odd != query);
    }
    assert!(different.is_empty(), "PHP was not asked: {different:?}");
}

/// Trees of any text under any names that brackets can express. PHP omits empty containers, and so
/// do we.
fn tree() -> impl Strategy<Value = Form> {
    let name = "[^\\[\\]]{1,8}";
    let parts = move |part: BoxedStrategy<Form>| {
        proptest::collection::vec((name, part), 1..6)
            .prop_map(|parts| Form::Parts(parts.into_iter().collect()))
    };
    let part = any::<String>()
        .prop_map(Form::Text)
        .boxed()
        .prop_recursive(6, 64, 6, move |part| parts(part.boxed()));
    parts(part.boxed())
}

/// Bodies with few names, so that fields often repeat, and with every kind of malformed name.
fn body() -> impl Strategy<Value = String> {
    let words = vec![
        "a",
        "b",
        "0",
        "[",
        "]",
        "[a]",
        "[0]",
        "[b]",
        "[]",
        "%D0",
        "%D0%B0",
        "%EF%BF%BD",
        "+",
        "",
    ];
    let text = proptest::collection::vec(proptest::sample::select(words), 0..4)
        .prop_map(|words| words.concat());
    let field = (text.clone(), text).prop_map(|(name, value)| format!("{name}={value}"));
    proptest::collection::vec(field, 0..4).prop_map(|fields| fields.join("&"))
}

/// The fields of a body, sorted.
fn fields(body: &[u8]) -> Vec<(String, String)> {
    let mut fields: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
    fields.sort();
    fields
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decode_reverses_encode(tree in tree()) {
        prop_assert_eq!(decode(encode(&tree).as_bytes()), Ok(tree));
    }

    #[test]
    fn an_exact_form_has_all_fields_of_its_body(body in body()) {
        if let Ok(Decoded { form, is_exact: true }) = form::decode(body.as_bytes()) {
            prop_assert_eq!(fields(encode(&form).as_bytes()), fields(body.as_bytes()));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(body in any::<Vec<u8>>()) {
        read(&body).ok();
    }
}

#[test]
fn the_maximum_of_unnumbered_items_is_decoded_in_time() {
    let form = decode("a[]=1&".repeat(MAX_FIELDS - 1).as_bytes()).unwrap();
    assert_eq!(form.part("a").unwrap().parts().count(), MAX_FIELDS - 1);
}

#[test]
fn nested_containers_count_as_fields() {
    let too_many = Err(ParseError::TooManyFields { limit: MAX_FIELDS });
    assert!(decode(form_of(MAX_FIELDS / 2).as_bytes()).is_ok());
    assert_eq!(decode(form_of(MAX_FIELDS / 2 + 1).as_bytes()), too_many);
    // A body of 3 MB that would need half a gigabyte of memory.
    let nested = format!("a{}=&", "[]".repeat(MAX_DEPTH));
    assert_eq!(decode(nested.repeat(45_000).as_bytes()), too_many);

    assert!(read(json_of(MAX_FIELDS - 1).as_bytes()).is_ok());
    assert_eq!(read(json_of(MAX_FIELDS).as_bytes()), too_many);
}

/// A form of this number of parts, each of two fields.
fn form_of(parts: usize) -> String {
    let parts = (0..parts).map(|number| format!("{number}[a]=&"));
    parts.collect::<Vec<_>>().concat()
}

/// JSON with a list of this length.
fn json_of(items: usize) -> String {
    serde_json::json!({ "a": vec![0; items] }).to_string()
}

#[test]
fn a_form_and_its_json_have_the_same_depth_limit() {
    let [deepest, deeper] = [MAX_DEPTH, MAX_DEPTH + 1]
        .map(|brackets| decode(format!("a{}=1", "[b]".repeat(brackets)).as_bytes()));
    let deepest = deepest.unwrap();
    let json = serde_json::to_string(&deepest).unwrap();
    assert_eq!(read(json.as_bytes()), Ok(deepest));
    let too_deep = Err(ParseError::TooDeep { limit: MAX_DEPTH });
    assert_eq!(deeper, too_deep);
    assert_eq!(read(format!(r#"{{"a":{json}}}"#).as_bytes()), too_deep);
}
