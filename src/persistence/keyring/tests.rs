use super::*;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};

const A: &str = "correct horse battery staple";
const B: &str = "0123456789abcdef";

fn keys(keyring: &Keyring) -> Vec<[u8; 32]> {
    keyring
        .secrets()
        .map(|secret| secret.derive("test", "pool"))
        .collect()
}

fn parse(text: &str) -> Result<Keyring, SecretError> {
    Keyring::parse(text.as_bytes())
}

/// A directory that is removed with its value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "equipoise-keyring-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn comments_blank_lines_spaces_and_line_ends_do_not_count() {
    let plain = keys(&parse(&format!("{A}\n{B}")).unwrap());
    let noisy = format!("\u{feff}# old\r\n\r\n  {A}\t\r\n \n#x\n{B}\n{A}\n");
    assert_eq!(keys(&parse(&noisy).unwrap()), plain);
    assert_eq!(plain.len(), 2);
    assert_ne!(plain[0], plain[1]);
}

#[test]
fn what_is_no_secret_is_refused_with_its_line() {
    assert_eq!(parse("").unwrap_err(), SecretError::Empty);
    assert_eq!(parse("# only\n\n").unwrap_err(), SecretError::Empty);
    let error = parse(&format!("{A}\n\n0123456789abcde")).unwrap_err();
    assert_eq!(
        error,
        SecretError::TooShort {
            line: 3,
            length: 15
        }
    );
    assert_eq!(
        error.to_string(),
        "line 3: a secret of 15 bytes is too short, it takes at least 16"
    );
    let many = (0..17)
        .map(|n| format!("{B}{n}"))
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(parse(&many).unwrap_err(), SecretError::TooMany);
}

#[test]
fn derivation_separates_purposes_and_scopes() {
    let keyring = parse(A).unwrap();
    let secret = keyring.secrets().next().unwrap();
    let all = [
        secret.derive("a", "pool"),
        secret.derive("b", "pool"),
        secret.derive("a", "loop"),
        secret.derive("ap", "ool"),
    ];
    for (index, key) in all.iter().enumerate() {
        assert!(!all[index + 1..].contains(key));
    }
}

/// RFC 5869 with the salt and info used here, computed with Python's `hmac` and `hashlib`: a change
/// of the derivation would rebind every session at an update.
#[test]
fn derivation_is_what_it_was() {
    let key = parse(A)
        .unwrap()
        .secrets()
        .next()
        .unwrap()
        .derive("mac", "tomcats");
    assert_eq!(
        hex(&key),
        "dd55abe93691d4c98492f470f2c4522c1c3a3e767dcc545c3b67d40f8f328154"
    );
}

#[test]
fn debugging_shows_no_secret() {
    assert_eq!(format!("{:?}", parse(A).unwrap()), "Keyring { secrets: 1 }");
}

#[test]
fn the_generated_secret_is_private_and_stays() {
    let scratch = Scratch::new();
    let dir = scratch.0.join("a/state");
    let first = Keyring::load_or_create(&dir).unwrap();
    let path = dir.join("cookie.key");
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        fs::metadata(&dir).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert!(first.warnings.is_empty());
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.trim_end().len(), 64);
    assert!(text.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()));

    let second = Keyring::load_or_create(&dir).unwrap();
    assert_eq!(keys(&first.keyring), keys(&second.keyring));
    assert_eq!(
        fs::read_dir(&dir).unwrap().count(),
        1,
        "a temporary file is left"
    );
}

#[test]
fn racing_starts_end_with_one_secret() {
    for _ in 0..20 {
        let scratch = Scratch::new();
        let barrier = Barrier::new(4);
        let found: Vec<_> = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                keys(&Keyring::load_or_create(&scratch.0).unwrap().keyring)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(found.iter().all(|keys| *keys == found[0]));
    }
}

#[test]
fn a_secret_open_to_all_is_a_warning() {
    let scratch = Scratch::new();
    let path = scratch.0.join("secret");
    fs::write(&path, A).unwrap();
    for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let loaded = Keyring::load(&path).unwrap();
        assert_eq!(!loaded.warnings.is_empty(), warned, "mode {mode:o}");
    }
}

#[test]
fn errors_name_the_file_and_say_what_is_wrong() {
    let scratch = Scratch::new();
    let path = scratch.0.join("secret");
    let message = |path: &Path| Keyring::load(path).unwrap_err().to_string();
    assert!(message(&path).contains("cannot read the cookie secret"));
    assert!(message(&path).contains("No such file"));
    fs::write(&path, "short").unwrap();
    assert!(message(&path).starts_with(&format!("{}: line 1:", path.display())));
    fs::write(&path, vec![b'x'; 65 * 1024]).unwrap();
    assert!(message(&path).contains("larger than 65536 bytes"));
    fs::write(&path, "").unwrap();
    assert!(
        Keyring::load_or_create(&path)
            .unwrap_err()
            .to_string()
            .contains("cookie.key")
    );
}

#[test]
fn a_generated_file_that_a_crash_left_empty_is_set_aside_and_made_anew() {
    for left in [&b""[..], b"\n", &[0; 65], b"# only words\n"] {
        let scratch = Scratch::new();
        let path = scratch.0.join(GENERATED);
        fs::write(&path, left).unwrap();
        let made = Keyring::load_or_create(&scratch.0).unwrap();
        assert_eq!(made.keyring.secrets().count(), 1);
        let aside = scratch.0.join("cookie.key.empty");
        assert_eq!(fs::read(&aside).unwrap(), left);
        let wanted = KeyWarning::SetAside { path, aside };
        assert!(made.warnings.contains(&wanted), "{:?}", made.warnings);
        let again = Keyring::load_or_create(&scratch.0).unwrap();
        assert_eq!(keys(&again.keyring), keys(&made.keyring));
        assert_eq!(again.warnings, []);
        // One that was configured is the operator's to mend.
        let configured = scratch.0.join("configured");
        fs::write(&configured, left).unwrap();
        assert!(matches!(
            Keyring::load(&configured),
            Err(KeyError::Secret {
                source: SecretError::Empty,
                ..
            })
        ));
    }
}

#[test]
fn processes_that_find_an_empty_file_at_once_end_with_one_secret() {
    let scratch = Scratch::new();
    fs::write(scratch.0.join(GENERATED), "").unwrap();
    let barrier = Barrier::new(8);
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    keys(&Keyring::load_or_create(&scratch.0).unwrap().keyring)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(made.iter().all(|keys| *keys == made[0]));
}
