//! Files of certificates and keys: nothing panics, and what is read is the same when it is written tidily and read again.

use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, UNIX_EPOCH};

use equipoise::tls::certificate::{Contents, Password, Placed, Thing, describe, sort};

static PASSWORD: LazyLock<Password> =
    LazyLock::new(|| Password::new("secret".to_owned()).expect("no NUL"));

/// One input.
pub fn run(data: &[u8]) {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let contents = Contents::parse(Path::new("any"), data, Some(&PASSWORD));
    assert!(!contents.items.is_empty() || !contents.damage.is_empty());
    describe(&contents, now);
    let Some(chain) = sort(certificates(&contents), None, now) else {
        return;
    };
    let all: Vec<_> = std::iter::once(&chain.leaf).chain(&chain.above).collect();
    let mut tidy = Vec::new();
    for placed in &all {
        tidy.extend(placed.cert.to_pem().expect("what was read can be written"));
    }
    let again = Contents::parse(Path::new("any"), &tidy, None);
    assert!(again.damage.is_empty() && again.untidy.is_empty());
    let again = sort(certificates(&again), None, now).expect("what was written can be read");
    assert!(*again.leaf.cert == *chain.leaf.cert);
    assert_eq!(again.above.len(), chain.above.len());
}

fn certificates(contents: &Contents) -> Vec<Placed> {
    let certs = contents.items.iter().filter_map(|item| match &item.thing {
        Thing::Certificate(cert) => Some(cert.clone()),
        _ => None,
    });
    certs
        .take(100)
        .enumerate()
        .map(|(position, cert)| Placed {
            cert,
            line: None,
            position,
        })
        .collect()
}
