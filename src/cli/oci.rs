//! `hythe oci`: one container at a time, with the commands and flags that other OCI runtimes have made usual.
//!
//! It drives the runtime directly and knows nothing of the daemon. Each invocation is a process of one thread that
//! does one thing; what must be remembered between two of them lies below `--root`.
//!
//! Errors go to standard error and, if `--log` names a file, there as well, in the format container managers read.

mod arguments;
mod commands;
mod events;
mod exec;
mod features;
mod listing;
mod mistake;
mod plain;
mod ps;
mod report;
mod run;
mod spec;
mod terminal;
mod update;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::runtime::close_own_program;

use arguments::{
    Command, CreateArgs, DeleteArgs, EventsArgs, ExecArgs, Global, IdArg, KillArgs, ListArgs, ListFormat,
    LogFormat, Oci, PsArgs, Rootless, RunArgs, SpecArgs, UpdateArgs,
};

/// The commands that leave a copy of this process in a container, until it executes the container's program.
const GO_INSIDE: [&str; 3] = ["create", "exec", "run"];

/// Runs `hythe oci` with its arguments, the first of which is the program's name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = args.collect();
    // Before anything else, because it begins again. An option's value that reads like a command costs a moment.
    if words.iter().any(|word| GO_INSIDE.iter().any(|name| word == name)) {
        close_own_program();
    }
    let plain = plain::read(words.iter().skip(1).cloned());
    let oci = match plain.map_or_else(|| Oci::try_parse_from(&words), Ok) {
        Ok(oci) => oci,
        Err(err) => return mistake::tell(&err, &words),
    };
    let log = report::Log::new(oci.global.log.as_deref(), oci.global.log_format, oci.global.debug);
    match commands::perform(&oci.global, oci.command, &log) {
        Ok(code) => code,
        Err(failure) => {
            log.error(&failure.to_string());
            ExitCode::from(failure.code)
        }
    }
}
