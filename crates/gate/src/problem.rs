//! The one shape of an error over HTTP: `{"error":{"code","message","next_step",…}}`. Messages are for people and hold no
//! patient data; causes go to the log.

use std::{error::Error, fmt::Write as _};

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts,
        rejection::{JsonRejection, PathRejection, QueryRejection},
    },
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use domain::port::{CatalogError, StorageError};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::password::PasswordError;

/// Seconds after which a caller may try again when something is away.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
    next_step: Option<String>,
    /// Boxed, since a `Problem` is the error of nearly every function here and most have none.
    extra: Box<Map<String, Value>>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// An error, as it goes over the wire.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorDetail,
}

/// What went wrong; some codes add fields of their own.
#[derive(Debug, serde::Serialize, ToSchema)]
pub struct ErrorDetail {
    /// For programs; never changes its meaning.
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do about it, for people.
    pub next_step: Option<String>,
}

/// A JSON body; anything else is answered with a [`Problem`].
#[derive(Debug, FromRequest)]
#[from_request(via(Json), rejection(Problem))]
pub struct JsonBody<T>(pub T);

/// The variable parts of a path; what does not parse is answered like what does not exist.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub struct PathPart<T>(pub T);

/// The query; what does not parse is answered with a [`Problem`].
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub struct QueryPart<T>(pub T);

impl Problem {
    /// A problem with a code for programs and a sentence for people.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            next_step: None,
            extra: Box::default(),
            headers: Vec::new(),
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn next_step(mut self, sentence: impl Into<String>) -> Self {
        self.next_step = Some(sentence.into());
        self
    }

    /// Adds a field for programs.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The code for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code
    }

    /// What does not exist, and what the caller may not see: one answer for both, so that nobody learns which.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown", "There is nothing here under this name.")
            .next_step("Check the address, or go back to the list.")
    }

    /// Nobody has signed in.
    #[must_use]
    pub fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_signed_in", "You are not signed in.")
            .next_step("Sign in again, or send a token as Authorization: Bearer.")
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"telerad\""))
    }

    /// A token that opens nothing (RFC 6750 section 3.1).
    #[must_use]
    pub fn bad_token() -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"telerad\", error=\"invalid_token\"");
        Self::new(StatusCode::UNAUTHORIZED, "bad_token", "This token opens nothing.")
            .next_step("Make a new one with `telerad token create`.")
            .header(header::WWW_AUTHENTICATE, challenge)
    }

    /// Signed in, but this is for others.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Your role does not allow this.")
            .next_step("Ask an administrator.")
    }

    /// A request that cannot be understood.
    #[must_use]
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", message)
    }

    /// Something below is away; trying again may help. `cause` goes to the log.
    #[must_use]
    pub fn unavailable(cause: &dyn Error) -> Self {
        tracing::warn!(cause = %chain(cause), "unavailable");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "The service is busy or partly away.")
            .next_step("Wait a moment and try again; nothing was lost.")
            .retry_after(RETRY_AFTER_SECONDS)
    }

    /// Something below failed. `cause` goes to the log.
    #[must_use]
    pub fn internal(cause: &dyn Error) -> Self {
        tracing::error!(cause = %chain(cause), "failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "Something went wrong on the server.")
            .next_step("Try again; if it stays so, tell the operator the request id.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut error = Map::new();
        error.insert("code".into(), self.code.into());
        error.insert("message".into(), self.message.into());
        error.insert("next_step".into(), self.next_step.into());
        error.extend(*self.extra);
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match &error {
            CatalogError::Unavailable { .. } => Self::unavailable(&error),
            CatalogError::Failed { .. } => Self::internal(&error),
        }
    }
}

impl From<StorageError> for Problem {
    fn from(error: StorageError) -> Self {
        match &error {
            StorageError::NotFound(_) | StorageError::Corrupt(_) | StorageError::TooLarge { .. } => {
                Self::internal(&error)
            }
            StorageError::Full(_) | StorageError::Unavailable { .. } => Self::unavailable(&error),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match &error {
            PasswordError::Busy | PasswordError::BrokenOff => Self::unavailable(&error),
            PasswordError::Hash(_) => Self::internal(&error),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        let (code, message) = match status {
            StatusCode::PAYLOAD_TOO_LARGE => ("too_large", "The body is too large."),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ("not_json", "Send the body as application/json."),
            StatusCode::UNPROCESSABLE_ENTITY => {
                ("wrong_fields", "The body is JSON, but its fields are not the ones expected here.")
            }
            _ => ("bad_json", "The body is not JSON."),
        };
        // The parser's own words may quote the body, which may hold a patient's name: not in the log, not in the answer.
        Self::new(status, code, message).next_step("See /api/v1/openapi.json.")
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        Self::unknown()
    }
}

impl From<QueryRejection> for Problem {
    fn from(_: QueryRejection) -> Self {
        Self::bad_request("The query is not understood.").next_step("See /api/v1/openapi.json.")
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let _ = write!(line, ": {cause}");
        next = cause.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_problem_has_one_shape() {
        let problem = Problem::new(StatusCode::CONFLICT, "held_by_other", "Somebody else holds it.")
            .with("by_name", "Dr B")
            .retry_after(7);
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::RETRY_AFTER], "7");
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        let expected = json!({"error": {
            "code": "held_by_other", "message": "Somebody else holds it.", "next_step": null, "by_name": "Dr B",
        }});
        assert_eq!(body, expected);
    }
}
