//! A schema of two alternatives.

use std::borrow::Cow;
use std::marker::PhantomData;

use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A schema of two alternatives. `anyOf`, not `oneOf`: the members of one may be a subset of the other's.
pub(in crate::http) struct Either<A, B>(PhantomData<(A, B)>);

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
