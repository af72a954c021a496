//! Property tests for any input: an authenticated delivery is answered 200 in time and stored byte
//! for byte, parsers are total and deterministic, and the formatting of JSON does not change its
//! identity.

use axum::body::Bytes;
use hookkeeper::dev::gateway;
use ingest::Verdict;
use lambda_http::{
    aws_lambda_events::apigw::ApiGatewayV2httpRequest,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header::AUTHORIZATION},
};
use models::{Delivery, Timestamp, json};
use proptest::{collection::vec, prelude::*, sample::select, test_runner::TestRunner};
use providers::CLOSER;
use providers::Provider;
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt::Write,
    sync::LazyLock,
    time::{Duration, Instant},
};
use storage::Client;
use testkit::{
    deployment::Deployment,
    exact::exact_bytes,
    request::{self, Request},
    runtime_api::Answer,
    site::Site,
};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn authenticated_deliveries_are_stored_byte_for_byte(
        provider in select(providers::ALL.to_vec()),
        body in body(),
        headers in headers(),
    ) {
        RUNTIME.block_on(async {
            let builder = Deployment::builder(provider).client(Client::background());
            let deployment = builder.start().await;
            let mut authenticated = headers.clone();
            authenticated.insert(AUTHORIZATION, HeaderValue::from_str(&request::basic("local:local")).unwrap());

            prop_assert_eq!(deployment.receive(event(&headers, &body)).await, Verdict::Unauthorized);
            prop_assert!(deployment.site.stored().await.is_empty());

            let asked = Instant::now();
            let verdict = deployment.receive(event(&authenticated, &body)).await;
            prop_assert!(asked.elapsed() < provider.timeout);
            prop_assert_eq!(verdict.status(), StatusCode::OK);
            let records = deployment.site.table.records().await.unwrap();
            prop_assert_eq!(records.is_empty(), body.is_empty());
            prop_assert!(records.iter().all(|record| exact_bytes(record, &records) == body));
            Ok(())
        })?;
    }
}

fn event(headers: &HeaderMap, body: &[u8]) -> ApiGatewayV2httpRequest {
    let uri = Uri::from_static("/url?key=none");
    gateway::event(&Method::POST, &uri, headers, &Bytes::copy_from_slice(body))
}

proptest! {
    #![proptest_config(cases(1_000))]

    #[test]
    fn a_parser_is_total_and_deterministic(provider in select(providers::ALL.to_vec()), body in body()) {
        let delivery = delivery(body);
        let parsed = || (provider.parse)(&delivery).map(|items| {
            let items = items.into_iter();
            items.map(|item| item.map(|event| serde_json::to_string(&event).unwrap())).collect::<Vec<_>>()
        });
        prop_assert_eq!(parsed(), parsed());
    }

    #[test]
    fn json_formatting_does_not_change_ids(tree in tree(), one in vec(any::<u8>(), 1..9), other in vec(any::<u8>(), 1..9)) {
        prop_assert_eq!(canonical(&tree.written(&one)), canonical(&tree.written(&other)));
        prop_assert_eq!(id(&tree.written(&one)), id(&tree.written(&other)));
    }

    #[test]
    fn json_content_changes_ids(tree in tree(), nth in any::<prop::sample::Index>()) {
        let mut changed = tree.clone();
        let mut scalars = changed.scalars();
        prop_assume!(!scalars.is_empty());
        let nth = nth.index(scalars.len());
        scalars.swap_remove(nth).change();
        prop_assert_ne!(canonical(&tree.written(&[0])), canonical(&changed.written(&[0])));
        prop_assert_ne!(id(&tree.written(&[0])), id(&changed.written(&[0])));
    }
}

proptest! {
    #![proptest_config(cases(4_000))]

    #[test]
    fn two_texts_have_one_canonical_form_if_and_only_if_their_content_is_equal(
        one in said(),
        other in said(),
        choices in vec(any::<u8>(), 1..9),
    ) {
        let is_the_same = one.sorted() == other.sorted();
        prop_assert_eq!(canonical(&one.written(&[0])) == canonical(&other.written(&choices)), is_the_same);
        prop_assert_eq!(canonical(&one.written(&[0])), canonical(&one.written(&choices)));
    }
}

