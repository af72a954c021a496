//! JSON as it came over the wire: checked, never re-serialised.
//!
//! Identities are hashes of the canonical form that this module writes. So nothing passes through
//! `serde_json::Value`: its features (key order, arbitrary precision) differ between a test build
//! and a shipped one, and the ids would differ with them.

use crate::ParseError;
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use serde_json::value::RawValue;
use std::{borrow::Cow, fmt};

/// The maximum nesting of objects and lists, in levels. It is `serde_json`'s own limit, so that
/// consumers can parse an event's `data`.
pub const MAX_DEPTH: usize = 127;

/// Checks that a body is one JSON text. A byte order mark before it is allowed.
///
/// # Errors
/// - [`ParseError::NotJson`]: it is not UTF-8, not JSON, cut off, or followed by other text
/// - [`ParseError::TooDeep`]: it nests deeper than [`MAX_DEPTH`]
pub fn check(body: &[u8]) -> Result<&RawValue, ParseError> {
    let text = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let raw: &RawValue = serde_json::from_slice(text).map_err(|error| ParseError::NotJson {
        line: error.line(),
        column: error.column(),
    })?;
    if depth(raw.get().as_bytes()) > MAX_DEPTH {
        return Err(ParseError::TooDeep { limit: MAX_DEPTH });
    }
    Ok(raw)
}

/// The maximum nesting of a JSON text; `0` for a scalar. One pass, no recursion.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// The text of a string or the digits of a number, so that the ids `42` and `"42"` are equal.
/// `None` if the field is absent, empty, or has another type: providers' types differ from their
/// documentation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(pub Option<String>);

impl Text {
    /// The text, if there is one.
    #[must_use]
    pub fn get(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The text of a field that every `shape` has.
    ///
    /// # Errors
    /// [`ParseError::Missing`] if there is no text.
    pub fn require(&self, shape: &str, field: &str) -> Result<&str, ParseError> {
        self.get().ok_or_else(|| ParseError::Missing {
            shape: shape.to_owned(),
            field: field.to_owned(),
        })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<String>(raw).ok(),
            Some(b'-' | b'0'..=b'9') => Some(raw.to_owned()),
            _ => None,
        };
        Ok(Self(text.filter(|text| !text.is_empty())))
    }
}

/// Deserializes a struct from an object. `None` for any other JSON value, or if deserializing
/// fails. serde alone would also accept a list, and take its items as the fields.
#[must_use]
pub fn object<'a, T: Deserialize<'a>>(json: &'a RawValue) -> Option<T> {
    json.get()
        .starts_with('{')
        .then(|| serde_json::from_str(json.get()).ok())
        .flatten()
}

/// A field of the shape `T`. `None` if it is absent or has any other shape. An optional field must
/// not make the rest of the body fail.
#[derive(Debug, Clone)]
pub struct Lenient<T>(pub Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(
            serde_json::from_str(<&RawValue>::deserialize(deserializer)?.get()).ok(),
        ))
    }
}

/// The canonical form of a JSON text. Two texts have the same canonical form if and only if they
/// are equal by these rules:
/// - White space is ignored.
/// - The order of an object's keys is ignored. Members with the same key keep their order.
/// - Strings are compared after their escapes are decoded. A lone surrogate (`"\ud83d"`) becomes
///   WTF-8 that no other text decodes to.
/// - Numbers are compared by their digits: `1` and `1.0` differ, and so do 2^53 and 2^53 + 1.
///
/// This is not RFC 8785 (JSON Canonicalization Scheme), which reads numbers as `f64` and would
/// treat the last two as equal.
///
/// Omits the members at the paths in `without`, like `["meta", "attempt"]`.
#[must_use]
pub fn canonical(json: &RawValue, without: &[&[&str]]) -> Vec<u8> {
    let mut tokens = Tokens { json: json.get() };
    let mut canonical = Vec::with_capacity(json.get().len());
    tokens.value(0).write(
        &mut canonical,
        &without.iter().map(|path| &path[..]).collect::<Vec<_>>(),
    );
    canonical
}

