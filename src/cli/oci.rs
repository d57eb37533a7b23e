//! `hythe oci`: one container at a time, with the commands and flags that other OCI runtimes have made usual.
//!
//! It drives the runtime directly and knows nothing of the daemon. Each invocation is a process of one thread that
//! does one thing; what must be remembered between two of them lies below `--root`.
//!
//! Errors go to standard error and, if `--log` names a file, there as well, in the format container managers read.

mod commands;
mod exec;
mod features;
mod listing;
mod report;
mod run;
mod spec;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs containers from OCI bundles.
#[derive(Debug, Parser)]
#[command(name = "hythe oci", bin_name = "hythe oci", version, about, max_term_width = 100)]
struct Oci {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that come before the command.
#[derive(Debug, Args)]
struct Global {
    /// Directory for what is remembered of each container
    #[arg(long, value_name = "DIR", default_value = "/run/hythe-oci")]
    root: PathBuf,
    /// File to write errors and warnings to as well
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Format of that file
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
    /// Say more in the log
    #[arg(long)]
    debug: bool,
    /// Let systemd manage control groups (not supported)
    #[arg(long)]
    systemd_cgroup: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a container that waits to be started
    Create(CreateArgs),
    /// Start the program of a created container
    Start(IdArg),
    /// Make a container, run it, and remove it when it ends
    Run(RunArgs),
    /// Print what is known of a container
    State(IdArg),
    /// Send a signal to a container's first process
    Kill(KillArgs),
    /// Remove a container that has ended
    Delete(DeleteArgs),
    /// List containers
    List(ListArgs),
    /// Run another process in a container
    Exec(ExecArgs),
    /// List the processes of a container
    Ps(PsArgs),
    /// Stop all processes of a container for a while
    Pause(IdArg),
    /// Let a paused container go on
    Resume(IdArg),
    /// Write a config.json to begin with
    Spec(SpecArgs),
    /// Print what this runtime can do
    Features,
}

#[derive(Debug, Args)]
struct IdArg {
    /// The container
    id: String,
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Socket for the terminal (not supported)
    #[arg(long, value_name = "SOCKET")]
    console_socket: Option<PathBuf>,
    /// File to write the first process's number to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// The container's name
    id: String,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    create: CreateArgs,
    /// Return once the program is started
    #[arg(short, long)]
    detach: bool,
    /// Do not remove the container when it ends
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct KillArgs {
    /// Signal every process of the container
    #[arg(short, long)]
    all: bool,
    /// The container
    id: String,
    /// The signal, by name or number
    #[arg(default_value = "SIGTERM")]
    signal: String,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    /// Kill it first if it runs, and do not mind if it does not exist
    #[arg(short, long)]
    force: bool,
    /// The container
    id: String,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: ListFormat,
    /// Names only
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Debug, Args)]
struct PsArgs {
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    format: ListFormat,
    /// The container
    id: String,
}

#[derive(Debug, Args)]
struct SpecArgs {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
}

#[derive(Debug, Args)]
struct ExecArgs {
    /// Working directory; the container's if not given
    #[arg(long, value_name = "DIR")]
    cwd: Option<PathBuf>,
    /// A variable to add or replace
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// User and group by number
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// A group to add, by number
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// File with the process, in the words of the specification, instead of a command
    #[arg(short, long, value_name = "FILE")]
    process: Option<PathBuf>,
    /// Give it a terminal (not supported)
    #[arg(short, long)]
    tty: bool,
    /// Return once the program is started
    #[arg(short, long)]
    detach: bool,
    /// File to write the process's number to
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// Let it gain nothing by exec
    #[arg(long)]
    no_new_privs: bool,
    /// A capability to add
    #[arg(short, long, value_name = "CAP")]
    cap: Vec<String>,
    /// The container
    id: String,
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs `hythe oci` with its arguments, the first of which is the program's name.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let oci = match Oci::try_parse_from(args) {
        Ok(oci) => oci,
        Err(err) => {
            // Nothing is left to say if standard error is closed.
            let _ = err.print();
            return ExitCode::from(u8::try_from(err.exit_code()).unwrap_or(2));
        }
    };
    let log = report::Log::new(oci.global.log.as_deref(), oci.global.log_format);
    match commands::perform(&oci.global, oci.command, &log) {
        Ok(code) => code,
        Err(failure) => {
            log.error(&failure.to_string());
            ExitCode::from(failure.code)
        }
    }
}
