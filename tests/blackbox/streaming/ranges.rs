//! Parts of files, byte by byte as nginx gives them directly.

use crate::common::peers::{Nginx, run};
use crate::common::*;

fn nginx() -> Nginx {
    let nginx = Nginx::start(
        "  server { listen @PORT@; root @DIR@/www; location / { autoindex on; } location = / { return 200; } }",
    );
    let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let www = nginx.dir.path().join("www");
    std::fs::create_dir_all(&www).unwrap();
    std::fs::write(www.join("file"), bytes).unwrap();
    nginx
}

/// What curl gets, header (without its date) and body.
fn fetch(url: &str, args: &[&str]) -> (Vec<String>, Vec<u8>) {
    let dir = TempDir::new("curl");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (header, body) = (path("header"), path("body"));
    std::fs::write(&body, b"").unwrap();
    let mut all = vec!["-sS", "-D", &header, "-o", &body];
    all.extend(args);
    all.push(url);
    run("curl", &all);
    let header = std::fs::read_to_string(&header).unwrap();
    let header = header
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
        // A multipart body's boundary is another each time.
        .map(|line| line.split("boundary=").next().unwrap().to_owned())
        .collect();
    (header, std::fs::read(&body).unwrap())
}

#[test]
fn ranges_are_the_servers() {
    let nginx = nginx();
    let lb = Setup::new()
        .server_at("a", &nginx.address().to_string(), "")
        .start();
    let direct = format!("http://{}/file", nginx.address());
    let through = format!("http://{}/file", lb.web());
    let (header, _) = fetch(&direct, &[]);
    let etag = header
        .iter()
        .find_map(|line| line.strip_prefix("ETag: "))
        .unwrap();
    let (same, other) = (format!("If-Range: {etag}"), "If-Range: \"other\"");
    let mut partial = 0;
    for args in [
        &["-r", "0-99"][..],
        &["-r", "100-199"],
        &["-r", "299999-"],
        &["-r", "-1000"],
        &["-r", "0-0"],
        &["-r", "300000-"],
        &["-r", "5-1"],
        &["-r", "0-300000000"],
        &["-r", "100-199", "-H", &same],
        &["-r", "100-199", "-H", other],
        &["-H", "Range: bytes=abc"],
        &["-H", "Range: lines=1-2"],
        &["-z", "2099-01-01"],
        &["-H", &format!("If-None-Match: {etag}")],
    ] {
        let (wanted, got) = (fetch(&direct, args), fetch(&through, args));
        partial += usize::from(wanted.0[0].contains("206"));
        assert_eq!(got.0[0], wanted.0[0], "{args:?}");
        for line in &wanted.0 {
            assert!(got.0.contains(line), "{args:?}: no {line} in {:?}", got.0);
        }
        assert!(got.1 == wanted.1, "{args:?}: {} bytes", got.1.len());
    }
    assert!(partial >= 6, "{partial}");
    // Several at once: the same parts, whatever the boundary.
    let parts = |url: &str| {
        let (header, body) = fetch(url, &["-r", "0-9,100-109,-5"]);
        assert!(
            header
                .iter()
                .any(|line| line.contains("multipart/byteranges")),
            "{header:?}"
        );
        let end = body
            .windows(2)
            .skip(2)
            .position(|two| two == b"\r\n")
            .unwrap()
            + 2;
        let boundary = &body[2..end];
        let body = String::from_utf8_lossy(&body).into_owned();
        body.replace(&*String::from_utf8_lossy(boundary), "BOUNDARY")
    };
    assert_eq!(parts(&through), parts(&direct));
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let nginx = nginx();
    let lb = Setup::new()
        .server_at("a", &nginx.address().to_string(), "")
        .start();
    let (url, file) = (format!("http://{}/file", lb.web()), lb.dir().join("part"));
    let whole = std::fs::read(nginx.dir.path().join("www/file")).unwrap();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        std::fs::write(&file, &whole[..123_456]).unwrap();
        run(
            "curl",
            &[
                "-sS",
                version,
                "-C",
                "-",
                "-o",
                &file.display().to_string(),
                &url,
            ],
        );
        assert!(std::fs::read(&file).unwrap() == whole, "{version}");
    }
}