/// Content of a JSON text, with everything that a [`Tree`] cannot have: lone surrogates and
/// duplicate keys.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Literal(&'static str),
    /// UTF-16 code units, as in escapes.
    Text(Vec<u16>),
    List(Vec<Said>),
    Object(Vec<(Vec<u16>, Said)>),
}

/// Small values from a small set, so that two of them are often equal or nearly equal.
fn said() -> impl Strategy<Value = Said> {
    let units = vec(
        select(vec![0xd83d, 0xde00, 0x22, 0x5c, 0x75, 0x64, 0x61, 0xfffd]),
        0..3,
    );
    let number = select(vec![
        "1",
        "1.0",
        "1e0",
        "9007199254740992",
        "9007199254740993",
        "null",
        "true",
    ]);
    let leaf = prop_oneof![
        number.prop_map(Said::Literal),
        units.clone().prop_map(Said::Text)
    ];
    leaf.prop_recursive(2, 6, 2, move |inner| {
        let key = prop_oneof![select(vec![vec![0x61], vec![0x62]]), units.clone()];
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Said::List),
            vec((key, inner), 0..3).prop_map(Said::Object),
        ]
    })
}

impl Said {
    /// The same with sorted object keys. Members with the same key keep their order.
    fn sorted(&self) -> Self {
        match self {
            Self::Literal(_) | Self::Text(_) => self.clone(),
            Self::List(items) => Self::List(items.iter().map(Self::sorted).collect()),
            Self::Object(members) => {
                let mut members: Vec<_> = members
                    .iter()
                    .map(|(key, value)| (key.clone(), value.sorted()))
                    .collect();
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                Self::Object(members)
            }
        }
    }

    /// Its text. The choices, taken in turn, set the white space, the escapes and the order of the
    /// keys.
    fn written(&self, choices: &[u8]) -> String {
        let mut out = String::new();
        self.write(&mut out, &mut choices.iter().copied().cycle());
        out
    }

    fn write(&self, out: &mut String, choices: &mut impl Iterator<Item = u8>) {
        space(out, choices);
        match self {
            Self::Literal(literal) => out.push_str(literal),
            Self::Text(units) => write_units(units, out, choices),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    item.write(out, choices);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                if choices.next().unwrap() % 2 == 1 {
                    // Stable: members with the same key keep their order.
                    members.sort_by(|(a, _), (b, _)| b.cmp(a));
                }
                out.push('{');
                for (index, (key, value)) in members.into_iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    write_units(key, out, choices);
                    space(out, choices);
                    out.push(':');
                    value.write(out, choices);
                }
                out.push('}');
            }
        }
        space(out, choices);
    }
}

fn write_units(units: &[u16], out: &mut String, choices: &mut impl Iterator<Item = u8>) {
    out.push('"');
    for decoded in char::decode_utf16(units.iter().copied()) {
        let choice = choices.next().unwrap() % 3;
        match decoded {
            Ok(character) if choice == 0 && !matches!(character, '"' | '\\') => out.push(character),
            Ok(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").unwrap();
                }
            }
            Err(lone) if choice == 0 => {
                write!(out, "\\u{:04x}", lone.unpaired_surrogate()).unwrap();
            }
            Err(lone) => write!(out, "\\u{:04X}", lone.unpaired_surrogate()).unwrap(),
        }
    }
    out.push('"');
}

fn delivery(body: Vec<u8>) -> Delivery {
    let arrival = Timestamp::from_unix(Duration::from_secs(1_795_293_781));
    Delivery::new(body, arrival, "id")
}

fn canonical(text: &str) -> Vec<u8> {
    json::canonical(json::check(text.as_bytes()).unwrap(), &[])
}

/// The id of an event that contains this text.
fn id(text: &str) -> String {
    let body = format!(
        r#"{{"eventType":"ThreadClosedEvent","timestamp":1795293781000,"customer":{{"id":"c"}},"messageHistory":{text}}}"#
    );
    let mut items = (CLOSER.parse)(&delivery(body.into_bytes())).unwrap();
    items.remove(0).unwrap().id.to_string()
}

