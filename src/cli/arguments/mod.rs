//! The command line: every command, its arguments and their help.
//!
//! What the user typed, as clap reads it. Completions and manual pages are made from the same description.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

mod cluster;
mod exec;
mod image;
mod service;
mod task;
mod task_definition;

pub(super) use self::{
    cluster::ClusterCommand,
    exec::ExecArguments,
    image::ImageCommand,
    service::{Bounds, Changes, ExplainArguments, ServiceCommand},
    task::{LogsArguments, PsArguments, RunArguments, ShowArguments, StopArguments},
    task_definition::TaskDefinitionCommand,
};

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 daemon not reachable.";

const DOCTOR_CODES: &str = "Exit codes: 0 all is ok, 6 something is degraded, 1 something is broken, 5 nothing is broken and no \
                            daemon answers.";

/// Runs task containers on this Linux host.
#[derive(Debug, Parser)]
#[command(name = "hythe", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(super) struct Global {
    /// The daemon's socket
    #[arg(
        long,
        global = true,
        env = "HYTHE_SOCKET",
        default_value = "/run/hythe/hythe.sock",
        value_name = "PATH"
    )]
    #[arg(value_hint = ValueHint::FilePath, hide_env_values = true)]
    pub(super) socket: PathBuf,
    /// The cluster, by name or ARN
    #[arg(long, global = true, env = "HYTHE_CLUSTER", default_value = "default", value_name = "NAME")]
    #[arg(hide_env_values = true)]
    pub(super) cluster: String,
    /// A table for people, or what the API answered
    #[arg(long, short, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) output: Format,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Be the daemon
    Daemon {
        /// The configuration file [default: /etc/hythe/hythe.toml, if it is there]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
        /// Stop every task, take everything of hythe's off this host but what it remembers, and end
        #[arg(long)]
        down: bool,
    },
    /// Say what this host can and cannot do, and what would help
    #[command(after_help = DOCTOR_CODES)]
    Doctor {
        /// The configuration to look at the host for, when no daemon answers [default: /etc/hythe/hythe.toml]
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        config: Option<PathBuf>,
    },
    /// Images
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// Task definitions
    #[command(name = "task-def", visible_alias = "td")]
    TaskDef {
        #[command(subcommand)]
        command: TaskDefinitionCommand,
    },
    /// Run tasks
    Run(RunArguments),
    /// List tasks
    Ps(PsArguments),
    /// Show one task
    Show(ShowArguments),
    /// Print the output of a task or of a service's tasks
    Logs(LogsArguments),
    /// Run a command in a container that runs
    Exec(ExecArguments),
    /// Stop tasks
    Stop(StopArguments),
    /// Services
    Service {
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// Show what an update of a service would start and stop, and why, without doing it
    Plan(Changes),
    /// Say why a task or a service is as it is: each constraint, what it needs and what there is
    Explain(ExplainArguments),
    /// Clusters
    Cluster {
        #[command(subcommand)]
        command: ClusterCommand,
    },
    /// Drive the OCI runtime directly, as runc is driven
    #[command(disable_help_flag = true)]
    Oci {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Print completions for a shell
    Completions { shell: clap_complete::Shell },
    /// Write the manual pages into a directory
    Man {
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_description_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_readme_names_every_command_and_every_verb_of_services() {
        let readme = include_str!("../../../README.md");
        let whole = Arguments::command();
        for command in whole.get_subcommands() {
            let name = command.get_name();
            assert!(readme.contains(&format!("hythe {name}")), "{name}");
        }
        let lines: Vec<&str> = readme.lines().filter(|line| line.starts_with("    hythe service ")).collect();
        let service = whole.find_subcommand("service").unwrap();
        for verb in service.get_subcommands().map(clap::Command::get_name) {
            let is_verb = |word: &str| word == verb;
            assert!(lines.iter().any(|line| line.split([' ', '|']).any(is_verb)), "{verb}");
        }
    }

    #[test]
    fn a_command_after_two_dashes_is_the_containers() {
        let arguments =
            Arguments::try_parse_from(["hythe", "run", "web", "--wait", "--", "ls", "-l"]).unwrap();
        let Command::Run(run) = arguments.command else { panic!("{arguments:?}") };
        assert!(run.wait);
        assert_eq!(run.command, ["ls", "-l"]);
    }
}
