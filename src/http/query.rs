//! Values of query parameters.

use std::str::FromStr;

use super::error::{Answer, ApiError};
use super::error_code::Code;

/// 400 `invalid_query` for the parameter `name`.
pub(super) fn invalid(name: &'static str, message: &'static str) -> ApiError {
    ApiError::new(Code::InvalidQuery, message).field(name)
}

/// Parses a value; `message` says what it can be.
pub(super) fn parsed<T: FromStr>(
    name: &'static str,
    value: &str,
    message: &'static str,
) -> Answer<T> {
    value.parse().map_err(|_| invalid(name, message))
}

/// Parses a boolean parameter; an empty value is `false`.
pub(super) fn flag(name: &'static str, value: &str) -> Answer<bool> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(invalid(name, "This parameter must be true or false.")),
    }
}
