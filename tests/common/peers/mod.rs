//! Servers and clients that nobody here wrote, from the distribution's packages.

mod apache;
mod chromium;
mod dnsmasq;
mod flask;
mod grpc;
mod haproxy;
mod nghttpd;
mod nginx;
mod page;
mod pebble;
mod process;
mod redis;
mod tomcat;

pub use apache::Apache;
pub use chromium::Chromium;
pub use dnsmasq::Dnsmasq;
pub use flask::Flask;
pub use grpc::{GrpcClient, GrpcServer};
pub use haproxy::Haproxy;
pub use nghttpd::Nghttpd;
pub use nginx::Nginx;
pub use page::Page;
pub use pebble::{Authority, Pebble};
pub use process::{Peer, Ready, program, run};
pub use redis::Redis;
pub use tomcat::{Tomcat, Tomcats};
