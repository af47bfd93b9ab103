//! Where tasks that share a partition put together what each has made of its slice.
//!
//! Each leaves its part and is done; the one that finds all parts there goes on with them alone. So no task waits
//! for another. A task that is tried again leaves its part again; once a task has taken the parts, only another
//! try of that task gets them.

use std::sync::Arc;

use parking_lot::Mutex;

/// The parts of the slices of one partition.
#[derive(Debug)]
pub(crate) struct Gather<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    parts: Vec<Option<Arc<T>>>,
    taker: Option<u32>,
}

impl<T> Gather<T> {
    /// For `count` slices.
    pub(crate) fn new(count: u32) -> Self {
        Self(Mutex::new(State { parts: (0..count).map(|_| None).collect(), taker: None }))
    }

    /// Takes the part of slice `index`; returns all parts, in order, to the one that is to go on.
    pub(crate) fn leave(&self, index: u32, part: T) -> Option<Vec<Arc<T>>> {
        let mut state = self.0.lock();
        if let Some(place) = state.parts.get_mut(index as usize) {
            *place = Some(Arc::new(part));
        }
        let parts: Vec<Arc<T>> = state.parts.iter().flatten().cloned().collect();
        let mine = state.taker.is_none_or(|taker| taker == index);
        if parts.len() < state.parts.len() || !mine {
            return None;
        }
        state.taker = Some(index);
        Some(parts)
    }

    /// Lets go of the parts.
    pub(crate) fn forget(&self) {
        self.0.lock().parts.iter_mut().for_each(|part| *part = None);
    }
}

/// One slice's access to a [`Gather`].
pub(crate) struct GatherPoint<T> {
    pub(crate) gather: Arc<Gather<T>>,
    pub(crate) index: u32,
}

impl<T> GatherPoint<T> {
    /// See [`Gather::leave`].
    pub(crate) fn leave(&self, part: T) -> Option<Vec<Arc<T>>> {
        self.gather.leave(self.index, part)
    }
}

#[cfg(test)]
mod tests {
    use super::Gather;

    #[test]
    fn the_last_one_gets_all_parts_and_gets_them_again_if_it_is_tried_again() {
        let gather = Gather::new(3);
        assert!(gather.leave(2, "c").is_none());
        assert!(gather.leave(0, "a").is_none());
        let all = || vec!["a", "b", "c"];
        let taken = |parts: Option<Vec<std::sync::Arc<&'static str>>>| parts.map(|p| p.iter().map(|s| **s).collect());
        assert_eq!(taken(gather.leave(1, "b")), Some(all()));
        // Another slice that is tried again must not make the result twice.
        assert!(gather.leave(0, "a").is_none());
        assert_eq!(taken(gather.leave(1, "b")), Some(all()));
    }
}
