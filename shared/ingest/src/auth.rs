//! Authentication of requests. A delivery without an accepted credential is never stored, and its
//! response is 401.

mod basic;
mod url_key;

use crate::Request;
use models::{Delivery, ParseError};
use providers::{Provider, Scheme};
use sha2::{Digest, Sha256};
use std::env;
use subtle::ConstantTimeEq;

/// A delivery whose request has an accepted credential. Only [`Authenticator::authenticate`]
/// creates one.
#[derive(Debug)]
pub struct Authenticated {
    delivery: Delivery,
    decode_error: Option<ParseError>,
}

impl Authenticated {
    /// The delivery. Its origin has the label of the credential that matched, so that an old
    /// credential can be removed when it is no longer used.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Why the body could not be decoded. The delivery then has the text that API Gateway sent.
    #[must_use]
    pub fn decode_error(&self) -> Option<&ParseError> {
        self.decode_error.as_ref()
    }
}

/// The accepted credentials of one provider, as SHA-256 digests. There can be several, so that a
/// credential can be replaced without rejecting a delivery.
#[derive(Debug, Clone)]
pub struct Authenticator {
    schemes: &'static [Scheme],
    accepted: Vec<Accepted>,
}

#[derive(Debug, Clone)]
struct Accepted {
    scheme: Scheme,
    label: String,
    /// Of the bytes `user:password`, or of the bytes of a URL key.
    digest: [u8; 32],
}

/// The form of a label, which is stored in every record.
pub const LABEL_FORM: &str = "1 to 32 characters of a-z, 0-9 and -";
const MAX_LABEL_BYTES: usize = 32;

/// An error that prevents creating an [`Authenticator`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// No credential is configured: every request would be unauthorized.
    #[error(
        "no credential is configured: set {0} to label:digest[,label:digest], as `hookkeeper credentials` prints it"
    )]
    NoCredential(String),
    /// An entry is not `label:digest`.
    #[error(
        "entry {entry} of {variable} is not label:digest (a label of {LABEL_FORM}, and 64 hexadecimal digits)"
    )]
    Malformed {
        /// The name of the environment variable.
        variable: String,
        /// The position of the entry, counted from 1.
        entry: usize,
    },
    /// URL keys are set for a provider that can send a user name and a password.
    #[error("{0} is set, but this provider's webhooks send a user name and a password, and no key")]
    KeysNotAllowed(String),
}

impl Authenticator {
    /// Reads the lists of credentials from the process environment: `<PROVIDER>_CREDENTIALS` and
    /// `<PROVIDER>_KEYS`.
    ///
    /// # Errors
    /// See [`CredentialsError`].
    pub fn from_env(provider: &Provider) -> Result<Self, CredentialsError> {
        let credentials = env::var(variable(provider, Scheme::Basic)).unwrap_or_default();
        let keys = env::var(variable(provider, Scheme::UrlKey)).unwrap_or_default();
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
        let mut accepted = Vec::new();
        for (scheme, list) in [(Scheme::Basic, credentials), (Scheme::UrlKey, keys)] {
            let variable = variable(provider, scheme);
            let of_scheme = parse(scheme, &variable, list)?;
            if !of_scheme.is_empty() && !provider.supports(scheme) {
                return Err(CredentialsError::KeysNotAllowed(variable));
            }
            accepted.extend(of_scheme);
        }
        if accepted.is_empty() {
            let schemes = provider.schemes.iter();
            let variables: Vec<_> = schemes.map(|scheme| variable(provider, *scheme)).collect();
            return Err(CredentialsError::NoCredential(variables.join(" or ")));
        }
        Ok(Self {
            schemes: provider.schemes,
            accepted,
        })
    }

    /// Creates an authenticator that accepts one user name and password.
    #[must_use]
    pub fn for_user(label: &str, user: &str, password: &str) -> Self {
        let accepted = Accepted {
            scheme: Scheme::Basic,
            label: label.to_owned(),
            digest: Sha256::digest(format!("{user}:{password}")).into(),
        };
        Self {
            schemes: &[Scheme::Basic],
            accepted: vec![accepted],
        }
    }

    /// Authenticates a request and decodes its body, in this order: a request without an accepted
    /// credential costs no decoding. Returns `None` for such a request.
    #[must_use]
    pub fn authenticate(&self, request: Request) -> Option<Authenticated> {
        let mut schemes = self.schemes.iter();
        let label =
            schemes.find_map(|scheme| self.matching(*scheme, &credential(*scheme, &request)?))?;
        let label = label.to_owned();
        let (delivery, decode_error) = request.into_delivery(&label);
        Some(Authenticated {
            delivery,
            decode_error,
        })
    }

    /// Returns the label of the accepted credential that matches. Compares with every credential
    /// of the scheme in constant time, also after a match.
    fn matching(&self, scheme: Scheme, credential: &[u8]) -> Option<&str> {
        let digest: [u8; 32] = Sha256::digest(credential).into();
        let of_scheme = self
            .accepted
            .iter()
            .filter(|accepted| accepted.scheme == scheme);
        let matches = of_scheme.filter(|accepted| accepted.digest.ct_eq(&digest).into());
        matches.fold(None, |_, accepted| Some(&*accepted.label))
    }
}

/// Returns the credential of a request, by one scheme.
fn credential(scheme: Scheme, request: &Request) -> Option<Vec<u8>> {
    match scheme {
        Scheme::Basic => basic::credential(&request.headers),
        Scheme::UrlKey => url_key::credential(&request.query),
    }
}

/// Returns the name of the environment variable that lists a provider's credentials.
fn variable(provider: &Provider, scheme: Scheme) -> String {
    let list = match scheme {
        Scheme::Basic => "CREDENTIALS",
        Scheme::UrlKey => "KEYS",
    };
    format!("{}_{list}", provider.name.to_uppercase())
}

fn parse(scheme: Scheme, variable: &str, list: &str) -> Result<Vec<Accepted>, CredentialsError> {
    let entries = list.split(',').map(str::trim);
    let entries = entries.filter(|entry| !entry.is_empty());
    let mut accepted = Vec::new();
    for (index, entry) in entries.enumerate() {
        let Some((label, digest)) = parse_entry(entry) else {
            return Err(CredentialsError::Malformed {
                variable: variable.to_owned(),
                entry: index + 1,
            });
        };
        accepted.push(Accepted {
            scheme,
            label,
            digest,
        });
    }
    Ok(accepted)
}

/// Parses `label:digest`. The digest is hexadecimal.
fn parse_entry(entry: &str) -> Option<(String, [u8; 32])> {
    let (label, digest) = entry.split_once(':')?;
    if !is_label(label) {
        return None;
    }
    let mut bytes = [0; 32];
    hex::decode_to_slice(digest, &mut bytes).ok()?;
    Some((label.to_owned(), bytes))
}

/// Whether a query string has a key, right or wrong.
pub(crate) fn has_key(query: &str) -> bool {
    url_key::is_in(query)
}

/// Whether a text can be the label of a credential: see [`LABEL_FORM`].
#[must_use]
pub fn is_label(text: &str) -> bool {
    let is_label_byte = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=MAX_LABEL_BYTES).contains(&text.len()) && text.bytes().all(is_label_byte)
}
