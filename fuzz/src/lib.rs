//! What is fuzzed: each target takes any bytes, and panics if what must always hold of them doesn't.
//!
//! They are plain functions. `fuzz_targets` hands them to libFuzzer, and `tests/fuzz.rs` of the program tries them for a
//! short time on the compiler that everybody has.

pub mod pools;
pub mod targets;
