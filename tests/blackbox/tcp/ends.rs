//! How one side ends is what the other side sees; silence ends both.

use super::*;

#[test]
fn a_client_that_has_said_all_still_hears_the_answer() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&client, b"question");
    end(&client);
    assert_eq!(hears_to_the_end(&server), b"question");
    stays_open(&client, Duration::from_millis(300));
    say(&server, b"answer");
    drop(server);
    assert_eq!(hears_to_the_end(&client), b"answer");
    ended_with(&lb, "complete");
}

#[test]
fn a_server_that_has_said_all_still_hears_the_client() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&server, b"that is all");
    end(&server);
    assert_eq!(hears_to_the_end(&client), b"that is all");
    stays_open(&server, Duration::from_millis(300));
    say(&client, b"and this is mine");
    drop(client);
    assert_eq!(hears_to_the_end(&server), b"and this is mine");
    ended_with(&lb, "complete");
}

#[test]
fn a_clients_reset_is_a_reset_for_the_server() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&client, b"half a mess");
    hears(&server, b"half a mess");
    reset(client);
    is_reset(&server);
    ended_with(&lb, "client_aborted");
    lb.wait_idle();
}

#[test]
fn a_servers_reset_is_a_reset_for_the_client() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    say(&server, b"half an ans");
    hears(&client, b"half an ans");
    reset(server);
    is_reset(&client);
    ended_with(&lb, "server_reset");
    lb.wait_idle();
    assert_eq!(lb.server("app", "a")["errors"], 1);
}

/// Nobody reads from that client, because the server takes nothing.
#[test]
fn a_reset_is_noticed_while_the_other_side_takes_nothing() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (client, server) = pair(&lb, &backend);
    client
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let block = vec![0; 1 << 20];
    while { &client }.write(&block).is_ok() {}
    reset(client);
    ended_with(&lb, "client_aborted");
    lb.wait_idle();
    drop(server);
}

/// The answer of a server that closes at once reaches a client that is slow to read it, whatever that says then.
#[test]
fn nothing_is_lost_when_a_server_closes_at_once() {
    let backend = Backend::start("a");
    let lb = before(&[&backend]).start();
    let (mut client, server) = pair(&lb, &backend);
    let told = std::thread::spawn(move || {
        say(&server, &vec![b'x'; 3_000_000]);
        // Closed both ways: what the client says now meets a reset.
        drop(server);
    });
    let mut heard = vec![0; 3_000_000];
    for part in heard.chunks_mut(100_000) {
        client.read_exact(part).unwrap();
    }
    assert!(heard.iter().all(|byte| *byte == b'x'));
    told.join().unwrap();
    say(&client, b"thanks");
    ends_orderly(&client);
    ended_with(&lb, "complete");
    lb.wait_idle_servers();
}

#[test]
fn silence_in_both_directions_ends_it() {
    let backend = Backend::start("a");
    let lb = before(&[&backend])
        .listener("tcp: {idle_timeout: 1s, half_close_timeout: 60s}")
        .start();
    let (client, server) = pair(&lb, &backend);
    say(&client, b"hello");
    hears(&server, b"hello");
    is_reset(&client);
    is_reset(&server);
    let line = ended_with(&lb, "idle_timeout");
    let duration = line["duration"].as_f64().unwrap();
    assert!((1.0..3.0).contains(&duration), "{duration}");
    lb.wait_idle();
}

#[test]
fn a_byte_in_either_direction_is_no_silence() {
    let backend = Backend::start("a");
    let lb = before(&[&backend])
        .listener("tcp: {idle_timeout: 1s}")
        .start();
    let (client, server) = pair(&lb, &backend);
    for n in 0..4 {
        stays_open(&client, Duration::from_millis(600));
        let (from, to) = if n % 2 == 0 {
            (&server, &client)
        } else {
            (&client, &server)
        };
        say(from, b".");
        hears(to, b".");
    }
}

#[test]
fn silence_after_one_side_has_ended_is_borne_for_a_shorter_time() {
    let backend = Backend::start("a");
    let lb = before(&[&backend])
        .listener("tcp: {idle_timeout: 60s, half_close_timeout: 1s}")
        .start();
    let (client, server) = pair(&lb, &backend);
    stays_open(&client, Duration::from_millis(1500));
    end(&client);
    ends_orderly(&server);
    is_reset(&client);
    takes_nothing_more(&server);
    ended_with(&lb, "half_close_timeout");
    lb.wait_idle();
}
