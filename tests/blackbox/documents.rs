//! The documents against what they speak of: links, paths, commands, keys, YAML, and the peers' own configurations.

use std::process::Command;

use crate::common::equipoise::BINARY;

#[test]
fn what_the_documents_speak_of_is_there() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lint-docs");
    let output = Command::new(script).arg(BINARY).output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
