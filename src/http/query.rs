//! Values of query parameters.

use std::str::FromStr;

use utoipa::openapi::{ObjectBuilder, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::error::ApiError;
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
) -> Result<T, ApiError> {
    value.parse().map_err(|_| invalid(name, message))
}

/// Parses a boolean parameter; an empty value is `false`.
pub(super) fn flag(name: &'static str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(invalid(name, "This parameter must be true or false.")),
    }
}

/// The schema of a boolean parameter, as [`flag`] parses it.
pub(super) struct Flag;

impl PartialSchema for Flag {
    fn schema() -> RefOr<Schema> {
        let word = ObjectBuilder::new().schema_type(Type::String);
        word.enum_values(Some(["true", "1", "false", "0", ""]))
            .into()
    }
}

impl ToSchema for Flag {}
