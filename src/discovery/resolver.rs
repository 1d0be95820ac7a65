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
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{Hosts, Resolver, TokioResolver};
use tokio::time::timeout;

use super::answer::{Found, Missing, Offer, servers};
use crate::config::model::{DiscoveredName, Discovery};

/// How long name servers of the configuration's own are waited for, and how often they are asked.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS: usize = 2;

/// A look-up as a whole takes no longer.
const AT_MOST: Duration = Duration::from_secs(30);

/// Names of servers that one service may have.
const TARGETS: usize = 256;

/// What comes from `/etc/hosts` has no time of its own; it is asked for again as the configuration says.
const FROM_HOSTS: Duration = Duration::from_secs(86_400);

/// How long addresses of the other kind are waited for where those of one kind are known.
const OTHER_KIND: Duration = Duration::from_secs(5);

/// Asks for a pool's servers.
///
/// # Errors
///
/// Why there is no answer, in words.
pub async fn look_up(discovery: &Discovery) -> Result<Found, String> {
    let name = discovery.dns.host();
    let asked = timeout(AT_MOST, ask(discovery)).await;
    let offered = match asked {
        Ok(Ok(offered)) => offered,
        Ok(Err(error)) => return Err(format!("{name} does not resolve: {}", words(&error))),
        Err(_) => return Err(format!("{name} does not resolve: no answer in {AT_MOST:?}")),
    };
    if offered.all.is_empty() {
        return Err(format!("{name} has no servers"));
    }
    Ok(Found {
        servers: servers(&offered.all),
        ttl: offered.ttl,
        missing: offered.missing,
    })
}

/// What came, how long it is good for, and what didn't come.
struct Answered<T> {
    all: Vec<T>,
    ttl: Duration,
    missing: Option<Missing>,
}

async fn ask(discovery: &Discovery) -> Result<Answered<Offer>, NetError> {
    let names = Names::of(discovery.resolvers.as_deref())?;
    match &discovery.dns {
        DiscoveredName::Addresses(host, port) => {
            let found = names.addresses(Name::from_utf8(host)?).await?;
            let offer = |address| Offer {
                address: SocketAddr::new(address, *port),
                priority: 0,
                weight: 1,
            };
            Ok(Answered {
                all: found.all.into_iter().map(offer).collect(),
                ttl: found.ttl,
                missing: found.missing,
            })
        }
        DiscoveredName::Services(name) => names.services(Name::from_utf8(name)?).await,
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
    options.use_hosts_file = ResolveHosts::Never;
    if name_servers.is_some() {
        (options.timeout, options.attempts) = (PATIENCE, ATTEMPTS);
    }
    builder.build()
}

/// Looks names up: in the machine's table of hosts, and else by asking name servers.
struct Names {
    resolver: TokioResolver,
    /// What the machine has written down; nothing where name servers of the configuration's own are asked.
    hosts: Hosts,
}

impl Names {
    fn of(name_servers: Option<&[SocketAddr]>) -> Result<Self, NetError> {
        let hosts = match name_servers {
            // A machine may have no such file.
            None => Hosts::from_system().unwrap_or_default(),
            Some(_) => Hosts::default(),
        };
        Ok(Self {
            resolver: resolver(name_servers)?,
            hosts,
        })
    }

    /// The addresses that the machine's table has for a name. It is asked first, and what it has of whichever kind is all there is,
    /// as for everybody else on the machine.
    fn in_hosts(&self, name: &Name) -> Vec<IpAddr> {
        let kinds = [RecordType::A, RecordType::AAAA].into_iter();
        let found = kinds.filter_map(|kind| {
            self.hosts
                .lookup_static_host(&Query::query(name.clone(), kind))
        });
        found
            .flat_map(|lookup| addresses_of(lookup.answers()))
            .collect()
    }

    /// All addresses of a name.
    async fn addresses(&self, name: Name) -> Result<Answered<IpAddr>, NetError> {
        let all = self.in_hosts(&name);
        if !all.is_empty() {
            return Ok(Answered {
                all,
                ttl: FROM_HOSTS,
                missing: None,
            });
        }
        let found = self.resolver.lookup_ip(name).await?;
        let mut answered = Answered {
            all: found.iter().collect(),
            ttl: left(found.valid_until()),
            missing: None,
        };
        let has = |kind: fn(&IpAddr) -> bool| found.iter().any(|address| kind(&address));
        let other = match (has(IpAddr::is_ipv4), has(IpAddr::is_ipv6)) {
            (true, false) => RecordType::AAAA,
            (false, true) => RecordType::A,
            _ => return Ok(answered),
        };
        // That there are none of the other kind is one thing, that it could not be asked for them another: servers would come and
        // go with it.
        let name = found.query().name().clone();
        let asked = timeout(OTHER_KIND, self.resolver.lookup(name.clone(), other)).await;
        let reason = match asked {
            Ok(Ok(more)) => {
                answered.ttl = answered.ttl.min(left(more.valid_until()));
                answered.all.extend(addresses_of(more.answers()));
                return Ok(answered);
            }
            Ok(Err(error)) if is_negative(&error) => return Ok(answered),
            Ok(Err(error)) => words(&error),
            Err(_) => format!("no answer in {OTHER_KIND:?}"),
        };
        answered.missing = Some(Missing {
            is_ipv6: other == RecordType::AAAA,
            reason: format!(
                "{} has addresses, but {other} records can't be asked for: {reason}",
                name.to_utf8().trim_end_matches('.')
            ),
        });
        Ok(answered)
    }

    /// What a name's SRV records offer. A target that doesn't exist offers nothing.
    async fn services(&self, name: Name) -> Result<Answered<Offer>, NetError> {
        let found = self.resolver.lookup(name, RecordType::SRV).await?;
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
            .map(|service| self.addresses(service.target.clone()));
        let mut offered = Answered {
            all: Vec::new(),
            ttl: left(found.valid_until()),
            missing: None,
        };
        for (service, target) in records.iter().zip(join_all(targets).await) {
            let target = match target {
                Ok(target) => target,
                Err(error) if is_negative(&error) => continue,
                Err(error) => return Err(error),
            };
            offered.ttl = offered.ttl.min(target.ttl);
            offered.missing = offered.missing.or(target.missing);
            offered
                .all
                .extend(target.all.into_iter().map(|address| Offer {
                    address: SocketAddr::new(address, service.port),
                    priority: service.priority,
                    weight: service.weight,
                }));
        }
        Ok(offered)
    }
}

fn addresses_of(records: &[Record]) -> Vec<IpAddr> {
    records
        .iter()
        .filter_map(|record| record.data.ip_addr())
        .collect()
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
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
