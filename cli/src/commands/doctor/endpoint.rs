//! Endpoint check: the URL of a provider responds in time, and rejects unauthorized requests.

use super::finding::Finding;
use crate::{
    filter::provider,
    http::{Answer, Credential, Http, Request, check_secrecy},
    secret::secret,
};
use providers::Provider;

/// URL of a provider, and how this command probes it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) provider: Provider,
    /// URL without a secret.
    pub(crate) url: String,
    pub(crate) shown: Option<Credential>,
    pub(crate) is_local: bool,
}

/// Parses `PROVIDER=-`, `PROVIDER=USER:PASSWORD` or `PROVIDER=KEY`.
pub(crate) fn credential(argument: &str) -> Result<(Provider, Credential), String> {
    let (name, given) = argument
        .split_once('=')
        .ok_or("expected PROVIDER=USER:PASSWORD or PROVIDER=KEY (PROVIDER=-: it is asked for)")?;
    let provider = provider(name)?;
    let given = secret(given, &format!("credential of {name}"))?;
    Ok((provider, Credential::for_provider(&provider, &given)?))
}

/// Problem, and the advice to solve it.
type Trouble = (String, String);

impl Endpoint {
    /// Probes the URL. If the check passes, also returns the seconds by which our clock is ahead of
    /// the server's.
    pub(crate) async fn check(&self, http: &Http) -> (Finding, Option<i64>) {
        match self.visit(http).await {
            Ok((text, ahead)) => (Finding::ok(self.provider.name, text), ahead),
            Err((text, advice)) => (
                Finding::fail(self.provider.name, format!("{} {text}", self.url), advice),
                None,
            ),
        }
    }

    async fn visit(&self, http: &Http) -> Result<(String, Option<i64>), Trouble> {
        check_secrecy(&self.url, self.shown.as_ref())
            .map_err(|why| ("was not tested".to_owned(), why))?;
        // The first request may start a function, so only the second one is judged.
        let [first, second] = [self.knock(http).await?, self.knock(http).await?];
        let Provider { name, timeout, .. } = self.provider;
        let took = format!(
            "in {} ms (the first in {} ms",
            second.latency.as_millis(),
            first.latency.as_millis()
        );
        if second.latency > timeout / 3 {
            let third = format!(
                "more than a third of the {} s timeout of {name}",
                timeout.as_secs()
            );
            let advice = "look at the dashboard: is the table slow, or are there many cold starts?";
            return Err((
                format!("answers {} {took}), {third}", self.manner()),
                advice.to_owned(),
            ));
        }
        self.is_shut(http).await?;
        let most = (timeout / 3).as_millis();
        let more = if self.shown.is_none() {
            " (--credential probes it as the provider does)"
        } else {
            ""
        };
        Ok((
            format!(
                "200 to {} {took}, at most {most} ms), 401 without credentials{more}",
                self.manner()
            ),
            second.ahead,
        ))
    }

    /// Sends a probe: a GET without credentials, or a POST with the credential if it is known.
    async fn knock(&self, http: &Http) -> Result<Answer, Trouble> {
        let answer = match &self.shown {
            None => self.ask(http, "GET", None, b"").await?,
            shown => self.ask(http, "POST", shown.as_ref(), b"").await?,
        };
        if answer.status == Ok(200) {
            Ok(answer)
        } else {
            Err(self.refusal(answer.status.unwrap_or_default()))
        }
    }

    /// Checks that a delivery without credentials is rejected. An empty POST would not be: providers
    /// check a URL with it.
    async fn is_shut(&self, http: &Http) -> Result<(), Trouble> {
        let answer = self.ask(http, "POST", None, b"{}").await?;
        let status = answer.status.unwrap_or_default();
        if status == 401 {
            return Ok(());
        }
        let advice = "anybody who knows the URL can deliver to it. \
            Look at what is between the URL and the function, and deploy again";
        Err((
            format!("answers {status} and not 401 to a POST with a body and no credentials"),
            advice.to_owned(),
        ))
    }

    /// Sends a request. Fails only if there is no response.
    async fn ask(
        &self,
        http: &Http,
        method: &'static str,
        shown: Option<&Credential>,
        body: &[u8],
    ) -> Result<Answer, Trouble> {
        let request = Request {
            method,
            url: &self.url,
            shown,
            headers: &[],
            body,
        };
        let answer = http.send(request, self.provider.timeout).await;
        match &answer.status {
            Ok(_) => Ok(answer),
            Err(why) => Err(self.silent(why)),
        }
    }

    fn manner(&self) -> &'static str {
        if self.shown.is_some() {
            "an authenticated probe"
        } else {
            "a GET"
        }
    }

    fn silent(&self, error: &str) -> Trouble {
        let advice = if self.is_local {
            "start `cargo dev`, or name the port of its receivers with --gateway-port"
        } else {
            "look at the URL, its DNS and the network; then at the function's log"
        };
        (format!("does not answer ({error})"), advice.to_owned())
    }

    /// The environment variable from which this command takes the credential.
    fn variable(&self) -> String {
        if self.is_local {
            return "HOOKKEEPER_DEV_USER".to_owned();
        }
        format!("HOOKKEEPER_{}", self.provider.name.to_uppercase())
    }

    fn refusal(&self, status: u16) -> Trouble {
        let name = self.provider.name;
        let advice = match status {
            401 => format!(
                "give what it accepts in {}, \
                or make another with `hookkeeper credentials {name} --add`",
                self.variable()
            ),
            404 => "no receiver has this URL: deploy again".to_owned(),
            429 => "raise the account's quotas (docs/costs-and-limits.md)".to_owned(),
            500.. => "look at the function's log and its alarms (docs/operations.md)".to_owned(),
            _ => "look at what is between the URL and the function".to_owned(),
        };
        (format!("answers {status} to {}", self.manner()), advice)
    }
}
