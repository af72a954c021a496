//! A key in the URL, for providers whose settings only have a URL.

/// Maximum length of a query string. A longer one is not parsed and not hashed, because everybody
/// can send one.
const MAX_QUERY_BYTES: usize = 4096;

/// Returns the `key` of a query string, or `None` if it is empty or occurs twice.
pub(super) fn credential(query: &str) -> Option<Vec<u8>> {
    if query.len() > MAX_QUERY_BYTES {
        return None;
    }
    let mut keys = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "key");
    match (keys.next(), keys.next()) {
        (Some((_, key)), None) if !key.is_empty() => Some(key.into_owned().into_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_query_is_not_parsed() {
        let of_length = |length: usize| format!("key=secret&x={:0>1$}", "", length - 13);
        assert!(credential(&of_length(MAX_QUERY_BYTES)).is_some());
        assert_eq!(credential(&of_length(MAX_QUERY_BYTES + 1)), None);
    }
}
