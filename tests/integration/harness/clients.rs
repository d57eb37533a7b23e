//! The official clients, in an environment of their own: the `aws` command, boto3, and a program of the Rust SDK.
//!
//! `scripts/test` makes it in `target/clients`; `HYTHE_CLIENTS` names another one.

use std::path::{Path, PathBuf};

/// A program of the environment.
pub fn program(name: &str) -> PathBuf {
    let usual = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("clients");
    std::env::var_os("HYTHE_CLIENTS").map_or(usual, PathBuf::from).join("bin").join(name)
}
