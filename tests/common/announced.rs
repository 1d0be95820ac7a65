//! A server that wants a PROXY header first: it takes the header, and passes everything else on to a server behind it.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::wait::{SOON, eventually};

/// What version 2 begins with.
pub const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// A server that expects PROXY headers.
pub struct Announced {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
}

/// A connection, as its header tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub raw: Vec<u8>,
    /// Whether anything came behind the header.
    pub used: bool,
}

impl Announced {
    /// Before the server at that address.
    pub fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told = Arc::<Mutex<Vec<Told>>>::default();
        let known = Arc::clone(&told);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let copy = stream.try_clone().unwrap();
                serve(stream, copy, behind, &known);
            }
        });
        Self { address, told }
    }

    /// The same, at a Unix socket.
    pub fn at(path: &Path, behind: SocketAddr) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let told = Arc::<Mutex<Vec<Told>>>::default();
        let known = Arc::clone(&told);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let copy: UnixStream = stream.try_clone().unwrap();
                serve(stream, copy, behind, &known);
            }
        });
        Self {
            address: behind,
            told,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of all connections so far.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().clone()
    }

    /// Of those on which something was said, once there are so many.
    #[track_caller]
    pub fn wait_used(&self, count: usize) -> Vec<Told> {
        eventually(SOON, || {
            let used: Vec<_> = self.told().into_iter().filter(|told| told.used).collect();
            if used.len() == count {
                Ok(used)
            } else {
                Err(format!("{count} wanted, there are {used:?}"))
            }
        })
    }
}

fn serve<S: Read + Write + Send + 'static>(
    mut near: S,
    mut back: S,
    behind: SocketAddr,
    told: &Arc<Mutex<Vec<Told>>>,
) {
    let told = Arc::clone(told);
    thread::spawn(move || {
        let Ok(raw) = header(&mut near) else { return };
        let at = {
            let mut told = told.lock();
            told.push(Told { raw, used: false });
            told.len() - 1
        };
        let mut first = [0; 16 * 1024];
        let count = near.read(&mut first).unwrap_or(0);
        if count == 0 {
            return;
        }
        told.lock()[at].used = true;
        let mut far = TcpStream::connect_timeout(&behind, Duration::from_secs(5)).unwrap();
        far.write_all(&first[..count]).unwrap();
        let mut from = far.try_clone().unwrap();
        let down = thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                if back.write_all(&buffer[..count]).is_err() {
                    return;
                }
                let _ = back.flush();
            }
        });
        let _ = io::copy(&mut near, &mut far);
        let _ = far.shutdown(Shutdown::Write);
        let _ = down.join();
    });
}

/// Reads a header of either version, and not a byte more.
fn header(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut raw = vec![0; 12];
    stream.read_exact(&mut raw)?;
    let mut take = |raw: &mut Vec<u8>, count: usize| {
        let from = raw.len();
        raw.resize(from + count, 0);
        stream.read_exact(&mut raw[from..])
    };
    if raw == SIGNATURE {
        take(&mut raw, 4)?;
        let length = u16::from_be_bytes([raw[14], raw[15]]);
        take(&mut raw, usize::from(length))?;
    } else {
        assert!(raw.starts_with(b"PROXY "), "no PROXY header: {raw:?}");
        while !raw.ends_with(b"\r\n") {
            take(&mut raw, 1)?;
        }
    }
    Ok(raw)
}

impl Told {
    /// The line of version 1.
    #[track_caller]
    pub fn line(&self) -> &str {
        std::str::from_utf8(&self.raw).unwrap().trim_end()
    }

    /// Whether it is LOCAL, or what version 1 says for it.
    pub fn is_local(&self) -> bool {
        self.raw == b"PROXY UNKNOWN\r\n"
            || (self.raw.starts_with(SIGNATURE) && self.raw[12] == 0x20)
    }

    /// Who is told of, by either version.
    #[track_caller]
    pub fn source(&self) -> SocketAddr {
        if !self.raw.starts_with(SIGNATURE) {
            let parts: Vec<_> = self.line().split(' ').collect();
            return SocketAddr::new(parts[2].parse().unwrap(), parts[4].parse().unwrap());
        }
        assert_eq!(self.raw[12], 0x21, "not PROXY: {self:?}");
        let at = |place: usize| u16::from_be_bytes([self.raw[place], self.raw[place + 1]]);
        match self.raw[13] {
            0x11 => {
                let ip: [u8; 4] = self.raw[16..20].try_into().unwrap();
                SocketAddr::from((Ipv4Addr::from(ip), at(24)))
            }
            0x21 => {
                let ip: [u8; 16] = self.raw[16..32].try_into().unwrap();
                SocketAddr::from((Ipv6Addr::from(ip), at(48)))
            }
            family => panic!("family {family:#x}: {self:?}"),
        }
    }

    /// Type and value of each TLV.
    pub fn tlvs(&self) -> Vec<(u8, Vec<u8>)> {
        let addresses = match self.raw[13] {
            0x11 => 12,
            0x21 => 36,
            0x31 => 216,
            _ => 0,
        };
        tlvs(&self.raw[16 + addresses..])
    }

    pub fn tlv(&self, kind: u8) -> Option<Vec<u8>> {
        let all = self.tlvs();
        all.into_iter()
            .find(|(found, _)| *found == kind)
            .map(|(_, value)| value)
    }
}

/// Type and value of each.
pub fn tlvs(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut all = Vec::new();
    while let [kind, high, low, rest @ ..] = bytes {
        let (value, behind) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
        all.push((*kind, value.to_vec()));
        bytes = behind;
    }
    all
}

/// A header of version 2: the command PROXY, that family, addresses and TLVs.
pub fn v2(command: u8, family: u8, addresses: &[u8], tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let mut content = addresses.to_vec();
    for (kind, value) in tlvs {
        content.push(*kind);
        content.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        content.extend_from_slice(value);
    }
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&SIGNATURE[..], &[command, family], &length, &content].concat()
}

/// The same for a client over IPv4 at 203.0.113.7:4321 that connected to 198.51.100.1:443.
pub fn v2_usual(tlvs: &[(u8, &[u8])]) -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 198, 51, 100, 1, 0x10, 0xe1, 0x01, 0xbb];
    v2(0x21, 0x11, &addresses, tlvs)
}
