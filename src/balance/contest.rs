//! Finds the server whose turn it is, in O(log n) on average.
//!
//! A server's standing is its load (`active / weight`; always 0 for round robin) and its current
//! weight. Of the servers with the least load, the *tied*, every pick raises the current weight of
//! each by its weight, takes the one whose current weight is then the largest, and lowers that one's
//! by the sum of the tied servers' weights. Done literally that touches every server at every pick.
//!
//! Here the servers are the leaves of a binary tree in an array. Each node knows the winner among the
//! tied of its subtree. Moving up all the tied is one addition at the root, which is handed down only
//! where a later step passes (lazy propagation). A current weight is then a straight line over the
//! number of steps, so a node also knows after how many steps its winner will be overtaken, and only
//! then is its subtree looked at again (a kinetic tournament: Basch, Guibas, Hershberger, "Data
//! structures for mobile data", 1999). Everything else that happens to a server is one walk from the
//! root to its leaf and back.

use std::cmp::Ordering;

/// Never, in steps.
const NEVER: u64 = u64::MAX;

/// A server that can be picked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entrant {
    /// nginx's `current_weight`.
    pub current: i64,
    /// Above 0.
    pub weight: u32,
    /// The numerator of the load; the weight is its denominator.
    pub load: u32,
    /// Settles equal current weights: the lowest wins.
    pub position: u32,
}

/// Servers that compete for the next pick, by their index.
#[derive(Debug, Default)]
pub struct Contest {
    /// A binary tree: the root is 1, the children of `i` are `2i` and `2i + 1`, and the leaf of server
    /// `s` is `leaves + s`. Node 0 is not used.
    nodes: Vec<Node>,
    /// A power of 2, or 0 before the first server.
    leaves: usize,
}

/// The tied of one subtree.
#[derive(Clone, Copy, Debug)]
struct Node {
    winner: Entrant,
    /// The winner's index.
    index: u32,
    /// How many are tied.
    count: u32,
    /// Sum of their current weights.
    sum: i64,
    /// Sum of the weights of the tied; 0 when the subtree is empty.
    total: u64,
    /// After so many more steps somebody else wins.
    overtaken: u64,
    /// Steps that the children have not been told of.
    pending: u64,
}

const EMPTY: Node = Node {
    winner: Entrant {
        current: 0,
        weight: 0,
        load: 0,
        position: 0,
    },
    index: 0,
    count: 0,
    sum: 0,
    total: 0,
    overtaken: NEVER,
    pending: 0,
};

impl Contest {
    /// Makes room for servers with an index below `servers`.
    pub fn reserve(&mut self, servers: usize) {
        if servers <= self.leaves {
            return;
        }
        for node in 1..self.leaves {
            self.hand_down(node);
        }
        let leaves = servers.next_power_of_two();
        let mut nodes = vec![EMPTY; leaves];
        nodes.extend(self.nodes.iter().skip(self.leaves));
        nodes.resize(2 * leaves, EMPTY);
        self.nodes = nodes;
        self.leaves = leaves;
        for node in (1..leaves).rev() {
            self.play(node);
        }
    }

    /// The winner as things stand.
    pub fn best(&self) -> Option<u32> {
        let root = self.node(1);
        (root.total > 0).then_some(root.index)
    }

    /// Do several servers have the least load?
    pub fn is_tied(&self) -> bool {
        let root = self.node(1);
        root.total > u64::from(root.winner.weight)
    }

    /// Sum of the weights of the servers with the least load.
    pub fn total(&self) -> u64 {
        self.node(1).total
    }

    /// The server whose part of all weights in a row, in the order of their indices, has the `place`-th unit, and where
    /// that part begins. `None` if `place` isn't below [`Self::total`]. Of servers with different loads only those with
    /// the least have parts.
    pub fn at(&self, place: u64) -> Option<(u32, u64)> {
        if place >= self.total() {
            return None;
        }
        let (mut node, mut begins) = (1, 0);
        while node < self.leaves {
            let left = self.node(2 * node).total;
            let is_right = place - begins >= left;
            begins += if is_right { left } else { 0 };
            node = 2 * node + usize::from(is_right);
        }
        Some((self.node(node).index, begins))
    }

