//! Turns a sample into a new event: with new ids and the current time.

use super::body::Body;
use models::{OwnTime, Timestamp};
use providers::samples::SampleRules;
use std::{
    collections::BTreeMap,
    sync::{
        LazyLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};
use uuid::Uuid;

/// Replaces the ids of a body, and moves its times so that the event's own time is now. `fixed`
/// contains the new values of some ids.
pub(crate) fn renew(
    body: &mut Body,
    rules: &SampleRules,
    fixed: &BTreeMap<String, String>,
) -> Result<(), &'static str> {
    rename(body, rules, fixed)?;
    postpone(body, rules.times, now())
}

/// Replaces ids. Equal ids stay equal.
fn rename(
    body: &mut Body,
    rules: &SampleRules,
    fixed: &BTreeMap<String, String>,
) -> Result<(), &'static str> {
    let fields = body.fields();
    let mut new = fixed.clone();
    for (path, id) in &fields {
        if any_matches(rules.ids, path) && !["", "0"].contains(&&**id) {
            new.entry(id.clone()).or_insert_with(|| another(id));
        }
    }
    for (path, id) in &fields {
        if let Some(new) = new.get(id)
            && (any_matches(rules.ids, path) || any_matches(rules.references, path))
        {
            body.put(path, new)?;
        }
    }
    Ok(())
}

/// Generates an id of the same shape: a UUID, or the same number of decimal or hexadecimal digits.
fn another(id: &str) -> String {
    /// Counter for numeric ids. It starts at a random number, so that as many ids as possible
    /// differ.
    static NEXT: LazyLock<AtomicU64> = LazyLock::new(|| AtomicU64::new(fastrand::u64(..1 << 60)));
    let is_digits = id.bytes().all(|byte| byte.is_ascii_digit());
    let lowest = u32::try_from(id.len() - 1)
        .ok()
        .and_then(|zeros| 10_u64.checked_pow(zeros));
    match lowest {
        _ if Uuid::try_parse(id).is_ok() && id.contains('-') => Uuid::new_v4().to_string(),
        Some(lowest) if is_digits => {
            (lowest + NEXT.fetch_add(1, Ordering::Relaxed) % lowest.saturating_mul(9)).to_string()
        }
        _ => id.chars().map(another_digit).collect(),
    }
}

fn another_digit(digit: char) -> char {
    match digit {
        '0'..='9' => fastrand::digit(10),
        'a'..='f' => fastrand::char('a'..='f'),
        other => other,
    }
}

/// Moves all times by the difference between the event's own time and now. No time becomes later
/// than now, except local ones.
fn postpone(body: &mut Body, patterns: &[&str], now: Timestamp) -> Result<(), &'static str> {
    let fields = body.fields();
    let mut moments = Vec::new();
    for pattern in patterns {
        let fields = fields.iter().filter(|(path, _)| matches(pattern, path));
        moments.extend(fields.filter_map(|(path, text)| Some((path, Moment::read(text)?))));
    }
    let Some((_, own)) = moments
        .iter()
        .find(|(_, moment)| moment.form != Form::Local)
    else {
        return Ok(());
    };
    let later = now.as_micros() - own.micros;
    for (path, moment) in &moments {
        let moved = moment.micros + later;
        let moved = if moment.form == Form::Local {
            moved
        } else {
            moved.min(now.as_micros())
        };
        body.put(path, &moment.form.write(moved))?;
    }
    Ok(())
}

/// Time in a provider's format.
#[derive(Debug)]
struct Moment {
    micros: i64,
    form: Form,
}

#[derive(Debug, PartialEq)]
enum Form {
    /// Number of units since 1970, with the microseconds per unit.
    Epoch(i64),
    /// `2026-11-21T10:18:00.417Z`, with the number of decimals and the notation of UTC.
    Rfc3339 { decimals: usize, utc: String },
    /// `2026-11-22 10:12:00`, in an unknown time zone.
    Local,
}

impl Moment {
    /// Parses a time. `None` if it is not a plausible time: the sample contains it on purpose.
    fn read(text: &str) -> Option<Self> {
        let OwnTime::Given(time) = OwnTime::parse(Some(&in_utc(text))) else {
            return None;
        };
        let form = match text.len() {
            10 => Form::Epoch(1_000_000),
            13 => Form::Epoch(1_000),
            16 => Form::Epoch(1),
            _ => Form::from_text(text)?,
        };
        Some(Self {
            micros: time.as_micros(),
            form,
        })
    }
}

impl Form {
    fn from_text(text: &str) -> Option<Self> {
        let rest = text.get(19..)?;
        if rest.is_empty() {
            return Some(Self::Local);
        }
        let utc = rest.trim_start_matches(|char: char| char == '.' || char.is_ascii_digit());
        let decimals = (rest.len() - utc.len()).saturating_sub(1);
        ["Z", "+0000", "+00:00"]
            .contains(&utc)
            .then(|| Self::Rfc3339 {
                decimals,
                utc: utc.to_owned(),
            })
    }