#[test]
fn malformed_payloads_never_fail_the_invocation() {
    let events =
        |_| (tree(), vec(any::<u8>(), 1..9)).prop_map(|(tree, choices)| tree.written(&choices));
    through_real_binaries(events, |answer| matches!(answer, Answer::Response(_)));
}

#[test]
fn members_beside_body_and_credentials_never_fail_a_delivery() {
    through_real_binaries(spoiled, |answer| answer.status() == 200);
}

/// Passes generated events to the process of each provider, and checks the responses against the
/// property.
fn through_real_binaries<S: Strategy<Value = String>>(
    events: impl Fn(Provider) -> S,
    law: impl Fn(&Answer) -> bool,
) {
    for provider in providers::ALL {
        let site = RUNTIME.block_on(Site::start());
        let function = RefCell::new(RUNTIME.block_on(site.spawn(&provider)));
        let tested = TestRunner::new(cases(100)).run(&events(provider), |event| {
            let answer = RUNTIME.block_on(function.borrow_mut().invoke(event));
            prop_assert!(law(&answer), "{answer:?}");
            Ok(())
        });
        tested.unwrap_or_else(|failure| panic!("{}: {failure}", provider.name));
    }
}

/// The event of a valid delivery, with one member and headers of any content.
fn spoiled(provider: Provider) -> impl Strategy<Value = String> {
    let Value::Object(event) = Request::post(provider.name, &request::event(provider.name, 1)).0
    else {
        unreachable!()
    };
    let essential = ["headers", "body", "isBase64Encoded"];
    let others: Vec<_> = event
        .keys()
        .filter(|name| !essential.contains(&&***name))
        .cloned()
        .collect();
    let header = text().prop_filter("it lets in", |name| {
        !name.eq_ignore_ascii_case("authorization")
    });
    (
        select(others),
        tree(),
        prop::collection::btree_map(header, tree(), 0..4),
    )
        .prop_map(move |(spoiled, tree, headers)| {
            let mut event: BTreeMap<_, _> = event
                .clone()
                .into_iter()
                .map(|(name, value)| (name, Tree::from(value)))
                .collect();
            event.insert(spoiled, tree);
            if let Some(Tree::Object(all)) = event.get_mut("headers") {
                all.extend(headers);
            }
            Tree::Object(event).written(&[0])
        })
}

/// Bodies that a provider sends, small variations of them, and any bytes.
fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        2 => (tree(), vec(any::<u8>(), 1..9)).prop_map(|(tree, choices)| tree.written(&choices).into_bytes()),
        2 => form().prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..200),
        2 => (select(vec!["", "\u{feff}"]), "[ \n]{0,2}", select(samples()), "[\r\n]{0,2}")
            .prop_map(|(mark, before, body, after)| [mark.as_bytes(), before.as_bytes(), &body, after.as_bytes()].concat()),
        3 => (select(samples()), vec(edit(), 0..6)).prop_map(|(mut body, edits)| {
            for edit in edits {
                edit.apply(&mut body);
            }
            body
        }),
    ]
}

/// One body of each shape.
fn samples() -> Vec<Vec<u8>> {
    let own = providers::ALL.map(|provider| request::event(provider.name, 42));
    let others = [
        r#"{"v":1,"matches_filters":null,"meta":{"v":1,"action":"updated","object":"deal","id":42,"company_id":7,"timestamp":1795255200,"timestamp_micro":1795255200123456},"current":{"id":42,"title":"A \"deal\""},"previous":{"id":42},"event":"updated.deal","retry":0}"#,
        r#"{"meta":{"version":"2.0","action":"change","entity":"user","entity_id":"9","company_id":"7","id":"9","timestamp":1795255200},"data":[{"id":9,"name":"\u0410\u0434\u0430"}],"previous":[{"active_flag":true}]}"#,
        r#"{"eventType":"ThreadClosedEvent","timestamp":1795255200000,"customer":{"id":"c-1"},"email":"a@example.com","closedType":"solved","messageHistory":[{"author":{"id":"1","role":"CUSTOMER"},"message":"hi","timestamp":1795255100000}]}"#,
        r#"{"@timestamp":"2026-11-21T10:00:00.000+0000","message":{"event":{"agentId":"a-1"},"description":{"category":["agent"],"action":"login"},"timestamp":1795255200000}}"#,
        "account[id]=1001&leads[status][0][id]=42&leads[status][0][status_id]=143&leads[status][1][id]=43&contacts[update][0][id]=7&contacts[update][0][type]=company&contacts[update][0][updated_at]=1795255200",
        "leads%5Bnote%5D%5B0%5D%5Bnote%5D%5Btext%5D=a+%26+b&leads%5Bnote%5D%5B0%5D%5Bnote%5D%5Belement_id%5D=42&leads%5Bnote%5D%5B0%5D%5Bnote%5D%5Bcreated_at%5D=1795255200",
        r#"{"leads":{"add":[{"id":42,"custom_fields":[1.50,null,{"x":true}]}]},"account":{"subdomain":"ada"}}"#,
    ];
    own.into_iter()
        .chain(others.map(str::to_owned))
        .map(String::into_bytes)
        .collect()
}

