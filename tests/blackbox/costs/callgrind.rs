//! The program under valgrind's callgrind, which counts instructions and calls.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Cost, REQUESTS, RUNS, WARM_UP};
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

/// A running program that is counted.
pub struct Callgrind {
    program: Equipoise,
    looks: AtomicU32,
}

impl Callgrind {
    /// Starts it; nothing is counted during the start, which takes a tenth of the time so.
    #[track_caller]
    pub fn start(yaml: &str) -> Self {
        let port = ReservedPort::new();
        let yaml = format!("admin: {{bind: '{}'}}\n{yaml}", port.address());
        // Without lines of source, which valgrind would read for a long time; functions keep their names.
        let script = "dir=${4%/*}; objcopy --strip-debug \"$1\" \"$dir/counted\"; shift; \
                      exec valgrind --quiet --tool=callgrind --instr-atstart=no --separate-threads=yes \
                      --callgrind-out-file=\"$dir/counts\" \"$dir/counted\" \"$@\"";
        let program = Equipoise::start_in_shell(&yaml, port.address(), script);
        let this = Self {
            program,
            looks: AtomicU32::new(0),
        };
        this.control("--instr=on");
        this
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
        let runs: Vec<_> = (0..RUNS).map(|_| run(REQUESTS)).collect();
        Cost::least(&runs)
    }

    /// The counts since the last look.
    #[track_caller]
    fn look(&self) -> Counts {
        let number = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        self.control("--dump");
        let prefix = format!("counts.{number}-");
        let mut counts = Counts::default();
        for entry in fs::read_dir(self.program.dir()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                counts.add(&fs::read_to_string(entry.path()).unwrap());
            }
        }
        assert!(counts.instructions > 0, "nothing was counted");
        counts
    }

    #[track_caller]
    fn control(&self, what: &str) {
        let output = Command::new("callgrind_control")
            .arg(what)
            .arg(self.program.pid().to_string())
            .output()
            .expect("run callgrind_control");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("OK"),
            "callgrind_control {what}: {said}"
        );
    }
}

/// The thread that does nothing but keep the time, a hundred times a second: how much it does during a request depends on the
/// machine.
const CLOCK_THREAD: &str = "TimerManager::clock_thread";

impl Counts {
    /// Adds what a thread did, in callgrind's format: `fn` and `cfn` give functions numbers and, once, names; `calls` belongs to
    /// the `cfn` before it.
    fn add(&mut self, text: &str) {
        if text.contains(CLOCK_THREAD) {
            return;
        }
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
