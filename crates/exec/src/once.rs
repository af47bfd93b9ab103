//! Values that tasks make once for each other.

use std::sync::Arc;

use firesteel_common::Result;
use parking_lot::Mutex;

/// A value that the first task to need it makes, for all. One that failed is made again by the next attempt.
pub(crate) struct Once<T>(Mutex<Option<Arc<T>>>);

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Once<T> {
    /// The value, if there is one that is `sound`, else a new one. Others wait while one makes it.
    pub(crate) fn get_or_make(
        &self,
        sound: impl Fn(&T) -> bool,
        make: impl FnOnce() -> Result<Arc<T>>,
    ) -> Result<Arc<T>> {
        let mut value = self.0.lock();
        match value.as_ref() {
            Some(value) if sound(value) => Ok(value.clone()),
            _ => Ok(value.insert(make()?).clone()),
        }
    }

    /// Lets go of the value.
    pub(crate) fn forget(&self) {
        *self.0.lock() = None;
    }
}
