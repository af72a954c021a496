//! Fuzzes the authenticator: it accepts only the exact credentials.

#![no_main]

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use fuzz::{KEY, SECRET};
use http::{HeaderValue, header::AUTHORIZATION};
use ingest::{Authenticator, Request};
use libfuzzer_sys::fuzz_target;
use providers::Provider;
use sha2::{Digest, Sha256};

// A header and, behind a line feed, a query.
fuzz_target!(|input: &[u8]| {
    let at = input
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(input.len());
    let (header, query) = (&input[..at], input.get(at + 1..).unwrap_or_default());
    let (Ok(value), query) = (
        HeaderValue::from_bytes(header),
        String::from_utf8_lossy(query),
    ) else {
        return;
    };

    let (basic, key) = (is_secret(header), is_key(&query));
    assert_eq!(
        admits(&providers::PIPEDRIVE, "", value.clone(), &query),
        basic
    );
    assert_eq!(admits(&providers::CLOSER, KEY, value, &query), basic || key);
});

fn admits(provider: &Provider, key: &str, value: HeaderValue, query: &str) -> bool {
    let listed = |secret: &str| {
        if secret.is_empty() {
            String::new()
        } else {
            format!("it:{}", digest(secret))
        }
    };
    let gate = Authenticator::new(provider, &listed(SECRET), &listed(key)).expect("a gate");
    let mut event = ApiGatewayV2httpRequest::default();
    event.headers.insert(AUTHORIZATION, value);
    event.raw_query_string = Some(query.to_owned());
    gate.authenticate(Request::from_event(event, None))
        .is_some()
}

fn digest(secret: &str) -> String {
    Sha256::digest(secret)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

/// Whether a header is `Basic` and the secret in base64, however the scheme is capitalised and the base64 ends: padded or
/// not, and with any bits behind the last byte.
fn is_secret(header: &[u8]) -> bool {
    let Some((scheme, shown)) = str::from_utf8(header)
        .ok()
        .and_then(|header| header.trim().split_once(' '))
    else {
        return false;
    };
    let digits = shown
        .trim()
        .trim_end_matches('=')
        .bytes()
        .map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let Some(digits) = digits.collect::<Option<Vec<_>>>() else {
        return false;
    };
    let bits: Vec<_> = digits
        .iter()
        .flat_map(|digit| (0..6).rev().map(move |bit| digit >> bit & 1 == 1))
        .collect();
    let right: Vec<_> = SECRET
        .bytes()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    scheme.eq_ignore_ascii_case("basic")
        && bits.len() / 8 * 8 == right.len()
        && bits.starts_with(&right)
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Whether a query has one `key`, and it is the key.
fn is_key(query: &str) -> bool {
    let named = |pair: &&str| {
        pair.split('=')
            .next()
            .is_some_and(|name| percent_decoded(name) == b"key")
    };
    let keys: Vec<&str> = query.split('&').filter(named).collect();
    matches!(keys[..], [pair] if pair.split_once('=').is_some_and(|(_, key)| percent_decoded(key) == KEY.as_bytes()))
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
