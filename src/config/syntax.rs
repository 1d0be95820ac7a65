//! What the YAML parser complains of, in the words of somebody who writes a configuration.

use super::peers;
use super::problem::shown;

/// A syntax error's message. `info` is the parser's; it noticed at `line` and `column`, 1-based, of `text`.
pub fn explain(info: &str, text: &str, line: usize, column: usize) -> String {
    if let Some(whose) = peers::whose(text) {
        return format!(
            "looks like {whose}'s configuration; Equipoise's is written in YAML, as in conf/minimal.yaml"
        );
    }
    let here = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let before = line
        .checked_sub(2)
        .and_then(|index| text.lines().nth(index));
    let from: String = here.chars().skip(column.saturating_sub(1)).collect();
    special(info, here, &from, column)
        .or_else(|| {
            let glued = |line: &str| is_glued(line).then_some(());
            let nth = match (glued(here), before.and_then(glued)) {
                (Some(()), _) => line,
                (None, Some(())) => line - 1,
                (None, None) => return None,
            };
            Some(format!("a blank is missing after the colon in line {nth}"))
        })
        .unwrap_or_else(|| format!("{}{}", shown(info), general(info)))
}

/// A mistake that is known for sure by what stands there.
fn special(info: &str, here: &str, from: &str, column: usize) -> Option<String> {
    if info.contains("unknown anchor") || info.contains("alias") && from.starts_with('*') {
        return Some(star(word(from)));
    }
    if info.contains("escape character") {
        let quoted = double_quoted(here, column)?;
        return Some(format!(
            "in double quotes a backslash begins an escape; write it in single quotes: '{}'",
            shown(&quoted.replace('\'', "''"))
        ));
    }
    if let Some(message) = bare_ipv6_message(here) {
        return Some(message);
    }
    if info.contains("unexpected character") && from.starts_with(['@', '`', '%']) {
        let word = word(from);
        return Some(format!(
            "a value can't begin with `{}`; write it in quotes: \"{}\"",
            word.chars().next().unwrap_or_default(),
            shown(word)
        ));
    }
    if info.contains("trailing content") && here.matches('\'').count() > 2 {
        return Some("within single quotes a single quote is written twice: 'it''s'".into());
    }
    None
}

/// `*:80` and `*.example.com` are aliases to YAML.
fn star(word: &str) -> String {
    let rest = word.strip_prefix('*').unwrap_or(word);
    let port = rest.strip_prefix(':').unwrap_or(rest);
    if port.parse::<u16>().is_ok() {
        return format!(
            "`{}` has no address, and `*` begins an alias; write 0.0.0.0:{port}, or \"[::]:{port}\" for IPv6",
            shown(word)
        );
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !rest.is_empty() && rest.bytes().all(is_name) {
        return format!(
            "the alias `{}` names nothing: there is no `&{}` before it (a value that begins with `*` is written in quotes)",
            shown(word),
            shown(rest)
        );
    }
    format!(
        "`*` begins an alias; write it in quotes: \"{}\"",
        shown(word)
    )
}

/// Up to a blank or the end of an item.
fn word(text: &str) -> &str {
    text.split([' ', '\t', ',', ']', '}', '#'])
        .next()
        .unwrap_or_default()
}

/// What stands in the double quotes that are open at `column`.
fn double_quoted(line: &str, column: usize) -> Option<String> {
    let before: String = line.chars().take(column).collect();
    let start = before.rfind('"')? + 1;
    let inside = line.get(start..)?;
    let mut out = String::new();
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return Some(out),
            '\\' => {
                // What YAML takes together: `\"` is no end.
                out.push(c);
                out.extend(chars.next());
            }
            _ => out.push(c),
        }
    }
    None
}

/// What to write instead of a list where an IPv6 address begins one.
fn bare_ipv6_message(line: &str) -> Option<String> {
    bare_ipv6(line).map(|address| {
        format!(
            "`{0}` begins a list; write an IPv6 address in quotes: \"{0}\"",
            shown(address)
        )
    })
}

