//! Shared code of the fuzz targets: properties that hold for any untrusted bytes. A violated
//! property is a panic.

pub mod memory;
pub mod reading;

use libfuzzer_sys::Corpus;

/// Credentials for the fuzz target of the authenticator: any text, and a URL key.
pub const SECRET: &str = "hook:s3cr\u{e9}t:7";
/// See [`SECRET`].
pub const KEY: &str = "Zm9yZ2V0LW1lLW5vdA";

/// How long [`stretch`] makes a body: more than one item of DynamoDB takes.
const MAX_BODY_BYTES: usize = 500_000;

/// The body that an input stands for: itself, unless it begins with `\xff`, which no text does. Then each further `\xff`
/// and the two bytes behind it, `n` and `k`, stand for `2^k` copies of the `n + 1` bytes before it, so that a short input
/// reaches what only a long body does.
#[must_use]
pub fn stretch(input: &[u8]) -> Vec<u8> {
    let [0xff, rest @ ..] = input else {
        return input.to_vec();
    };
    let (mut body, mut rest) = (Vec::new(), rest);
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

/// Whether libFuzzer may go on from a body: from a long one it would do nothing else, at a hundredth of the speed.
#[must_use]
pub fn corpus(body: &[u8]) -> Corpus {
    if body.len() > 20_000 {
        Corpus::Reject
    } else {
        Corpus::Keep
    }
}