    /// Is the winner ahead of the mean of those with the least load by more than `rounds` times the sum of their weights?
    pub fn leads_by_more_than(&self, rounds: u32) -> bool {
        let root = self.node(1);
        let count = i128::from(root.count);
        let lead = i128::from(root.winner.current) * count - i128::from(root.sum);
        lead > i128::from(root.total) * i128::from(rounds) * count
    }

    /// Raises the current weight of each server with the least load by its weight.
    pub fn step(&mut self) {
        self.advance(1, 1);
    }

    /// Takes all servers out, in the order of their indices, and tells the current weight of each. Takes a time that
    /// is proportional to the number of servers, as does [`Self::fill`].
    pub fn drain(&mut self, mut each: impl FnMut(u32, i64)) {
        for node in 1..self.leaves {
            self.hand_down(node);
        }
        for leaf in self.nodes.iter().skip(self.leaves) {
            if leaf.total > 0 {
                each(leaf.index, leaf.winner.current);
            }
        }
        self.nodes.fill(EMPTY);
    }

    /// Puts servers into the contest, which is empty.
    pub fn fill(&mut self, entrants: impl Iterator<Item = (u32, Entrant)>) {
        for (index, entrant) in entrants {
            let leaf = self.leaves + index as usize;
            if let Some(node) = self.nodes.get_mut(leaf) {
                *node = Node::leaf(index, entrant);
            }
        }
        for node in (1..self.leaves).rev() {
            self.play(node);
        }
    }

    /// The current weight of a server; `None` when it is not in.
    pub fn current(&mut self, index: u32) -> Option<i64> {
        let leaf = self.descend(index)?;
        let node = self.node(leaf);
        (node.total > 0).then_some(node.winner.current)
    }

    /// Adds a server, or replaces it.
    pub fn put(&mut self, index: u32, entrant: Entrant) {
        let Some(leaf) = self.descend(index) else {
            return;
        };
        if let Some(node) = self.nodes.get_mut(leaf) {
            *node = Node::leaf(index, entrant);
        }
        self.ascend(leaf);
    }

    /// Takes a server out and tells its current weight; `None` when it was not in.
    pub fn take(&mut self, index: u32) -> Option<i64> {
        let leaf = self.descend(index)?;
        let node = self.nodes.get_mut(leaf).filter(|node| node.total > 0)?;
        let current = node.winner.current;
        *node = EMPTY;
        self.ascend(leaf);
        Some(current)
    }

    /// Lowers a server's current weight by `price` and sets its load, if it is in.
    pub fn change(&mut self, index: u32, price: u64, load: u32) {
        let Some(leaf) = self.descend(index) else {
            return;
        };
        let Some(node) = self.nodes.get_mut(leaf).filter(|node| node.total > 0) else {
            return;
        };
        node.winner.current = node.winner.current.saturating_sub_unsigned(price);
        node.sum = node.winner.current;
        node.winner.load = load;
        self.ascend(leaf);
    }

    fn node(&self, node: usize) -> &Node {
        self.nodes.get(node).unwrap_or(&EMPTY)
    }

    /// Brings the nodes from the root to a server's leaf up to date; the leaf's number.
    fn descend(&mut self, index: u32) -> Option<usize> {
        let leaf = self
            .leaves
            .checked_add(index as usize)
            .filter(|&leaf| leaf < self.nodes.len())?;
        for level in (1..=self.leaves.trailing_zeros()).rev() {
            self.hand_down(leaf >> level);
        }
        Some(leaf)
    }

    /// Finds the winners above a leaf that has changed.
    fn ascend(&mut self, leaf: usize) {
        let mut node = leaf / 2;
        while node > 0 {
            self.play(node);
            node /= 2;
        }
    }

    /// Moves up the tied of a subtree.
    fn advance(&mut self, at: usize, steps: u64) {
        let Some(node) = self.nodes.get_mut(at) else {
            return;
        };
        if steps < node.overtaken {
            node.advance(steps);
            return;
        }
        self.hand_down(at);
        let load = self.node(at).winner;
        for child in [2 * at, 2 * at + 1] {
            if self.node(child).ties_with(&load) {
                self.advance(child, steps);
            }
        }
        self.play(at);
    }

