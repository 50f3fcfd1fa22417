//! The stable error codes, each with its HTTP status, its meaning for the OpenAPI document, and the sentence that a
//! client gets with it.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Each code's doc comment is also its meaning in the OpenAPI document. The sentence tells the client what to do; a code
/// has none if it says something else in each case.
macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $status:ident $(, $sentence:literal)?;)+) => {
        /// The stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Code { $($(#[doc = $doc])+ $code,)+ }

        impl Code {
            /// The HTTP status of responses with it.
            pub(super) const fn status(self) -> StatusCode {
                match self { $(Self::$code => StatusCode::$status,)+ }
            }

            /// The code as in JSON documents.
            pub(super) fn name(self) -> String {
                let name = serde_json::to_value(self).unwrap_or_default();
                name.as_str().unwrap_or_default().to_owned()
            }

            /// Its meaning in one sentence: the doc comment.
            pub(super) const fn meaning(self) -> &'static str {
                match self { $(Self::$code => concat!($($doc),+).trim_ascii(),)+ }
            }

            /// What it says unless the case says more: its sentence, else its meaning.
            pub(super) const fn sentence(self) -> &'static str {
                match self {
                    $($(Self::$code => $sentence,)?)+
                    _ => self.meaning(),
                }
            }
        }
    };
}

