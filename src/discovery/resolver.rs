//! Asking name servers.
//!
//! The resolver is made anew for each look-up, so that it follows `/etc/resolv.conf` and `/etc/hosts` as they are. It keeps
//! nothing: how long an answer is good for is what decides when the next one is asked for.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};

use super::answer::{Found, Offer, servers};
use crate::config::model::{DiscoveredName, Discovery};

/// How long name servers of the configuration's own are waited for, and how often they are asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// A look-up as a whole takes no longer.
const AT_MOST: Duration = Duration::from_secs(30);

/// Names of servers that one service may have.
const TARGETS: usize = 256;

/// What comes from `/etc/hosts` is good for longer than any record that is asked for again.
const FROM_HOSTS: Duration = Duration::from_secs(86_000);

/// Asks for a pool's servers.
///
/// # Errors
///
/// Why there is no answer, in words.
pub async fn look_up(discovery: &Discovery) -> Result<Found, String> {
    let name = discovery.dns.host();
    let asked = tokio::time::timeout(AT_MOST, ask(discovery)).await;
    let (offers, ttl) = match asked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(format!("{name} does not resolve: {}", words(&error))),
        Err(_) => return Err(format!("{name} does not resolve: no answer in {AT_MOST:?}")),
    };
    if offers.is_empty() {
        return Err(format!("{name} has no servers"));
    }
    Ok(Found {
        servers: servers(&offers),
        ttl,
    })
}

async fn ask(discovery: &Discovery) -> Result<(Vec<Offer>, Duration), NetError> {
    let resolver = resolver(discovery.resolvers.as_deref())?;
    match &discovery.dns {
        DiscoveredName::Addresses(host, port) => {
            let (addresses, ttl) = addresses(&resolver, Name::from_utf8(host)?).await?;
            let offer = |address| Offer {
                address: SocketAddr::new(address, *port),
                priority: 0,
                weight: 1,
            };
            Ok((addresses.into_iter().map(offer).collect(), ttl))
        }
        DiscoveredName::Services(name) => services(&resolver, Name::from_utf8(name)?).await,
    }
}

fn resolver(name_servers: Option<&[SocketAddr]>) -> Result<TokioResolver, NetError> {
    let mut builder = match name_servers {
        None => TokioResolver::builder_tokio()?,
        Some(all) => {
            let all = all.iter().map(|address| {
                let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
                (udp.port, tcp.port) = (address.port(), address.port());
                NameServerConfig::new(address.ip(), true, vec![udp, tcp])
            });
            let config = ResolverConfig::from_name_servers(all.collect());
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.cache_size = 0;
    if name_servers.is_some() {
        options.use_hosts_file = ResolveHosts::Never;
        (options.timeout, options.attempts) = (PATIENCE, ATTEMPTS);
    }
    builder.build()
}

/// All addresses of a name, and how long they are good for.
async fn addresses(
    resolver: &TokioResolver,
    name: Name,
) -> Result<(Vec<IpAddr>, Duration), NetError> {
    let found = resolver.lookup_ip(name).await?;
    let mut ttl = found
        .valid_until()
        .saturating_duration_since(Instant::now());
    let mut all: Vec<IpAddr> = found.iter().collect();
    let other = match (
        all.iter().any(IpAddr::is_ipv4),
        all.iter().any(IpAddr::is_ipv6),
    ) {
        (true, false) => RecordType::AAAA,
        (false, true) => RecordType::A,
        _ => return Ok((all, ttl)),
    };
    if ttl >= FROM_HOSTS {
        return Ok((all, ttl));
    }
    // An answer that lacks those of one kind because they could not be asked for is none: servers would come and go with it.
    match resolver.lookup(found.query().name().clone(), other).await {
        Ok(more) => {
            ttl = ttl.min(more.valid_until().saturating_duration_since(Instant::now()));
            all.extend(
                more.answers()
                    .iter()
                    .filter_map(|record| record.data.ip_addr()),
            );
        }
        Err(error) if is_negative(&error) => {}
        Err(error) => return Err(error),
    }
    Ok((all, ttl))
}

/// What a name's SRV records offer. A target that doesn't exist offers nothing.
async fn services(
    resolver: &TokioResolver,
    name: Name,
) -> Result<(Vec<Offer>, Duration), NetError> {
    let found = resolver.lookup(name, RecordType::SRV).await?;
    let mut ttl = found
        .valid_until()
        .saturating_duration_since(Instant::now());
    let records = found
        .answers()
        .iter()
        .filter_map(|record| match &record.data {
            // The root as a target says that there is no such service.
            RData::SRV(service) if !service.target.is_root() => Some(service),
            _ => None,
        });
    let records: Vec<_> = records.take(TARGETS).collect();
    let targets = records
        .iter()
        .map(|service| addresses(resolver, service.target.clone()));
    let mut offers = Vec::new();
    for (service, target) in records.iter().zip(join_all(targets).await) {
        let (addresses, good_for) = match target {
            Ok(target) => target,
            Err(error) if is_negative(&error) => continue,
            Err(error) => return Err(error),
        };
        ttl = ttl.min(good_for);
        offers.extend(addresses.into_iter().map(|address| Offer {
            address: SocketAddr::new(address, service.port),
            priority: service.priority,
            weight: service.weight,
        }));
    }
    Ok((offers, ttl))
}

/// Whether it says that there is nothing, rather than nothing.
fn is_negative(error: &NetError) -> bool {
    error.is_nx_domain() || error.is_no_records_found()
}

fn words(error: &NetError) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        "it has no such records".to_owned()
    } else {
        error.to_string()
    }
}
