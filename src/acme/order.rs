//! One order, from the names to the chain (RFC 8555 section 7.4).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, Identifier,
    NewOrder, Order, OrderStatus, RetryPolicy,
};
use openssl::pkey::{PKey, Private};

use super::certificate::Request;
use super::challenges::{Answer, Challenges};
use super::words;
use crate::config::model::{self, Challenge};

/// How long the authority may take to look at our answers, and to issue.
const VALIDATION: Duration = Duration::from_secs(180);

/// Where answers are published.
pub struct Answering<'a> {
    /// For this process.
    pub challenges: &'a Arc<Challenges>,
    /// For all that share it.
    pub storage: &'a Path,
}

/// Why there is no certificate.
pub enum Unsuccessful {
    /// The authority doesn't know the account.
    AccountGone,
    /// Anything else, in words.
    Because(String),
}

/// Obtains a certificate. Returns its key and its chain in PEM. `replaces` is the one that it comes after, if the
/// authority is to know (RFC 9773 section 5).
///
/// # Errors
///
/// See [`Unsuccessful`].
pub async fn obtain(
    account: &Account,
    names: &[Arc<str>],
    challenge: Challenge,
    replaces: Option<CertificateIdentifier<'_>>,
    answering: &Answering<'_>,
) -> Result<(PKey<Private>, String), Unsuccessful> {
    let mut order = place(account, names, replaces).await?;
    // Answers are given until the authority has looked.
    let answers = answer(&mut order, challenge, answering).await?;
    if order.state().status != OrderStatus::Ready {
        let validated = order.poll_ready(&polling()).await;
        if !matches!(validated, Ok(OrderStatus::Ready)) {
            let told = refusals(&mut order, challenge).await;
            return Err(match (told, validated) {
                (Some(told), _) => Unsuccessful::Because(told),
                (None, Err(error)) => error.into(),
                (None, Ok(_)) => Unsuccessful::Because(
                    "the order became invalid, for no reason given".to_owned(),
                ),
            });
        }
    }
    drop(answers);
    let Request { key, csr } = Request::new(names)
        .map_err(|error| Unsuccessful::Because(format!("no key could be made: {error}")))?;
    order.finalize_csr(&csr).await?;
    let chain = order.poll_certificate(&polling()).await?;
    Ok((key, chain))
}

async fn place(
    account: &Account,
    names: &[Arc<str>],
    replaces: Option<CertificateIdentifier<'_>>,
) -> Result<Order, Error> {
    let identifiers: Vec<Identifier> = names
        .iter()
        .map(|name| Identifier::Dns(name.to_string()))
        .collect();
    if let Some(replaces) = replaces {
        let wanted = NewOrder::new(&identifiers).replaces(replaces);
        match account.new_order(&wanted).await {
            Ok(order) => return Ok(order),
            Err(Error::Api(problem)) if problem.status == Some(429) => {
                return Err(Error::Api(problem));
            }
            // It was replaced already, is of another account, or the authority doesn't mean it: an order like any
            // other then.
            Err(error) => tracing::debug!("ACME: not as a replacement: {}", words::error(&error)),
        }
    }
    account.new_order(&NewOrder::new(&identifiers)).await
}

/// Publishes an answer for each name that isn't validated, and says so to the authority.
async fn answer(
    order: &mut Order,
    challenge: Challenge,
    answering: &Answering<'_>,
) -> Result<Vec<Answer>, Unsuccessful> {
    let mut answers = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => {
                let name = authorization.identifier();
                return Err(Unsuccessful::Because(format!(
                    "{name}: its authorization is {status:?}"
                )));
            }
        }
        let name = authorization.identifier().to_string();
        let Some(mut offered) = authorization.challenge(kind(challenge)) else {
            return Err(Unsuccessful::Because(format!(
                "{name}: the authority does not offer the challenge {}",
                label(challenge)
            )));
        };
        let key_authorization = offered.key_authorization();
        let (challenges, storage) = (
            Arc::clone(answering.challenges),
            answering.storage.to_owned(),
        );
        let token = offered.token.clone();
        let published = tokio::task::spawn_blocking(move || match challenge {
            Challenge::Http01 => {
                challenges.answer_http01(&storage, &token, key_authorization.as_str())
            }
            Challenge::TlsAlpn01 => {
                challenges.answer_tls_alpn01(&storage, &name, key_authorization.digest().as_ref())
            }
        });
        let published = published
            .await
            .map_err(|error| Unsuccessful::Because(error.to_string()))?;
        answers.push(published.map_err(|error| {
            Unsuccessful::Because(format!("acme.storage can't be used: {error}"))
        })?);
        offered.set_ready().await?;
    }
    Ok(answers)
}

/// What the authority says to each answer that it refused.
async fn refusals(order: &mut Order, challenge: Challenge) -> Option<String> {
    let mut told = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            continue;
        }
        let name = authorization.identifier().to_string();
        let errors = authorization
            .challenges
            .iter()
            .filter_map(|tried| tried.error.as_ref());
        told.extend(errors.map(|error| words::refused_answer(&name, challenge, error)));
    }
    (!told.is_empty()).then(|| told.join("; "))
}

fn polling() -> RetryPolicy {
    RetryPolicy::new()
        .initial_delay(Duration::from_millis(250))
        .backoff(1.5)
        .timeout(VALIDATION)
}

fn kind(challenge: model::Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

fn label(challenge: Challenge) -> &'static str {
    match challenge {
        Challenge::Http01 => "http-01",
        Challenge::TlsAlpn01 => "tls-alpn-01",
    }
}

impl From<Error> for Unsuccessful {
    fn from(error: Error) -> Self {
        if words::is_account_gone(&error) {
            Self::AccountGone
        } else {
            Self::Because(words::error(&error))
        }
    }
}
