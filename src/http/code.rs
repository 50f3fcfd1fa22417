//! The stable codes of refusals, each with its status and its meaning: what the answers and the API's
//! document say of it.

use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

/// A comment says what a code means, to the reader here and in the document.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $status:ident,)+) => {
        /// The stable code of a refusal.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($(#[doc = $doc])+ $code,)+ }

        impl Code {
            /// The status it is answered with.
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// What it means, in a sentence.
            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$code => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

codes! {
    /// The request's line or headers can't be read.
    InvalidRequest = BAD_REQUEST,
    /// A query parameter holds something it can't.
    InvalidQuery = BAD_REQUEST,
    /// A header holds something it can't.
    InvalidHeader = BAD_REQUEST,
    /// The path names a task by something that can't be one.
    InvalidId = BAD_REQUEST,
    /// The body isn't a JSON object.
    InvalidJson = BAD_REQUEST,
    /// A member of the body holds something it can't.
    InvalidField = BAD_REQUEST,
    /// The body has a member that the route doesn't know.
    UnknownField = BAD_REQUEST,
    /// The sign-in wasn't begun by this browser, took too long or was ended before.
    SignInExpired = BAD_REQUEST,
    /// GitHub doesn't take the sign-in's code.
    SignInFailed = BAD_REQUEST,
    /// Nothing says who asks.
    NotSignedIn = UNAUTHORIZED,
    /// The token is nobody's.
    TokenInvalid = UNAUTHORIZED,
    /// The token was given to another app.
    TokenForeign = UNAUTHORIZED,
    /// Whoever it is isn't on the list.
    LoginNotAllowed = FORBIDDEN,
    /// The login belonged to another account before.
    LoginReassigned = FORBIDDEN,
    /// The person said no at GitHub.
    AccessDenied = FORBIDDEN,
    /// The request names a host that isn't this machine.
    HostNotAllowed = FORBIDDEN,
    /// A page of another site sent the request.
    CrossOrigin = FORBIDDEN,
    /// No such route.
    NotFound = NOT_FOUND,
    /// No such task.
    TaskNotFound = NOT_FOUND,
    /// The route knows other methods.
    MethodNotAllowed = METHOD_NOT_ALLOWED,
    /// Several tasks have the number.
    AmbiguousId = CONFLICT,
    /// The task's file can't be read.
    TaskUnreadable = CONFLICT,
    /// The task's front matter can't be changed without touching something else.
    FrontMatterNotEditable = CONFLICT,
    /// Others kept changing the task.
    Conflict = CONFLICT,
    /// All numbers are taken.
    IdsExhausted = CONFLICT,
    /// Nobody signs in by a browser here.
    OauthNotConfigured = CONFLICT,
    /// The task isn't what `If-Match` names.
    PreconditionFailed = PRECONDITION_FAILED,
    /// The body didn't come in time.
    BodyTooSlow = REQUEST_TIMEOUT,
    /// The body is larger than a request may be.
    BodyTooLarge = PAYLOAD_TOO_LARGE,
    /// The file would be larger than a task may be.
    TaskTooLarge = PAYLOAD_TOO_LARGE,
    /// The body isn't JSON by its content type.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE,
    /// The address is longer than one may be.
    UriTooLong = URI_TOO_LONG,
    /// The headers are more, or larger, than a request's may be.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE,
    /// The `Idempotency-Key` stands for another request.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY,
    /// GitHub mode is off.
    GithubNotConfigured = CONFLICT,
    /// GitHub can't be reached, or grants no more requests for now.
    GithubUnavailable = SERVICE_UNAVAILABLE,
    /// GitHub won't let the service do it, until somebody changes a setting there or here.
    GithubDenied = SERVICE_UNAVAILABLE,
    /// So many files would be removed that it has to be confirmed.
    MassDelete = CONFLICT,
    /// The branch was rewritten, or so it seems, and nobody has confirmed that.
    HistoryRewritten = CONFLICT,
    /// No webhook secret is configured, so no delivery can be trusted.
    WebhookNotConfigured = SERVICE_UNAVAILABLE,
    /// The signature isn't of these bytes, by the configured secret.
    BadSignature = UNAUTHORIZED,
    /// The payload isn't what GitHub sends.
    InvalidPayload = BAD_REQUEST,
    /// More than this instance grants one user.
    TooManyRequests = TOO_MANY_REQUESTS,
    /// It may have been written, or not.
    OutcomeUnknown = SERVICE_UNAVAILABLE,
    /// The store can't be reached.
    StorageUnavailable = SERVICE_UNAVAILABLE,
    /// Who asks can't be found out just now.
    AuthUnavailable = SERVICE_UNAVAILABLE,
    /// Whose the login is can't be read.
    OwnerUnreadable = SERVICE_UNAVAILABLE,
    /// Tasks kept changing while their bodies were read.
    Busy = SERVICE_UNAVAILABLE,
    /// The instance holds as many bodies as it may.
    Overloaded = SERVICE_UNAVAILABLE,
    /// A newer version of the service wrote the user's state.
    NewerFormat = SERVICE_UNAVAILABLE,
    /// A defect.
    Internal = INTERNAL_SERVER_ERROR,
}
