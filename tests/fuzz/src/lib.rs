//! Shared code of the fuzz targets: properties that hold for any untrusted bytes. A violated
//! property is a panic.

#[path = "../../testkit/src/exact.rs"]
pub mod exact;
pub mod memory;
pub mod parser;

use libfuzzer_sys::Corpus;

/// Credentials for the fuzz target of the authenticator: any text, and a URL key.
pub const SECRET: &str = "hook:s3cr\u{e9}t:7";
/// See [`SECRET`].
pub const KEY: &str = "Zm9yZ2V0LW1lLW5vdA";

/// Maximum length of a body from [`stretch`]. It is longer than one item of DynamoDB.
const MAX_BODY_BYTES: usize = 500_000;

/// The body of an input, so that a short input reaches code that only a long body reaches. An input
/// that does not start with `\xff` is its own body. In other inputs, each further `\xff` and the
/// bytes `n` and `k` after it are replaced by `2^k` copies of the `n + 1` bytes before it.
#[must_use]
pub fn stretch(input: &[u8]) -> Vec<u8> {
    let [0xff, rest @ ..] = input else {
        return input.to_vec();
    };
    let mut body = Vec::new();
    let mut rest = rest;
    while let [byte, after @ ..] = rest {
        rest = after;
        if let (0xff, [n, k, after @ ..]) = (byte, after) {
            let unit = body[body.len().saturating_sub(usize::from(*n) + 1)..].to_vec();
            let room = MAX_BODY_BYTES.saturating_sub(body.len()) / unit.len().max(1);
            body.extend(unit.repeat(room.min(1 << (k % 20))));
            rest = after;
        } else {
            body.push(*byte);
        }
    }
    body
}

/// Whether libFuzzer adds an input to its corpus. Inputs with long bodies are a hundred times
/// slower and would take all its time.
#[must_use]
pub fn corpus(body: &[u8]) -> Corpus {
    if body.len() > 20_000 {
        Corpus::Reject
    } else {
        Corpus::Keep
    }
}
