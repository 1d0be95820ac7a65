use std::fs;
use std::process::Command;

use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

use super::*;

/// Users as the real `htpasswd` writes them, with the lowest cost.
fn htpasswd(users: &[(&str, &str)]) -> model::BasicAuth {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("htpasswd");
    fs::write(&file, "").unwrap();
    for (name, password) in users {
        let done = Command::new("htpasswd")
            .args(["-bB", "-C", "4"])
            .arg(&file)
            .args([name, password])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    }
    let users = fs::read_to_string(&file).unwrap();
    model::BasicAuth {
        realm: "staff".to_owned(),
        users: Arc::new(
            users
                .lines()
                .map(|line| line.split_once(':').unwrap())
                .map(|(name, hash)| (name.to_owned(), hash.to_owned()))
                .collect(),
        ),
    }
}

fn passwords(users: &[(&str, &str)]) -> Arc<Passwords> {
    Passwords::new(&htpasswd(users))
}

fn fields(lines: &[&str]) -> Fields {
    let mut fields = Fields::new();
    for line in lines {
        fields.append(header::AUTHORIZATION, line.parse().unwrap());
    }
    fields
}

fn basic(pair: impl AsRef<[u8]>) -> Fields {
    fields(&[&format!("Basic {}", BASE64_STANDARD.encode(pair))])
}

fn granted(name: &str) -> Verdict {
    Verdict::Granted(name.into())
}

#[tokio::test]
async fn the_right_password_is_granted_first_and_later() {
    let passwords = passwords(&[("ann", "open sesame"), ("bob", "b:c"), ("jürgen", "ß")]);
    for _ in 0..3 {
        assert_eq!(
            passwords.check(&basic("ann:open sesame")).await,
            granted("ann")
        );
        assert_eq!(passwords.check(&basic("bob:b:c")).await, granted("bob"));
        assert_eq!(passwords.check(&basic("jürgen:ß")).await, granted("jürgen"));
        for wrong in [
            "ann:open",
            "ann:",
            "ann",
            ":",
            "",
            "bob:open sesame",
            "Ann:open sesame",
            "carl:open sesame",
            "ann:open sesame ",
            "ann\0:open sesame",
            "ann:open sesame\0",
            "ann:open sesame\n",
        ] {
            assert_eq!(
                passwords.check(&basic(wrong)).await,
                Verdict::Denied,
                "{wrong:?}"
            );
        }
        assert_eq!(passwords.check(&basic(b"ann:\xff")).await, Verdict::Denied);
        assert_eq!(
            passwords.check(&basic(b"\xff:open sesame")).await,
            Verdict::Denied
        );
    }
}

#[tokio::test]
async fn an_empty_password_is_a_password() {
    let passwords = passwords(&[("ann", "")]);
    assert_eq!(passwords.check(&basic("ann:")).await, granted("ann"));
    assert_eq!(passwords.check(&basic("ann")).await, Verdict::Denied);
    assert_eq!(passwords.check(&basic("ann: ")).await, Verdict::Denied);
}

#[tokio::test]
async fn passwords_count_up_to_72_bytes() {
    let long = "0123456789".repeat(8);
    let passwords = passwords(&[("ann", &long)]);
    let check = async |length: usize| {
        let password = long.get(..length).unwrap();
        passwords.check(&basic(format!("ann:{password}"))).await
    };
    assert_eq!(check(71).await, Verdict::Denied);
    for length in [72, 73, 80] {
        assert_eq!(check(length).await, granted("ann"));
    }
}

#[tokio::test]
async fn the_field_is_read_as_the_rfc_says() {
    let passwords = passwords(&[("ann", "open")]);
    // ann:open
    for (lines, verdict) in [
        (&["Basic YW5uOm9wZW4="][..], granted("ann")),
        (&["bAsIc YW5uOm9wZW4="], granted("ann")),
        (&["Basic   YW5uOm9wZW4=  "], granted("ann")),
        (&["Basic YW5uOm9wZW4"], granted("ann")),
        (&[], Verdict::Denied),
        (&[""], Verdict::Denied),
        (&["Basic"], Verdict::Denied),
        (&["Basic "], Verdict::Denied),
        (&["BasicYW5uOm9wZW4="], Verdict::Denied),
        (&["Bearer YW5uOm9wZW4="], Verdict::Denied),
        (&["Basic YW5u Om9wZW4="], Verdict::Denied),
        (&["Basic YW5uOm9wZW4=, Basic YW5uOm9wZW4="], Verdict::Denied),
        (
            &["Basic YW5uOm9wZW4=", "Basic YW5uOm9wZW4="],
            Verdict::Denied,
        ),
        (&["Basic YW5uOm9wZW4=", "Bearer x"], Verdict::Denied),
        (&["Basic ann:open"], Verdict::Denied),
    ] {
        assert_eq!(passwords.check(&fields(lines)).await, verdict, "{lines:?}");
    }
    let long = basic(format!("ann:open{}", "x".repeat(LONGEST)));
    assert_eq!(passwords.check(&long).await, Verdict::Denied);
}

