//! Basic authentication.
//!
//! Source: <https://www.rfc-editor.org/rfc/rfc7617>

use base64::{Engine, alphabet, engine};
use lambda_http::http::{HeaderMap, header::AUTHORIZATION};

/// Base64 that accepts missing padding and trailing bits: only the digest of the decoded bytes
/// matters.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Maximum length of the header. A longer one is not decoded and not hashed, because everybody can
/// send one.
const MAX_HEADER_BYTES: usize = 1024;

/// Returns the bytes `user:password` of the header `Authorization: Basic ...`.
pub(super) fn credential(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?;
    if value.len() > MAX_HEADER_BYTES {
        return None;
    }
    let value = value.to_str().ok()?;
    let (scheme, credential) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    BASE64.decode(credential.trim()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::STANDARD;

    /// A header of `length` bytes, with a credential that is valid but for its length.
    fn of_length(length: usize) -> HeaderMap {
        let credential = STANDARD.encode("user:password");
        let header = format!(
            "Basic {credential:>width$}",
            width = length - "Basic ".len()
        );
        HeaderMap::from_iter([(AUTHORIZATION, header.parse().unwrap())])
    }

    #[test]
    fn a_long_header_is_not_decoded() {
        let shortest_refused = MAX_HEADER_BYTES + 1;
        assert!(credential(&of_length(MAX_HEADER_BYTES)).is_some());
        assert_eq!(credential(&of_length(shortest_refused)), None);
    }
}
