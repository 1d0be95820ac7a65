//! `conf/tcp.yaml`, run as it is but for its addresses and certificate.

use super::*;

#[test]
fn the_shipped_file_does_what_it_says() {
    let pki = Pki::new();
    let leaf = pki.leaf(&["cache.example.com"]);
    let backends = ["db1", "db2", "standby", "cache1", "cache2"].map(Backend::start);
    let [db1, db2, standby, cache1, cache2] = &backends;
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/tcp.yaml");
    let mut text = std::fs::read_to_string(path)
        .unwrap()
        .replace("0.0.0.0:5432", "127.0.0.1:0")
        .replace("0.0.0.0:6380", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0")
        .replace("tls/example.pem", &leaf.cert.display().to_string())
        .replace("tls/example.key", &leaf.key.display().to_string())
        // What is accepted in this test is a client's.
        .replace("type: tcp, interval: 2s", "type: tcp, interval: 1h");
    for (written, backend) in [
        ("127.0.0.1:5433", db1),
        ("127.0.0.1:5434", db2),
        ("127.0.0.1:5435", standby),
        ("127.0.0.1:6379", cache1),
        ("127.0.0.1:6378", cache2),
    ] {
        text = text.replace(written, &backend.address().to_string());
    }
    let lb = Equipoise::start(&text);
    for server in ["db1", "db2", "standby"] {
        lb.wait_state("database", server, "up");
    }
    for backend in [db1, db2, standby] {
        backend.came();
    }
    // By count: one each, and the standby none.
    let to =
        |listener: &str| patient(TcpStream::connect_timeout(&lb.address(listener), SOON).unwrap());
    // One after the other: two that come at once are served at once.
    let (first, of_first) = (to("database"), db1.accept());
    let (second, of_second) = (to("database"), db2.accept());
    assert!(standby.try_accept().is_none());
    say(&first, b"one");
    hears(&of_first, b"one");
    drop((second, of_second));
    // What is inside TLS, and sessions by address.
    let mut heard = Vec::new();
    for n in 0..3u8 {
        let mut client = Tls::new(&pki, "cache.example.com").connect(lb.address("cache"));
        client.send([b'P', n]).unwrap();
        // Checks connect, too, and say nothing.
        let said = |backend: &Backend| {
            let mut said = [0; 2];
            backend.try_accept()?.read_exact(&mut said).ok()?;
            Some(said)
        };
        let (said, name) = eventually(SOON, || {
            let first = said(cache1).map(|said| (said, "cache1"));
            first.or_else(|| said(cache2).map(|said| (said, "cache2")))
        });
        assert_eq!(said, [b'P', n]);
        heard.push(name);
    }
    assert_eq!(heard, ["cache1"; 3]);
}
