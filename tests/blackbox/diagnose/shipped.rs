//! `conf/troubleshooting.yaml`, walked as it is but for its addresses.

use super::*;

#[test]
fn the_shipped_file_shows_what_works_and_what_does_not() {
    let origin = Origin::start("app1");
    let nobody = ReservedPort::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/conf/troubleshooting.yaml");
    let text = std::fs::read_to_string(path)
        .unwrap()
        .replace("127.0.0.1:8081", &origin.address().to_string())
        .replace("127.0.0.1:8082", &nobody.address().to_string());
    let dir = TempDir::new("diagnose");
    let file = dir.write("lb.yaml", &text);
    let file = file.to_str().unwrap();
    for (target, code, wanted) in [
        ("app/app1", 0, "status 200 as wanted"),
        ("app/app2", 1, "nothing listens at port"),
        ("app", 1, "2 servers: something is wrong with 1"),
    ] {
        let exit = Equipoise::command(&["diagnose", "-c", file, target]);
        assert_eq!(
            exit.code(),
            Some(code),
            "{target}: {}{}",
            exit.stdout,
            exit.stderr
        );
        assert!(exit.stdout.contains(wanted), "{target}: {}", exit.stdout);
    }
    // Nobody has the site of the check's own host; that of the route is there.
    let strict = Origin::with("app1", |request| {
        let is_site = request.header("host") == Some("shop.example.com");
        Answer::status(if is_site { 200 } else { 404 })
    });
    let text = text
        .replace(&origin.address().to_string(), &strict.address().to_string())
        .replace("/health", "/up");
    let file = dir.write("strict.yaml", &text);
    let exit = Equipoise::command(&["diagnose", "-c", file.to_str().unwrap(), "app/app1"]);
    assert_eq!(exit.code(), Some(1));
    let wanted = "write health_check.host: shop.example.com";
    assert!(exit.stdout.contains(wanted), "{}", exit.stdout);
}
