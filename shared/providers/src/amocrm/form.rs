//! amoCRM's form bodies as a tree: decodes names with PHP brackets, and encodes them again.
//!
//! `leads[status][0][id]=42` becomes `{"leads":{"status":{"0":{"id":"42"}}}}`. Keys stay map keys
//! and never become list indexes: amoCRM sends `linked_leads_id[15319601][ID]`, and a sender could
//! kill the function with a list of that length.
//!
//! Source: <https://www.amocrm.ru/developers/content/crm_platform/webhooks-format>

use indexmap::IndexMap;
use models::{ParseError, json};
use serde::Serialize;
use serde_json::value::RawValue;

/// The maximum number of fields in a form, including fields that contain other fields. A body of
/// 3 MB can have a million and a half, which take 600 MB; amoCRM's have some hundred.
pub const MAX_FIELDS: usize = 100_000;
/// The maximum number of brackets in a field's name, which is the nesting of its value in JSON.
pub const MAX_DEPTH: usize = 32;

/// A form or a subtree of it: a text or named fields, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Form {
    /// A value. All of amoCRM's values are strings.
    Text(String),
    /// Fields by the names in the brackets.
    Parts(Parts),
}

/// The fields of a form by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Parts {
    by_name: IndexMap<String, Form>,
    /// The name of the next field without a name: one more than the largest number that is a name.
    #[serde(skip)]
    next: u64,
}

impl Parts {
    /// The field of this name. It is inserted if it is missing. As in PHP, an empty name is the
    /// next number.
    fn named(&mut self, name: &str) -> &mut Form {
        let name = if name.is_empty() {
            self.next.to_string()
        } else {
            name.to_owned()
        };
        if let Ok(number) = name.parse::<u64>()
            && number.to_string() == name
        {
            self.next = self.next.max(number.saturating_add(1));
        }
        self.by_name.entry(name).or_insert_with(Form::empty)
    }
}

impl FromIterator<(String, Form)> for Parts {
    fn from_iter<I: IntoIterator<Item = (String, Form)>>(named: I) -> Self {
        let mut parts = Self::default();
        for (name, part) in named {
            *parts.named(&name) = part;
        }
        parts
    }
}

/// A decoded body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The form.
    pub form: Form,
    /// `true` if the form represents the body completely. If `false`, two different bodies can have
    /// the same form.
    pub is_exact: bool,
}

/// The effect of putting a value into a form.
struct Put {
    /// The number of fields that were added.
    added: usize,
    /// `true` if another value was replaced.
    replaced: bool,
}

impl Form {
    /// The field of this name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Text(_) => None,
            Self::Parts(parts) => parts.by_name.get(name),
        }
    }

    /// The fields with their names. A text has no fields.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Self)> {
        let parts = match self {
            Self::Text(_) => None,
            Self::Parts(parts) => Some(parts.by_name.iter().map(|(name, part)| (&**name, part))),
        };
        parts.into_iter().flatten()
    }

    /// The text of the field of this name. `None` if the text is empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.part(name)? {
            Self::Text(text) => Some(&**text).filter(|text| !text.is_empty()),
            Self::Parts(_) => None,
        }
    }

    fn empty() -> Self {
        Self::Parts(Parts::default())
    }

    /// Puts a value at a path. As in PHP, the last value counts.
    fn put<'a>(&mut self, mut path: impl Iterator<Item = &'a str>, value: String) -> Put {
        // A field that was just added is still empty.
        let is_new = matches!(self, Self::Parts(parts) if parts.by_name.is_empty());
        let Some(name) = path.next() else {
            *self = Self::Text(value);
            return Put {
                added: 0,
                replaced: !is_new,
            };
        };
        let replaced = matches!(self, Self::Text(_));
        if replaced {
            *self = Self::empty();
        }
        let Self::Parts(parts) = self else {
            return Put { added: 0, replaced };
        };
        let before = parts.by_name.len();
        let below = parts.named(name).put(path, value);
        let added = parts.by_name.len() - before;
        Put {
            added: added + below.added,
            replaced: replaced || below.replaced,
        }
    }
}

/// The number of fields that remain of [`MAX_FIELDS`].
struct Room(usize);

impl Room {
    fn take(&mut self, fields: usize) -> Result<(), ParseError> {
        self.0 = self
            .0
            .checked_sub(fields)
            .ok_or(ParseError::TooManyFields { limit: MAX_FIELDS })?;
        Ok(())
    }
}

/// Parses a body: a form, or JSON of the same shape. amoCRM's documentation prints JSON, and an
/// intermediary may send it.
///
/// # Errors
/// As [`decode`], and [`ParseError::NotJson`] for a body that begins like JSON but is not JSON.
pub fn read(body: &[u8]) -> Result<Decoded, ParseError> {
    let text = body
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(body)
        .trim_ascii_start();
    if !text.starts_with(b"{") {
        return decode(body);
    }
    let form = from_json(json::check(body)?, 0, &mut Room(MAX_FIELDS))?;
    // A form cannot represent lists, numbers, `true`, `null` or duplicate members.
    Ok(Decoded {
        form,
        is_exact: false,
    })
}