    fn write(&self, micros: i64) -> String {
        let micros_since_1970 = u64::try_from(micros).unwrap_or_default();
        let text = Timestamp::from_unix(Duration::from_micros(micros_since_1970)).to_string();
        let (seconds, decimals_of) = text.split_at_checked(19).unwrap_or_default();
        match self {
            Self::Epoch(unit) => micros.div_euclid(*unit).to_string(),
            Self::Rfc3339 { decimals: 0, utc } => format!("{seconds}{utc}"),
            Self::Rfc3339 { decimals, utc } => {
                format!(
                    "{seconds}{}{utc}",
                    decimals_of
                        .get(..=*decimals)
                        .unwrap_or(decimals_of.trim_end_matches('Z'))
                )
            }
            Self::Local => seconds.replace('T', " "),
        }
    }
}

/// Converts the time formats of the providers to RFC 3339.
fn in_utc(text: &str) -> String {
    match text.split_once(' ') {
        Some((date, time)) => format!("{date}T{time}Z"),
        None => text.replace("+0000", "Z"),
    }
}

/// Current time of this machine's clock. Each call returns a later time than the previous one.
pub(crate) fn now() -> Timestamp {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let clock = storage::budget::now().as_micros();
    let last = LAST.fetch_max(clock, Ordering::Relaxed);
    let now = if clock > last {
        clock
    } else {
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    };
    Timestamp::from_unix(Duration::from_micros(
        u64::try_from(now).unwrap_or_default(),
    ))
}

pub(crate) fn any_matches(patterns: &[&str], path: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut names = path.split('.');
    pattern.split('.').all(|wanted| {
        names
            .next()
            .is_some_and(|name| wanted == "*" || wanted == name)
    }) && names.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use providers::PIPEDRIVE;
    use serde_json::{Value, json};

    fn renewed(value: &Value) -> Value {
        let mut body = Body::read(value.to_string().as_bytes(), "application/json");
        renew(
            &mut body,
            PIPEDRIVE.samples,
            &BTreeMap::from([("42".to_owned(), "7".to_owned())]),
        )
        .unwrap();
        serde_json::from_slice(&body.bytes()).unwrap()
    }

    #[test]
    fn equal_ids_stay_equal_and_keep_their_shape() {
        let uuid = "016d44a0-8f07-444c-87e8-b722ef285735";
        let old = json!({
            "data": { "id": 123_456, "stage_id": 123_456 },
            "previous": { "id": null },
            "meta": { "id": uuid, "entity_id": "123456", "company_id": "123456" },
        });
        let new = renewed(&old);
        assert_ne!(new["data"]["id"], old["data"]["id"]);
        assert_eq!(new["data"]["id"].to_string().len(), 6);
        assert_eq!(new["meta"]["entity_id"], new["data"]["id"].to_string());
        assert_eq!(
            (&new["data"]["stage_id"], &new["meta"]["company_id"]),
            (&json!(123_456), &json!("123456"))
        );
        assert_eq!(new["previous"]["id"], Value::Null);
        assert_ne!(new["meta"]["id"], uuid);
        assert!(Uuid::try_parse(new["meta"]["id"].as_str().unwrap()).is_ok());
        let fixed = renewed(&json!({ "data": { "id": 42 }, "meta": { "entity_id": "42" } }));
        assert_eq!(
            fixed,
            json!({ "data": { "id": 7 }, "meta": { "entity_id": "7" } })
        );
    }

    #[test]
    fn times_keep_their_form_and_their_distance() {
        let now = Timestamp::parse("2030-01-01T00:00:00.123456Z").unwrap();
        let move_to_now = |patterns: &[&str], value: Value| -> Value {
            let mut body = Body::read(value.to_string().as_bytes(), "application/json");
            postpone(&mut body, patterns, now).unwrap();
            serde_json::from_slice(&body.bytes()).unwrap()
        };
        for (old, new) in [
            (json!(1_795_255_200), json!(1_893_456_000)),
            (json!("1795255200"), json!("1893456000")),
            (json!(1_795_255_200_007_i64), json!(1_893_456_000_123_i64)),
            (
                json!(1_795_255_200_000_007_i64),
                json!(1_893_456_000_123_456_i64),
            ),
            (json!("2026-11-21T10:18:00Z"), json!("2030-01-01T00:00:00Z")),
            (
                json!("2026-11-21T10:18:00.417Z"),
                json!("2030-01-01T00:00:00.123Z"),
            ),
            (
                json!("2026-11-21T10:18:00.417+0000"),
                json!("2030-01-01T00:00:00.123+0000"),
            ),
            (
                json!("0001-01-01T00:00:00.000Z"),
                json!("0001-01-01T00:00:00.000Z"),
            ),
            (json!(7), json!(7)),
        ] {
            assert_eq!(
                move_to_now(&["t"], json!({ "t": old })),
                json!({ "t": new })
            );
        }
        let several = json!({ "own": 1_795_255_200, "before": 1_795_255_190, "after": 1_795_255_300,
            "local": "2026-11-21 13:00:00", "other": 1_795_255_200 });
        let moved = json!({ "own": 1_893_456_000, "before": 1_893_455_990, "after": 1_893_456_000,
            "local": "2030-01-01 03:00:00", "other": 1_795_255_200 });
        assert_eq!(
            move_to_now(&["own", "before", "after", "local"], several),
            moved
        );
    }

    #[test]
    fn a_star_matches_one_name() {
        assert!(matches("*.*.0.id", "leads.add.0.id") && matches("a", "a"));
        assert!(!matches("*.id", "a.b.id") && !matches("*.id", "id") && !matches("a.*", "a"));
    }

    #[test]
    fn each_call_of_now_returns_a_later_time() {
        let times: Vec<_> = (0..10_000).map(|_| now()).collect();
        assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
