//! Fuzzes the authenticator: it accepts only the exact credentials.

#![no_main]

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use fuzz::{KEY, SECRET};
use http::{HeaderValue, header::AUTHORIZATION};
use ingest::{Authenticator, Request};
use libfuzzer_sys::fuzz_target;
use providers::{Provider, Scheme};
use sha2::{Digest, Sha256};

// A header and a query, separated by a line feed.
fuzz_target!(|input: &[u8]| {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let header = parts.next().unwrap_or_default();
    let query = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let Ok(value) = HeaderValue::from_bytes(header) else {
        return;
    };
    let is_basic = is_secret(header);
    for provider in providers::ALL {
        let is_key = provider.supports(Scheme::UrlKey) && is_key(&query);
        let accepts = accepts(&provider, value.clone(), &query);
        assert_eq!(accepts, is_basic || is_key, "{}", provider.name);
    }
});

fn accepts(provider: &Provider, value: HeaderValue, query: &str) -> bool {
    let keys = if provider.supports(Scheme::UrlKey) {
        accepted(KEY)
    } else {
        String::new()
    };
    let authenticator = Authenticator::new(provider, &accepted(SECRET), &keys);
    let mut event = ApiGatewayV2httpRequest::default();
    event.headers.insert(AUTHORIZATION, value);
    event.raw_query_string = Some(query.to_owned());
    let request = Request::from_event(event, None);
    let authenticator = authenticator.expect("valid lists of credentials");
    authenticator.authenticate(request).is_some()
}

/// A list of one accepted credential.
fn accepted(secret: &str) -> String {
    format!("fuzz:{}", hex::encode(Sha256::digest(secret)))
}

/// Whether a header is `Basic` and the secret in base64. The case of the scheme, the padding and
/// the bits after the last byte do not matter.
fn is_secret(header: &[u8]) -> bool {
    let header = str::from_utf8(header).unwrap_or_default().trim();
    let Some((scheme, base64)) = header.split_once(' ') else {
        return false;
    };
    let digits = base64.trim().trim_end_matches('=').bytes();
    let values = digits.map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let Some(values) = values.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let shown: Vec<_> = values
        .into_iter()
        .flat_map(|value| bits(value, 6))
        .collect();
    let secret = SECRET.bytes().flat_map(|byte| bits(byte.into(), 8));
    let secret: Vec<_> = secret.collect();
    scheme.eq_ignore_ascii_case("basic")
        && shown.len() / 8 * 8 == secret.len()
        && shown.starts_with(&secret)
}

/// The lowest bits of a value, the highest of them first.
fn bits(value: usize, count: u32) -> impl Iterator<Item = bool> {
    (0..count).rev().map(move |bit| value >> bit & 1 == 1)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Whether a query has one `key`, and it is the key.
fn is_key(query: &str) -> bool {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let mut keys = pairs.filter(|(name, _)| percent_decoded(name) == b"key");
    let (Some((_, key)), None) = (keys.next(), keys.next()) else {
        return false;
    };
    percent_decoded(key) == KEY.as_bytes()
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let hex = after
            .first_chunk::<2>()
            .filter(|hex| *byte == b'%' && hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(hex.unwrap_or(if *byte == b'+' { b' ' } else { *byte }));
        rest = if hex.is_some() { &after[2..] } else { after };
    }
    decoded
}