/// Decodes a form body. Bytes that are not UTF-8 become U+FFFD; the exact body is stored beside the
/// events.
///
/// The form is exact unless
/// - a byte is not UTF-8,
/// - a name has text behind a closing bracket, a bracket that never closes, or an empty name in it,
///   or
/// - a field replaces another one.
///
/// # Errors
/// - [`ParseError::TooManyFields`]: more than [`MAX_FIELDS`]
/// - [`ParseError::TooDeep`]: a name has more than [`MAX_DEPTH`] brackets
pub fn decode(body: &[u8]) -> Result<Decoded, ParseError> {
    let mut form = Form::empty();
    let mut is_exact = true;
    let mut room = Room(MAX_FIELDS);
    for (name, value) in form_urlencoded::parse(body) {
        if name.bytes().filter(|byte| *byte == b'[').count() > MAX_DEPTH {
            return Err(ParseError::TooDeep { limit: MAX_DEPTH });
        }
        is_exact =
            is_exact && is_exact_name(&name) && is_exact_text(&name) && is_exact_text(&value);
        let put = form.put(path(&name), value.into_owned());
        is_exact = is_exact && !put.replaced;
        room.take(put.added)?;
    }
    Ok(Decoded { form, is_exact })
}

/// Returns `true` if no byte of a text was replaced. A U+FFFD that was sent counts as a replaced
/// byte.
fn is_exact_text(text: &str) -> bool {
    !text.contains(char::REPLACEMENT_CHARACTER)
}

/// Returns `true` if [`path`] omits nothing of a name: `leads[status][0][id]`.
fn is_exact_name(name: &str) -> bool {
    let Some((first, mut brackets)) = name.split_once('[') else {
        return !name.is_empty();
    };
    if first.is_empty() {
        return false;
    }
    loop {
        match brackets.split_once(']') {
            None | Some(("", _)) => return false,
            Some((_, "")) => return true,
            Some((_, after)) => match after.strip_prefix('[') {
                None => return false,
                Some(rest) => brackets = rest,
            },
        }
    }
}

/// Converts JSON to the form that PHP would make from it: lists are numbered, scalars are text,
/// `null` is empty. `names` is the number of names in the path of the value. In a form the first
/// name has no brackets.
fn from_json(raw: &RawValue, names: usize, room: &mut Room) -> Result<Form, ParseError> {
    if names > MAX_DEPTH + 1 {
        return Err(ParseError::TooDeep { limit: MAX_DEPTH });
    }
    let not_json = |error: serde_json::Error| ParseError::NotJson {
        line: error.line(),
        column: error.column(),
    };
    let text = raw.get();
    let form = match text.as_bytes().first() {
        Some(b'{') => {
            let parts: IndexMap<String, &RawValue> =
                serde_json::from_str(text).map_err(not_json)?;
            room.take(parts.len())?;
            let parts = parts
                .into_iter()
                .map(|(name, part)| Ok((name, from_json(part, names + 1, room)?)));
            Form::Parts(parts.collect::<Result<_, _>>()?)
        }
        Some(b'[') => {
            let parts: Vec<&RawValue> = serde_json::from_str(text).map_err(not_json)?;
            room.take(parts.len())?;
            let parts = parts.into_iter().enumerate();
            let parts = parts
                .map(|(number, part)| Ok((number.to_string(), from_json(part, names + 1, room)?)));
            Form::Parts(parts.collect::<Result<_, _>>()?)
        }
        Some(b'"') => Form::Text(serde_json::from_str(text).map_err(not_json)?),
        Some(b'n') => Form::Text(String::new()),
        _ => Form::Text(text.to_owned()),
    };
    Ok(form)
}

/// Splits `leads[status][0][id]` into `leads`, `status`, `0`, `id`. The text from a bracket that
/// never closes is one name. As in PHP, text behind a closing bracket is ignored unless it begins
/// with an opening bracket.
pub(crate) fn path(name: &str) -> impl Iterator<Item = &str> {
    let (first, brackets) = name
        .find('[')
        .and_then(|at| name.split_at_checked(at))
        .unwrap_or((name, ""));
    let mut rest = brackets;
    let inner = std::iter::from_fn(move || {
        let open = rest.strip_prefix('[')?;
        let (name, after) = open.split_once(']').unwrap_or((rest, ""));
        rest = after;
        Some(name)
    });
    std::iter::once(first).chain(inner)
}

/// Encodes a form as amoCRM's PHP does (`http_build_query`): brackets percent-encoded, a space as
/// `+`.
#[must_use]
pub fn encode(form: &Form) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (name, part) in form.parts() {
        encode_part(name, part, &mut out);
    }
    // A browser does not encode `*`, but PHP does.
    out.finish().replace('*', "%2A")
}

fn encode_part(name: &str, part: &Form, out: &mut form_urlencoded::Serializer<String>) {
    match part {
        Form::Text(text) => {
            out.append_pair(name, text);
        }
        Form::Parts(parts) => {
            for (inner, part) in &parts.by_name {
                encode_part(&format!("{name}[{inner}]"), part, out);
            }
        }
    }
}
