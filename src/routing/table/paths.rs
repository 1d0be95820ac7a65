//! Routes of one set of hosts, by path.

use std::collections::HashMap;

use crate::config::model::Match;
use crate::config::model::PathMatch;

use super::Search;

/// Routes by path. Lists are sorted.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Without a path, or with a regular expression.
    others: Vec<usize>,
    /// With one, as a tree of segments whose root is the first. It lies flat, so that no path is too deep to let go of.
    nodes: Vec<Node>,
}

/// What is known about the paths that begin with certain segments.
#[derive(Debug, Default)]
struct Node {
    /// Routes for this path and all below it.
    prefix: Vec<usize>,
    /// Routes for this path alone.
    exact: Vec<usize>,
    /// The next segment, and where its node is.
    next: HashMap<Box<[u8]>, usize>,
}

impl Paths {
    /// Those of `routes` whose places are in `list`, a sorted one.
    pub(super) fn new(list: &[usize], routes: &[&Match]) -> Self {
        let mut paths = Self {
            others: Vec::new(),
            nodes: vec![Node::default()],
        };
        for route in list {
            let Some(matches) = routes.get(*route) else {
                continue;
            };
            match &matches.path {
                PathMatch::Any | PathMatch::Regex(_) => paths.others.push(*route),
                PathMatch::Exact(all) => {
                    for path in all {
                        paths.push(*route, path, |node| &mut node.exact);
                    }
                }
                PathMatch::Prefix(all) => {
                    for path in all {
                        paths.push(*route, path, |node| &mut node.prefix);
                    }
                }
            }
        }
        paths
    }

    /// Looks for the first route in the lists that the path leads by.
    pub(super) fn search(&self, search: &mut Search<'_>) {
        let path = search.asked.path;
        let mut node = self.nodes.first();
        let mut taken = 0;
        while let Some(here) = node {
            search.first_of(&here.prefix, taken);
            let rest = path.get(taken..).unwrap_or_default();
            let Some(rest) = rest.strip_prefix(b"/") else {
                // `*` isn't a path, and is for routes of everything alone.
                if rest.is_empty() {
                    search.first_of(&here.exact, taken);
                }
                break;
            };
            if here.next.is_empty() {
                break;
            }
            let segment = segment(rest);
            taken += 1 + segment.len();
            node = here
                .next
                .get(segment)
                .and_then(|place| self.nodes.get(*place));
        }
        search.first_of(&self.others, 0);
    }

    /// Adds `route` to the list that `of` says of the node of `path`, which is made if there is none.
    fn push(&mut self, route: usize, path: &str, of: fn(&mut Node) -> &mut Vec<usize>) {
        let mut place = 0;
        for segment in path.split('/').skip(1) {
            let new = self.nodes.len();
            let Some(node) = self.nodes.get_mut(place) else {
                return;
            };
            place = *node.next.entry(segment.as_bytes().into()).or_insert(new);
            if place == new {
                self.nodes.push(Node::default());
            }
        }
        if let Some(node) = self.nodes.get_mut(place) {
            let list = of(node);
            list.push(route);
            list.dedup();
        }
    }
}

/// What `rest` begins with, up to a slash.
fn segment(rest: &[u8]) -> &[u8] {
    let end = rest.iter().position(|byte| *byte == b'/');
    end.and_then(|end| rest.get(..end)).unwrap_or(rest)
}