    /// Tells a node's children of the steps that only the node knows of.
    fn hand_down(&mut self, at: usize) {
        let Some(node) = self.nodes.get_mut(at) else {
            return;
        };
        let steps = std::mem::take(&mut node.pending);
        if steps == 0 {
            return;
        }
        let load = node.winner;
        // Nobody can be overtaken here: the node would have been, too.
        for child in self.nodes.iter_mut().skip(2 * at).take(2) {
            if child.ties_with(&load) {
                child.advance(steps);
            }
        }
    }

    /// Finds the winner of two children that are up to date.
    fn play(&mut self, at: usize) {
        let node = Node::of(self.node(2 * at), self.node(2 * at + 1));
        if let Some(place) = self.nodes.get_mut(at) {
            *place = node;
        }
    }
}

impl Node {
    /// The node of one server.
    fn leaf(index: u32, entrant: Entrant) -> Self {
        Self {
            winner: entrant,
            index,
            count: 1,
            sum: entrant.current,
            total: entrant.weight.into(),
            ..EMPTY
        }
    }

    /// The node above two.
    fn of(left: &Self, right: &Self) -> Self {
        let (winner, other) = match left.compare_load(right) {
            Ordering::Less => {
                return Self {
                    pending: 0,
                    ..*left
                };
            }
            Ordering::Greater => {
                return Self {
                    pending: 0,
                    ..*right
                };
            }
            Ordering::Equal if right.beats(left) => (right, left),
            Ordering::Equal => (left, right),
        };
        Self {
            winner: winner.winner,
            index: winner.index,
            count: left.count + right.count,
            sum: left.sum.saturating_add(right.sum),
            total: left.total + right.total,
            overtaken: left
                .overtaken
                .min(right.overtaken)
                .min(winner.overtaken_by(other)),
            pending: 0,
        }
    }

    fn advance(&mut self, steps: u64) {
        let gain = u64::from(self.winner.weight).saturating_mul(steps);
        self.winner.current = self.winner.current.saturating_add_unsigned(gain);
        self.sum = self
            .sum
            .saturating_add_unsigned(self.total.saturating_mul(steps));
        // A leaf, which nobody overtakes, stays at a number of steps that is as good as never.
        self.overtaken -= steps;
        self.pending += steps;
    }

    /// By load; an empty node has the largest.
    fn compare_load(&self, other: &Self) -> Ordering {
        match (self.total, other.total) {
            (0, _) => Ordering::Greater,
            (_, 0) => Ordering::Less,
            _ => cross(&self.winner, &other.winner),
        }
    }

    fn ties_with(&self, entrant: &Entrant) -> bool {
        self.total > 0 && cross(&self.winner, entrant) == Ordering::Equal
    }

    fn order(&self) -> (u32, u32) {
        (self.winner.position, self.index)
    }

    /// Is it this one's turn rather than the other's, at the same load?
    fn beats(&self, other: &Self) -> bool {
        match self.winner.current.cmp(&other.winner.current) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => self.order() < other.order(),
        }
    }

    /// The number of steps after which `other`, which is behind now, is ahead.
    fn overtaken_by(&self, other: &Self) -> u64 {
        let Some(gain) = other
            .winner
            .weight
            .checked_sub(self.winner.weight)
            .filter(|&gain| gain > 0)
        else {
            return NEVER;
        };
        let (distance, gain) = (
            self.winner.current.abs_diff(other.winner.current),
            u64::from(gain),
        );
        let level = distance / gain;
        if distance % gain == 0 && other.order() < self.order() {
            level
        } else {
            level + 1
        }
    }
}

/// Compares `active / weight` exactly.
fn cross(a: &Entrant, b: &Entrant) -> Ordering {
    (u64::from(a.load) * u64::from(b.weight)).cmp(&(u64::from(b.load) * u64::from(a.weight)))
}
