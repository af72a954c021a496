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

/// Returns the bytes `user:password` of the header `Authorization: Basic ...`.
pub(super) fn credential(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credential) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    BASE64.decode(credential.trim()).ok()
}
