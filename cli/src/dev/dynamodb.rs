//! DynamoDB's JSON API over the embedded database.
//!
//! dynoxide has its own HTTP server, but that server lets every web page use it: it answers
//! `OPTIONS` with `access-control-allow-origin: *`, and it checks neither `Origin` nor `Host`. Its
//! router is private, so no middleware can be added to it. Therefore this module serves the
//! operations itself, behind [`super::caller`].
//!
//! Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html>

use super::caller;
use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, StatusCode, Uri, header},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use dynoxide::{Database, DynoxideError, auth_material::AuthMaterial};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

/// DynamoDB accepts requests of up to 16 MB.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Prefix of the `x-amz-target` header: the API and its version.
const TARGET: &str = "DynamoDB_20120810.";
const UNKNOWN_OPERATION: &str =
    r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#;

/// Router that serves the operations of a database to programs on this machine, and not to web
/// pages.
pub(super) fn router(database: Database) -> Router {
    let operations: MethodRouter<Database> = post(answer).get(health);
    Router::new()
        .route("/", operations)
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .layer(middleware::from_fn(
            caller::refuse_web_pages_and_foreign_hosts,
        ))
        .with_state(database)
}

/// Response body of DynamoDB to a `GET`.
async fn health() -> &'static str {
    "healthy: dynamodb.us-east-1.amazonaws.com "
}

async fn answer(
    State(database): State<Database>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some(operation) = operation(&headers) else {
        return json(StatusCode::BAD_REQUEST, UNKNOWN_OPERATION.to_owned());
    };
    if let Some(refusal) = dynoxide::auth_material::validate(authentication(&uri, &headers)) {
        return json(StatusCode::BAD_REQUEST, refusal);
    }
    match run(&database, operation, &body) {
        Some(Ok(answer)) => json(StatusCode::OK, answer),
        Some(Err(error)) => {
            let status = StatusCode::from_u16(error.status_code())
                .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            json(status, error.to_json())
        }
        None => json(StatusCode::BAD_REQUEST, UNKNOWN_OPERATION.to_owned()),
    }
}

fn operation(headers: &HeaderMap) -> Option<&str> {
    text(headers, "x-amz-target")?.strip_prefix(TARGET)
}

/// Authentication data that DynamoDB requires in a request. Signatures are not verified.
fn authentication<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> AuthMaterial<'a> {
    AuthMaterial {
        authorization: text(headers, "authorization"),
        query: uri.query().unwrap_or_default(),
        has_date_header: headers.contains_key("x-amz-date") || headers.contains_key(header::DATE),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn json(status: StatusCode, body: String) -> Response {
    let request_id = Uuid::new_v4().to_string();
    let headers = [
        (header::CONTENT_TYPE, CONTENT_TYPE.to_owned()),
        (REQUEST_ID, request_id),
    ];
    (status, headers, body).into_response()
}

/// Runs an operation by its API name. `None` if there is no operation of that name.
fn run(database: &Database, operation: &str, body: &[u8]) -> Option<dynoxide::Result<String>> {
    let answer = match operation {
        "BatchExecuteStatement" => call(body, |request| database.batch_execute_statement(request)),
        "BatchGetItem" => call(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => call(body, |request| database.batch_write_item(request)),
        "CreateTable" => call(body, |request| database.create_table(request)),
        "DeleteItem" => call(body, |request| database.delete_item(request)),
        "DeleteTable" => call(body, |request| database.delete_table(request)),
        "DescribeTable" => call(body, |request| database.describe_table(request)),
        "DescribeTimeToLive" => call(body, |request| database.describe_time_to_live(request)),
        "ExecuteStatement" => call(body, |request| database.execute_statement(request)),
        "ExecuteTransaction" => call(body, |request| database.execute_transaction(request)),
        "GetItem" => call(body, |request| database.get_item(request)),
        "ListTables" => call(body, |request| database.list_tables(request)),
        "ListTagsOfResource" => call(body, |request| database.list_tags_of_resource(request)),
        "PutItem" => call(body, |request| database.put_item(request)),
        "Query" => call(body, |request| database.query(request)),
        "Scan" => call(body, |request| database.scan(request)),
        "TagResource" => call(body, |request| database.tag_resource(request)),
        "TransactGetItems" => call(body, |request| database.transact_get_items(request)),
        "TransactWriteItems" => call(body, |request| database.transact_write_items(request)),
        "UntagResource" => call(body, |request| database.untag_resource(request)),
        "UpdateItem" => call(body, |request| database.update_item(request)),
        "UpdateTable" => call(body, |request| database.update_table(request)),
        "UpdateTimeToLive" => call(body, |request| database.update_time_to_live(request)),
        _ => return None,
    };
    Some(answer)
}

fn call<Request, Answer>(
    body: &[u8],
    method: impl FnOnce(Request) -> dynoxide::Result<Answer>,
) -> dynoxide::Result<String>
where
    Request: DeserializeOwned,
    Answer: Serialize,
{
    let request = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let answer = method(request)?;
    serde_json::to_string(&answer)
        .map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// Distinguishes a request that is not JSON from one with a wrong value, as DynamoDB does.
fn unreadable(error: &serde_json::Error) -> DynoxideError {
    let message = error.to_string();
    if error.is_data() {
        DynoxideError::ValidationException(message)
    } else {
        DynoxideError::SerializationException(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_type(answer: Option<dynoxide::Result<String>>) -> Option<&'static str> {
        let error = answer?.err()?;
        error.error_type().split_once('#').map(|(_, name)| name)
    }

    #[test]
    fn a_request_is_run_or_refused_by_name() {
        let database = Database::memory().unwrap();
        let listed = run(&database, "ListTables", b"{}").unwrap().unwrap();
        assert_eq!(listed, r#"{"TableNames":[]}"#);
        assert!(run(&database, "NoSuchOperation", b"{}").is_none());
        let unknown_table = run(&database, "DescribeTable", br#"{"TableName":"other"}"#);
        assert_eq!(error_type(unknown_table), Some("ResourceNotFoundException"));
        assert_eq!(
            error_type(run(&database, "ListTables", b"{")),
            Some("SerializationException")
        );
        assert_eq!(
            error_type(run(&database, "Scan", b"{}")),
            Some("ValidationException")
        );
    }
}