/// What a list or mapping in the place of a key was probably meant as.
pub fn key_instead(text: &str, line: usize) -> Option<String> {
    let here = text.lines().nth(line.checked_sub(1)?)?;
    bare_ipv6_message(here).map(|message| format!("is not valid YAML: {message}"))
}

/// `[::]:80` outside quotes.
fn bare_ipv6(line: &str) -> Option<&str> {
    line.match_indices('[').find_map(|(start, _)| {
        let bracketed = line.get(start..)?;
        let (inside, after) = bracketed.get(1..)?.split_once(']')?;
        let is_address = inside.contains(':') && inside.parse::<std::net::Ipv6Addr>().is_ok();
        let digits = after
            .strip_prefix(':')?
            .bytes()
            .take_while(u8::is_ascii_digit)
            .count();
        let quotes = line.get(..start)?.matches(['"', '\'']).count();
        (is_address && digits > 0 && quotes % 2 == 0)
            .then(|| bracketed.get(..inside.len() + 3 + digits))?
    })
}

/// `key:value`, which is one word to YAML.
fn is_glued(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches("- ");
    line.split_once(':').is_some_and(|(key, value)| {
        let is_key = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
        !key.is_empty()
            && key.bytes().all(is_key)
            && !value.is_empty()
            && !value.starts_with([' ', '\t'])
    })
}

/// A hint that helps often.
fn general(info: &str) -> &'static str {
    match info {
        info if info.contains("tab") => " (YAML is indented by spaces, never by tabs)",
        info if info.contains("flow") => {
            " (quote a value that holds brackets or braces, such as \"[::1]:80\" or, inside them, \"${NAME}\")"
        }
        info if info.contains("mapping values are not allowed") => {
            " (is the indentation right? a value with `: ` in it must be quoted)"
        }
        info if info.contains("expected key") || info.contains("key expect") => {
            " (is the indentation right? keys of one section begin in the same column)"
        }
        info if info.contains("bracket") => " (a closing bracket or brace without an opening one)",
        info if info.contains("quoted") => " (is a quote missing at the end of the value?)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn mistakes_are_told_in_words() {
        for (info, line, column, wanted) in [
            (
                "found unknown anchor",
                "bind: *:80",
                7,
                "write 0.0.0.0:80, or \"[::]:80\"",
            ),
            ("found unknown anchor", "bind: *80", 7, "write 0.0.0.0:80"),
            (
                "found unknown anchor",
                "host: [*.example.com, b]",
                8,
                "in quotes: \"*.example.com\"",
            ),
            (
                "found unknown anchor",
                "a: *base",
                4,
                "there is no `&base` before it",
            ),
            (
                "found unknown escape character",
                "x: \"\\.php$\"",
                4,
                "in single quotes: '\\.php$'",
            ),
            (
                "found unknown escape character",
                "x: \"a\", y: \"it's\\d\"",
                12,
                "'it''s\\d'",
            ),
            (
                "did not find expected key",
                "bind: [::]:80",
                11,
                "in quotes: \"[::]:80\"",
            ),
            (
                "unexpected character: `@'",
                "x: @a b",
                4,
                "in quotes: \"@a\"",
            ),
            ("invalid trailing content", "x: 'it's'", 8, "written twice"),
            ("mapping values", "bind:80", 3, "after the colon in line 1"),
        ] {
            let told = explain(info, line, 1, column);
            assert!(told.contains(wanted), "{line}: {told}");
        }
        let told = explain("mapping values are not allowed", "bind:80\npool: app", 2, 5);
        assert!(told.contains("in line 1"), "{told}");
        let told = explain(
            "simple key expect ':'",
            "upstream app {\n server a:1;\n}\n",
            3,
            1,
        );
        assert!(told.contains("looks like nginx's"), "{told}");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[-\"'\\\\a:\\[\\]{}*@%é \n]{0,60}", line in 0usize..5, column in 0usize..70) {
            for info in ["unknown anchor", "escape character", "unexpected character", "trailing content", "x"] {
                let _ = explain(info, &text, line, column);
            }
        }
    }
}
