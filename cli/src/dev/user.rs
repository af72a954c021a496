//! The user name and password that the receivers on this machine accept.

use super::CREDENTIAL;
use std::{env, str::FromStr};

/// The environment variable that has them.
const VARIABLE: &str = "HOOKKEEPER_USER";

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// `user:password`.
    credentials: String,
    /// How long the name is.
    name: usize,
}

/// Why there is no user. It never has what was given: that may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// A part is missing.
    #[error("it is USER:PASSWORD, and neither part is empty")]
    Malformed,
    /// The environment variable lacks a part.
    #[error("{VARIABLE} is not USER:PASSWORD, with neither part empty")]
    MalformedVariable,
}

impl User {
    /// Of the environment variable `HOOKKEEPER_USER`; `local:local` where it is not set.
    ///
    /// # Errors
    /// [`UserError::MalformedVariable`].
    pub fn from_env() -> Result<Self, UserError> {
        match env::var(VARIABLE).ok().filter(|value| !value.is_empty()) {
            Some(value) => value.parse().map_err(|_| UserError::MalformedVariable),
            None => Ok(Self::known()),
        }
    }

    /// The one that everybody knows: `local:local`.
    #[must_use]
    pub fn known() -> Self {
        Self {
            credentials: format!("{CREDENTIAL}:{CREDENTIAL}"),
            name: CREDENTIAL.len(),
        }
    }

    /// `user:password`.
    #[must_use]
    pub fn credentials(&self) -> &str {
        &self.credentials
    }

    /// The user name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.credentials.get(..self.name).unwrap_or_default()
    }

    /// The password.
    #[must_use]
    pub fn password(&self) -> &str {
        self.credentials.get(self.name + 1..).unwrap_or_default()
    }

    /// `user:password` as one word of a shell's command line.
    #[must_use]
    pub fn shell_word(&self) -> String {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_-.".contains(&byte);
        if self.credentials.bytes().all(is_plain) {
            return self.credentials.clone();
        }
        format!("'{}'", self.credentials.replace('\'', r"'\''"))
    }
}

impl FromStr for User {
    type Err = UserError;

    fn from_str(credentials: &str) -> Result<Self, UserError> {
        match credentials.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => Ok(Self {
                credentials: credentials.to_owned(),
                name: name.len(),
            }),
            _ => Err(UserError::Malformed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(credentials: &str) -> Option<User> {
        credentials.parse().ok()
    }

    #[test]
    fn a_user_has_a_name_and_a_password() {
        let ada = user("ada:love:lace").unwrap();
        assert_eq!(
            (ada.name(), ada.password(), ada.credentials()),
            ("ada", "love:lace", "ada:love:lace")
        );
        for malformed in ["", "ada", ":", "ada:", ":lovelace"] {
            assert!(user(malformed).is_none(), "{malformed}");
        }
    }

    #[test]
    fn a_shell_takes_it_as_one_word() {
        assert_eq!(User::known().shell_word(), "local:local");
        assert_eq!(user("ada:l'o $v").unwrap().shell_word(), r"'ada:l'\''o $v'");
    }
}
