//! Mutation testing: a simulation runs the service with one rule of a protocol broken, and must notice. Which one is a
//! value that the deciding functions take. Without the feature `mutations` no rule can be broken, and every check is a
//! constant.

use std::marker::PhantomData;

/// The rules of a protocol, all kept unless a simulation breaks one; `M` names them.
#[derive(Debug, Clone, Copy)]
pub struct Rules<M> {
    #[cfg(feature = "mutations")]
    broken: Option<M>,
    rules: PhantomData<M>,
}

impl<M> Default for Rules<M> {
    fn default() -> Self {
        Self {
            #[cfg(feature = "mutations")]
            broken: None,
            rules: PhantomData,
        }
    }
}

#[cfg(feature = "mutations")]
impl<M: Copy + PartialEq> Rules<M> {
    /// All rules but `mutation`.
    pub fn breaking(mutation: M) -> Self {
        Self {
            broken: Some(mutation),
            rules: PhantomData,
        }
    }

    /// Whether this rule is broken.
    pub fn breaks(self, mutation: M) -> bool {
        self.broken == Some(mutation)
    }
}

#[cfg(not(feature = "mutations"))]
impl<M: Copy> Rules<M> {
    /// Whether this rule is broken: never, in a build that serves.
    pub const fn breaks(self, _: M) -> bool {
        false
    }
}