/// A change of one byte.
#[derive(Debug, Clone)]
enum Edit {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Delete(prop::sample::Index),
    CutOff(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        4 => at().prop_map(Edit::Delete),
        1 => at().prop_map(Edit::CutOff),
    ]
}

impl Edit {
    fn apply(&self, body: &mut Vec<u8>) {
        match self {
            _ if body.is_empty() => {}
            Self::Flip(at, bit) => *at.get_mut(body) ^= 1 << bit,
            Self::Insert(at, byte) => body.insert(at.index(body.len()), *byte),
            Self::Delete(at) => drop(body.remove(at.index(body.len()))),
            Self::CutOff(at) => body.truncate(at.index(body.len())),
        }
    }
}

fn form() -> impl Strategy<Value = String> {
    let words = [
        "leads",
        "contacts",
        "account",
        "note",
        "update",
        "add",
        "id",
        "updated_at",
        "0",
        "1",
        "15319601",
        "",
    ];
    let part = prop_oneof![
        6 => select(words.to_vec()).prop_map(|word| format!("[{word}]")),
        1 => select(words.to_vec()).prop_map(|word| format!("%5B{word}%5D")),
        1 => select(vec!["[", "]", "%", "%5", "+", "&", "=", "\u{feff}"]).prop_map(str::to_owned),
        1 => text(),
    ];
    let name = (select(words.to_vec()), vec(part, 0..5))
        .prop_map(|(first, parts)| format!("{first}{}", parts.concat()));
    let value = prop_oneof!["[0-9]{0,12}", text()];
    vec(
        (name, value).prop_map(|(name, value)| format!("{name}={value}")),
        0..12,
    )
    .prop_map(|fields| fields.join("&"))
}

fn headers() -> impl Strategy<Value = HeaderMap> {
    let name = prop_oneof![
        select(vec![
            "content-type",
            "x-amocrm-requestid",
            "host",
            "cookie",
            "user-agent",
            "authorization"
        ])
        .prop_map(str::to_owned),
        "[a-z][a-z0-9-]{0,8}",
    ];
    let value = prop_oneof![
        select(vec![
            "application/json",
            "application/x-www-form-urlencoded",
            "text/plain; charset=cp1251",
            "Basic eA"
        ])
        .prop_map(|value| value.as_bytes().to_vec()),
        vec(any::<u8>(), 0..12),
    ];
    let header = (name, value).prop_filter_map("HTTP allows it", |(name, value)| {
        Some((
            name.parse::<HeaderName>().ok()?,
            HeaderValue::from_bytes(&value).ok()?,
        ))
    });
    vec(header, 0..5).prop_map(|headers| headers.into_iter().collect())
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,6}",
        any::<String>(),
        "[\"\\\\/\u{0}-\u{1f}\u{7f}-\u{ff}\u{1f600}]{0,4}"
    ]
}

