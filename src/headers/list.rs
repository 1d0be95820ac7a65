//! Lists of fields, in memory that is used again.

use std::ops::{Deref, DerefMut};

use super::fields::Field;
use crate::spare;
use crate::spare::Spare;

/// Fields of a usual message, with those that are added on its way.
const USUAL: usize = 32;

thread_local! {
    static LISTS: Spare<Field> = const { Spare::new(USUAL, USUAL * 2, 32) };
}

/// A list of fields. Its memory is the thread's when it isn't needed any more.
#[derive(Debug, Default)]
pub(super) struct List(Vec<Field>);

impl List {
    /// An empty one with room for a usual message.
    pub(super) fn usual() -> Self {
        Self(spare::take(&LISTS))
    }
}

impl Clone for List {
    fn clone(&self) -> Self {
        let mut list = Self::usual();
        list.extend_from_slice(self);
        list
    }
}

impl Drop for List {
    fn drop(&mut self) {
        spare::give_back(&LISTS, std::mem::take(&mut self.0));
    }
}

impl Deref for List {
    type Target = Vec<Field>;

    fn deref(&self) -> &Vec<Field> {
        &self.0
    }
}

impl DerefMut for List {
    fn deref_mut(&mut self) -> &mut Vec<Field> {
        &mut self.0
    }
}
