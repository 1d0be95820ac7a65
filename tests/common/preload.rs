//! Libraries in front of the C library, by which a test has a system call fail or take its time.

use std::path::PathBuf;
use std::process::Command;

use super::TempDir;

/// Compiles a library of that C source, for `LD_PRELOAD`.
#[track_caller]
pub fn preload(dir: &TempDir, source: &str) -> PathBuf {
    let source = dir.write("preload.c", source);
    let library = dir.path().join("preload.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .status()
        .expect("run cc");
    assert!(compiled.success());
    library
}