enum Node<'a> {
    /// A number, `true`, `false` or `null`: its characters.
    Literal(&'a str),
    /// A decoded string: UTF-8, or WTF-8 if it has a lone surrogate.
    Text(Cow<'a, [u8]>),
    List(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
}

impl Node<'_> {
    fn write(&mut self, out: &mut Vec<u8>, without: &[&[&str]]) {
        match self {
            Self::Literal(literal) => out.extend_from_slice(literal.as_bytes()),
            Self::Text(text) => write_text(text, out),
            Self::List(items) => {
                out.push(b'[');
                for item in items {
                    item.write(out, &[]);
                    out.push(b',');
                }
                out.push(b']');
            }
            Self::Object(members) => {
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                out.push(b'{');
                for (key, value) in members {
                    let below = paths_below(key, without);
                    if below.iter().any(|path| path.is_empty()) {
                        continue;
                    }
                    write_text(key, out);
                    out.push(b':');
                    value.write(out, &below);
                    out.push(b',');
                }
                out.push(b'}');
            }
        }
    }
}

/// The rest of each path that begins with this key.
fn paths_below<'a>(key: &[u8], paths: &[&'a [&'a str]]) -> Vec<&'a [&'a str]> {
    let rest = |path: &&'a [&'a str]| {
        let (first, rest) = path.split_first()?;
        (first.as_bytes() == key).then_some(rest)
    };
    paths.iter().filter_map(rest).collect()
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(text.len().to_string().as_bytes());
    out.push(b'"');
    out.extend_from_slice(text);
}

/// A decoded JSON string. `serde_json` decodes a string that is deserialized as bytes to WTF-8, so
/// it accepts every escape.
struct Wtf8(Vec<u8>);

impl<'de> Deserialize<'de> for Wtf8 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Wtf8;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Wtf8, E> {
                Ok(Wtf8(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// Tokenizer for a text that is known to be JSON. It only needs to find the end of each token.
struct Tokens<'a> {
    json: &'a str,
}

impl<'a> Tokens<'a> {
    /// The next value. [`check`] has already rejected a text that nests deeper than [`MAX_DEPTH`].
    fn value(&mut self, depth: usize) -> Node<'a> {
        match self.peek() {
            b'{' if depth <= MAX_DEPTH => {
                let mut members = Vec::new();
                self.skip();
                while !matches!(self.peek(), b'}' | b'\0') {
                    let key = self.string();
                    self.expect(b':');
                    members.push((key, self.value(depth + 1)));
                    self.expect(b',');
                }
                self.skip();
                Node::Object(members)
            }
            b'[' if depth <= MAX_DEPTH => {
                let mut items = Vec::new();
                self.skip();
                while !matches!(self.peek(), b']' | b'\0') {
                    items.push(self.value(depth + 1));
                    self.expect(b',');
                }
                self.skip();
                Node::List(items)
            }
            b'"' => Node::Text(self.string()),
            _ => {
                let end = self
                    .json
                    .find([',', ']', '}', ' ', '\t', '\n', '\r'])
                    .unwrap_or(self.json.len());
                Node::Literal(self.take(end.max(1)))
            }
        }
    }

    /// The next byte that is not white space; `0` at the end.
    fn peek(&mut self) -> u8 {
        self.json = self.json.trim_ascii_start();
        self.json.bytes().next().unwrap_or(0)
    }

    fn skip(&mut self) {
        self.take(1);
    }

    fn expect(&mut self, byte: u8) {
        if self.peek() == byte {
            self.skip();
        }
    }

    /// The string that begins here, decoded.
    fn string(&mut self) -> Cow<'a, [u8]> {
        let mut escaped = false;
        let end = self.json.bytes().skip(1).position(|byte| match byte {
            _ if escaped => {
                escaped = false;
                false
            }
            b'\\' => {
                escaped = true;
                false
            }
            byte => byte == b'"',
        });
        let written = self.take(end.map_or(self.json.len(), |end| end + 2));
        match written.get(1..written.len().saturating_sub(1)) {
            Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain.as_bytes()),
            // Every JSON string can be decoded, so the error case never occurs.
            _ => serde_json::from_str(written)
                .map_or(Cow::Borrowed(written.as_bytes()), |Wtf8(text)| {
                    Cow::Owned(text)
                }),
        }
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.json.split_at_checked(bytes).unwrap_or((self.json, ""));
        self.json = rest;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical_of(json: &str, without: &[&[&str]]) -> Vec<u8> {
        canonical(check(json.as_bytes()).unwrap(), without)
    }

    #[test]
    fn key_order_white_space_and_escapes_do_not_matter() {
        let one = canonical_of(r#"{"b":[1,2.50,{"x":null}],"a":"é\n"}"#, &[]);
        let other = canonical_of(
            "{ \"a\" : \"\\u00e9\\u000a\" ,\n \"b\" : [ 1 , 2.50 , { \"x\" : null } ] }",
            &[],
        );
        assert_eq!(one, other);
    }

    #[test]
    fn everything_else_does() {
        let all = [
            "1",
            "1.0",
            "1e0",
            "\"1\"",
            "[1]",
            "[[1]]",
            "[]",
            "{}",
            "null",
            "\"null\"",
            "[1,1]",
            "{\"a\":1}",
            "{\"a\":\"1\"}",
            "{\"a\":1,\"a\":2}",
            "{\"a\":2,\"a\":1}",
            "9007199254740992",
            "9007199254740993",
            "0",
            "-0",
            r#""\ud83d""#,
            r#""\"\\ud83d\"""#,
            r#""\\ud83d""#,
            r#""\ud83e""#,
            r#""\udc00""#,
            r#""\ud83d\ude00""#,
            r#""\ude00\ud83d""#,
            r#""\ufffd""#,
        ];
        for (i, a) in all.iter().enumerate() {
            for (j, b) in all.iter().enumerate() {
                assert_eq!(
                    i == j,
                    canonical_of(a, &[]) == canonical_of(b, &[]),
                    "{a} {b}"
                );
            }
        }
        assert_ne!(
            canonical_of(r#"["a","b"]"#, &[]),
            canonical_of(r#"["a\",\"b"]"#, &[])
        );
    }

    #[test]
    fn a_lone_surrogate_is_one_however_it_is_escaped() {
        let lone = canonical_of(r#"{"a\ud83d":"\ud83dz"}"#, &[]);
        assert_eq!(
            lone,
            canonical_of(r#"{"\u0061\uD83D":"\uD83D\u007a"}"#, &[])
        );
    }

    #[test]
    fn members_are_left_out_where_the_path_says() {
        let without: &[&[&str]] = &[&["retry"], &["meta", "attempt"]];
        let first = canonical_of(
            r#"{"retry":0,"meta":{"attempt":1,"id":7},"data":{"retry":5,"attempt":5}}"#,
            without,
        );
        let second = canonical_of(
            r#"{"retry":1,"meta":{"id":7,"attempt":2},"data":{"retry":5,"attempt":5}}"#,
            without,
        );
        assert_eq!(first, second);
        assert_ne!(
            first,
            canonical_of(
                r#"{"retry":1,"meta":{"id":7,"attempt":2},"data":{"retry":6,"attempt":5}}"#,
                without
            )
        );
    }

    #[test]
    fn depth_is_limited_where_a_consumer_would_stop() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(check(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(
            check(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err(),
            ParseError::TooDeep { limit: MAX_DEPTH }
        );
        assert!(serde_json::from_str::<serde_json::Value>(&nested(MAX_DEPTH + 1)).is_err());
        assert!(check(nested(1_000_000).as_bytes()).is_err());
        assert!(check(br#"["[[[\"[[[\\"]"#).is_ok());
    }

    #[test]
    fn text_is_a_string_or_the_digits_of_a_number() {
        let text = |json| serde_json::from_str::<Text>(json).unwrap().0;
        assert_eq!(text("\"42\"").as_deref(), Some("42"));
        assert_eq!(text("42").as_deref(), Some("42"));
        assert_eq!(
            text("123456789012345678901234567890").as_deref(),
            Some("123456789012345678901234567890")
        );
        for nothing in ["\"\"", "null", "true", "[1]", "{\"a\":1}", "\"\\ud800\""] {
            assert_eq!(text(nothing), None, "{nothing}");
        }
    }
}
