//! `${NAME}` and `${NAME:-default}` in strings.
//!
//! Done on single scalars after the YAML is parsed, so a variable's value can't change the structure
//! of the file.

/// Longest result; a file can't use a large variable to fill the memory.
const LONGEST: usize = 1024 * 1024;

/// Replaces every `${NAME}` of `text` by the variable and `${NAME:-default}` by the default where the
/// variable is unset or empty, as a shell does. `$${` stands for a literal `${`; any other `$` is
/// itself.
///
/// `kept` says of which names that isn't done, because they mean something else where `text` stands.
///
/// # Errors
/// What is wrong, in words: an unset variable, a malformed name, a missing `}`.
pub fn interpolate(
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
    kept: fn(&str) -> bool,
) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, tail) = rest.split_at(dollar);
        out.push_str(before);
        if let Some(after) = tail.strip_prefix("$${") {
            out.push_str("${");
            rest = after;
        } else if let Some(after) = tail.strip_prefix("${") {
            let (inside, after) = after
                .split_once('}')
                .ok_or("`${` without `}`; write `$${` for a literal `${`")?;
            if kept(inside) {
                out.push_str("${");
                out.push_str(inside);
                out.push('}');
            } else {
                out.push_str(&variable(inside, env)?);
            }
            rest = after;
        } else {
            out.push('$');
            rest = tail.strip_prefix('$').unwrap_or_default();
        }
        if out.len() > LONGEST {
            return Err("longer than 1 MiB with its environment variables".into());
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn variable(inside: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let mut bytes = name.bytes();
    let starts_well = bytes
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_');
    if !starts_well || !bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(format!(
            "`{}` is not the name of an environment variable; write `$${{` for a literal `${{`",
            super::problem::shown(name)
        ));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => Err(format!(
            "environment variable {} is not set; set it or write `${{{0}:-default}}`",
            super::problem::shown(name)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("db1".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn takes_variables_defaults_and_escapes() {
        for (text, wanted) in [
            ("plain", "plain"),
            ("${HOST}:80", "db1:80"),
            ("${HOST}${HOST}", "db1db1"),
            ("${PORT:-80}", "80"),
            ("${HOST:-x}", "db1"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("$${HOST}", "${HOST}"),
            ("^a$|$1$$", "^a$|$1$$"),
            ("é${HOST}é", "édb1é"),
        ] {
            assert_eq!(
                interpolate(text, &env, |_| false).as_deref(),
                Ok(wanted),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_the_unset_and_the_malformed() {
        for (text, part) in [
            ("${NONE}", "environment variable NONE is not set"),
            ("${}", "not the name"),
            ("${1A}", "not the name"),
            ("${A B}", "not the name"),
            ("${HOST", "without `}`"),
        ] {
            let refused = interpolate(text, &env, |_| false);
            assert!(refused.is_err_and(|why| why.contains(part)), "{text}");
        }
    }

    #[test]
    fn some_names_may_mean_something_else() {
        let kept = interpolate("${HOST}${host}${host:-x}", &env, |name| name == "host");
        assert!(kept.is_ok_and(|text| text == "db1${host}x"));
    }

    #[test]
    fn is_bounded() {
        let big = |_: &str| Some("x".repeat(LONGEST));
        assert!(interpolate("${A}${A}${A}", &big, |_| false).is_err());
    }
}
