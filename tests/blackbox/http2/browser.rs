//! A page of many requests in Chromium: none of them fails.

use std::time::Duration;

use crate::common::peers::Chromium;
use crate::common::*;

/// Far longer than a loaded machine needs for a page.
const PAGE: Duration = Duration::from_secs(120);

/// 300 GETs and 300 POSTs at once, of which the browser keeps back what is more than max_streams, and then one after
/// another. What became of them is posted to `/report`, once a round.
const SCRIPT: &str = r"<!doctype html><title>x</title><script>
async function one(url, options) {
  try {
    const response = await fetch(url, options);
    await response.text();
    return String(response.status);
  } catch (error) { return String(error); }
}
async function all() {
  const post = {method: 'POST', body: 'x'.repeat(100)}, numbers = [...Array(300).keys()];
  const ends = await Promise.all(numbers.map(n => one('/get?' + n)));
  ends.push(...await Promise.all(numbers.map(n => one('/post?' + n, post))));
  for (let n = 0; n < 250; n++) ends.push(await one('/one?' + n));
  const count = {};
  for (const end of ends) count[end] = (count[end] || 0) + 1;
  await fetch('/report', {method: 'POST', body: JSON.stringify(count)});
}
(async () => { await all(); await all(); })();
</script>";

#[test]
fn none_of_a_pages_requests_fails() {
    holds_with("");
}

#[test]
fn none_fails_where_a_connection_has_its_share_of_requests() {
    holds_with("{max_requests: 100}");
}

#[track_caller]
fn holds_with(http2: &str) {
    let origin = Origin::with("a", |request| match request.target.as_str() {
        "/" => Answer::body(Body::Full(SCRIPT.into())).header("Content-Type", "text/html"),
        _ => Answer::after(Duration::from_millis(5)),
    });
    let pki = Pki::new();
    let site = pki.leaf(&["localhost"]);
    let lb = Setup::of([&origin])
        .listener(&format!(
            "protocol: https\ntls: {{certificates: [{{cert: \"{}\", key: \"{}\"}}]}}\n{}",
            site.cert.display(),
            site.key.display(),
            if http2.is_empty() {
                String::new()
            } else {
                format!("http: {{http2: {http2}}}")
            },
        ))
        .start();
    let _browser = Chromium::open(&format!("https://{}/", lb.web()));
    let reports = || {
        let requests = origin.requests();
        let reports = requests.iter().filter(|r| r.target == "/report");
        reports
            .map(|r| String::from_utf8_lossy(&r.body).into_owned())
            .collect::<Vec<_>>()
    };
    eventually(PAGE, || reports().len() == 2);
    assert_eq!(reports(), [r#"{"200":850}"#; 2]);
    let log = lb.access_log();
    let requests = log.iter().filter(|line| line["status"].is_number());
    // Not those connections that a browser makes at once and drops in the handshake.
    assert!(requests.clone().all(|line| line["protocol"] == "HTTP/2.0"));
    assert!(requests.count() >= 1700);
}
