//! Clock check: AWS rejects requests that are signed with a wrong time.

use super::finding::Finding;
use crate::http::{Http, Request};
use aws_config::SdkConfig;
use std::time::Duration;

const CHECK: &str = "clock";
/// Seconds by which our clock may be wrong. AWS rejects a signature at 300.
const ALLOWED: u64 = 60;
const PATIENCE: Duration = Duration::from_secs(5);

/// Checks our clock. `ahead` is the number of seconds by which it is ahead, if a response has shown
/// it. Otherwise an AWS endpoint is asked: its responses have a date even if the request is not
/// signed.
pub(crate) async fn check(http: &Http, sdk: &SdkConfig, ahead: Option<i64>) -> Finding {
    let ahead = match ahead {
        Some(ahead) => Some(ahead),
        None => asked(http, sdk).await,
    };
    let Some(ahead) = ahead else {
        return Finding::skip(CHECK, "no response has a Date header");
    };
    let off = ahead.unsigned_abs();
    let text = match ahead {
        0.. => format!("this machine's clock is {off} s ahead"),
        _ => format!("this machine's clock is {off} s behind"),
    };
    if off <= ALLOWED {
        return Finding::ok(CHECK, text);
    }
    Finding::fail(
        CHECK,
        text,
        "synchronize the clock: AWS rejects signatures that are 5 minutes off",
    )
}

async fn asked(http: &Http, sdk: &SdkConfig) -> Option<i64> {
    let endpoint = match (sdk.endpoint_url(), sdk.region()) {
        (Some(url), _) => url.to_owned(),
        (None, Some(region)) => format!("https://dynamodb.{region}.amazonaws.com/"),
        (None, None) => return None,
    };
    let request = Request {
        method: "GET",
        url: &endpoint,
        shown: None,
        headers: &[],
        body: &[],
    };
    http.send(request, PATIENCE).await.ahead
}
