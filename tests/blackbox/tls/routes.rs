//! What routes know of TLS.

use super::{NAME, certificates, secured};
use crate::common::{Origin, Pki, Tls};

#[test]
fn a_route_can_tell_servers_and_clients_of_the_handshake() {
    let (pki, origin) = (Pki::new(), Origin::start("a"));
    let site = pki.leaf(&[NAME]);
    let lb = secured(&[&origin], &certificates(&[&site]))
        .listener(
            "routes:
- match: {host: lb.example.com, path_prefix: /app}
  request_headers:
    set: {X-Tls: \"${tls_version} ${tls_cipher} ${sni}\", X-Came-To: \"${scheme} ${host} ${port}\"}
  response_headers:
    set: {X-Cipher: \"${tls_cipher}\"}",
        )
        .start();
    let port = lb.web().port();

    let mut client = Tls::new(&pki, NAME).connect(lb.web());
    let cipher = client.ssl().current_cipher().unwrap().name().to_owned();
    // What clients say of it is replaced.
    let claimed = [("Host", NAME), ("X-Tls", "none"), ("X-Came-To", "nowhere")];
    let answer = client.get("/app/x", &claimed).unwrap();
    let request = origin.last_request();
    assert_eq!(
        request.headers_of("X-Tls"),
        [format!("TLSv1.3 {cipher} {NAME}")]
    );
    assert_eq!(
        request.headers_of("X-Came-To"),
        [format!("https {NAME} {port}")]
    );
    assert_eq!(answer.headers_of("X-Cipher"), [cipher.as_str()]);

    // Without a name the route is found by Host, and there is no name to tell.
    let mut client = Tls::new(&pki, NAME).without_name().connect(lb.web());
    client.get("/app/x", &[("Host", NAME)]).unwrap();
    let told = origin.last_request();
    let wanted = format!("TLSv1.3 {cipher}");
    assert_eq!(told.header("X-Tls").map(str::trim_end), Some(&*wanted));
}
