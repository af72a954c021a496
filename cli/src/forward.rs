//! Sends events to a URL, and decides by the response what to do next.

use crate::http::{Answer, Http, Request};
use axum::http::{HeaderName, HeaderValue, Uri};
use std::time::Duration;

/// How long a server may take to respond.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The header with the handle of the event.
const HANDLE: &str = "hookkeeper-handle";
/// The wait before the second attempt. It doubles before each further one.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// A server that events are sent to.
#[derive(Debug)]
pub(crate) struct Server {
    url: String,
    headers: Vec<(String, String)>,
    http: Http,
}

/// What a response means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Response {
    /// 2xx: the server has the event.
    Taken,
    /// 408, 429, 5xx, or none: the same event may be taken later.
    Unavailable,
    /// Another status: sending it again would not help.
    Refused,
}

impl Server {
    pub(crate) fn new(url: String, headers: Vec<(String, String)>) -> Self {
        Self {
            url,
            headers,
            http: Http::new(),
        }
    }

    /// URL without its query string, which may contain a secret.
    pub(crate) fn shown(&self) -> &str {
        self.url.split('?').next().unwrap_or_default()
    }

    /// POSTs a body once.
    pub(crate) async fn post(
        &self,
        handle: &str,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Answer {
        // A sender may have sent a content type that no HTTP client accepts.
        let content_type = content_type.filter(|text| HeaderValue::from_str(text).is_ok());
        let content_type = content_type.map(|text| ("content-type".to_owned(), text.to_owned()));
        let mut headers = vec![(HANDLE.to_owned(), handle.to_owned())];
        headers.extend(content_type);
        for (name, value) in &self.headers {
            headers.retain(|(own, _)| own != name);
            headers.push((name.clone(), value.clone()));
        }
        let request = Request {
            method: "POST",
            url: &self.url,
            shown: None,
            headers: &headers,
            body,
        };
        self.http.send(request, TIMEOUT).await
    }
}

impl Response {
    pub(crate) fn of(answer: &Answer) -> Self {
        match answer.status {
            Ok(200..=299) => Self::Taken,
            Err(_) | Ok(408 | 429 | 500..) => Self::Unavailable,
            Ok(_) => Self::Refused,
        }
    }
}

/// The sentence about a response that is not a success.
pub(crate) fn said(answer: &Answer) -> String {
    match &answer.status {
        Ok(status) => format!("the server answered {status}"),
        Err(reason) => format!("the server does not answer ({reason})"),
    }
}

/// The waits between attempts.
#[derive(Debug, Clone)]
pub(crate) struct Waits {
    next: Duration,
    longest: Duration,
}

impl Waits {
    /// Waits that double up to a longest one.
    pub(crate) fn up_to(longest: Duration) -> Self {
        Self {
            next: FIRST_WAIT,
            longest,
        }
    }
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = self.next.min(self.longest);
        self.next = self.longest.min(wait * 2);
        Some(wait)
    }
}

/// Parses the URL of a server.
pub(crate) fn url(text: &str) -> Result<String, String> {
    let uri: Option<Uri> = text.parse().ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")));
    let authority = uri.as_ref().and_then(Uri::authority);
    match authority {
        Some(authority) if authority.as_str().contains('@') => {
            Err("a user name and password in a URL are not sent: leave them out".to_owned())
        }
        Some(_) => Ok(text.to_owned()),
        None => Err("expected a URL (http://... or https://...)".to_owned()),
    }
}

/// Parses a header, like `X-Key: value`.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let expected = "expected a header, like 'X-Key: value'";
    let (name, value) = text.split_once(':').ok_or(expected)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| expected)?;
    let value = value.trim();
    HeaderValue::from_str(value).map_err(|_| expected)?;
    Ok((name.to_string(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: Result<u16, String>) -> Answer {
        Answer {
            status,
            latency: Duration::ZERO,
            ahead: None,
        }
    }

    #[test]
    fn a_response_is_taken_refused_or_to_be_tried_again() {
        for status in [200, 202, 204] {
            assert_eq!(Response::of(&answer(Ok(status))), Response::Taken);
        }
        for status in [408, 429, 500, 503, 599] {
            assert_eq!(Response::of(&answer(Ok(status))), Response::Unavailable);
        }
        for status in [101, 301, 400, 401, 404, 410, 422] {
            assert_eq!(Response::of(&answer(Ok(status))), Response::Refused);
        }
        let none = answer(Err("connection refused".to_owned()));
        assert_eq!(Response::of(&none), Response::Unavailable);
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = Waits::up_to(Duration::from_secs(1)).take(5);
        let waits: Vec<u128> = waits.map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1000, 1000]);
    }

    #[test]
    fn a_header_has_a_name_and_a_value() {
        assert_eq!(
            header("X-Key: a: b "),
            Ok(("x-key".to_owned(), "a: b".to_owned()))
        );
        for wrong in ["X-Key", "a b: c", ": c", "X-Key: a\nb"] {
            assert!(header(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_has_no_password() {
        assert!(url("http://localhost:3000/hook?key=1").is_ok());
        for wrong in ["localhost", "ftp://host/", "http://me:secret@localhost/"] {
            let error = url(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
