//! SPEC section 8: what stands before a route's servers: limits of rate, passwords, addresses; and the copies that a
//! mirror makes behind them.

mod access;
mod mirror;
mod passwords;
mod rate_limit;

use nix::sys::signal::Signal;

use crate::common::*;

/// Reloads, and waits until that is done.
#[track_caller]
fn reload(lb: &Equipoise, yaml: &str) {
    let reloads = || lb.metrics().sum("equipoise_config_reloads_total", &[]);
    let before = reloads();
    lb.rewrite(yaml);
    lb.signal(Signal::SIGHUP);
    eventually(SOON, || reloads() > before);
}
