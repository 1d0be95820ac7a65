//! What is known of a pool's servers, so that another process goes on with it: health, slow start, turns, counts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::gate::Checked;
use super::server::{CheckResult, LastCheck};
use super::{Admission, Pool, Resolution, Server, State};
use crate::balance::Progress;

/// A pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolState {
    /// Its name.
    pub name: String,
    /// How its servers' turns came about: they mean nothing to another algorithm.
    algorithm: String,
    servers: Vec<ServerState>,
}

/// A server. Times in milliseconds; moments since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ServerState {
    name: String,
    address: String,
    checked: CheckedWord,
    reason: String,
    since: u64,
    /// The addresses of its name, the one in use first.
    addresses: Vec<SocketAddr>,
    ejection: Option<Ejected>,
    /// Since when its weight grows.
    growing_for: Option<u64>,
    is_cold: bool,
    last_check: Option<Check>,
    requests: u64,
    latency_us: u64,
    current: i64,
    earned_with: u32,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CheckedWord {
    Unknown,
    Up,
    Down,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Ejected {
    reason: String,
    left: u64,
    lasts: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Check {
    /// `None`: it could not be made.
    passed: Option<bool>,
    reason: String,
    at: u64,
    took: u64,
}

impl Pool {
    /// What is known of its servers.
    pub fn known_state(&self, now: Instant) -> PoolState {
        let servers = self.servers();
        let slots: Vec<_> = servers.iter().map(|server| server.slot()).collect();
        let mut state = self.state.lock();
        let turns = state.selector.turns(&slots);
        let servers = servers
            .iter()
            .zip(turns)
            .map(|(server, turn)| server_state(&state, server, turn, now));
        PoolState {
            name: self.name.to_string(),
            algorithm: self.settings.load().algorithm.name().to_owned(),
            servers: servers.collect(),
        }
    }

    /// Goes on with what another process knew. What is configured otherwise by now isn't touched.
    pub fn inherit(self: &Arc<Self>, known: &PoolState, now: Instant) {
        let servers = self.servers();
        let settings = self.settings.load_full();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let mut turns = Vec::new();
        for server in servers.iter() {
            let is_it = |known: &&ServerState| {
                known.name == **server.name()
                    && known.address == server.configured_address().to_string()
            };
            let Some(known) = known.servers.iter().find(is_it) else {
                // It comes to a pool that is at work.
                server.set_cold();
                continue;
            };
            turns.push((
                server.slot(),
                Progress {
                    current: known.current,
                    weight: known.earned_with,
                },
            ));
            self.inherit_gate(state, server, known, settings.health_check.is_some(), now);
            if let Some(growing_for) = known.growing_for
                && server.admission() == Admission::Up
                && !settings.slow_start.is_zero()
            {
                let since = now.checked_sub(Duration::from_millis(growing_for));
                state.ramps.start(server.slot(), since.unwrap_or(now));
                self.ramping.store(true, Ordering::Relaxed);
            }
            if known.is_cold {
                server.set_cold();
            }
            server.inherit(
                known.requests,
                known.latency_us,
                known.last_check.as_ref().map(Check::heard),
            );
        }
        if known.algorithm == settings.algorithm.name() {
            state.selector.take_turns(&turns);
        }
        drop(guard);
        self.advance_slow_start(now);
    }

    fn inherit_gate(
        &self,
        state: &mut State,
        server: &Arc<Server>,
        known: &ServerState,
        is_checked: bool,
        now: Instant,
    ) {
        let since = moment(known.since);
        if !known.addresses.is_empty() && server.addresses().is_none() {
            server.resolve_to(&known.addresses);
            self.write_gate(state, server, false, |gate, _| {
                gate.set_resolution(Resolution::Resolved, String::new(), since)
            });
        }
        let checked = match known.checked {
            CheckedWord::Unknown => None,
            CheckedWord::Up => Some(Checked::Up),
            CheckedWord::Down => Some(Checked::Down),
        };
        if let Some(checked) = checked.filter(|_| is_checked) {
            let reason = known.reason.clone();
            self.write_gate(state, server, checked == Checked::Down, |gate, _| {
                gate.set_checked(checked, reason, since)
            });
        }
        if let Some(ejected) = &known.ejection
            && self.watches_traffic.load(Ordering::Relaxed)
        {
            let until = now + Duration::from_millis(ejected.left);
            server
                .traffic()
                .inherit_ejection(until, Duration::from_millis(ejected.lasts));
            let reason = ejected.reason.clone();
            self.write_gate(state, server, true, |gate, _| {
                gate.set_ejected(Some(reason), since)
            });
        }
        let gate = server.gate();
        server
            .metrics()
            .set_state(server.state(), gate.is_healthy(), gate.since());
    }
}

fn server_state(state: &State, server: &Server, turn: Progress, now: Instant) -> ServerState {
    let gate = server.gate();
    let ejection = server.traffic().ejection(now).zip(gate.ejection());
    let addresses = server.addresses();
    ServerState {
        name: server.name().to_string(),
        address: server.configured_address().to_string(),
        checked: match gate.checked() {
            Checked::Unknown => CheckedWord::Unknown,
            Checked::Up => CheckedWord::Up,
            Checked::Down => CheckedWord::Down,
        },
        reason: gate.check_reason().to_owned(),
        since: millis_of(gate.since()),
        addresses: addresses.map_or_else(Vec::new, |addresses| {
            let all = addresses.in_order();
            all.filter_map(|one| one.endpoint().inet()).collect()
        }),
        ejection: ejection.map(|((left, lasts), reason)| Ejected {
            reason: reason.to_owned(),
            left: millis(left),
            lasts: millis(lasts),
        }),
        growing_for: state.ramps.elapsed(server.slot(), now).map(millis),
        is_cold: server.is_cold(),
        last_check: server.last_check().map(|check| Check::of(&check)),
        requests: server.requests(),
        latency_us: u64::try_from(server.latency().as_micros()).unwrap_or(u64::MAX),
        current: turn.current,
        earned_with: turn.weight,
    }
}

impl Check {
    fn of(check: &LastCheck) -> Self {
        Self {
            passed: check.result.verdict(),
            reason: check.reason.clone(),
            at: millis_of(check.at),
            took: millis(check.duration),
        }
    }

    fn heard(&self) -> LastCheck {
        LastCheck {
            result: match self.passed {
                Some(true) => CheckResult::Success,
                Some(false) => CheckResult::Failure,
                None => CheckResult::NotMade,
            },
            reason: self.reason.clone(),
            at: moment(self.at),
            duration: Duration::from_millis(self.took),
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn millis_of(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

fn moment(millis: u64) -> SystemTime {
    let moment = UNIX_EPOCH.checked_add(Duration::from_millis(millis));
    moment.unwrap_or(UNIX_EPOCH)
}
