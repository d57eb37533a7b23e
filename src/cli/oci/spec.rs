//! `spec`: a specification to begin with.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;

use oci_spec::runtime::{
    LinuxBuilder, LinuxResourcesBuilder, ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use serde_json::Value;

use super::SpecArgs;
use super::report::Failure;
use crate::runtime::defaults;

/// The size of /dev/shm that programs expect.
const SHM_SIZE: u64 = 64 << 20;

/// The version of the specification that is written.
const VERSION: &str = "1.0.2";

pub(super) fn write(args: &SpecArgs) -> Result<ExitCode, Failure> {
    let path = args.bundle.join("config.json");
    let error = |err: std::io::Error| Failure::new(format!("write {}: {err}", path.display()));
    // By way of the text that is written everywhere else: to write the types for people, too, would be 60 KB of program.
    let plain: Value = serde_json::from_slice(&serde_json::to_vec(&usual()?)?)?;
    let text = serde_json::to_string_pretty(&plain)?;
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(error)?;
    writeln!(file, "{text}").map_err(error)?;
    Ok(ExitCode::SUCCESS)
}

/// An ordinary container that runs a shell.
fn usual() -> Result<Spec, Failure> {
    let process = ProcessBuilder::default()
        .terminal(false)
        .user(UserBuilder::default().uid(0_u32).gid(0_u32).build()?)
        .args(vec!["sh".to_owned()])
        .env(vec![
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            "TERM=xterm".to_owned(),
        ])
        .cwd("/")
        .capabilities(defaults::capabilities())
        .no_new_privileges(true)
        .build()?;
    let resources = LinuxResourcesBuilder::default().devices(defaults::device_rules()).build()?;
    let linux = LinuxBuilder::default()
        .namespaces(defaults::namespaces(None))
        .resources(resources)
        .masked_paths(defaults::masked_paths())
        .readonly_paths(defaults::readonly_paths())
        .build()?;
    let root = RootBuilder::default().path("rootfs").readonly(true).build()?;
    let spec = SpecBuilder::default()
        .version(VERSION)
        .root(root)
        .process(process)
        .hostname("hythe")
        .mounts(defaults::mounts(SHM_SIZE))
        .linux(linux)
        .build()?;
    Ok(spec)
}
