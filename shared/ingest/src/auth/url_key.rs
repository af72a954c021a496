//! A key in the URL, for providers whose settings only have a URL.

use std::borrow::Cow;

/// Maximum length of a query string. A longer one is not parsed and not hashed, because everybody
/// can send one.
const MAX_QUERY_BYTES: usize = 4096;

/// Whether a query string has a `key`, right or wrong.
pub(super) fn is_in(query: &str) -> bool {
    keys(query).next().is_some()
}

/// Returns the `key` of a query string, or `None` if it is empty or occurs twice.
pub(super) fn credential(query: &str) -> Option<Vec<u8>> {
    let mut keys = keys(query);
    match (keys.next(), keys.next()) {
        (Some(key), None) if !key.is_empty() => Some(key.into_owned().into_bytes()),
        _ => None,
    }
}

/// Returns every `key` of a query string. A query that is too long has none.
fn keys(query: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let parsed = (query.len() <= MAX_QUERY_BYTES).then_some(query);
    let pairs = form_urlencoded::parse(parsed.unwrap_or_default().as_bytes());
    pairs.filter(|(name, _)| name == "key").map(|(_, key)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_query_is_not_parsed() {
        let of_length = |length: usize| format!("key=secret&x={:0>1$}", "", length - 13);
        let [longest, too_long] = [MAX_QUERY_BYTES, MAX_QUERY_BYTES + 1].map(of_length);
        assert!(credential(&longest).is_some() && is_in(&longest));
        assert!(credential(&too_long).is_none() && !is_in(&too_long));
    }

    #[test]
    fn a_key_that_is_empty_or_repeated_is_no_credential_and_no_url_check() {
        for query in ["key=", "key", "key=a&key=a"] {
            assert!(credential(query).is_none() && is_in(query), "{query}");
        }
        assert!(!is_in("KEY=a&x=key"));
    }
}
