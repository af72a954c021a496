//! Authentication of deliveries. A delivery without an accepted credential is never stored, and its
//! response is 401.

use base64::{Engine, alphabet, engine};
use lambda_http::http::{HeaderMap, header::AUTHORIZATION};
use models::Delivery;
use providers::{Credentials, Provider};
use sha2::{Digest, Sha256};
use std::env;
use subtle::ConstantTimeEq;

/// A delivery whose request has an accepted credential. Only [`Pass::authenticate`] creates one.
#[derive(Debug)]
pub struct Authenticated {
    delivery: Delivery,
    label: String,
}

impl Authenticated {
    /// The label of the credential that matched. The log contains it, so that an old credential can
    /// be removed when it is no longer used.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The delivery.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }
}

/// The accepted credentials of one provider, as SHA-256 digests. There can be several, so that a
/// credential can be replaced without rejecting a delivery.
#[derive(Debug, Clone)]
pub struct Authenticator {
    /// Digests of the bytes `user:password`.
    basic: Vec<Accepted>,
    /// Digests of the bytes of a URL key.
    keys: Vec<Accepted>,
}

#[derive(Debug, Clone)]
struct Accepted {
    label: String,
    digest: [u8; 32],
}

/// An error that prevents creating an [`Authenticator`] from the environment.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No credential is configured: every request would be unauthorized.
    #[error(
        "{0} lists no credential: set it to label:digest[,label:digest], digest being the SHA-256 in hexadecimal of user:password, or of the key"
    )]
    Nobody(String),
    /// An entry is not `label:digest`.
    #[error(
        "entry {entry} of {variable} is not label:digest (a label of a-z, 0-9 and -, 64 hexadecimal digits)"
    )]
    Malformed {
        /// The name of the environment variable.
        variable: String,
        /// The position of the entry, counted from 1.
        entry: usize,
    },
    /// URL keys are set for a provider that can send a user name and a password.
    #[error("{0} is set, but this provider sends a user name and a password: use those")]
    KeysNotAllowed(String),
}

impl Authenticator {
    /// Reads `<PROVIDER>_CREDENTIALS` and `<PROVIDER>_KEYS` from the process environment.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_env(provider: &Provider) -> Result<Self, CredentialsError> {
        let [credentials, keys] =
            variables(provider).map(|name| env::var(name).unwrap_or_default());
        Self::new(provider, &credentials, &keys)
    }

    /// Creates an authenticator from the values of these two variables.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn new(
        provider: &Provider,
        credentials: &str,
        keys: &str,
    ) -> Result<Self, CredentialsError> {
        let [basic_list, key_list] = variables(provider);
        let authenticator = Self {
            basic: parse(&basic_list, credentials)?,
            keys: parse(&key_list, keys)?,
        };
        if provider.credentials == Credentials::Basic && !authenticator.keys.is_empty() {
            return Err(CredentialsError::KeysNotAllowed(key_list));
        }
        if authenticator.basic.is_empty() && authenticator.keys.is_empty() {
            return Err(CredentialsError::Nobody(match provider.credentials {
                Credentials::Basic => basic_list,
                Credentials::BasicOrKey => format!("{key_list} or {basic_list}"),
            }));
        }
        Ok(authenticator)
    }

    /// Creates an authenticator that accepts one user name and password.
    #[must_use]
    pub fn basic(label: &str, user: &str, password: &str) -> Self {
        let digest = Sha256::digest(format!("{user}:{password}")).into();
        Self {
            basic: vec![Accepted {
                label: label.to_owned(),
                digest,
            }],
            keys: Vec::new(),
        }
    }

    /// Authenticates a request, before its body is decoded. Returns `None` if it has no accepted
    /// credential.
    #[must_use]
    pub fn check(&self, headers: &HeaderMap, query: &str) -> Option<Pass> {
        let basic = basic_credentials(headers).and_then(|shown| matching(&self.basic, &shown));
        let label = basic
            .or_else(|| matching(&self.keys, url_key(query)?.as_bytes()))?
            .to_owned();
        Some(Pass { label })
    }
}

/// Proof that a request has an accepted credential. Only [`Authenticator::check`] creates one.
#[derive(Debug)]
pub struct Pass {
    label: String,
}

impl Pass {
    /// The delivery of the request that this is the proof for.
    #[must_use]
    pub fn authenticate(self, delivery: Delivery) -> Authenticated {
        Authenticated {
            delivery,
            label: self.label,
        }
    }
}

fn variables(provider: &Provider) -> [String; 2] {
    ["CREDENTIALS", "KEYS"].map(|list| format!("{}_{list}", provider.name.to_uppercase()))
}

fn parse(variable: &str, list: &str) -> Result<Vec<Accepted>, CredentialsError> {
    let entries = list
        .split(',')
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
        .enumerate();
    let accepted = entries.map(|(index, entry)| {
        accepted(entry).ok_or_else(|| CredentialsError::Malformed {
            variable: variable.to_owned(),
            entry: index + 1,
        })
    });
    accepted.collect()
}

/// Parses `label:digest`. The digest is hexadecimal.
fn accepted(entry: &str) -> Option<Accepted> {
    let (label, hex) = entry.split_once(':')?;
    let is_label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_digest = hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    if label.is_empty() || !label.bytes().all(is_label) || !is_digest {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, at) in digest.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(Accepted {
        label: label.to_owned(),
        digest,
    })
}

/// Returns the label of the accepted credential that matches. Compares with every credential in
/// constant time, also after a match.
fn matching<'a>(accepted: &'a [Accepted], shown: &[u8]) -> Option<&'a str> {
    let shown: [u8; 32] = Sha256::digest(shown).into();
    let matches = accepted
        .iter()
        .filter(|accepted| accepted.digest.ct_eq(&shown).into());
    matches.fold(None, |_, accepted| Some(&*accepted.label))
}

/// Base64 that accepts missing padding and trailing bits: only the digest of the decoded bytes
/// matters.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new()
        .with_decode_padding_mode(engine::DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Returns the bytes `user:password` of a header `Authorization: Basic ...`.
///
/// Source: <https://www.rfc-editor.org/rfc/rfc7617>
fn basic_credentials(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    BASE64.decode(credentials.trim()).ok()
}

/// Returns the `key` of a query string, or `None` if it is empty or occurs twice.
fn url_key(query: &str) -> Option<String> {
    let mut keys = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "key");
    match (keys.next(), keys.next()) {
        (Some((_, key)), None) if !key.is_empty() => Some(key.into_owned()),
        _ => None,
    }
}
