//! Requests that the demo sends to itself, so that the dashboard has something to show.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::MissedTickBehavior;

/// How long one request may take before it is given up.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends `rate` requests a second to `address`, in a thread of its own, until the process ends.
///
/// # Errors
/// When no thread is to be had.
pub fn start(address: SocketAddr, rate: u32) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("demo-load".to_owned())
        .spawn(move || runtime.block_on(send(address, rate)))?;
    Ok(())
}

async fn send(address: SocketAddr, rate: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        tokio::spawn(async move {
            // It is scenery: a request that fails shows on the dashboard, not here.
            let _ = tokio::time::timeout(TIMEOUT, request(address)).await;
        });
    }
}

async fn request(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(b"GET /load HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")
        .await?;
    let mut response = [0; 4096];
    while stream.read(&mut response).await? > 0 {}
    Ok(())
}
