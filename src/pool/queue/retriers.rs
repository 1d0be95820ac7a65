//! Those who wait and have failed on servers already, in the order in which they came.
//!
//! A place on a server is for the first of them that hasn't failed on it. They are kept in a tree by their numbers, each node of
//! which knows on which servers all of its part have failed: a search passes those parts by. Coming, going and searching cost
//! the logarithm of how many there are, whatever they have tried (a treap: Seidel and Aragon, Randomized Search Trees, 1996).

use std::cmp::Ordering;
use std::sync::Arc;

use crate::balance::{Slot, digest};

/// Waiters of kind `T`.
pub struct Retriers<T> {
    root: Link<T>,
}

type Link<T> = Option<Box<Node<T>>>;

struct Node<T> {
    number: u64,
    /// What the parts below have is smaller: at random, so that the tree is about balanced.
    priority: u64,
    tried: Arc<[Slot]>,
    waiter: T,
    /// Where everyone here and below has failed.
    common: Arc<[Slot]>,
    left: Link<T>,
    right: Link<T>,
}

impl<T> Default for Retriers<T> {
    fn default() -> Self {
        Self { root: None }
    }
}

impl<T> Retriers<T> {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Adds one whose number is larger than those of all others.
    pub fn push(&mut self, number: u64, tried: &Arc<[Slot]>, waiter: T) {
        let node = Box::new(Node {
            number,
            priority: digest(&number.to_be_bytes()),
            tried: Arc::clone(tried),
            waiter,
            common: Arc::clone(tried),
            left: None,
            right: None,
        });
        self.root = merged(self.root.take(), Some(node));
    }

    /// Takes one out. `None` when it isn't there any more.
    pub fn remove(&mut self, number: u64) -> Option<T> {
        remove(&mut self.root, number)
    }

    /// The first that hasn't failed on a server: its number, where it has failed, and itself.
    pub fn first_for(&self, server: Slot) -> Option<(u64, &Arc<[Slot]>, &T)> {
        let holds_one = |node: &&Node<T>| !node.common.contains(&server);
        let mut node = self.root.as_deref().filter(holds_one)?;
        loop {
            if let Some(earlier) = node.left.as_deref().filter(holds_one) {
                node = earlier;
            } else if !node.tried.contains(&server) {
                return Some((node.number, &node.tried, &node.waiter));
            } else {
                node = node.right.as_deref()?;
            }
        }
    }
}

impl<T> Node<T> {
    fn settle(&mut self) {
        let below = [&self.left, &self.right];
        self.common = below
            .into_iter()
            .flatten()
            .fold(Arc::clone(&self.tried), |common, part| {
                both(common, &part.common)
            });
    }
}

/// One tree of two, all of whose numbers on the left are smaller than those on the right.
fn merged<T>(left: Link<T>, right: Link<T>) -> Link<T> {
    let (mut left, mut right) = match (left, right) {
        (Some(left), Some(right)) => (left, right),
        (one, other) => return one.or(other),
    };
    if left.priority > right.priority {
        left.right = merged(left.right.take(), Some(right));
        left.settle();
        Some(left)
    } else {
        right.left = merged(Some(left), right.left.take());
        right.settle();
        Some(right)
    }
}

fn remove<T>(link: &mut Link<T>, number: u64) -> Option<T> {
    let node = link.as_mut()?;
    let part = match number.cmp(&node.number) {
        Ordering::Less => &mut node.left,
        Ordering::Greater => &mut node.right,
        Ordering::Equal => {
            let node = *link.take()?;
            *link = merged(node.left, node.right);
            return Some(node.waiter);
        }
    };
    let removed = remove(part, number)?;
    node.settle();
    Some(removed)
}

/// What is in both; most often one of the two as it is.
fn both(one: Arc<[Slot]>, other: &Arc<[Slot]>) -> Arc<[Slot]> {
    if one.iter().all(|slot| other.contains(slot)) {
        return one;
    }
    if other.iter().all(|slot| one.contains(slot)) {
        return Arc::clone(other);
    }
    one.iter()
        .copied()
        .filter(|slot| other.contains(slot))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::balance::{Params, Selector};
    use crate::config::model::Algorithm;

    fn slots(count: u32) -> Vec<Slot> {
        let mut selector = Selector::new(Algorithm::WeightedRoundRobin, 1);
        (0..count)
            .map(|position| {
                selector.insert(Params {
                    weight: 1,
                    limit: 0,
                    position,
                    identity: 0,
                })
            })
            .collect()
    }

    fn depth<T>(node: Option<&Node<T>>) -> usize {
        node.map_or(0, |node| {
            1 + depth(node.left.as_deref()).max(depth(node.right.as_deref()))
        })
    }

    proptest! {
        /// As a list that is walked from its beginning.
        #[test]
        fn finds_what_a_walk_finds(steps in prop::collection::vec(
            (prop::collection::vec(0..5_usize, 1..4), any::<prop::sample::Index>(), any::<bool>()),
            1..200,
        )) {
            let slots = slots(5);
            let (mut tree, mut list) = (Retriers::default(), Vec::new());
            for (number, (tried, which, goes)) in (0..).zip(steps) {
                let tried: Arc<[Slot]> = tried.iter().map(|i| slots[*i]).collect();
                tree.push(number, &tried, number);
                list.push((number, tried));
                if goes {
                    let (gone, _) = list.remove(which.index(list.len()));
                    prop_assert_eq!(tree.remove(gone), Some(gone));
                    prop_assert_eq!(tree.remove(gone), None);
                }
                for slot in &slots {
                    let first = list.iter().find(|(_, tried)| !tried.contains(slot));
                    let found = tree.first_for(*slot).map(|(number, tried, _)| (number, Arc::clone(tried)));
                    prop_assert_eq!(found.as_ref(), first);
                }
            }
            for (number, _) in list {
                prop_assert_eq!(tree.remove(number), Some(number));
            }
            prop_assert!(tree.is_empty());
        }
    }

    #[test]
    fn it_stays_flat() {
        let tried: Arc<[Slot]> = slots(1).into();
        let mut tree = Retriers::default();
        for number in 0..100_000 {
            tree.push(number, &tried, ());
            if number >= 50_000 {
                assert!(tree.remove(number - 50_000).is_some());
            }
        }
        assert!(depth(tree.root.as_deref()) < 60);
    }
}
