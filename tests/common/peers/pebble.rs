//! Pebble, the ACME server for tests, and the DNS server that it asks: every name is 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::process::{Peer, Ready, program, run, self_signed};
use crate::common::temp::{ReservedPort, TempDir};
use crate::common::wait::SOON;

pub struct Pebble {
    peer: Peer,
    /// Kept for as long as Pebble may ask it.
    _names: Names,
    management: ReservedPort,
}

impl std::ops::Deref for Pebble {
    type Target = Peer;
    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl std::ops::DerefMut for Pebble {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

/// What a test wants of Pebble.
pub struct Authority {
    port: u16,
    validity: Option<Duration>,
    keys: Vec<(String, String)>,
    look_after: Option<u32>,
}

impl Authority {
    /// One that looks for answers at this port of every name, whatever the challenge.
    pub fn asking_at(port: &ReservedPort) -> Self {
        Self {
            port: port.port(),
            validity: None,
            keys: Vec::new(),
            look_after: None,
        }
    }

    /// Certificates are valid for this long.
    #[must_use]
    pub fn validity(mut self, validity: Duration) -> Self {
        self.validity = Some(validity);
        self
    }

    /// Accounts must be bound to one of these: a key's id, and the key in base64url.
    #[must_use]
    pub fn external_account(mut self, id: &str, key: &str) -> Self {
        self.keys.push((id.to_owned(), key.to_owned()));
        self
    }

    /// Waits up to so many seconds before it looks at an answer.
    #[must_use]
    pub fn slow(mut self, seconds: u32) -> Self {
        self.look_after = Some(seconds);
        self
    }

    #[track_caller]
    pub fn start(self) -> Pebble {
        let dir = TempDir::new("pebble");
        self_signed(&dir);
        let (port, management) = (ReservedPort::new(), ReservedPort::new());
        let names = Names::start();
        let mut settings = serde_json::json!({
            "listenAddress": port.address().to_string(),
            "managementListenAddress": management.address().to_string(),
            "certificate": dir.path().join("cert.pem"),
            "privateKey": dir.path().join("key.pem"),
            "httpPort": self.port,
            "tlsPort": self.port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": !self.keys.is_empty(),
        });
        if let Some(validity) = self.validity {
            settings["certificateValidityPeriod"] = validity.as_secs().into();
        }
        for (id, key) in &self.keys {
            settings["externalAccountMACKeys"][id] = key.as_str().into();
        }
        let settings = serde_json::json!({ "pebble": settings }).to_string();
        let config = dir.write("pebble.json", &settings);
        let mut command = Command::new(program("pebble"));
        command
            .arg("-config")
            .arg(config)
            .arg("-strict")
            .arg("-dnsserver")
            .arg(names.address.to_string())
            // Every order is validated anew, and none fails by chance.
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", "0")
            .env("PEBBLE_VA_ALWAYS_VALID", "0");
        match self.look_after {
            Some(seconds) => command.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
            None => command.env("PEBBLE_VA_NOSLEEP", "1"),
        };
        Pebble {
            peer: Peer::start_when(Ready::Accepts, dir, port, command, SOON),
            _names: names,
            management,
        }
    }
}

impl Pebble {
    /// Its directory's URL.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.address().port())
    }

    /// What its own server is verified by.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("cert.pem")
    }

    /// A file with the root of what it issues.
    #[track_caller]
    pub fn root(&self) -> PathBuf {
        let url = format!("https://{}/roots/0", self.management.address());
        let root = run("curl", &["--silent", "--fail", "--insecure", &url]);
        self.dir.write("root.pem", &root)
    }

    /// How many orders it was given.
    pub fn orders(&self) -> usize {
        self.lines("Added order ")
    }

    /// How many certificates it has issued.
    pub fn issued(&self) -> usize {
        self.lines("Issued certificate serial ")
    }

    /// How many accounts were made.
    pub fn accounts(&self) -> usize {
        self.lines(" accounts in memory")
    }

    fn lines(&self, with: &str) -> usize {
        self.output()
            .lines()
            .filter(|line| line.contains(with))
            .count()
    }
}

/// A DNS server that knows one address and gives it to everybody.
struct Names {
    address: SocketAddr,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Names {
    fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let thread = std::thread::spawn(move || {
            let mut query = [0; 512];
            while !ended.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut query)
                    && let Some(answer) = resolve(&query[..length])
                {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self {
            address,
            end,
            thread: Some(thread),
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a query with one question (RFC 1035 section 4): 127.0.0.1 for an address, nothing for the rest.
fn resolve(query: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name = query.get(HEADER..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(HEADER..HEADER + name + 5)?;
    let address = question[name + 1..name + 3] == [0, 1];
    let mut answer = query[..2].to_vec();
    // A response, recursion available; one question, an answer or none.
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(address), 0, 0, 0, 0]);
    answer.extend(question);
    if address {
        // The name of the question, A, IN, for a second.
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
