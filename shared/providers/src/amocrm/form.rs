//! amoCRM's bodies as a tree: PHP brackets undone, and done again.
//!
//! `leads[status][0][id]=42` becomes `{"leads":{"status":{"0":{"id":"42"}}}}`. Keys stay map keys, never list positions:
//! amoCRM sends `linked_leads_id[15319601][ID]`, and a list that long would be a way to kill the function.
//!
//! Source: <https://www.amocrm.ru/developers/content/crm_platform/webhooks-format>

use indexmap::IndexMap;
use models::{ParseError, json};
use serde::Serialize;
use serde_json::value::RawValue;

/// How many fields a form may have, what holds fields counted as well. A body of 3 MB can have a million and a half, which
/// take 600 MB; amoCRM's have some hundred.
pub const MAX_FIELDS: usize = 100_000;
/// How many brackets a field's name may have, which is how deep its value becomes in JSON.
pub const MAX_DEPTH: usize = 32;

/// A form, or a part of it: text or named parts, in the order of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Form {
    /// A value; amoCRM's are strings all.
    Text(String),
    /// What stands in brackets, by name.
    Parts(Parts),
}

/// The parts of a form, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Parts {
    by_name: IndexMap<String, Form>,
    /// The name of the next part without one: one more than the largest number that is a name.
    #[serde(skip)]
    next: u64,
}

impl Parts {
    /// The part of this name, which need not be there yet. As in PHP, an empty name is the next number.
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

/// What a body was read as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The form.
    pub form: Form,
    /// Whether the form says all that the body does. When it does not, two different bodies can be one form.
    pub is_exact: bool,
}

/// What putting a value into a form did.
struct Put {
    /// How many parts it added.
    added: usize,
    /// Whether it took the place of another value.
    replaced: bool,
}

impl Form {
    /// The part of this name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Text(_) => None,
            Self::Parts(parts) => parts.by_name.get(name),
        }
    }

    /// The parts, by name; none of a text.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &Self)> {
        let parts = match self {
            Self::Text(_) => None,
            Self::Parts(parts) => Some(parts.by_name.iter().map(|(name, part)| (&**name, part))),
        };
        parts.into_iter().flatten()
    }

    /// The value of the part of this name, unless it is empty.
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

    /// Puts a value where the path leads. As in PHP, the last one counts.
    fn put<'a>(&mut self, mut path: impl Iterator<Item = &'a str>, value: String) -> Put {
        // A part that was just added has nothing in it yet.
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

/// What is left of [`MAX_FIELDS`].
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

/// Reads a body: a form, or JSON of the same shape, which amoCRM's documentation prints and a sender in between may make.
///
/// # Errors
/// As [`decode`], and [`ParseError::NotJson`] for what begins as JSON does and is not.
pub fn read(body: &[u8]) -> Result<Decoded, ParseError> {
    let text = body
        .strip_prefix("\u{feff}".as_bytes())
        .unwrap_or(body)
        .trim_ascii_start();
    if !text.starts_with(b"{") {
        return decode(body);
    }
    let form = from_json(json::check(body)?, 0, &mut Room(MAX_FIELDS))?;
    // A form knows neither lists nor numbers, `true`, `null` or a member that is there twice.
    Ok(Decoded {
        form,
        is_exact: false,
    })
}

/// Reads a form body. Bytes that are not UTF-8 become U+FFFD: the body itself is kept beside what is read from it.
///
/// The form is exact unless
/// - a byte is not UTF-8,
/// - a name has text behind a closing bracket, a bracket that never closes, or a part without a name, or
/// - a field takes the place of another one.
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

/// Whether no byte of a text was replaced. Where U+FFFD was sent as such, it counts as one that was.
fn is_exact_text(text: &str) -> bool {
    !text.contains(char::REPLACEMENT_CHARACTER)
}

/// Whether [`path`] leaves nothing out of a name: `leads[status][0][id]`.
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

/// JSON as the form that PHP would make of it: lists are numbered, scalars are text, `null` is empty. `names` lead to it,
/// the first of which has no brackets in a form.
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

/// `leads[status][0][id]` as `leads`, `status`, `0`, `id`. What follows a bracket that never closes is one name; as in PHP,
/// what follows one that closes is none, unless it is a bracket.
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

/// Writes a form as amoCRM's PHP does (`http_build_query`): brackets percent-encoded, a space as `+`.
#[must_use]
pub fn encode(form: &Form) -> String {
    let mut out = form_urlencoded::Serializer::new(String::new());
    for (name, part) in form.parts() {
        encode_part(name, part, &mut out);
    }
    // What a browser leaves as it is, and PHP does not.
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
