//! raw -> model for passwords of routes, and the files that they are in.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use super::checks::Checks;
use super::model;
use super::raw;
use super::tree::At;

/// Larger files of passwords are refused.
const LARGEST_PASSWORDS: u64 = 16 * 1024 * 1024;

/// A higher cost takes a second and more of a core for each try.
const HIGHEST_COST: u32 = 16;

/// Who may, by name and password.
pub(super) fn basic_auth(
    raw: &raw::BasicAuth,
    at: &At<'_>,
    checks: &mut Checks<'_>,
) -> model::BasicAuth {
    let realm = raw.realm.0.to_str().unwrap_or_default();
    if realm.contains(['"', '\\']) {
        checks.note(&at.key("realm"), "can't hold quotes or backslashes");
    }
    let at = at.key("htpasswd_file");
    let path = checks.path(&at, &raw.htpasswd_file.0);
    checks.read.push(path.clone());
    let users = match read(&path, LARGEST_PASSWORDS).and_then(|text| users(&text)) {
        Ok(users) => users,
        Err(message) => {
            checks.note(&at, format!("{}: {message}", path.display()));
            HashMap::new()
        }
    };
    model::BasicAuth {
        realm: realm.to_owned(),
        users: Arc::new(users),
    }
}

/// A whole file that isn't larger than `most` bytes.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut content = Vec::new();
    if path
        .metadata()
        .is_ok_and(|found| !found.is_file() && !found.is_dir())
    {
        // It would keep its reader waiting.
        return Err("is no file but a pipe, socket or device".to_owned());
    }
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut content))
        .map_err(|error| error.to_string())?;
    if content.len() as u64 > most {
        return Err(format!("is larger than {most} bytes"));
    }
    Ok(content)
}

/// The users of an htpasswd file (httpd's manual, "Password Formats"). Nothing of a hash is ever repeated.
fn users(content: &[u8]) -> Result<HashMap<String, String>, String> {
    let text = std::str::from_utf8(content).map_err(|_| "is not text in UTF-8".to_owned())?;
    // Windows' editors put it there.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = number + 1;
        let (name, hash) = line
            .split_once(':')
            .ok_or_else(|| format!("line {number} is not NAME:HASH"))?;
        is_bcrypt(hash).map_err(|message| format!("line {number}: {message}"))?;
        if users.insert(name.to_owned(), hash.to_owned()).is_some() {
            return Err(format!(
                "line {number}: a user of that name was there already"
            ));
        }
    }
    if users.is_empty() {
        return Err("has no user; make one with `htpasswd -B`".to_owned());
    }
    Ok(users)
}

fn is_bcrypt(hash: &str) -> Result<(), String> {
    let is_base64 = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"./".contains(&byte))
    };
    let mut parts = hash.split('$');
    let (Some(""), Some("2a" | "2b" | "2y"), Some(cost), Some(rest), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(
            "the password is not hashed by bcrypt; hash it anew with `htpasswd -B`".to_owned(),
        );
    };
    let cost: u32 = cost
        .parse()
        .ok()
        .filter(|cost| (4..=31).contains(cost))
        .ok_or("the hash has no cost from 4 to 31")?;
    if cost > HIGHEST_COST {
        return Err(format!(
            "a cost of {cost} takes seconds for each try; at most {HIGHEST_COST} is taken"
        ));
    }
    if rest.len() != 53 || !is_base64(rest) {
        return Err("the hash is cut off or malformed".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

    #[test]
    fn users_are_lines_of_bcrypt_hashes() {
        let file = format!("# staff\nann:{HASH}\n\nbob:{HASH}\r\n");
        let users = users(file.as_bytes()).unwrap();
        assert_eq!(users.len(), 2);
        assert_eq!(users["bob"], HASH);
    }

    #[test]
    fn what_is_wrong_with_a_password_file_is_told_without_its_secrets() {
        for (file, part) in [
            (String::new(), "no user"),
            ("ann".into(), "line 1 is not NAME:HASH"),
            ("ann:secret".into(), "not hashed by bcrypt"),
            ("ann:$apr1$x$secret".into(), "not hashed by bcrypt"),
            (
                format!("ann:{HASH}\nann:{HASH}"),
                "line 2: a user of that name",
            ),
            (format!("ann:{}", HASH.replace("05", "31")), "a cost of 31"),
            (format!("ann:{}", HASH.replace("01234", "0123")), "cut off"),
        ] {
            let message = users(file.as_bytes()).unwrap_err();
            assert!(
                message.contains(part) && !message.contains("secret"),
                "{message}"
            );
        }
        assert!(users(b"\xff").is_err());
    }
}
