//! The servers' names, each kept once, so that an entry of the table holds a number.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;

/// Names at most. Names are never forgotten (entries hold their numbers), so servers that come and go under ever new
/// names, or rubbish in a shared store, must end somewhere.
const MOST: usize = 1 << 20;

/// All names that a table has met.
#[derive(Default)]
pub(super) struct Names(RwLock<Known>);

#[derive(Default)]
struct Known {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Names {
    /// The number of a name, given at the first time; `None` once there are too many.
    pub(super) fn number(&self, name: &str) -> Option<u32> {
        if let Some(&number) = self.0.read().numbers.get(name) {
            return Some(number);
        }
        let mut known = self.0.write();
        if let Some(&number) = known.numbers.get(name) {
            return Some(number);
        }
        let number = u32::try_from(known.names.len()).ok()?;
        if known.names.len() >= MOST {
            return None;
        }
        let name: Arc<str> = name.into();
        known.names.push(Arc::clone(&name));
        known.numbers.insert(name, number);
        Some(number)
    }

    /// The number of a name that was met before.
    pub(super) fn known(&self, name: &str) -> Option<u32> {
        self.0.read().numbers.get(name).copied()
    }

    /// The name of a number.
    pub(super) fn name(&self, number: u32) -> Option<Arc<str>> {
        self.0.read().names.get(number as usize).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_and_a_number_its_name() {
        let names = Names::default();
        let (a, b) = (names.number("a"), names.number("b"));
        assert_ne!(a, b);
        assert_eq!(names.number("a"), a);
        assert_eq!(names.known("b"), b);
        assert_eq!(names.known("c"), None);
        assert_eq!(names.name(a.unwrap()).as_deref(), Some("a"));
        assert_eq!(names.name(7), None);
    }
}
