//! The program under test.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Path of the `mainstay` binary.
///
/// `MAINSTAY_BIN` names another one. Else it stands where Cargo puts it: beside the directory of the running test.
/// Cargo builds a binary for the tests of its own package only, so it is built here, once in each test process: that
/// costs nothing when it is current, and an old one is never tested by mistake.
///
/// # Panics
/// When it cannot be built.
pub fn mainstay() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match env::var_os("MAINSTAY_BIN") {
        Some(path) => crate::root().join(path),
        None => build(),
    })
}

/// Whether the tests run against etcd itself, named by `MAINSTAY_BIN`: so they can be judged, too.
pub fn is_etcd() -> bool {
    mainstay().file_name().is_some_and(|name| name.to_string_lossy().starts_with("etcd"))
}

fn build() -> PathBuf {
    // target/PROFILE/deps/contract-HASH
    let test = env::current_exe().expect("a test has a path");
    let profile_dir = test.ancestors().nth(2).expect("target/PROFILE/deps/TEST");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "mainstay", "--bin", "mainstay"]).current_dir(crate::root());
    if profile_dir.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "the binary cannot be built: {status}");
    profile_dir.join("mainstay")
}
