//! The stable error codes, each with its HTTP status and its meaning for the OpenAPI document.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// Each code's doc comment is also its meaning in the OpenAPI document.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $status:ident,)+) => {
        /// The stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($(#[doc = $doc])+ $code,)+ }

        impl Code {
            /// The HTTP status of responses with it.
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// Its meaning in one sentence: the doc comment.
            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$code => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The request's line or headers can't be read.
    InvalidRequest = BAD_REQUEST,
    /// A query parameter has an invalid value.
    InvalidQuery = BAD_REQUEST,
    /// A header has an invalid value.
    InvalidHeader = BAD_REQUEST,
    /// The path segment can't be a task's id or stem.
    InvalidId = BAD_REQUEST,
    /// The body isn't a JSON object.
    InvalidJson = BAD_REQUEST,
    /// A member of the body has an invalid value.
    InvalidField = BAD_REQUEST,
    /// The body has a member that the route doesn't know.
    UnknownField = BAD_REQUEST,
    /// The sign-in wasn't begun by this browser, took too long or was ended before.
    SignInExpired = BAD_REQUEST,
    /// GitHub rejects the sign-in's code.
    SignInFailed = BAD_REQUEST,
    /// The request has no valid credentials.
    NotSignedIn = UNAUTHORIZED,
    /// The token isn't valid.
    TokenInvalid = UNAUTHORIZED,
    /// The token was issued to another app.
    TokenForeign = UNAUTHORIZED,
    /// The login isn't on the list of allowed logins.
    LoginNotAllowed = FORBIDDEN,
    /// The login belonged to another account before.
    LoginReassigned = FORBIDDEN,
    /// The user declined the sign-in at GitHub.
    AccessDenied = FORBIDDEN,
    /// The request names a host that isn't this machine.
    HostNotAllowed = FORBIDDEN,
    /// A page of another site sent the request.
    CrossOrigin = FORBIDDEN,
    /// No such route.
    NotFound = NOT_FOUND,
    /// No such task.
    TaskNotFound = NOT_FOUND,
    /// The route doesn't have this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED,
    /// Several tasks have the number.
    AmbiguousId = CONFLICT,
    /// The task's file can't be parsed.
    TaskUnreadable = CONFLICT,
    /// The task's front matter can't be changed without changing anything else.
    FrontMatterNotEditable = CONFLICT,
    /// Concurrent changes of the task kept interfering.
    Conflict = CONFLICT,
    /// All numbers are taken.
    IdsExhausted = CONFLICT,
    /// Browser sign-in isn't configured.
    OauthNotConfigured = CONFLICT,
    /// The task doesn't match `If-Match`.
    PreconditionFailed = PRECONDITION_FAILED,
    /// The body didn't arrive in time.
    BodyTooSlow = REQUEST_TIMEOUT,
    /// The body is over the size limit of a request.
    BodyTooLarge = PAYLOAD_TOO_LARGE,
    /// The file would be over the size limit of a task.
    TaskTooLarge = PAYLOAD_TOO_LARGE,
    /// The body's content type isn't JSON, or it is compressed.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE,
    /// The address is too long.
    UriTooLong = URI_TOO_LONG,
    /// The headers are too many or too large.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE,
    /// The `Idempotency-Key` was used with another body before.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY,
    /// GitHub mode is off.
    GithubNotConfigured = CONFLICT,
    /// GitHub can't be reached, or its rate limit is exhausted.
    GithubUnavailable = SERVICE_UNAVAILABLE,
    /// GitHub denies the service access until a setting is changed there or here.
    GithubDenied = SERVICE_UNAVAILABLE,
    /// The sync would remove so many files that it must be confirmed.
    MassDelete = CONFLICT,
    /// The branch appears to have been rewritten, and that isn't confirmed.
    HistoryRewritten = CONFLICT,
    /// No webhook secret is configured, so no delivery can be trusted.
    WebhookNotConfigured = SERVICE_UNAVAILABLE,
    /// The signature doesn't match the body and the configured secret.
    BadSignature = UNAUTHORIZED,
    /// The payload isn't what GitHub sends.
    InvalidPayload = BAD_REQUEST,
    /// The user's rate limit on this instance is exceeded.
    TooManyRequests = TOO_MANY_REQUESTS,
    /// Whether the change was written is unknown.
    OutcomeUnknown = SERVICE_UNAVAILABLE,
    /// The storage can't be reached.
    StorageUnavailable = SERVICE_UNAVAILABLE,
    /// The credentials can't be verified at the moment.
    AuthUnavailable = SERVICE_UNAVAILABLE,
    /// The login's owner record can't be read.
    OwnerUnreadable = SERVICE_UNAVAILABLE,
    /// Tasks kept changing while they were read.
    Busy = SERVICE_UNAVAILABLE,
    /// The instance has no memory left for request bodies.
    Overloaded = SERVICE_UNAVAILABLE,
    /// A newer version of the service wrote the user's state.
    NewerFormat = SERVICE_UNAVAILABLE,
    /// An internal error.
    Internal = INTERNAL_SERVER_ERROR,
}
