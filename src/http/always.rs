//! A constant of a JSON document.

use serde::{Serialize, Serializer};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A JSON boolean that is constant for a response type, so that clients can discriminate a union by it.
#[derive(Debug, Clone)]
pub(super) struct Always<const IS: bool>;

impl<const IS: bool> Serialize for Always<IS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(IS)
    }
}

impl<const IS: bool> PartialSchema for Always<IS> {
    fn schema() -> RefOr<Schema> {
        // utoipa's schemas have no `const`, but its extensions are serialized beside their other members. No `type`: it
        // is redundant, and with one the Python generator ignores `const`.
        let constant = Extensions::from_iter([("const", IS)]);
        let flag = ObjectBuilder::new().schema_type(SchemaType::AnyValue);
        flag.extensions(Some(constant)).into()
    }
}

impl<const IS: bool> ToSchema for Always<IS> {}
