//! Well-known user names, passwords and keys. Everybody may read the digests that a stack accepts, and
//! everybody can try these.

use sha2::{Digest, Sha256};

/// Credentials that a stack must not accept: `user:password`, and keys.
pub const KNOWN: [&str; 28] = [
    "local:local",
    "admin:admin",
    "admin:password",
    "user:password",
    "user:pass",
    "root:root",
    "test:test",
    "guest:guest",
    "demo:demo",
    "webhook:webhook",
    "webhook:secret",
    "hookkeeper:hookkeeper",
    "pipedrive:pipedrive",
    "amocrm:amocrm",
    "kommo:kommo",
    "closer:closer",
    "local",
    "admin",
    "key",
    "password",
    "secret",
    "test",
    "webhook",
    "hookkeeper",
    "pipedrive",
    "amocrm",
    "kommo",
    "closer",
];

/// Number of hexadecimal digits by which the template's patterns recognize a digest. A random digest
/// begins like one of the list with a probability of 1 to 10^13.
const PREFIX_DIGITS: usize = 12;

/// The well-known credential of which this is the hexadecimal SHA-256 digest.
#[must_use]
pub fn of_digest(digest: &str) -> Option<&'static str> {
    let mut known = KNOWN.into_iter();
    known.find(|known| hex::encode(Sha256::digest(known)).eq_ignore_ascii_case(digest))
}

/// The part of the template's patterns that refuses the digests of this list.
#[must_use]
pub fn pattern() -> String {
    let digests = KNOWN.map(|known| hex::encode(Sha256::digest(known)));
    let prefixes = digests
        .each_ref()
        .map(|digest| digest.split_at(PREFIX_DIGITS).0);
    format!("(?!.*:(?:{}))", prefixes.join("|"))
}