#[tokio::test]
async fn what_came_out_is_remembered_and_of_the_password_nothing() {
    let passwords = passwords(&[("ann", "open")]);
    assert!(passwords.recall(&basic("ann:open")).is_err());
    assert_eq!(passwords.check(&basic("ann:open")).await, granted("ann"));
    assert!(matches!(
        passwords.recall(&basic("ann:open")),
        Ok(Verdict::Granted(_))
    ));
    for wrong in ["ann:shut", "eve:open"] {
        assert!(passwords.recall(&basic(wrong)).is_err());
        assert_eq!(passwords.check(&basic(wrong)).await, Verdict::Denied);
        assert!(matches!(
            passwords.recall(&basic(wrong)),
            Ok(Verdict::Denied)
        ));
    }
    assert_eq!((passwords.right.len(), passwords.wrong.len()), (1, 2));
    let others = Passwords::new(passwords.settings());
    let digest = |passwords: &Passwords| passwords.digest(b"ann", b"open");
    assert_ne!(
        digest(&passwords),
        digest(&others),
        "each has a key of its own"
    );
}

#[tokio::test]
async fn wrong_passwords_do_not_push_out_right_ones_and_take_bounded_memory() {
    let passwords = passwords(&[("ann", "open")]);
    assert_eq!(passwords.check(&basic("ann:open")).await, granted("ann"));
    for n in 0..5_000_u32 {
        passwords.remember(passwords.digest(b"ann", &n.to_be_bytes()), false);
    }
    assert!(passwords.recall(&basic("ann:open")).is_ok());
    assert!(passwords.wrong.len() <= WRONG.0);
}

#[tokio::test]
async fn who_is_no_user_costs_what_a_user_costs() {
    let passwords = passwords(&[("ann", "open"), ("bob", "shut")]);
    let attempt = |pair: &str| passwords.recall(&basic(pair)).err().unwrap();
    let first = attempt("eve:open");
    assert!(first.user.is_none());
    assert!(passwords.decoys.contains(&first.hash));
    assert_eq!(first.hash, attempt("eve:other").hash, "the same each time");
    // Whosever hash it is, and whatever is remembered of its owner.
    assert_eq!(passwords.check(&basic("ann:open")).await, granted("ann"));
    for n in 0..20 {
        for password in ["open", "shut"] {
            let pair = basic(format!("eve{n}:{password}"));
            assert_eq!(passwords.check(&pair).await, Verdict::Denied);
            assert_eq!(passwords.check(&pair).await, Verdict::Denied);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_makes_few_wait_and_nobody_for_long() {
    let passwords = passwords(&[("ann", "open")]);
    assert_eq!(passwords.check(&basic("ann:open")).await, granted("ann"));
    // All workers are at work for somebody.
    let cores = u32::try_from(WORKERS.available_permits()).unwrap();
    let workers = Arc::clone(&WORKERS)
        .acquire_many_owned(cores)
        .await
        .unwrap();
    let flood: Vec<_> = (0..200)
        .map(|n| {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.check(&basic(format!("ann:{n}"))).await })
        })
        .collect();
    while passwords.waiting.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        passwords.check(&basic("ann:open")).await,
        granted("ann"),
        "who is known passes"
    );
    let begun = tokio::time::Instant::now();
    for request in flood {
        assert_eq!(request.await.unwrap(), Verdict::Busy);
    }
    assert!(begun.elapsed() <= PATIENCE + Duration::from_secs(1));
    assert_eq!(passwords.waiting.available_permits(), WAITING);
    drop(workers);
    assert_eq!(passwords.check(&basic("ann:shut")).await, Verdict::Denied);
}

#[tokio::test]
async fn the_same_at_once_is_computed_once() {
    let passwords = passwords(&[("ann", "open")]);
    let cores = u32::try_from(WORKERS.available_permits()).unwrap();
    let workers = Arc::clone(&WORKERS)
        .acquire_many_owned(cores)
        .await
        .unwrap();
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let passwords = Arc::clone(&passwords);
            tokio::spawn(async move { passwords.check(&basic("ann:open")).await })
        })
        .collect();
    while passwords.waiting.available_permits() > WAITING - 20 {
        tokio::task::yield_now().await;
    }
    // Found out by one that was there before them.
    passwords.remember(passwords.digest(b"ann", b"open"), true);
    drop(workers);
    for request in requests {
        assert_eq!(request.await.unwrap(), granted("ann"));
    }
}

#[test]
fn the_challenge_names_realm_and_charset() {
    let passwords = passwords(&[("ann", "open")]);
    assert_eq!(passwords.realm(), "staff");
    assert_eq!(
        passwords.challenge(),
        "Basic realm=\"staff\", charset=\"UTF-8\""
    );
}

#[tokio::test]
async fn nobody_passes_where_there_are_no_users() {
    let passwords = Passwords::new(&model::BasicAuth {
        realm: "none".to_owned(),
        users: Arc::default(),
    });
    assert_eq!(passwords.check(&basic("ann:open")).await, Verdict::Denied);
}

proptest! {
    #[test]
    fn whatever_the_field_holds_is_read_or_refused(line in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut lines = Fields::new();
        if let Ok(value) = HeaderValue::from_bytes(&line) {
            lines.append(header::AUTHORIZATION, value);
        }
        let _ = credentials(&lines, &mut [0; LONGEST]);
    }

    #[test]
    fn name_and_password_are_what_was_encoded(name in "[^:\\p{Cc}]{0,40}", password in "[^\\p{Cc}]{0,80}") {
        let lines = basic(format!("{name}:{password}"));
        let mut buffer = [0; LONGEST];
        let read = credentials(&lines, &mut buffer);
        prop_assert_eq!(read, Some((name.as_bytes(), password.as_bytes())));
    }
}
