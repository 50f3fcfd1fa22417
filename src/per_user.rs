//! What exists for a user only while something of theirs is in progress.

use std::ops::Deref;
use std::sync::Arc;

use dashmap::DashMap;

use crate::user::UserId;

/// One `T` for each user who has something in progress, shared by its handles and dropped with the last of them. A lock
/// of the map is held only to open or drop a handle.
pub struct PerUser<T>(Arc<DashMap<UserId, Arc<T>>>);

/// A handle of a user's `T`.
pub struct PerUserHandle<T> {
    user: UserId,
    value: Option<Arc<T>>,
    users: PerUser<T>,
}

impl<T: Default> PerUser<T> {
    /// The user's `T`, a new one if there is none.
    pub fn open(&self, user: &UserId) -> PerUserHandle<T> {
        let value = Arc::clone(&self.0.entry(user.clone()).or_default());
        PerUserHandle {
            user: user.clone(),
            value: Some(value),
            users: self.clone(),
        }
    }

    /// Number of users with a `T`.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no user has one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> PerUserHandle<T> {
    /// Whose it is.
    pub fn user(&self) -> &UserId {
        &self.user
    }
}

impl<T> Default for PerUser<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for PerUser<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Clone for PerUserHandle<T> {
    fn clone(&self) -> Self {
        Self {
            user: self.user.clone(),
            value: self.value.clone(),
            users: self.users.clone(),
        }
    }
}

impl<T> Deref for PerUserHandle<T> {
    type Target = T;

    #[expect(clippy::expect_used, reason = "only `drop` takes it")]
    fn deref(&self) -> &T {
        self.value.as_ref().expect("an open handle")
    }
}

impl<T> Drop for PerUserHandle<T> {
    fn drop(&mut self) {
        drop(self.value.take());
        // The map holds the last reference.
        let users = &self.users.0;
        users.remove_if(&self.user, |_, value| Arc::strong_count(value) == 1);
    }
}
