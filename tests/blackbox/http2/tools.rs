//! Clients that nobody here wrote.

use super::one;
use crate::common::peers::run;
use crate::common::*;

#[test]
fn curl_speaks_http_2_with_prior_knowledge() {
    let (origin, lb) = one();
    let url = format!("http://{}/path?query", lb.web());
    let format = "%{http_version} %{response_code} %{num_connects}";
    let said = run(
        "curl",
        &[
            "-sS",
            "--http2-prior-knowledge",
            "-o",
            "/dev/null",
            "-w",
            format,
            &url,
        ],
    );
    assert_eq!(said, "2 200 1");
    assert_eq!(origin.last_request().target, "/path?query");
    // Without prior knowledge it asks for an upgrade, and goes on with HTTP/1.1.
    let said = run(
        "curl",
        &["-sS", "--http2", "-o", "/dev/null", "-w", format, &url],
    );
    assert_eq!(said, "1.1 200 1");
    let big = lb.dir().join("big");
    std::fs::write(&big, vec![b'x'; 5_000_000]).unwrap();
    let file = format!("@{}", big.display());
    run(
        "curl",
        &[
            "-sS",
            "-f",
            "--http2-prior-knowledge",
            "--data-binary",
            &file,
            &url,
        ],
    );
    assert_eq!(origin.last_request().body.len(), 5_000_000);
}

#[test]
fn curl_gets_the_answer_to_an_upload_that_is_too_large() {
    let origin = Origin::start("a");
    let lb = Setup::of([&origin])
        .listener("http: {max_body_size: 1000}")
        .start();
    let big = lb.dir().join("big");
    std::fs::write(&big, vec![b'x'; 5_000_000]).unwrap();
    let upload = [
        "-sS",
        "--http2-prior-knowledge",
        "-o",
        "/dev/null",
        "-w",
        "%{response_code}",
        "-H",
        "Expect:",
        "-X",
        "POST",
        "-T",
    ];
    let (file, url) = (big.display().to_string(), format!("http://{}/", lb.web()));
    // Declared, and found out on the way.
    for more in [&[&*file, &url][..], &[&file, "-H", "Content-Length:", &url]] {
        assert_eq!(run("curl", &[&upload[..], more].concat()), "413");
    }
}

#[test]
fn nghttp_finds_nothing_wrong() {
    let (_origin, lb) = one();
    let url = format!("http://{}/", lb.web());
    let said = run("nghttp", &["-v", "-m", "5", &url]);
    assert_eq!(said.matches(":status: 200").count(), 5, "{said}");
    assert!(!said.contains("error_code=PROTOCOL_ERROR"), "{said}");
    assert!(!said.contains("RST_STREAM"), "{said}");
}

#[test]
fn h2load_sees_no_failed_request() {
    let origins = ["a", "b"].map(Origin::start);
    origins.iter().for_each(Origin::quiet);
    let lb = Setup::of(&origins).start();
    let url = format!("http://{}/", lb.web());
    let said = run("h2load", &["-n4000", "-c4", "-m20", &url]);
    assert!(
        said.contains(" 4000 succeeded, 0 failed, 0 errored"),
        "{said}"
    );
    lb.wait_idle();
    let metrics = lb.metrics();
    for server in ["a", "b"] {
        let labels = [("server", server), ("code", "2xx")];
        assert_eq!(
            metrics.sum("equipoise_http_requests_total", &labels),
            2000.0
        );
    }
}
