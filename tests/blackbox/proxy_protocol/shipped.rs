//! `conf/proxy-protocol.yaml`, run as it is but for its addresses.

use super::*;

#[test]
fn the_shipped_file_does_what_it_says() {
    let origin = Origin::start("a");
    let mail = Announced::before(origin.address());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/proxy-protocol.yaml");
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("0.0.0.0:2525", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0")
        .replace("127.0.0.1:8081", &origin.address().to_string())
        .replace("127.0.0.1:8082", &mail.address().to_string());
    let lb = Equipoise::start(&text);
    for server in [("app", "app1"), ("mail", "mail1")] {
        lb.wait_state(server.0, server.1, "up");
    }
    let mut client = saying(lb.web(), LINE);
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    assert_eq!(
        origin.last_request().header("x-forwarded-for"),
        Some(CLIENT)
    );
    let mut client = saying(lb.address("smtp"), LINE);
    assert_eq!(client.get("/", &[]).unwrap().status, 200);
    let told = mail.wait_used(1).remove(0);
    assert_eq!(told.source().to_string(), format!("{CLIENT}:4321"));
}
