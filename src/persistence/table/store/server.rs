//! A real redis-server for tests, of their own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running redis-server; ends with the value.
pub(super) struct Server {
    child: Child,
    pub(super) directory: tempfile::TempDir,
    pub(super) port: u16,
    options: Vec<String>,
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    /// On a TCP port and on a socket, with more options.
    pub(super) async fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let options: Vec<_> = options.iter().map(ToString::to_string).collect();
        let child = spawn(directory.path(), port, &options);
        let server = Self {
            child,
            directory,
            port,
            options,
        };
        server.answers().await;
        server
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(super) fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub(super) fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, empty, at the same place.
    pub(super) async fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.directory.path(), self.port, &self.options);
        self.answers().await;
    }

    /// A connection of the test's own.
    pub(super) async fn client(&self) -> redis::aio::MultiplexedConnection {
        let url = format!("unix://{}", self.socket().display());
        let client = redis::Client::open(url).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    async fn answers(&self) {
        let socket = self.socket();
        until("redis-server listens", || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok()
        })
        .await;
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(directory: &Path, port: u16, options: &[String]) -> Child {
    // A plain port unless TLS has it.
    let plain = if options.iter().any(|option| option == "--tls-cert-file") {
        ["--port", "0", "--tls-port"].as_slice()
    } else {
        ["--port"].as_slice()
    };
    Command::new("redis-server")
        .args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"])
        .args(plain)
        .arg(port.to_string())
        .args(["--unixsocket", "redis.sock"])
        .args(options)
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

/// Polls until it holds; ten seconds at most.
pub(super) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    until_async(what, async || holds()).await;
}

/// Polls until it holds; ten seconds at most.
pub(super) async fn until_async(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < limit, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
