//! Who simple tokens were made out to, for those who want to know without asking the core.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Users by token. Written by the core alone, which decides what a token is worth; this only gives names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holders(Arc<RwLock<HashMap<Arc<str>, Arc<str>>>>);

impl Holders {
    pub(crate) fn user_of(&self, token: &str) -> Option<Arc<str>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Makes a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut HashMap<Arc<str>, Arc<str>>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
