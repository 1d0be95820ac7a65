//! Pingora's errors that are for want of something of ours.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;

use pingora::Error;

use crate::shortage::Shortage;

/// What was missing here, if that is why a connection to a server, at `to` if that is known, was not made or broke.
pub fn own_shortage(error: &Error, to: Option<SocketAddr>) -> Option<Shortage> {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error.root_cause());
    while let Some(error) = cause {
        if let Some(shortage) = error.downcast_ref::<Shortage>() {
            return Some(*shortage);
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Shortage::of(error, to);
        }
        cause = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;
    use pingora::ErrorType;

    use super::*;

    #[test]
    fn the_systems_error_is_found_below_pingoras() {
        let caused_by = |errno: Errno| {
            let system = io::Error::from_raw_os_error(errno as i32);
            let socket = Error::because(ErrorType::SocketError, "failed to create socket", system);
            Error::because(ErrorType::InternalError, "Fail to connect", socket)
        };
        assert_eq!(
            own_shortage(&caused_by(Errno::EMFILE), None),
            Some(Shortage::Descriptors)
        );
        assert_eq!(own_shortage(&caused_by(Errno::ECONNREFUSED), None), None);
        assert_eq!(
            own_shortage(&Error::new(ErrorType::ConnectTimedout), None),
            None
        );
        let ours = Error::because(ErrorType::ConnectError, "", Shortage::Memory);
        assert_eq!(own_shortage(&ours, None), Some(Shortage::Memory));
    }
}