/// Content of a JSON text, which can be formatted in many ways.
#[derive(Debug, Clone)]
enum Tree {
    /// A number, `true`, `false` or `null`.
    Literal(String),
    Text(String),
    List(Vec<Tree>),
    Object(BTreeMap<String, Tree>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let number = "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
    let leaf = prop_oneof![
        select(vec!["null", "true", "false", "42", "1795255200"])
            .prop_map(|word| Tree::Literal(word.to_owned())),
        number.prop_map(Tree::Literal),
        text().prop_map(Tree::Text),
    ];
    let words = [
        "meta",
        "data",
        "current",
        "id",
        "action",
        "object",
        "entity",
        "entity_id",
        "timestamp",
        "event",
        "eventType",
        "customer",
        "message",
        "description",
        "category",
        "leads",
        "add",
        "0",
        "http",
        "method",
        "headers",
        "body",
    ];
    let name = prop_oneof![3 => select(words.to_vec()).prop_map(str::to_owned), 1 => text()];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Tree::List),
            prop::collection::btree_map(name.clone(), inner, 0..6).prop_map(Tree::Object),
        ]
    })
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(name, value)| (name, value.into()))
                    .collect(),
            ),
            literal => Self::Literal(literal.to_string()),
        }
    }
}

impl Tree {
    /// Its text. The choices, taken in turn, set the order of the members, the white space and the
    /// escapes.
    fn written(&self, choices: &[u8]) -> String {
        let mut out = String::new();
        self.write(&mut out, &mut choices.iter().copied().cycle());
        out
    }

    fn write(&self, out: &mut String, choices: &mut impl Iterator<Item = u8>) {
        match self {
            Self::Literal(literal) => out.push_str(literal),
            Self::Text(text) => write_text(text, out, choices),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    space(out, choices);
                    item.write(out, choices);
                    space(out, choices);
                }
                out.push(']');
            }
            Self::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                let choice = usize::from(choices.next().unwrap());
                let first = choice % members.len().max(1);
                members.rotate_left(first);
                if choice % 2 == 1 {
                    members.reverse();
                }
                out.push('{');
                for (index, (name, value)) in members.into_iter().enumerate() {
                    out.push_str(if index > 0 { "," } else { "" });
                    space(out, choices);
                    write_text(name, out, choices);
                    space(out, choices);
                    out.push(':');
                    space(out, choices);
                    value.write(out, choices);
                }
                space(out, choices);
                out.push('}');
            }
        }
    }

    fn scalars(&mut self) -> Vec<&mut Self> {
        match self {
            Self::Literal(_) | Self::Text(_) => vec![self],
            Self::List(items) => items.iter_mut().flat_map(Self::scalars).collect(),
            Self::Object(members) => members.values_mut().flat_map(Self::scalars).collect(),
        }
    }

    /// Changes a scalar to another one that is as similar as possible.
    fn change(&mut self) {
        *self = match self {
            Self::Text(text) => Self::Text(format!("{text}\0")),
            Self::Literal(literal) => Self::Text(literal.clone()),
            list_or_object => panic!("{list_or_object:?} is no scalar"),
        };
    }
}

fn space(out: &mut String, choices: &mut impl Iterator<Item = u8>) {
    out.push_str(["", "", " ", "\r\n\t"][usize::from(choices.next().unwrap() % 4)]);
}

fn write_text(text: &str, out: &mut String, choices: &mut impl Iterator<Item = u8>) {
    out.push('"');
    for character in text.chars() {
        let must = matches!(character, '"' | '\\' | '\0'..='\x1f');
        match (character, choices.next().unwrap() % 3) {
            ('\n', 1) => out.push_str("\\n"),
            ('/' | '"' | '\\', 1) => out.extend(['\\', character]),
            (character, choice) if must || choice == 2 => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}").unwrap();
                }
            }
            (character, _) => out.push(character),
        }
    }
    out.push('"');
}

/// [`Tree::written`] returns JSON with the content of the tree.
#[test]
fn a_tree_is_written_as_json() {
    let tree = Tree::Object(
        [(
            "a/\"\n😀".to_owned(),
            Tree::List(vec![
                Tree::Literal("1".to_owned()),
                Tree::Text("\0\\é".to_owned()),
            ]),
        )]
        .into(),
    );
    for choices in [vec![0], vec![1], vec![2], vec![3, 5, 254, 7]] {
        let read: Value = serde_json::from_str(&tree.written(&choices)).unwrap();
        assert_eq!(read, serde_json::json!({ "a/\"\n😀": [1, "\0\\é"] }));
    }
}
