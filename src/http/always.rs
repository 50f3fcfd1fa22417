//! Schemas that utoipa's derives can't say: a constant, and two alternatives.

use std::borrow::Cow;
use std::marker::PhantomData;

use serde::{Serialize, Serializer};
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::schema::{AnyOfBuilder, SchemaType};
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A JSON boolean that is constant for a response type, so that clients can discriminate a union by it.
#[derive(Debug, Clone, Default)]
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

/// A schema of two alternatives. `anyOf`, not `oneOf`: the members of one may be a subset of the other's.
pub(super) struct Either<A, B>(PhantomData<(A, B)>);

impl<A: ToSchema, B: ToSchema> PartialSchema for Either<A, B> {
    fn schema() -> RefOr<Schema> {
        let either = AnyOfBuilder::new();
        let either = either.item(Ref::from_schema_name(A::name()));
        either.item(Ref::from_schema_name(B::name())).into()
    }
}

impl<A: ToSchema, B: ToSchema> ToSchema for Either<A, B> {
    fn name() -> Cow<'static, str> {
        format!("{}Or{}", A::name(), B::name()).into()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((A::name().into(), A::schema()));
        A::schemas(schemas);
        schemas.push((B::name().into(), B::schema()));
        B::schemas(schemas);
    }
}
