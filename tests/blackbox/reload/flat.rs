//! What many reloads leave behind: nothing.

use super::*;

/// Kilobytes of memory that the process has.
pub fn memory(lb: &Equipoise) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", lb.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.unwrap().split_whitespace().next().unwrap();
    kilobytes.parse().unwrap()
}

/// How many descriptors it has open, once that number stays.
pub fn settled(lb: &Equipoise) -> usize {
    eventually(SOON, || {
        let descriptors = lb.descriptors().len();
        holds(|| lb.descriptors().len() == descriptors).then_some(descriptors)
    })
}

#[test]
fn many_reloads_cost_neither_descriptors_nor_memory() {
    let (a, b) = (Origin::start("a"), Origin::start("b"));
    let small = Setup::of([&a]).yaml();
    // A listener and a server more, which come and go.
    let large = Setup::of([&a, &b]).yaml().replace(
        "listeners:\n",
        "listeners:\n  more: {bind: \"127.0.0.1:0\", pool: app}\n",
    );
    let lb = Equipoise::start(&small);
    let some = |count: usize| {
        for round in 0..count {
            let yaml = if round % 2 == 0 { &large } else { &small };
            reload(&lb, yaml);
            assert_eq!(lb.get("/", &[]).status, 200);
        }
    };
    some(20);
    let (descriptors, before) = (settled(&lb), memory(&lb));
    some(60);
    let now = settled(&lb);
    assert!(now <= descriptors + 1, "{now} of {descriptors}");
    let after = memory(&lb);
    assert!(
        after < before + 16 * 1024,
        "{before} kB and then {after} kB"
    );
}

/// Whether it stays so for a moment.
fn holds(mut condition: impl FnMut() -> bool) -> bool {
    (0..20).all(|_| condition())
}
