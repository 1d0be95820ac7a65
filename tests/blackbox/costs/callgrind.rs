//! The program under valgrind's callgrind, which counts instructions and calls.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{Cost, FEW, REQUESTS, RUNS, WARM_UP};
use crate::common::*;

/// What the program did between two looks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub instructions: u64,
    pub allocations: u64,
    pub clock: u64,
    pub reads: u64,
    pub writes: u64,
}

/// Called by the worker thread for a connection of TCP. The thread's counts are written out before, and begin anew.
const LOOKED_FOR: &str = "equipoise::tcp::serve";

/// Within so long it is ready: usually in ten seconds, but on a machine that does much else.
const START: Duration = Duration::from_secs(300);

/// A running program of one worker thread that is counted.
pub struct Callgrind {
    program: Equipoise,
    seen: RefCell<HashSet<PathBuf>>,
}

impl Callgrind {
    #[track_caller]
    pub fn start(yaml: &str) -> Self {
        let port = ReservedPort::new();
        let yaml = format!("admin: {{bind: '{}'}}\n{yaml}", port.address());
        // Without lines of source, which valgrind would read for a long time; functions keep their names.
        let script = format!(
            "set -e; dir=${{4%/*}}; objcopy --strip-debug \"$1\" \"$dir/counted\"; shift
             exec valgrind --quiet --vgdb=no --tool=callgrind --separate-threads=yes --dump-before={LOOKED_FOR} \
             --callgrind-out-file=\"$dir/counts\" \"$dir/counted\" \"$@\""
        );
        let program = Equipoise::start_in_slow_shell(&yaml, port.address(), &script, START);
        Self {
            program,
            seen: RefCell::default(),
        }
    }

    pub fn address(&self, listener: &str) -> SocketAddr {
        self.program.address(listener)
    }

    /// What a request costs at the least.
    #[track_caller]
    pub fn cost(&self, mut request: impl FnMut()) -> Cost {
        let mut run = |requests| {
            (0..requests).for_each(|_| request());
            self.look()
        };
        run(WARM_UP);
        // Each look counts itself, too: the difference doesn't.
        let few = Counts::least((0..RUNS).map(|_| run(FEW)));
        let many = Counts::least((0..RUNS).map(|_| run(FEW + REQUESTS)));
        Cost::between(few, many)
    }

    /// What the worker thread has done since the last look. The configuration has a listener `look` for that, of TCP.
    #[track_caller]
    fn look(&self) -> Counts {
        let mut client = Client::connect(self.address("look"));
        client.set_timeout(SOON * 6);
        let answer = client.get("/", &[("Connection", "close")]).unwrap();
        assert_eq!(answer.status, 200);
        let mut counts = Counts::default();
        let mut seen = self.seen.borrow_mut();
        for entry in fs::read_dir(self.program.dir()).unwrap() {
            let entry = entry.unwrap();
            let is_dump = entry.file_name().to_string_lossy().starts_with("counts.");
            if is_dump && seen.insert(entry.path()) {
                counts.add(&fs::read_to_string(entry.path()).unwrap());
            }
        }
        assert!(counts.instructions > 0, "nothing was counted");
        counts
    }
}

impl Counts {
    /// The least of each. Whatever the program does besides (timers, a thread that goes to sleep in between) only adds to
    /// it: the more, the slower the machine is just now.
    fn least(runs: impl Iterator<Item = Self>) -> Self {
        runs.reduce(|a, b| Self {
            instructions: a.instructions.min(b.instructions),
            allocations: a.allocations.min(b.allocations),
            clock: a.clock.min(b.clock),
            reads: a.reads.min(b.reads),
            writes: a.writes.min(b.writes),
        })
        .unwrap_or_default()
    }

    /// Adds what is in a file of callgrind: `fn` and `cfn` give functions numbers and, once, names; `calls` belongs to
    /// the `cfn` before it.
    fn add(&mut self, text: &str) {
        let mut names: HashMap<&str, &str> = HashMap::new();
        let mut calls: HashMap<&str, u64> = HashMap::new();
        let mut called = "";
        for line in text.lines() {
            if let Some(rest) = line
                .strip_prefix("fn=(")
                .or_else(|| line.strip_prefix("cfn=("))
            {
                let (number, name) = rest.split_once(')').unwrap();
                if !name.is_empty() {
                    names.insert(number, name.trim());
                }
                if line.starts_with('c') {
                    called = number;
                }
            } else if let Some(rest) = line.strip_prefix("calls=") {
                let times: u64 = rest.split(' ').next().unwrap().parse().unwrap();
                *calls.entry(called).or_default() += times;
            } else if let Some(rest) = line.strip_prefix("totals: ") {
                self.instructions += rest.trim().parse::<u64>().unwrap();
            }
        }
        for (number, times) in calls {
            let name = names[number];
            // Without the version of a library's symbol, or the depth of a recursion.
            match name.split(['@', '\'']).next().unwrap() {
                "__rustc::__rust_alloc"
                | "__rustc::__rust_alloc_zeroed"
                | "__rustc::__rust_realloc" => {
                    self.allocations += times;
                }
                "clock_gettime" => self.clock += times,
                "recv" | "recvfrom" | "recvmsg" | "readv" => self.reads += times,
                "send" | "sendto" | "sendmsg" | "writev" => self.writes += times,
                _ => {}
            }
        }
    }
}
