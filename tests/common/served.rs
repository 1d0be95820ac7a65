//! A server of thousands of connections: each is a task of what a test makes of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// It serves as long as this lives.
pub struct Served {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Served {
    /// Serves each connection by `serve`. Its errors end the connection and nothing else.
    pub fn by<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let runtime = runtime();
        let listener = runtime
            .block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
            .unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve(stream));
            }
        });
        Self {
            address,
            runtime: Some(runtime),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a test's own tasks run on.
pub fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// A request's header section and what came with it.
pub struct Head {
    pub text: String,
    /// The beginning of what follows it.
    pub rest: Vec<u8>,
}

impl Head {
    /// Reads one; `None` at the end of the connection. `pending` was read before.
    pub async fn read(
        stream: &mut (impl AsyncRead + Unpin),
        pending: Vec<u8>,
    ) -> io::Result<Option<Self>> {
        let mut all = pending;
        loop {
            if let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") {
                let rest = all.split_off(end + 4);
                return Ok(Some(Self {
                    text: String::from_utf8_lossy(&all).into_owned(),
                    rest,
                }));
            }
            if stream.read_buf(&mut all).await? == 0 {
                return Ok(None);
            }
        }
    }

    pub fn method(&self) -> &str {
        self.text.split(' ').next().unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.text.split(' ').nth(1).unwrap_or_default()
    }

    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.text.split("\r\n").skip(1).find_map(|line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn length(&self) -> u64 {
        self.header("content-length")
            .map_or(0, |length| length.parse().unwrap())
    }
}

/// Reads so many bytes, and throws them away.
pub async fn swallow(stream: &mut (impl AsyncRead + Unpin), mut bytes: u64) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    while bytes > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(bytes).unwrap_or(usize::MAX));
        match stream.read(&mut buffer[..most]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => bytes -= read as u64,
        }
    }
    Ok(())
}

/// Writes so many bytes of nothing in particular.
pub async fn pour(stream: &mut (impl AsyncWrite + Unpin), mut bytes: u64) -> io::Result<()> {
    let buffer = vec![b'x'; 256 * 1024];
    while bytes > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(bytes).unwrap_or(usize::MAX));
        stream.write_all(&buffer[..most]).await?;
        bytes -= most as u64;
    }
    Ok(())
}
