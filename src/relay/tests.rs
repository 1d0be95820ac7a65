use std::time::Duration;

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};

use super::*;

impl Wire for DuplexStream {
    fn has_failed(&self) -> bool {
        false
    }

    fn reset_at_close(&self) {}

    fn is_cut_off(&mut self, _: &mut Context<'_>) -> bool {
        false
    }
}

#[derive(Default)]
struct Counted {
    bytes_in: usize,
    bytes_out: usize,
}

impl Meter for Counted {
    fn note_in(&mut self, count: usize) {
        self.bytes_in += count;
    }

    fn note_out(&mut self, count: usize) {
        self.bytes_out += count;
    }
}

const PATIENT: model::Tcp = model::Tcp {
    idle_timeout: Duration::from_secs(60),
    half_close_timeout: Duration::from_secs(60),
};

/// What one end does: sends these pieces, ends its side, and reads the other's to its end.
pub async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    mut end: S,
    pieces: Vec<Vec<u8>>,
    read_at_once: usize,
) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(&mut end);
    let send = async {
        for piece in &pieces {
            writer.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        writer.shutdown().await.unwrap();
    };
    let fetch = async {
        let mut all = Vec::new();
        let mut buf = vec![0; read_at_once];
        loop {
            match reader.read(&mut buf).await.unwrap() {
                0 => return all,
                count => all.extend_from_slice(&buf[..count]),
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(send, fetch).1
}

fn pieces() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..3000), 0..12)
}

proptest! {
    /// Whatever the sizes of pieces, reads and sockets: both ends get what the other one sent, in order, whole, once.
    #[test]
    fn every_byte_arrives(
        up in pieces(), down in pieces(), near in 1usize..4000, far in 1usize..4000, reads in 1usize..5000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (end, heard, answered, counted) = runtime.block_on(async {
            let (client, mut client_side) = duplex(near);
            let (server, mut server_side) = duplex(far);
            let mut counted = Counted::default();
            let relayed = relay(&mut client_side, &mut server_side, &mut counted, &PATIENT);
            let (end, answered, heard) = tokio::join!(
                relayed, speak(client, up.clone(), reads), speak(server, down.clone(), reads)
            );
            (end, heard, answered, counted)
        });
        prop_assert_eq!(end, End::Complete);
        prop_assert_eq!(&heard, &up.concat());
        prop_assert_eq!(&answered, &down.concat());
        prop_assert_eq!((counted.bytes_in, counted.bytes_out), (heard.len(), answered.len()));
    }
}

#[tokio::test]
async fn silence_ends_it() {
    let (_client, mut client_side) = duplex(64);
    let (_server, mut server_side) = duplex(64);
    let limits = model::Tcp {
        idle_timeout: Duration::from_millis(50),
        ..PATIENT
    };
    let mut counted = Counted::default();
    let end = relay(&mut client_side, &mut server_side, &mut counted, &limits).await;
    assert_eq!(end, End::Idle);
}

#[tokio::test]
async fn silence_after_one_side_has_ended_has_a_limit_of_its_own() {
    let (mut client, mut client_side) = duplex(64);
    let (_server, mut server_side) = duplex(64);
    let limits = model::Tcp {
        half_close_timeout: Duration::from_millis(50),
        ..PATIENT
    };
    client.shutdown().await.unwrap();
    let mut counted = Counted::default();
    let end = relay(&mut client_side, &mut server_side, &mut counted, &limits).await;
    assert_eq!(end, End::HalfClosed);
}

/// Bytes in either direction keep it alive, each for the whole time anew.
#[tokio::test]
async fn a_byte_now_and_then_keeps_it_alive() {
    let (mut client, mut client_side) = duplex(64);
    let (mut server, mut server_side) = duplex(64);
    let limits = model::Tcp {
        idle_timeout: Duration::from_millis(400),
        ..PATIENT
    };
    let mut counted = Counted::default();
    let began = Instant::now();
    let talk = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            server.write_all(b".").await.unwrap();
            client.read_u8().await.unwrap();
        }
    };
    let relayed = relay(&mut client_side, &mut server_side, &mut counted, &limits);
    let (end, ()) = tokio::join!(relayed, talk);
    assert_eq!(end, End::Idle);
    assert!(began.elapsed() >= Duration::from_secs(1));
}

/// A server that closed both ways after its answer: what the client still sends is no failure.
#[tokio::test]
async fn a_server_that_has_said_all_may_leave() {
    let (mut client, mut client_side) = duplex(64);
    let (mut server, mut server_side) = duplex(64);
    server.write_all(b"bye").await.unwrap();
    drop(server);
    let mut counted = Counted::default();
    let relayed = relay(&mut client_side, &mut server_side, &mut counted, &PATIENT);
    let talk = async {
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        client.write_all(b"and another thing").await.unwrap();
        said
    };
    let (end, said) = tokio::join!(relayed, talk);
    assert_eq!((end, &*said), (End::ServerLeft, "bye"));
}

/// A client that left while the server still had something to say.
#[tokio::test]
async fn a_client_that_takes_nothing_more_has_broken_off() {
    let (client, mut client_side) = duplex(64);
    let (mut server, mut server_side) = duplex(1024);
    drop(client);
    server.write_all(&[7; 1000]).await.unwrap();
    let mut counted = Counted::default();
    let end = relay(&mut client_side, &mut server_side, &mut counted, &PATIENT).await;
    assert_eq!(end, End::ClientGone);
}

/// Memory is held only for what the far end can't take, and none once it has.
#[tokio::test]
async fn nothing_is_held_while_nothing_flows() {
    let (mut client, mut client_side) = duplex(4096);
    let (mut server, mut server_side) = duplex(16);
    let mut relay = Relay::new(Vec::new(), &PATIENT, Instant::now());
    let mut counted = Counted::default();
    let mut timer = std::pin::pin!(tokio::time::sleep(PATIENT.idle_timeout));
    let mut turn = |relay: &mut Relay<'_>, counted: &mut Counted| {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut scratch = take_scratch();
        let polled = relay.poll(
            &mut cx,
            &mut client_side,
            &mut server_side,
            counted,
            timer.as_mut(),
            &mut scratch,
        );
        assert!(polled.is_pending());
    };
    client.write_all(&[1; 1000]).await.unwrap();
    turn(&mut relay, &mut counted);
    assert!(!relay.up.is_reading());
    let mut got = vec![0; 1000];
    let mut filled = 0;
    while filled < 1000 {
        filled += server.read(&mut got[filled..]).await.unwrap();
        turn(&mut relay, &mut counted);
    }
    assert!(relay.up.is_reading());
    assert_eq!((relay.up.held(), relay.down.held()), (0, 0));
}
