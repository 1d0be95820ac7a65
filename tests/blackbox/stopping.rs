//! SPEC section 11: a stop, as clients and operators see it.

use nix::sys::signal::Signal;

use crate::common::h2::{Frames, GOAWAY, HEADERS, Outcome};
use crate::common::*;

/// An instance whose admin socket lets anybody here change things, with a request that keeps it from ending.
fn busy(origin: &Origin) -> (Equipoise, Client) {
    let dir = TempDir::new("stopping");
    dir.write("token", TOKEN);
    let lb = Setup::of([origin])
        .top("server: {shutdown_timeout: 120s}\nadmin: {bind: \"127.0.0.1:0\", token_file: \"@DIR@/token\"}")
        .start_in(dir);
    let mut long = lb.client();
    long.send_request("GET", "/long", &[], b"").unwrap();
    origin.wait_held(1);
    (lb, long)
}

const TOKEN: &str = "0123456789abcdef0123456789abcdef\n";

fn origin() -> Origin {
    Origin::with("a", |request| match request.target.as_str() {
        "/long" => Answer::held(),
        _ => Answer::ok(),
    })
}

#[test]
fn a_reload_that_comes_during_a_stop_is_refused() {
    let origin = origin();
    let (mut lb, mut long) = busy(&origin);
    lb.signal(Signal::SIGTERM);
    eventually(SOON, || lb.admin_get("/readyz").status == 503);
    let bearer = format!("Bearer {}", TOKEN.trim());
    let asked = Client::connect(lb.admin())
        .request("POST", "/api/v1/reload", &[("Authorization", &bearer)], b"")
        .unwrap();
    assert_eq!(asked.status, 409, "{asked}");
    assert!(asked.text().contains("stopping"), "{asked}");
    let admin = format!("http://{}", lb.admin());
    let token = lb.dir().join("token");
    let exit = Equipoise::command(&[
        "reload",
        "--admin",
        &admin,
        "--token-file",
        token.to_str().unwrap(),
    ]);
    assert_eq!(exit.code(), Some(1), "{exit:?}");
    assert!(exit.stderr.contains("stopping"), "{exit:?}");
    origin.release_all();
    assert_eq!(long.read_response(false).unwrap().status, 200);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}

#[test]
fn connections_are_told_one_by_one() {
    let origin = origin();
    let (mut lb, mut long) = busy(&origin);
    let to = lb.web();
    let mut clients: Vec<_> = (0..200).map(|_| Client::connect(to)).collect();
    let mut streams: Vec<_> = (0..200).map(|_| Frames::connect(to)).collect();
    for (client, frames) in clients.iter_mut().zip(&mut streams) {
        client.get("/", &[]).unwrap();
        frames.get(1).unwrap();
        assert_eq!(frames.outcome(1), Outcome::Status(200));
    }
    lb.signal(Signal::SIGTERM);
    eventually(SOON, || lb.admin_get("/readyz").status == 503);
    // Who is asked now may be told now, or later; nobody is cut off in the middle.
    let stays = |frames: &mut Frames| {
        frames.get(3).is_ok()
            && loop {
                match frames.next() {
                    Ok(frame) if frame.kind == GOAWAY => break false,
                    Ok(frame) if frame.kind == HEADERS && frame.stream == 3 => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            }
    };
    let staying = streams.iter_mut().map(stays).filter(|stays| *stays);
    let staying = staying.count();
    assert!(staying > 0, "all 200 were told at once");
    let mut kept = 0;
    for client in &mut clients {
        if let Ok(response) = client.get("/", &[]) {
            assert_eq!(response.status, 200);
            kept += usize::from(!response.has_token("connection", "close"));
        }
    }
    assert!(kept > 0, "all 200 were told at once");
    // In the end all have been.
    for client in &mut clients {
        client.get("/", &[]).ok();
        assert!(client.is_closed_by_peer());
    }
    for mut frames in streams {
        assert!(frames.is_closed_by_peer());
    }
    origin.release_all();
    assert_eq!(long.read_response(false).unwrap().status, 200);
    assert_eq!(lb.wait_exit(SOON).code(), Some(0));
}
