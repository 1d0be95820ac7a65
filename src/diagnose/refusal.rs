//! Finds out who refuses a connection: the machine itself, by a reset, or a firewall, by an ICMP message (`IP_RECVERR`, ip(7)).
//!
//! A kernel answers with a reset where nothing listens. Firewalls that reject send an ICMP message by default, and a client sees
//! the same error.

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt};
use socket2::{Domain, Socket, Type};

/// `SO_EE_ORIGIN_ICMP` and `SO_EE_ORIGIN_ICMP6` of linux/errqueue.h.
const BY_ICMP: [u8; 2] = [2, 3];

/// Room for a control message with an error and an address.
const ROOM: usize = 256;

/// How long an answer is waited for. A kernel sends so many such messages a second only (`icmp_ratelimit`, icmp(7)), so that it may
/// be the second try, a second later, which is answered.
const PATIENCE: Duration = Duration::from_secs(3);

/// Connects once more. Returns who has refused that by an ICMP message; `None`: nobody has, or it can't be told. Blocks meanwhile.
pub fn by_icmp(to: SocketAddr) -> Option<IpAddr> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).ok()?;
    match to {
        SocketAddr::V4(_) => setsockopt(&socket, Ipv4RecvErr, &true),
        SocketAddr::V6(_) => setsockopt(&socket, Ipv6RecvErr, &true),
    }
    .ok()?;
    socket.connect_timeout(&to.into(), PATIENCE).err()?;
    // The message comes with what it is about, which is of no interest here.
    let mut about = [0; 64];
    let mut slices = [IoSliceMut::new(&mut about)];
    let mut room = vec![0; ROOM];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message =
        recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut room), flags).ok()?;
    message.cmsgs().ok()?.find_map(|one| match one {
        ControlMessageOwned::Ipv4RecvErr(error, from) if BY_ICMP.contains(&error.ee_origin) => {
            from.map(|from| Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr)).into())
        }
        ControlMessageOwned::Ipv6RecvErr(error, from) if BY_ICMP.contains(&error.ee_origin) => {
            from.map(|from| Ipv6Addr::from(from.sin6_addr.s6_addr).into())
        }
        _ => None,
    })
}
