//! The hash function of identities and shards.

use sha2::{Digest, Sha256};

/// The first 128 bits of SHA-256 over the byte strings in `parts`, as 32 hexadecimal digits. The
/// length of each byte string is hashed before it, so that two lists with the same concatenation
/// have different hashes.
#[must_use]
pub fn hash(parts: &[&[u8]]) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(part.len().to_le_bytes());
        sha.update(part);
    }
    let mut hash = hex::encode(sha.finalize());
    hash.truncate(32);
    hash
}

/// The shard of a name: one of sixteen, `0` to `f`, selected by a hash of the name. Shards spread
/// items that are written at the same time over partitions.
#[must_use]
pub fn shard(name: &str) -> char {
    hash(&[name.as_bytes()]).chars().next().unwrap_or('0')
}

/// The names of all shards.
pub const SHARDS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];
