//! The list of pools and servers, with many of them and by keyboard.

use std::fmt::Write as _;

use super::{ROWS, open};
use crate::common::*;

/// 40 pools of 25 servers; those of the last pool are down.
fn a_thousand() -> Equipoise {
    let mut yaml = "listeners: {web: {bind: \"127.0.0.1:0\", pool: pool-1}}\npools:\n".to_owned();
    for pool in 1..=40 {
        let check = if pool == 40 {
            "health_check: {type: tcp, interval: 500ms, fall: 1}"
        } else {
            "health_check: null"
        };
        let servers: Vec<_> = (1..=25)
            .map(|server| format!("{{name: s{pool}-{server}, address: \"127.0.0.1:{server}\"}}"))
            .collect();
        let _ = writeln!(
            yaml,
            "  pool-{pool}: {{{check}, servers: [{}]}}",
            servers.join(", ")
        );
    }
    let lb = Equipoise::start(&yaml);
    lb.wait_state("pool-40", "s40-25", "down");
    lb
}

#[test]
fn a_thousand_servers_are_searched_filtered_sorted_and_folded() {
    let lb = a_thousand();
    let mut page = open(&lb);
    // Only the pool in trouble is expanded, and it is on top.
    page.wait_text("#shown", "40 pools, 25 of 1,000 servers");
    page.wait(&format!("{ROWS}[0].includes('pool-40')"));
    page.click("#unfold", "Expand all");
    page.wait_text("#shown", "1,000 of 1,000");
    let nodes = "document.querySelectorAll('*').length";
    assert!(page.eval(nodes).as_u64().unwrap() < 5000);
    assert_eq!(
        page.eval("document.getElementById('grid').getAttribute('aria-rowcount')"),
        "1041"
    );
    // Rows are there as they come into sight.
    page.eval("scrollTo(0, document.body.scrollHeight)");
    page.wait("[...document.querySelectorAll('#rows [role=row]')].some((row) => row.getAttribute('aria-rowindex') === '1041')");
    assert!(page.eval(nodes).as_u64().unwrap() < 5000);
    page.write("#search", "s17-9");
    page.wait_text("#shown", "1 pool, 1 of 1,000 servers");
    page.wait_text("#rows", "s17-9");
    page.write("#search", "nobody has this name");
    page.wait_text("#nothing", "Nothing is found");
    page.write("#search", "");
    page.click("#trouble", "Only trouble");
    page.wait_text("#shown", "1 pool, 25 of 1,000");
    page.click("#trouble", "Only trouble");
    page.click("#fold", "Collapse all");
    page.wait_text("#shown", "40 pools, 0 of 1,000");
    page.write("#sort", "name");
    page.wait(&format!("{ROWS}[0].includes('pool-1')"));
    assert_eq!(page.complaints(), [""; 0]);
}

#[test]
fn the_list_is_walked_by_keys() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let lb = Setup::of([&a, &b]).start();
    let mut page = open(&lb);
    page.wait_text("#rows", "b");
    let focused = "document.activeElement.querySelector('.name')?.textContent";
    page.eval("document.querySelector('#rows [tabindex=\"0\"]').focus()");
    page.press("Home");
    page.wait(&format!("{focused}.includes('app')"));
    page.press("ArrowDown");
    page.wait(&format!("{focused} === 'a'"));
    page.press("End");
    page.wait(&format!("{focused} === 'b'"));
    page.press("Enter");
    page.wait_text("#aside h2", "b");
    page.wait("document.activeElement.closest('[aria-selected=true]') !== null || document.querySelector('[aria-selected=true]') !== null");
    page.press("Escape");
    page.wait_text("#aside h2", "Events");
    page.press("ArrowLeft");
    page.wait(&format!("{focused}.includes('app')"));
    page.press("ArrowLeft");
    page.wait("document.activeElement.getAttribute('aria-expanded') === 'false'");
    page.wait_text("#shown", "0 of 2 servers");
    page.press("ArrowRight");
    page.wait_text("#shown", "2 of 2 servers");
    assert_eq!(page.complaints(), [""; 0]);
}
