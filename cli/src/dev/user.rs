//! User name and password that the local receivers accept.

use super::CREDENTIAL;
use std::{env, str::FromStr};

/// Environment variable with the user name and the password.
const VARIABLE: &str = "HOOKKEEPER_DEV_USER";

/// User name and password of the local receivers.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// `user:password`.
    credentials: String,
    /// Length of the user name in bytes.
    name: usize,
}

/// Error of a malformed user. It never contains the input, which may be a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The user name or the password is missing.
    #[error("expected USER:PASSWORD, with neither part empty")]
    Malformed,
    /// The user name or the password is missing in the environment variable.
    #[error("{VARIABLE} is not USER:PASSWORD, with neither part empty")]
    MalformedVariable,
}

impl User {
    /// Reads the environment variable `HOOKKEEPER_DEV_USER`. Returns `local:local` if it is not set or
    /// empty.
    ///
    /// # Errors
    /// [`UserError::MalformedVariable`].
    pub fn from_env() -> Result<Self, UserError> {
        match env::var(VARIABLE).ok().filter(|value| !value.is_empty()) {
            Some(value) => value.parse().map_err(|_| UserError::MalformedVariable),
            None => Ok(Self::known()),
        }
    }

    /// Default user: `local:local`.
    #[must_use]
    pub fn known() -> Self {
        Self {
            credentials: format!("{CREDENTIAL}:{CREDENTIAL}"),
            name: CREDENTIAL.len(),
        }
    }

    /// User name and password: `user:password`.
    #[must_use]
    pub fn credentials(&self) -> &str {
        &self.credentials
    }

    /// User name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.credentials.get(..self.name).unwrap_or_default()
    }

    /// Password.
    #[must_use]
    pub fn password(&self) -> &str {
        self.credentials.get(self.name + 1..).unwrap_or_default()
    }

    /// User name and password as one word of a shell command, quoted if necessary.
    #[must_use]
    pub fn shell_word(&self) -> String {
        let mut bytes = self.credentials.bytes();
        if bytes.all(|byte| byte.is_ascii_alphanumeric() || b":_-.".contains(&byte)) {
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
    fn a_user_is_one_word_in_a_shell() {
        assert_eq!(User::known().shell_word(), "local:local");
        assert_eq!(user("ada:l'o $v").unwrap().shell_word(), r"'ada:l'\''o $v'");
    }
}
