//! Libraries in front of the C library, by which a test has a system call fail or take its time.

use std::path::PathBuf;
use std::process::Command;

use super::TempDir;

/// Has whoever opens the file `SLOW_FILE` wait at the pipe `GATE`, as long as there is one.
pub const SLOW_FILE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int open64(const char *path, int flags, ...) {
    const char *slow = getenv("SLOW_FILE"), *gate = getenv("GATE");
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    if (slow && gate && !strcmp(path, slow)) {
        int pipe = syscall(SYS_openat, AT_FDCWD, gate, O_RDONLY | O_CLOEXEC);
        char byte;
        if (pipe >= 0) {
            while (read(pipe, &byte, 1) > 0) {
            }
            close(pipe);
        }
    }
    return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
"#;

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
