//! The account at the authority: made once, kept, used by all certificates of one authority in one storage.

use std::io;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use instant_acme::{Account, AccountCredentials, Error, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::client::Client;
use super::files::{self, Lock};
use super::store::Store;
use super::words;
use crate::config::{model, refuse_pipe};

/// How long to wait for another node that makes the account just now.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often to look whether it is done.
const POLL: Duration = Duration::from_millis(250);

/// An account, as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    credentials: AccountCredentials,
    email: Option<String>,
    external_account: Option<String>,
}

/// The account: the one that is kept, or a new one.
///
/// # Errors
///
/// In words.
pub async fn open(
    store: &Store,
    settings: &model::Acme,
    client: &Client,
) -> Result<Account, String> {
    let lock = lock(store).await?;
    let key_id = settings
        .external_account
        .as_ref()
        .map(|account| account.key_id.clone());
    let contact = settings
        .email
        .as_ref()
        .map(|email| format!("mailto:{email}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let builder = Account::builder_with_http(Box::new(client.clone()));

    if let Some(kept) = kept(store)
        .await
        .filter(|kept| kept.external_account == key_id)
    {
        let known = copy(&kept.credentials)?;
        let account = builder.from_credentials(kept.credentials).await;
        let account = account.map_err(|error| words::error(&error))?;
        if kept.email == settings.email {
            return Ok(account);
        }
        match account.update_contacts(&contact).await {
            Ok(()) => keep(store, known, settings, key_id, lock).await?,
            // The order that follows finds out.
            Err(error) if words::is_account_gone(&error) => {}
            // A certificate is worth more than an address.
            Err(error) => {
                let reason = words::error(&error);
                tracing::warn!("ACME: the account's e-mail address can't be changed: {reason}");
            }
        }
        return Ok(account);
    }

    let external_account = match &settings.external_account {
        Some(known) => Some(external_key(known).await?),
        None => None,
    };
    let wanted = NewAccount {
        contact: &contact,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let directory = settings.directory.clone();
    let made = builder
        .create(&wanted, directory, external_account.as_ref())
        .await;
    let (account, credentials) =
        made.map_err(|error| match (&error, &settings.external_account) {
            (Error::Api(problem), Some(known)) => format!(
                "no account with acme.external_account {}: {}",
                known.key_id,
                words::problem(problem)
            ),
            (error, _) => format!("no account: {}", words::error(error)),
        })?;
    keep(store, credentials, settings, key_id, lock).await?;
    tracing::info!("ACME: new account at {}", settings.directory);
    Ok(account)
}

/// The account that is kept, if there is one; none is made.
pub async fn known(store: &Store, client: &Client) -> Option<Account> {
    let kept = kept(store).await?;
    let builder = Account::builder_with_http(Box::new(client.clone()));
    builder.from_credentials(kept.credentials).await.ok()
}

/// Forgets an account that the authority doesn't know any more, unless another is kept by now.
///
/// # Errors
///
/// In words.
pub async fn forget(store: &Store, id: &str) -> Result<(), String> {
    let lock = lock(store).await?;
    if id_of(kept(store).await.map(|kept| kept.credentials)).as_deref() != Some(id) {
        return Ok(());
    }
    let path = store.account();
    blocking(move || {
        let _lock = lock;
        files::remove(&path)
    })
    .await
}

async fn lock(store: &Store) -> Result<Lock, String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let path = store.account_lock();
        let got = blocking(move || {
            if let Some(directory) = path.parent() {
                files::make_directory(directory)?;
            }
            Lock::attempt(&path)
        });
        if let Some(lock) = got.await? {
            return Ok(lock);
        }
        if Instant::now() >= end {
            return Err(format!(
                "{} is locked by somebody else",
                store.account_lock().display()
            ));
        }
        sleep(POLL).await;
    }
}

async fn kept(store: &Store) -> Option<Kept> {
    let path = store.account();
    let read = {
        let path = path.clone();
        tokio::task::spawn_blocking(move || files::read(&path))
            .await
            .ok()?
    };
    let wrong = match read {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(kept) => return Some(kept),
            // Not what is wrong: the file holds a key.
            Err(_) => "holds no account".to_owned(),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => error.to_string(),
    };
    tracing::warn!("ACME: {}: {wrong}; making a new account", path.display());
    None
}

async fn keep(
    store: &Store,
    credentials: AccountCredentials,
    settings: &model::Acme,
    external_account: Option<String>,
    lock: Lock,
) -> Result<(), String> {
    let kept = Kept {
        credentials,
        email: settings.email.clone(),
        external_account,
    };
    let bytes = serde_json::to_vec(&kept).map_err(|error| error.to_string())?;
    let path = store.account();
    blocking(move || {
        let _lock = lock;
        files::write(&path, &bytes)
    })
    .await
}

/// The key that the authority gave out, by its file.
async fn external_key(known: &model::ExternalAccount) -> Result<ExternalAccountKey, String> {
    let path = known.hmac_key_file.clone();
    let read = tokio::task::spawn_blocking(move || read_external_key(&path)).await;
    let key = read.map_err(|error| error.to_string()).flatten();
    let key = key.map_err(|what| {
        format!(
            "acme.external_account.hmac_key_file {}: {what}",
            known.hmac_key_file.display()
        )
    })?;
    Ok(ExternalAccountKey::new(known.key_id.clone(), &key))
}

/// The key of an account at the authority, in a file. Blocks.
///
/// # Errors
///
/// It can't be read, or holds none; in words.
pub fn read_external_key(path: &Path) -> Result<Vec<u8>, String> {
    let text = refuse_pipe(path).and_then(|()| files::read(path));
    let text = text.map_err(|error| error.to_string())?;
    decode_key(&text).ok_or_else(|| "the first line is no key in base64url".to_owned())
}

/// The first line, in base64url; in plain base64, as some give it out, too.
fn decode_key(text: &[u8]) -> Option<Vec<u8>> {
    let line = std::str::from_utf8(text).ok()?.lines().next()?.trim();
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let with = |alphabet| GeneralPurpose::new(alphabet, config).decode(line).ok();
    let key = with(&alphabet::URL_SAFE).or_else(|| with(&alphabet::STANDARD))?;
    (!key.is_empty()).then_some(key)
}

/// Credentials can't be cloned, but written and read.
fn copy(credentials: &AccountCredentials) -> Result<AccountCredentials, String> {
    serde_json::to_value(credentials)
        .and_then(serde_json::from_value)
        .map_err(|error| error.to_string())
}

/// The account's URL.
fn id_of(credentials: Option<AccountCredentials>) -> Option<String> {
    let value = serde_json::to_value(credentials?).ok()?;
    Some(value.get("id")?.as_str()?.to_owned())
}

/// Work on files, away from the threads that serve. The error says where.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| error.to_string())?
        .map_err(|error| format!("acme.storage can't be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::settings;
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn a_key_may_be_written_as_authorities_give_it_out() {
        for text in ["-_8B", "-_8B\n", "  -_8B  \r\nmore\n", "+/8B", "-_8B\n\n"] {
            assert_eq!(
                decode_key(text.as_bytes()),
                Some(vec![0xfb, 0xff, 1]),
                "{text:?}"
            );
        }
        assert_eq!(decode_key(b"-_8="), Some(vec![0xfb, 0xff]));
        for text in ["", "\n-_8B", "not base64!", "-_8B x"] {
            assert_eq!(decode_key(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(decode_key(&[0xff, 0xfe]), None);
    }

    #[tokio::test]
    async fn a_broken_account_is_no_account() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(&settings(dir.path(), &["a.example.com"]));
        store.prepare(SystemTime::now()).unwrap();
        for text in ["", "{", "{}", "null", r#"{"credentials": {"id": 1}}"#] {
            std::fs::write(store.account(), text).unwrap();
            assert!(kept(&store).await.is_none(), "{text}");
        }
    }
}
