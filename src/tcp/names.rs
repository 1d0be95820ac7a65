//! Which pool a name goes to, where TLS is routed without being ended.

use std::collections::HashMap;

use crate::config::model::HostPattern;

/// Names and where they lead; the most special one counts.
#[derive(Debug)]
pub struct Names<T> {
    exact: HashMap<Box<str>, T>,
    /// By the name that others are below of.
    below: HashMap<Box<str>, T>,
    any: Option<T>,
}

impl<T> Names<T> {
    /// Of the patterns as they are configured.
    pub fn new(routes: impl IntoIterator<Item = (HostPattern, T)>) -> Self {
        let mut names = Self {
            exact: HashMap::new(),
            below: HashMap::new(),
            any: None,
        };
        for (pattern, to) in routes {
            match pattern {
                HostPattern::Exact(name) => drop(names.exact.insert(name.into(), to)),
                HostPattern::Below(name) => drop(names.below.insert(name.into(), to)),
                HostPattern::Any => names.any = Some(to),
            }
        }
        names
    }

    /// Where a name in lower case leads: the name itself, then what it is below of, the longest first, then `*`.
    pub fn find(&self, name: &str) -> Option<&T> {
        if let Some(found) = self.exact.get(name) {
            return Some(found);
        }
        let mut rest = name;
        while let Some((label, parent)) = rest.split_once('.') {
            if !label.is_empty()
                && let Some(found) = self.below.get(parent)
            {
                return Some(found);
            }
            rest = parent;
        }
        self.any.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_special_name_counts() {
        let exact = |name: &str| HostPattern::Exact(name.to_owned());
        let below = |name: &str| HostPattern::Below(name.to_owned());
        let names = Names::new([
            (below("example.com"), 1),
            (exact("db.example.com"), 2),
            (below("eu.example.com"), 3),
        ]);
        for (name, to) in [
            ("db.example.com", Some(2)),
            ("web.example.com", Some(1)),
            ("a.b.example.com", Some(1)),
            ("db.eu.example.com", Some(3)),
            ("eu.example.com", Some(1)),
            ("example.com", None),
            ("badexample.com", None),
            (".example.com", None),
            ("com", None),
            ("", None),
        ] {
            assert_eq!(names.find(name).copied(), to, "{name}");
        }
        let names = Names::new([(HostPattern::Any, 1), (exact("a.example"), 2)]);
        assert_eq!(names.find("a.example"), Some(&2));
        assert_eq!(names.find("anything"), Some(&1));
    }
}
