//! A program that was built with `panic = "abort"`: what works in it, and what ends it (A17).

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use common::{Ended, finish, slow};

/// Builds the library and the program for it.
fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("abort");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--lib", "--locked", "--config", "profile.dev.panic=\"abort\""]);
    cargo.arg("--manifest-path").arg(root.join("Cargo.toml")).arg("--target-dir").arg(&target);
    finish(cargo).succeeded();

    let (library, program) = (target.join("debug/libcorio.rlib"), target.join("program"));
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "-C", "panic=abort", "-C", "debuginfo=1"]);
    rustc.arg("--extern").arg(format!("corio={}", library.display()));
    rustc.arg("-L").arg(format!("dependency={}", target.join("debug/deps").display()));
    rustc.arg("-o").arg(&program).arg(root.join("tests/abort/program.rs"));
    finish(rustc).succeeded();
    assert!(fs::exists(&program).is_ok_and(|there| there));
    program
}

#[test]
fn a17_without_unwinding_cancellation_works_generators_leak_and_who_ignores_the_end_is_named() {
    if !slow("a17_without_unwinding_cancellation_works_generators_leak_and_who_ignores_the_end_is_named") {
        return;
    }
    let program = build();
    let play = |what: &str| -> Ended {
        let mut command = Command::new(&program);
        command.arg(what);
        finish(command)
    };
    assert_eq!(play("cancel").succeeded().stdout, "destructor: true\ncancelled\n");
    assert_eq!(play("generator").succeeded().stdout, "Some(0)\nSome(0)\nleaked\n");
    let ended = play("stubborn");
    ended.aborted(&["fatal", "\"stubborn\"", "program.rs:", "panic = \"abort\"", "it waits at"]);
    assert_eq!(ended.stdout, "main ends\n");
}
