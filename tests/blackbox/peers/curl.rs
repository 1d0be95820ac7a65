//! curl, as a user types it.

use crate::common::peers::run;
use crate::common::*;

#[test]
fn a_cookie_jar_keeps_the_session() {
    let origins = ["a", "b", "c"].map(Origin::start);
    let lb = Setup::of(&origins)
        .pool("persistence: {type: cookie_insert}")
        .start();
    let url = format!("http://{}/", lb.web());
    let plain: Vec<_> = (0..3).map(|_| run("curl", &["-sS", &url])).collect();
    assert_eq!(plain, ["a", "b", "c"]);
    let jar = lb.dir().join("jar").display().to_string();
    let first = run("curl", &["-sS", "-c", &jar, "-b", &jar, &url]);
    for _ in 0..4 {
        assert_eq!(run("curl", &["-sS", "-c", &jar, "-b", &jar, &url]), first);
    }
}

#[test]
fn uploads_downloads_and_old_versions() {
    let big: Vec<u8> = (0..2_000_000_u32).map(|n| (n % 253) as u8).collect();
    let copy = big.clone();
    let origin = Origin::with("a", move |request| match request.method.as_str() {
        "GET" => Answer::body(Body::Chunks(
            copy.chunks(50_000).map(<[u8]>::to_vec).collect(),
        )),
        _ => Answer::body(Body::Full(request.body.len().to_string().into_bytes())),
    });
    let lb = Setup::of([&origin]).start();
    let url = format!("http://{}/", lb.web());
    let file = lb.dir().join("big");
    std::fs::write(&file, &big).unwrap();
    let upload = format!("@{}", file.display());
    assert_eq!(
        run("curl", &["-sS", "--data-binary", &upload, &url]),
        "2000000"
    );
    assert_eq!(
        run(
            "curl",
            &[
                "-sS",
                "-H",
                "Transfer-Encoding: chunked",
                "-T",
                &upload[1..],
                &url
            ]
        ),
        "2000000"
    );
    let down = lb.dir().join("down").display().to_string();
    for version in ["--http1.1", "--http1.0"] {
        run("curl", &["-sS", version, "-o", &down, &url]);
        assert!(std::fs::read(&down).unwrap() == big, "{version}");
    }
    let said = run(
        "curl",
        &[
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code} %{num_connects}",
            &url,
            "-o",
            "/dev/null",
            &url,
        ],
    );
    assert_eq!(said, "200 1200 0", "the connection is kept");
}
