//! Mutation testing: a simulation runs the service with one rule of a protocol broken, and must notice. Which one is a
//! value that the deciding functions take. Without the feature `mutations` no rule can be broken, and every check is a
//! constant.

/// The rules of a protocol, all kept unless a simulation breaks one; `M` names them.
#[derive(Debug, Clone, Copy)]
pub struct Rules<M>(Option<M>);

impl<M> Default for Rules<M> {
    fn default() -> Self {
        Self(None)
    }
}

impl<M: Copy + PartialEq> Rules<M> {
    /// All rules but `mutation`.
    #[cfg(feature = "mutations")]
    pub fn breaking(mutation: M) -> Self {
        Self(Some(mutation))
    }

    /// Whether this rule is broken: never, in a build that serves.
    pub fn breaks(self, mutation: M) -> bool {
        cfg!(feature = "mutations") && self.0 == Some(mutation)
    }
}

/// Declares the rules that a simulation breaks, with `ALL` of them in order.
macro_rules! mutations {
    ($(#[$doc:meta])* pub enum $name:ident { $($(#[$rule_doc:meta])* $rule:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$rule_doc])* $rule,)* }

        #[cfg(feature = "mutations")]
        impl $name {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$rule),*];
        }
    };
}
pub(crate) use mutations;
