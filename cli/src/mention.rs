//! Finds the mention of a person in stored text, however the text is encoded.
//!
//! A text is searched as it is, with JSON escapes decoded (`\u0410`, `\/`), and with form encoding
//! decoded (`%40`, `+`), one in the other up to [`MAX_DEPTH`] times: a form can hold JSON, and JSON
//! a form. So a body that no parser can parse is searched too. Case, white space, and the way in which
//! Unicode composes a letter, do not matter.

use models::{Body, Record};
use percent_encoding::percent_decode_str;
use std::{char::decode_utf16, iter::Peekable, str::Chars};
use unicode_normalization::UnicodeNormalization;

/// How many encodings can be around a text.
const MAX_DEPTH: usize = 4;

/// A text to search for.
#[derive(Debug, Clone)]
pub(crate) struct Mention(String);

/// Parses the argument of `--mention`.
pub(crate) fn mention(text: &str) -> Result<Mention, String> {
    match text.trim() {
        "" => Err("expected a text, such as an e-mail address".to_owned()),
        text => Ok(Mention(folded(text))),
    }
}

impl Mention {
    /// Whether a record mentions it: in its body, its data or another attribute.
    pub(crate) fn is_in(&self, record: &Record) -> bool {
        match record {
            Record::Event { event, body, .. } => {
                let attributes = [
                    Some(&event.source),
                    Some(&event.r#type),
                    Some(&event.subject),
                    Some(&event.originaltype),
                    event.eventid.as_ref(),
                ];
                let mut attributes = attributes.into_iter().flatten();
                attributes.any(|text| self.is_in_text(text))
                    || self.is_in_text(event.data.get())
                    || self.is_in_body(body)
            }
            Record::Body { bytes, .. } => self.is_in_bytes(bytes),
            Record::Quarantined { body, .. } => self.is_in_body(body),
        }
    }

    fn is_in_body(&self, body: &Body) -> bool {
        match body {
            Body::Here(bytes) => self.is_in_bytes(bytes),
            Body::Data | Body::Shared(_) => false,
        }
    }

    fn is_in_bytes(&self, bytes: &[u8]) -> bool {
        self.is_in_text(&String::from_utf8_lossy(bytes))
    }

    fn is_in_text(&self, text: &str) -> bool {
        self.is_in_layers(text, MAX_DEPTH)
    }

    fn is_in_layers(&self, text: &str, depth: usize) -> bool {
        if folded(text).contains(&self.0) {
            return true;
        }
        if depth == 0 {
            return false;
        }
        let decoded = [unescaped(text), form_decoded(text)];
        let mut decoded = decoded.into_iter().flatten();
        decoded.any(|decoded| self.is_in_layers(&decoded, depth - 1))
    }
}

/// The same text for two texts that differ in case, in the composition of letters or in white space.
fn folded(text: &str) -> String {
    let text = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        let upper = text.chars().flat_map(char::to_uppercase);
        let folded: String = upper.flat_map(char::to_lowercase).nfkc().collect();
        // A Turkish capital I with a dot becomes a small one with a second dot.
        folded.replace("i\u{307}", "i")
    };
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ")
}

/// Decodes the escapes of JSON strings. `None` if there are none.
fn unescaped(text: &str) -> Option<String> {
    if !text.contains('\\') {
        return None;
    }
    let mut decoded = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '\\' {
            unescape(&mut chars, &mut decoded);
        } else {
            decoded.push(char);
        }
    }
    Some(decoded)
}

/// Decodes what is behind a backslash.
fn unescape(chars: &mut Peekable<Chars>, decoded: &mut String) {
    match chars.next() {
        Some('u') => {
            let mut units = vec![unit(chars)];
            // The second half of a character outside of the Basic Multilingual Plane.
            while let Some(rest) = after_escape(chars) {
                *chars = rest;
                units.push(unit(chars));
            }
            let units = decode_utf16(units.into_iter().flatten());
            decoded.extend(units.map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        Some('n' | 'r' | 't' | 'b' | 'f') => decoded.push(' '),
        Some(char) => decoded.push(char),
        None => {}
    }
}

/// The rest after `\u`, if that is next.
fn after_escape<'a>(chars: &Peekable<Chars<'a>>) -> Option<Peekable<Chars<'a>>> {
    let mut rest = chars.clone();
    let is_escape = rest.next() == Some('\\') && rest.next() == Some('u');
    is_escape.then_some(rest)
}

/// The UTF-16 unit of four hexadecimal digits.
fn unit(chars: &mut Peekable<Chars>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = chars.next_if(char::is_ascii_hexdigit)?.to_digit(16)?;
        unit = unit * 16 + digit;
    }
    u16::try_from(unit).ok()
}

/// Decodes form encoding. `None` if there is none.
fn form_decoded(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return None;
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
    (decoded != text).then_some(decoded)
}

#[cfg(test)]
mod tests {
    fn finds(mention: &str, text: &str) -> bool {
        super::mention(mention)
            .unwrap()
            .is_in_bytes(text.as_bytes())
    }

    #[test]
    fn a_mention_is_found_in_each_encoding() {
        for text in [
            "ada@example.com",
            "contacts%5Badd%5D%5B0%5D%5Bemail%5D=ada%40example.com&a=b",
            "email=Ada%40Example.COM",
            r#"{"email":"ada\u0040example.com"}"#,
            r#"{"email":"\u0061da@example\u002Ecom"}"#,
            // JSON in JSON, JSON in a form, a form in JSON, a form in a form.
            r#"{"json":"{\"email\":\"ada\\u0040example.com\"}"}"#,
            "json=%7B%22email%22%3A%22ada%5Cu0040example.com%22%7D",
            r#"{"form":"email=ada%40example.com"}"#,
            "form=email%3Dada%2540example.com",
            // A body that was cut off.
            r#"{"email":"ada\u0040example.com","na"#,
        ] {
            assert!(finds("ada@example.com", text), "{text}");
        }
        for (mention, text) in [
            ("Анна", r#"{"name":"\u0410\u043d\u043d\u0430"}"#),
            ("анна", "name=%D0%90%D0%BD%D0%BD%D0%B0"),
            ("Андрей", "name=Андреи\u{306}"),
            ("Ada Lovelace", "name=Ada+Lovelace"),
            ("+48 22", "phone=%2B48+22"),
            ("+48 22", r#"{"phone":"+48 22"}"#),
            ("O\"Hara", r#"{"name":"O\"Hara"}"#),
            ("AC/DC", r#"{"name":"AC\/DC"}"#),
            ("Ada 😀", r#"{"name":"Ada \ud83d\ude00"}"#),
            ("STRASSE", "straße"),
            ("ibrahim", "İBRAHİM"),
            ("İbrahim", r#"{"name":"IBRAHIM"}"#),
            ("Ada Lovelace", r#"{"name":"Ada\n  Lovelace"}"#),
            ("Ada\nLovelace", "name=Ada%0D%0ALovelace"),
            ("Ada\u{a0}Lovelace", "Ada Lovelace"),
        ] {
            assert!(finds(mention, text), "{mention} in {text}");
        }
        assert!(!finds(
            "ada@example.com",
            "eda%40example.com \\u12 \\ud83d %4 \\"
        ));
        assert!(super::mention(" ").is_err());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_searched_too() {
        let mention = super::mention("ada@example.com").unwrap();
        assert!(mention.is_in_bytes(b"\xff\xfeada@example.com\xff"));
        assert!(mention.is_in_bytes(b"%FFada%40example.com%FF"));
    }
}
