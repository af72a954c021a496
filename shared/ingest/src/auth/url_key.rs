//! A key in the URL, for providers whose settings only have a URL.

/// Returns the `key` of a query string, or `None` if it is empty or occurs twice.
pub(super) fn credential(query: &str) -> Option<Vec<u8>> {
    let mut keys = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "key");
    match (keys.next(), keys.next()) {
        (Some((_, key)), None) if !key.is_empty() => Some(key.into_owned().into_bytes()),
        _ => None,
    }
}
