//! Whether a route leaves anything to a later one.

use ipnet::IpNet;

use super::raw::{Match, Named, OneOrMany};
use super::route_text::{HostPattern, PathPattern, ValuePattern};

/// Whether every request that `later` matches is matched by `earlier` already. False where that can't be told, as with
/// two regular expressions.
pub fn covers(earlier: &Match, later: &Match) -> bool {
    each_within(&earlier.host.0, &later.host.0, host_within)
        && path_covers(earlier, later)
        && each_within(&earlier.method.0, &later.method.0, |one, other| {
            one.0 == other.0
        })
        && conditions_within(&earlier.header, &later.header, str::eq_ignore_ascii_case)
        && conditions_within(&earlier.query, &later.query, str::eq)
        && each_within(&earlier.client.0, &later.client.0, |one, other| {
            network_within(one.0, other.0)
        })
}

/// Whether each of `later` is within one of `earlier`; an empty list is no condition.
fn each_within<T>(earlier: &[T], later: &[T], within: fn(&T, &T) -> bool) -> bool {
    earlier.is_empty()
        || !later.is_empty()
            && later
                .iter()
                .all(|one| earlier.iter().any(|other| within(one, other)))
}

fn host_within(one: &HostPattern, other: &HostPattern) -> bool {
    match (one, other) {
        (_, HostPattern::Any) => true,
        (HostPattern::Exact(name) | HostPattern::Below(name), HostPattern::Below(zone)) => {
            one == other
                || name
                    .strip_suffix(zone.as_str())
                    .is_some_and(|rest| rest.ends_with('.'))
        }
        _ => one == other,
    }
}

fn network_within(one: IpNet, other: IpNet) -> bool {
    other.contains(&one)
}

fn path_covers(earlier: &Match, later: &Match) -> bool {
    if let Some(regex) = &earlier.path_regex {
        return later
            .path_regex
            .as_ref()
            .is_some_and(|other| other.0.as_str() == regex.0.as_str());
    }
    let (paths, prefixes) = (&earlier.path, &earlier.path_prefix);
    if paths.0.is_empty() && (prefixes.0.is_empty() || prefixes.0.iter().any(is_root)) {
        return true;
    }
    let within_prefix = |path: &PathPattern| prefixes.0.iter().any(|prefix| is_below(path, prefix));
    let all = |list: &OneOrMany<PathPattern>, fits: &dyn Fn(&PathPattern) -> bool| {
        !list.0.is_empty() && list.0.iter().all(fits)
    };
    all(&later.path, &|path| {
        within_prefix(path) || paths.0.iter().any(|one| one.0 == path.0)
    }) || all(&later.path_prefix, &within_prefix)
}

fn is_root(prefix: &PathPattern) -> bool {
    prefix.0 == "/"
}

/// Whether a path is below a prefix, as routes mean it: /api and /api/x are below /api, /apix is not.
fn is_below(path: &PathPattern, prefix: &PathPattern) -> bool {
    let prefix = prefix.0.trim_end_matches('/');
    path.0
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn conditions_within(
    earlier: &Named<ValuePattern>,
    later: &Named<ValuePattern>,
    same: fn(&str, &str) -> bool,
) -> bool {
    earlier.0.iter().all(|(name, value)| {
        later
            .0
            .iter()
            .any(|(other, wanted)| same(name, other) && value.to_string() == wanted.to_string())
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;

    fn of(text: &str) -> Match {
        let value: serde_yaml::Value = serde_yaml::from_str(text).expect("YAML");
        Match::deserialize(value).expect("a match")
    }

    #[test]
    fn what_takes_all_of_another_covers_it() {
        for (earlier, later) in [
            ("{}", "{}"),
            ("{}", "{path: /x, method: GET}"),
            ("{path_prefix: /}", "{path_prefix: /api}"),
            ("{path_prefix: /api}", "{path_prefix: [/api/v1, /api/v2]}"),
            ("{path_prefix: /api/}", "{path: /api/x}"),
            ("{path: [/a, /b]}", "{path: /b}"),
            (
                "{path_regex: '\\.php$'}",
                "{path_regex: '\\.php$', host: a}",
            ),
            ("{host: \"*\"}", "{host: a.example}"),
            (
                "{host: \"*.example\"}",
                "{host: [a.example, \"*.b.example\"]}",
            ),
            ("{method: [GET, HEAD]}", "{method: GET}"),
            ("{client: 10.0.0.0/8}", "{client: 10.1.0.0/16}"),
            (
                "{header: {X-A: \"1\"}}",
                "{header: {x-a: \"1\", X-B: \"*\"}}",
            ),
        ] {
            assert!(covers(&of(earlier), &of(later)), "{earlier} {later}");
        }
    }

    #[test]
    fn what_leaves_something_does_not() {
        for (earlier, later) in [
            ("{path: /x}", "{}"),
            ("{path_prefix: /api}", "{path: /apix}"),
            ("{path_prefix: /api/v1}", "{path_prefix: /api}"),
            ("{path: /api}", "{path_prefix: /api}"),
            ("{path_prefix: /api}", "{path_regex: ^/api}"),
            ("{path_regex: a}", "{path: /a}"),
            ("{path: [/a, /b]}", "{path: [/a, /c]}"),
            ("{host: a.example}", "{host: \"*.example\"}"),
            ("{host: \"*.example\"}", "{host: [a.example, example]}"),
            ("{host: \"*.b.example\"}", "{host: \"*.example\"}"),
            ("{method: GET}", "{method: [GET, POST]}"),
            ("{client: 10.1.0.0/16}", "{client: 10.0.0.0/8}"),
            ("{header: {X-A: \"1\"}}", "{header: {X-A: \"2\"}}"),
            ("{query: {a: \"1\"}}", "{query: {A: \"1\"}}"),
        ] {
            assert!(!covers(&of(earlier), &of(later)), "{earlier} {later}");
        }
    }
}
