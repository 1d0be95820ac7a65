use super::*;

#[test]
fn a_share_is_exact_over_time() {
    for (ratio, expected) in [
        (0.0, 0),
        (0.001, 1),
        (0.1, 100),
        (0.25, 250),
        (1.0 / 3.0, 333),
        (0.5, 500),
        (0.999, 999),
        (1.0, 1000),
    ] {
        let share = Share::new(ratio);
        for _ in 0..5 {
            let taken = (0..1000).filter(|_| share.takes()).count();
            assert!(taken.abs_diff(expected) <= 1, "{ratio}: {taken}");
        }
    }
}

#[test]
fn a_share_is_even() {
    let share = Share::new(0.1);
    let turns: Vec<usize> = (0..1000).filter(|_| share.takes()).collect();
    for pair in turns.windows(2) {
        assert!((9..=11).contains(&(pair[1] - pair[0])), "{pair:?}");
    }
}

#[test]
fn threads_at_once_share_the_turns() {
    let share = Share::new(0.1);
    let taken: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| (0..1000).filter(|_| share.takes()).count()))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum()
    });
    assert!(taken.abs_diff(400) <= 1, "{taken}");
}
