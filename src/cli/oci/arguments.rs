//! The command line of `hythe oci`: the commands and flags that container managers pass.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::runtime::state::USUAL_ROOT;

/// The newest version of the specification that is known.
macro_rules! spec_version {
    () => {
        "1.3.0"
    };
}

/// The same as a value.
pub(super) const OCI_VERSION: &str = spec_version!();

/// What `--version` says: lines that container managers read.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: ", spec_version!());

/// Runs containers from OCI bundles.
#[derive(Debug, Parser)]
#[command(name = "hythe-oci", bin_name = "hythe oci", version = VERSION, about, max_term_width = 100)]
#[command(disable_version_flag = true)]
pub(super) struct Oci {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that come before the command.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// Print version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    pub version: Option<bool>,
    /// Directory for what is remembered of each container
    #[arg(long, value_name = "DIR", default_value = USUAL_ROOT)]
    pub root: PathBuf,
    /// File to write errors and warnings to as well
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Format of that file
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Say more in the log
    #[arg(long)]
    pub debug: bool,
    /// Have systemd make control groups, as transient scopes
    #[arg(long)]
    pub systemd_cgroup: bool,
    /// Do without control groups where none may be made
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub rootless: Rootless,
    /// For checkpoints, which are not supported
    #[arg(long, value_name = "FILE", hide = true)]
    pub criu: Option<PathBuf>,
}

/// When control groups may be done without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rootless {
    /// Always.
    True,
    /// Never.
    False,
    /// If the user is not the host's root.
    Auto,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ListFormat {
    Table,
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
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
    Exec(Box<ExecArgs>),
    /// List the processes of a container
    Ps(PsArgs),
    /// Stop all processes of a container for a while
    Pause(IdArg),
    /// Let a paused container go on
    Resume(IdArg),
    /// Change the limits of a container
    Update(Box<UpdateArgs>),
    /// Print what a container uses, and when it runs out of memory
    Events(EventsArgs),
    /// Write a config.json to begin with
    Spec(SpecArgs),
    /// Print what this runtime can do
    Features,
}

#[derive(Debug, Args)]
pub(super) struct IdArg {
    /// The container
    pub id: String,
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
    /// Socket that is sent the master of the container's terminal
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// File to write the first process's number to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Descriptors after the standard three that the program inherits
    #[arg(long, value_name = "N", default_value = "0")]
    pub preserve_fds: u32,
    /// Do not use pivot_root, which an initial ramdisk does not allow
    #[arg(long)]
    pub no_pivot: bool,
    /// Keep the caller's session keyring
    #[arg(long)]
    pub no_new_keyring: bool,
    /// The container's name
    pub id: String,
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub create: CreateArgs,
    /// Return once the program is started
    #[arg(short, long)]
    pub detach: bool,
    /// Do not remove the container when it ends
    #[arg(long)]
    pub keep: bool,
    /// Leave orphaned processes to the system (they always are)
    #[arg(long, hide = true)]
    pub no_subreaper: bool,
}

#[derive(Debug, Args)]
pub(super) struct KillArgs {
    /// Signal every process of the container
    #[arg(short, long)]
    pub all: bool,
    /// The container
    pub id: String,
    /// The signal, by name or number
    #[arg(default_value = "SIGTERM")]
    pub signal: String,
}

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Kill it first if it runs, and do not mind if it does not exist
    #[arg(short, long)]
    pub force: bool,
    /// The container
    pub id: String,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
    /// Names only
    #[arg(short, long)]
    pub quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct PsArgs {
    /// Format of the list
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub format: ListFormat,
    /// The container
    pub id: String,
    /// Options of ps, to choose the columns of the table
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct SpecArgs {
    /// Directory of the bundle
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub bundle: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct EventsArgs {
    /// Print the use once and return
    #[arg(long)]
    pub stats: bool,
    /// Time between two prints, such as 5s
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub interval: String,
    /// The container
    pub id: String,
}

#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct ExecArgs {
    /// Socket that is sent the master of the process's terminal
    #[arg(long, value_name = "SOCKET")]
    pub console_socket: Option<PathBuf>,
    /// Working directory; the container's if not given
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
    /// A variable to add or replace
    #[arg(short, long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// User and group by number
    #[arg(short, long, value_name = "UID[:GID]")]
    pub user: Option<String>,
    /// A group to add, by number
    #[arg(short = 'g', long, value_name = "GID")]
    pub additional_gids: Vec<u32>,
    /// File with the process, in the words of the specification, instead of a command
    #[arg(short, long, value_name = "FILE")]
    pub process: Option<PathBuf>,
    /// Give it a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Return once the program is started
    #[arg(short, long)]
    pub detach: bool,
    /// File to write the process's number to
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// SELinux label of the process
    #[arg(long, value_name = "LABEL")]
    pub process_label: Option<String>,
    /// AppArmor profile of the process
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<String>,
    /// Let it gain nothing by exec
    #[arg(long)]
    pub no_new_privs: bool,
    /// A capability to add
    #[arg(short, long, value_name = "CAP")]
    pub cap: Vec<String>,
    /// Descriptors after the standard three that the program inherits
    #[arg(long, value_name = "N", default_value = "0")]
    pub preserve_fds: u32,
    /// Run it in a control group below the container's own, in that of some controllers if they are named
    #[arg(long, value_name = "[CONTROLLERS:]PATH")]
    pub cgroup: Vec<String>,
    /// Run it in a paused container, too, where it waits for the container to be resumed
    #[arg(long)]
    pub ignore_paused: bool,
    /// The container
    pub id: String,
    /// The command
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    /// File with the limits, in the words of the specification; - is standard input
    #[arg(short, long, value_name = "FILE")]
    pub resources: Option<PathBuf>,
    /// Weight of block devices, 10 to 1000
    #[arg(long, value_name = "WEIGHT")]
    pub blkio_weight: Option<u16>,
    /// Period of the processor quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// Processor quota in a period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_quota: Option<i64>,
    /// Unused quota that may be saved up, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_burst: Option<u64>,
    /// Processor shares
    #[arg(long, value_name = "SHARES")]
    pub cpu_share: Option<u64>,
    /// Period of the real-time quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_rt_period: Option<u64>,
    /// Real-time quota in a period, in microseconds
    #[arg(long, value_name = "MICROSECONDS", allow_hyphen_values = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// Whether it runs only when nothing else wants to
    #[arg(long, value_name = "0|1", allow_hyphen_values = true)]
    pub cpu_idle: Option<i64>,
    /// Processors
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Memory limit, in bytes or with a suffix such as M
    #[arg(short, long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory: Option<String>,
    /// Memory that is kept for it
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_reservation: Option<String>,
    /// Limit of memory and swap together; -1 is none
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Most processes
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub pids_limit: Option<i64>,
    /// Shares of the caches, such as L3:0=7f0;1=1f
    #[arg(long, value_name = "SCHEMA")]
    pub l3_cache_schema: Option<String>,
    /// Shares of the memory bandwidth, such as MB:0=20;1=70
    #[arg(long, value_name = "SCHEMA")]
    pub mem_bw_schema: Option<String>,
    /// The container
    pub id: String,
}
