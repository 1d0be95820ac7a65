use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;

use super::*;
use crate::observe::access_log::FIELDS;
use crate::observe::labels::{PersistenceResult, Termination};

fn line(format: &Format, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    format.write(&mut out, record, &mut Stamp::default());
    String::from_utf8(out).expect("UTF-8")
}

fn template(text: &str) -> Format {
    Format::Template(Template::parse(text).expect("a valid template"))
}

fn empty() -> Record<'static> {
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    Record::new(
        UNIX_EPOCH + Duration::from_millis(971_186_136_042),
        client,
        client,
        "web",
    )
}

fn full() -> Record<'static> {
    Record {
        peer: IpAddr::V6(Ipv6Addr::LOCALHOST),
        method: Some(b"GET"),
        host: Some(b"example.com"),
        path: Some(b"/p"),
        query: Some(b"q=1"),
        protocol: Some("HTTP/1.1"),
        status: Some(200),
        bytes_in: 5,
        bytes_out: 123,
        duration: Duration::from_micros(12_345),
        upstream_duration: Some(Duration::from_millis(10)),
        route: Some("1"),
        pool: Some("app"),
        server: Some("a"),
        server_address: Some("127.0.0.1:8001"),
        attempts: 1,
        persistence: Some(PersistenceResult::Hit),
        request_id: Some("id"),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        referer: Some(b"http://example.com/"),
        user_agent: Some(b"curl/8"),
        x_forwarded_for: Some(b"198.51.100.1"),
        tls_version: Some("TLSv1.3"),
        tls_cipher: Some("TLS_AES_128_GCM_SHA256"),
        sni: Some(b"example.com"),
        termination: Termination::Complete,
        ..empty()
    }
}

#[test]
fn combined_is_apaches() {
    assert_eq!(
        line(&Format::Combined, &full()),
        r#"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "GET /p?q=1 HTTP/1.1" 200 123 "http://example.com/" "curl/8""#
    );
    assert_eq!(
        line(&Format::Combined, &empty()),
        r#"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "-" 000 - "-" "-""#
    );
}

#[test]
fn combined_lets_nobody_out_of_a_field() {
    let forged = Record {
        path: Some(b"/a b\r\n"),
        query: Some(b"\"\\"),
        user_agent: Some(b"x\" 200 \"\n192.0.2.8 - - \xff"),
        ..full()
    };
    assert_eq!(
        line(&Format::Combined, &forged),
        concat!(
            r#"192.0.2.7 - - [10/Oct/2000:13:55:36 +0000] "GET /a b\x0D\x0A?\x22\x5C HTTP/1.1" 200 123 "#,
            r#""http://example.com/" "x\x22 200 \x22\x0A192.0.2.8 - - \xFF""#
        )
    );
}

#[test]
fn json_has_every_field_in_order() {
    let written = line(&Format::Json, &full());
    assert_eq!(
        written,
        concat!(
            r#"{"time":"2000-10-10T13:55:36.042Z","client":"192.0.2.7","peer":"::1","method":"GET","#,
            r#""host":"example.com","path":"/p","query":"q=1","protocol":"HTTP/1.1","status":200,"bytes_in":5,"#,
            r#""bytes_out":123,"duration":0.012345,"upstream_duration":0.010000,"listener":"web","route":"1","#,
            r#""pool":"app","server":"a","server_address":"127.0.0.1:8001","attempts":1,"persistence":"hit","#,
            r#""request_id":"id","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
            r#""referer":"http://example.com/","user_agent":"curl/8","x_forwarded_for":"198.51.100.1","#,
            r#""tls_version":"TLSv1.3","tls_cipher":"TLS_AES_128_GCM_SHA256","sni":"example.com","#,
            r#""termination":"complete"}"#
        )
    );
    let object: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&written).expect("JSON");
    assert_eq!(object.len(), FIELDS.len());
}

#[test]
fn json_leaves_out_what_is_absent() {
    assert_eq!(
        line(&Format::Json, &empty()),
        concat!(
            r#"{"time":"2000-10-10T13:55:36.042Z","client":"192.0.2.7","peer":"192.0.2.7","bytes_in":0,"#,
            r#""bytes_out":0,"duration":0.000000,"listener":"web","attempts":0,"termination":"complete"}"#
        )
    );
}

#[test]
fn templates_take_every_field() {
    let format =
        template("%{client} \"%{method} %{path}\" %{duration}s %{time} 100%% %{termination}");
    assert_eq!(
        line(&format, &full()),
        "192.0.2.7 \"GET /p\" 0.012345s 2000-10-10T13:55:36.042Z 100% complete"
    );
    for name in FIELDS {
        let format = template(&format!("[%{{{name}}}]"));
        assert_ne!(line(&format, &full()), "[-]", "{name}");
    }
    assert_eq!(
        line(&template("%{status} %{pool} %{bytes_out}"), &empty()),
        "- - 0"
    );
}

proptest! {
    #[test]
    fn no_bytes_of_a_client_break_a_line(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        status in prop::option::of(100u16..600),
    ) {
        let sent = Some(bytes.as_slice());
        let record = Record {
            method: sent,
            host: sent,
            path: sent,
            query: sent,
            status,
            referer: sent,
            user_agent: sent,
            x_forwarded_for: sent,
            sni: sent,
            ..empty()
        };
        let combined = line(&Format::Combined, &record);
        prop_assert_eq!(combined.matches('"').count(), 6);
        prop_assert!(combined.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let quoted = FIELDS.iter().map(|name| format!("\"%{{{name}}}\""));
        let all = quoted.collect::<Vec<_>>().join(" ");
        let templated = line(&template(&all), &record);
        prop_assert_eq!(templated.matches('"').count(), 2 * FIELDS.len());
        prop_assert!(templated.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let json = line(&Format::Json, &record);
        prop_assert!(!json.chars().any(char::is_control));
        let object: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        prop_assert_eq!(object["user_agent"].as_str(), Some(&*String::from_utf8_lossy(&bytes)));
        prop_assert_eq!(&object["termination"], "complete");
    }
}
