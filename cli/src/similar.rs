//! Suggestions for a name that is not known.

/// The three names that are most similar to an unknown one, the most similar first.
pub(crate) fn nearest<T: AsRef<str>>(mut names: Vec<T>, unknown: &str) -> Vec<T> {
    names.sort_by_key(|name| strsim::levenshtein(name.as_ref(), unknown));
    names.truncate(3);
    names
}