codes! {
    /// The request's line or headers can't be read.
    InvalidRequest = BAD_REQUEST, "The request's line or headers can't be read as HTTP/1.1.";
    /// A query parameter has an invalid value.
    InvalidQuery = BAD_REQUEST;
    /// A header has an invalid value.
    InvalidHeader = BAD_REQUEST, "An Idempotency-Key is 1 to 255 visible ASCII characters: send one like that.";
    /// The path segment can't be a task's id or stem.
    InvalidId = BAD_REQUEST, "A task is named by its four digits or its whole file stem, as in 0042 or 0042-Steuer.";
    /// The body isn't a JSON object.
    InvalidJson = BAD_REQUEST, "The body must be a JSON object, as in {\"kategorie\":\"arbeit\"}.";
    /// A member of the body has an invalid value.
    InvalidField = BAD_REQUEST;
    /// The body has a member that the route doesn't know.
    UnknownField = BAD_REQUEST, "This field isn't known here: leave it out.";
    /// The sign-in wasn't begun by this browser, took too long or was ended before.
    SignInExpired = BAD_REQUEST, "This sign-in wasn't begun in this browser, took too long or was ended before: begin again at /auth/github.";
    /// GitHub rejects the sign-in's code.
    SignInFailed = BAD_REQUEST, "GitHub didn't confirm this sign-in: begin again at /auth/github.";
    /// The request has no valid credentials.
    NotSignedIn = UNAUTHORIZED, "Nobody is signed in: send Authorization: Bearer with a GitHub token, or sign in at /auth/github.";
    /// The token isn't valid.
    TokenInvalid = UNAUTHORIZED, "GitHub doesn't know this token: make a new one, or sign in again.";
    /// The token was issued to another app.
    TokenForeign = UNAUTHORIZED, "This token wasn't given to this service: use a personal access token, or sign in at /auth/github.";
    /// The login isn't on the list of allowed logins.
    LoginNotAllowed = FORBIDDEN, "This login may not enter: ask the operator to name it in CODEX_ALLOWED_LOGINS.";
    /// The login belonged to another account before.
    LoginReassigned = FORBIDDEN, "This login belonged to another account when its tasks were made: ask the operator whose they are.";
    /// The user declined the sign-in at GitHub.
    AccessDenied = FORBIDDEN, "The sign-in was declined at GitHub: begin again at /auth/github to allow it.";
    /// The request names a host that isn't this machine.
    HostNotAllowed = FORBIDDEN, "Without sign-in only this machine may ask: use localhost or 127.0.0.1 in the address.";
    /// A page of another site sent the request.
    CrossOrigin = FORBIDDEN, "A page of another site can't change tasks: open this service's own page, or send Authorization: Bearer.";
    /// No such route.
    NotFound = NOT_FOUND, "There is nothing at this path; the week is at /codex.";
    /// No such task.
    TaskNotFound = NOT_FOUND, "There is no such task: look for it in /api/tasks?status=alle.";
    /// The route doesn't have this method.
    MethodNotAllowed = METHOD_NOT_ALLOWED, "This path knows other methods: see the Allow header.";
    /// Several tasks have the number.
    AmbiguousId = CONFLICT, "Several tasks have this number: ask by one of the stems.";
    /// The task's file can't be parsed.
    TaskUnreadable = CONFLICT;
    /// The task's front matter can't be changed without changing anything else.
    FrontMatterNotEditable = CONFLICT, "The front matter can't be changed here without touching something else: edit the file by hand.";
    /// Concurrent changes of the task kept interfering.
    Conflict = CONFLICT, "Others kept changing the task, and nothing was written: try again.";
    /// All numbers are taken.
    IdsExhausted = CONFLICT, "All 10,000 task numbers are taken: remove files of tasks that are long done.";
    /// Browser sign-in isn't configured.
    OauthNotConfigured = CONFLICT, "Nobody signs in by GitHub's pages here: that takes CODEX_AUTH=github and GITHUB_OAUTH_CLIENT_ID with its secret.";
    /// The task doesn't match `If-Match`.
    PreconditionFailed = PRECONDITION_FAILED, "The task has changed: get it again, and decide anew.";
    /// The body didn't arrive in time.
    BodyTooSlow = REQUEST_TIMEOUT, "The body took too long to come: send it again.";
    /// The body is over the size limit of a request.
    BodyTooLarge = PAYLOAD_TOO_LARGE;
    /// The file would be over the size limit of a task.
    TaskTooLarge = PAYLOAD_TOO_LARGE, "The task would be larger than 1 MiB, or have more tags than can be read: shorten it.";
    /// The body's content type isn't JSON, or it is compressed.
    UnsupportedMediaType = UNSUPPORTED_MEDIA_TYPE, "The body must be JSON: send it with Content-Type: application/json.";
    /// The address is too long.
    UriTooLong = URI_TOO_LONG, "The request's address is too long: use fewer or shorter parameters.";
    /// The headers are too many or too large.
    HeadersTooLarge = REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's headers are too large: send at most 100, and 64 KiB of them with the request's line; fewer cookies may help.";
    /// The `Idempotency-Key` was used with another body before.
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "This Idempotency-Key came with another body before: use a new key.";
    /// GitHub mode is off.
    GithubNotConfigured = CONFLICT, "GitHub mode is off: set GITHUB_OWNER, GITHUB_REPO and credentials.";
    /// GitHub can't be reached, or its rate limit is exhausted.
    GithubUnavailable = SERVICE_UNAVAILABLE, "GitHub can't be reached, or grants no more requests for now: try again later.";
    /// GitHub denies the service access until a setting is changed there or here.
    GithubDenied = SERVICE_UNAVAILABLE, "GitHub doesn't let the service at the repository: check the repository's name, the branch and the credentials.";
    /// The sync would remove so many files that it must be confirmed.
    MassDelete = CONFLICT;
    /// The branch appears to have been rewritten, and that isn't confirmed.
    HistoryRewritten = CONFLICT;
    /// No webhook secret is configured, so no delivery can be trusted.
    WebhookNotConfigured = SERVICE_UNAVAILABLE, "No webhook secret is configured: set GITHUB_WEBHOOK_SECRET here and at GitHub.";
    /// The signature doesn't match the body and the configured secret.
    BadSignature = UNAUTHORIZED, "The signature doesn't fit: give GitHub the secret that is configured here.";
    /// The payload isn't what GitHub sends.
    InvalidPayload = BAD_REQUEST, "The payload isn't one of GitHub's: send what GitHub sends.";
    /// The user's rate limit on this instance is exceeded.
    TooManyRequests = TOO_MANY_REQUESTS, "Too many rebuilds in a minute: read without nocache, or try again later.";
    /// Whether the change was written is unknown.
    OutcomeUnknown = SERVICE_UNAVAILABLE, "Whether it was written can't be known yet: repeat it soon, with the same Idempotency-Key if it had one.";
    /// The storage can't be reached.
    StorageUnavailable = SERVICE_UNAVAILABLE, "The storage can't be reached: try again soon.";
    /// The credentials can't be verified at the moment.
    AuthUnavailable = SERVICE_UNAVAILABLE, "GitHub can't say now who you are: try again soon.";
    /// The login's owner record can't be read.
    OwnerUnreadable = SERVICE_UNAVAILABLE, "Whose these tasks are can't be read: the operator must mend owner.json.";
    /// Tasks kept changing while they were read.
    Busy = SERVICE_UNAVAILABLE, "Tasks kept changing while they were read: try again.";
    /// The instance has no memory left for request bodies.
    Overloaded = SERVICE_UNAVAILABLE, "Too many large requests at once: send it again in a moment.";
    /// A newer version of the service wrote the user's state.
    NewerFormat = SERVICE_UNAVAILABLE, "The data was written by a newer version of the service: update this one.";
    /// An internal error.
    Internal = INTERNAL_SERVER_ERROR, "Something broke: try again, and report the requestId.";
}

/// An error of which no more is known.
impl Default for Code {
    fn default() -> Self {
        Self::Internal
    }
}
