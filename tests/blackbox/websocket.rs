//! SPEC section 8: WebSocket and other protocols that HTTP/1.1 is switched to. Bytes pass unchanged and both ends are
//! kept apart.

mod framing;
mod library;
mod refused;
mod tunnel;

use tokio::io::AsyncWriteExt;

use crate::common::served::{Head, Served};
use crate::common::*;

const SWITCHING: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

pub const ASK: &str =
    "GET /tunnel HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";

/// A server that switches protocols and hands its end of the tunnel to `play`, with what came along with the request.
pub fn tunnelling<F>(
    play: impl Fn(tokio::net::TcpStream, Vec<u8>) -> F + Clone + Send + Sync + 'static,
) -> Served
where
    F: Future<Output = std::io::Result<()>> + Send + 'static,
{
    Served::by(move |mut stream| {
        let play = play.clone();
        async move {
            let Some(head) = Head::read(&mut stream, Vec::new()).await? else {
                return Ok(());
            };
            stream.write_all(SWITCHING).await?;
            play(stream, head.rest).await
        }
    })
}

fn before(server: &Served) -> Setup {
    Setup::new().server_at("a", &server.address().to_string(), "")
}

/// A client whose protocol is switched.
#[track_caller]
fn switched(lb: &Equipoise) -> Client {
    let mut client = lb.client();
    client.set_timeout(SOON);
    client.send(ASK).unwrap();
    assert_eq!(client.read_head().unwrap().status, 101);
    client
}
