//! The one hash that identities and shards are made of.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The first 128 bits of SHA-256 over the parts, in 32 hexadecimal digits. Each part stands behind its length, so that
/// two lists of parts that read the same when joined differ.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(part.len().to_le_bytes());
        sha.update(part);
    }
    let mut hash = hex(&sha.finalize());
    hash.truncate(32);
    hash
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(hex, "{byte:02x}").ok();
    }
    hex
}

/// One of sixteen shards, `0` to `f`, by a hash of the name: what is written together is spread over partitions.
#[must_use]
pub fn shard(name: &str) -> char {
    hash(&[name.as_bytes()]).chars().next().unwrap_or('0')
}

/// The names of all shards.
pub const SHARDS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];
