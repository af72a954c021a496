//! Target of the deliveries: its URL and the credential that it accepts.

use crate::http::{Answer, Credential, Http, Request, check_secrecy};
use axum::http::Uri;
use std::time::Duration;

/// Longer than API Gateway waits for a function, and than any provider waits for a response.
const TIMEOUT: Duration = Duration::from_secs(35);

/// Receiver of the deliveries.
#[derive(Debug)]
pub(crate) struct Target {
    url: String,
    shown: Option<Credential>,
    pub(crate) is_local: bool,
    http: Http,
}

impl Target {
    pub(crate) fn new(
        url: &str,
        shown: Option<Credential>,
        is_local: bool,
    ) -> Result<Self, String> {
        let uri = url.parse::<Uri>().ok().filter(|uri| uri.host().is_some());
        let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
        // The text may have a key.
        let uri = uri.ok_or("--url is not a URL (expected https://... or http://...)")?;
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            let why = "--url has a user name: set HOOKKEEPER_USER, or use --user";
            return Err(why.to_owned());
        }
        check_secrecy(url, shown.as_ref())?;
        Ok(Self {
            url: url.to_owned(),
            shown,
            is_local,
            http: Http::new(),
        })
    }

    /// URL without its query string, which may contain a secret.
    pub(crate) fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    pub(crate) async fn post(&self, headers: &[(String, String)], body: &[u8]) -> Answer {
        let request = Request {
            method: "POST",
            url: &self.url,
            shown: self.shown.as_ref(),
            headers,
            body,
        };
        self.http.send(request, TIMEOUT).await
    }
}
