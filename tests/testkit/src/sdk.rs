//! Calls of the AWS SDK that are answered in this process. Over real sockets, a paused clock would
//! fire timeouts that did not happen.

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, SharedHttpClient, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::{DateTime, body::SdkBody, date_time::Format};
use models::Timestamp;
use serde_json::{Value, json};
use std::io;

/// Service that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// DynamoDB.
    Table,
    /// SQS.
    Queue,
}

/// A request in AWS JSON.
#[derive(Debug)]
pub(crate) struct ServiceRequest {
    pub(crate) service: Service,
    /// The name of the operation: `PutItem`.
    pub(crate) operation: String,
    pub(crate) body: Value,
}

impl From<&HttpRequest> for ServiceRequest {
    fn from(request: &HttpRequest) -> Self {
        let target = request.headers().get("x-amz-target").unwrap();
        let (service, operation) = target.split_once('.').unwrap();
        let is_table = service.starts_with("DynamoDB");
        Self {
            service: if is_table {
                Service::Table
            } else {
                Service::Queue
            },
            operation: operation.to_owned(),
            body: serde_json::from_slice(request.body().bytes().unwrap()).unwrap(),
        }
    }
}

/// A transport whose connections are all this one.
pub(crate) fn transport(connector: impl HttpConnector + 'static) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

/// A response, or one with an error code: 500 if the service is at fault, else 400.
pub(crate) fn response(result: Result<Value, &str>) -> HttpResponse {
    let (status, body) = match result {
        Ok(body) => (200, body),
        Err(code) => (
            if code.starts_with("Internal") {
                500
            } else {
                400
            },
            json!({ "__type": format!("com.amazonaws#{code}"), "message": code }),
        ),
    };
    let status = StatusCode::try_from(status).unwrap();
    HttpResponse::new(status, SdkBody::from(body.to_string()))
}

/// The error of a refused connection.
pub(crate) fn refused() -> ConnectorError {
    ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionRefused).into())
}

/// Sets the `Date` of a response.
///
/// # Panics
/// If the time is not within the years 1 to 9999.
pub fn set_date(response: &mut HttpResponse, now: Timestamp) {
    let date = DateTime::from_secs(now.as_seconds());
    let date = date.fmt(Format::HttpDate).unwrap();
    response.headers_mut().insert("date", date);
}
