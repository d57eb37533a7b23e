//! The command line: every command, its arguments and their help.
//!
//! What the user typed, as clap reads it. Completions and manual pages are made from the same description.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

const EXIT_CODES: &str =
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 refused, 5 daemon not reachable.";

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
    },
    /// Say what this host can and cannot do
    Doctor,
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
    /// Stop tasks
    Stop(StopArguments),
    /// Services
    Service {
        #[command(subcommand)]
        command: ServiceCommand,
    },
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

#[derive(Debug, Subcommand)]
pub(super) enum ImageCommand {
    /// Bring images here
    Pull {
        /// [HOST/]NAME[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Another platform than this host's, such as linux/arm64
        #[arg(long)]
        platform: Option<String>,
        /// Credentials for the registry [default: docker's config.json]
        #[arg(long, value_name = "NAME:PASSWORD")]
        creds: Option<String>,
        /// Speak plain HTTP to the registry
        #[arg(long)]
        plain_http: bool,
    },
    /// List images
    #[command(visible_alias = "list")]
    Ls,
    /// Show an image's configuration and layers
    Inspect {
        #[arg(value_name = "IMAGE")]
        image: String,
    },
    /// Forget names of images, and images with their last name
    Rm {
        #[arg(required = true, value_name = "IMAGE")]
        images: Vec<String>,
        /// Even while a task uses it
        #[arg(long, short)]
        force: bool,
    },
    /// Remove what nothing refers to
    Prune {
        /// Named images too, when no task uses them
        #[arg(long, short)]
        all: bool,
    },
    /// Take in images from a layout or an archive
    Load {
        /// oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE
        #[arg(value_name = "SOURCE")]
        source: String,
        /// The name it gets [default: the name it carries]
        #[arg(long)]
        name: Option<String>,
    },
    /// Write an image to a layout or an archive
    Save {
        #[arg(value_name = "IMAGE")]
        image: String,
        /// oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE
        #[arg(value_name = "TARGET")]
        target: String,
    },
    /// Check the digests of what is stored
    Verify {
        /// Only this one
        #[arg(value_name = "IMAGE", conflicts_with = "all")]
        image: Option<String>,
        /// Everything that is stored, as without an image
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TaskDefinitionCommand {
    /// Register a revision from a JSON file
    Register {
        /// The document of `aws ecs register-task-definition --cli-input-json`; - for standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// List revisions
    #[command(visible_alias = "list")]
    Ls {
        /// Only of this family
        #[arg(value_name = "FAMILY")]
        family: Option<String>,
        /// Deregistered ones
        #[arg(long)]
        inactive: bool,
    },
    /// Show a revision
    Show {
        /// FAMILY[:REVISION]
        #[arg(value_name = "DEFINITION")]
        definition: String,
    },
    /// Deregister revisions; what runs goes on
    Deregister {
        /// FAMILY:REVISION
        #[arg(required = true, value_name = "DEFINITION")]
        definitions: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// FAMILY[:REVISION], or a JSON file that is registered first
    #[arg(value_name = "DEFINITION")]
    pub(super) definition: String,
    /// How many tasks
    #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(super) count: u32,
    /// Wait for the end, and end with the container's exit code
    #[arg(long, short)]
    pub(super) wait: bool,
    /// Print the output as it comes, until the end
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Set an environment variable
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,
    /// The container that --env and the command change [default: the first]
    #[arg(long, short = 'C', value_name = "NAME")]
    pub(super) container: Option<String>,
    /// The tasks' group
    #[arg(long)]
    pub(super) group: Option<String>,
    /// Who starts them, for `ps`
    #[arg(long, value_name = "WHO")]
    pub(super) started_by: Option<String>,
    /// Replaces the container's command
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct PsArguments {
    /// Stopped tasks too
    #[arg(long, short)]
    pub(super) all: bool,
    /// Only of this service
    #[arg(long, short, value_name = "NAME")]
    pub(super) service: Option<String>,
    /// Only of this family
    #[arg(long, value_name = "NAME")]
    pub(super) family: Option<String>,
    /// Only the ids, whole
    #[arg(long, short)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// The task, by id, by the beginning of its id, or by ARN
    #[arg(value_name = "TASK")]
    pub(super) task: String,
    /// Where its start spent its time
    #[arg(long)]
    pub(super) timing: bool,
}

#[derive(Debug, Args)]
pub(super) struct LogsArguments {
    /// A task or a service
    #[arg(value_name = "TASK|SERVICE")]
    pub(super) source: String,
    /// Go on with what is written later
    #[arg(long, short)]
    pub(super) follow: bool,
    /// Nothing older: 90s, 15m, 2h, 1d, or a time like 2030-01-02T03:04:05Z
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// At most so many of the newest lines of each container
    #[arg(long, short = 'n', value_name = "LINES")]
    pub(super) tail: Option<usize>,
    /// Only of this container
    #[arg(long, short = 'C', value_name = "NAME")]
    pub(super) container: Option<String>,
    /// Print the time of each line
    #[arg(long, short)]
    pub(super) timestamps: bool,
}

#[derive(Debug, Args)]
pub(super) struct StopArguments {
    #[arg(required = true, value_name = "TASK")]
    pub(super) tasks: Vec<String>,
    /// Why, for the record
    #[arg(long)]
    pub(super) reason: Option<String>,
    /// Wait until nothing of them is left
    #[arg(long, short)]
    pub(super) wait: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Create a service
    Create {
        #[arg(value_name = "NAME")]
        name: String,
        /// FAMILY[:REVISION]
        #[arg(long, short = 'd', value_name = "DEFINITION")]
        task_definition: String,
        /// How many tasks [default: 1]
        #[arg(long, short = 'n', value_name = "COUNT")]
        desired_count: Option<u32>,
        #[command(flatten)]
        bounds: Bounds,
        /// One task on each host instead of a count
        #[arg(long, conflicts_with = "desired_count")]
        daemon: bool,
        /// Wait until it runs as it should
        #[arg(long, short)]
        wait: bool,
    },
    /// Change a service
    Update {
        #[arg(value_name = "NAME")]
        name: String,
        /// FAMILY[:REVISION]
        #[arg(long, short = 'd', value_name = "DEFINITION")]
        task_definition: Option<String>,
        /// How many tasks
        #[arg(long, short = 'n', value_name = "COUNT")]
        desired_count: Option<u32>,
        #[command(flatten)]
        bounds: Bounds,
        /// Replace all tasks though nothing changed
        #[arg(long)]
        force_new_deployment: bool,
        /// Wait until it runs as it should
        #[arg(long, short)]
        wait: bool,
    },
    /// List services
    #[command(visible_alias = "list")]
    Ls,
    /// Show a service
    Show {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Print what was done for a service, and why
    Events {
        #[arg(value_name = "NAME")]
        name: String,
        /// Go on with what happens later
        #[arg(long, short)]
        follow: bool,
    },
    /// Delete services
    Rm {
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
        /// Though its count is above 0
        #[arg(long, short)]
        force: bool,
        /// Wait until nothing of them is left
        #[arg(long, short)]
        wait: bool,
    },
}

/// Bounds of a rolling update.
#[derive(Debug, Args)]
pub(super) struct Bounds {
    /// The least that runs during an update, in per cent of the count
    #[arg(long, value_name = "PERCENT")]
    pub(super) minimum_healthy_percent: Option<u32>,
    /// The most that runs during an update, in per cent of the count
    #[arg(long, value_name = "PERCENT")]
    pub(super) maximum_percent: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Create a cluster
    Create {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List clusters
    #[command(visible_alias = "list")]
    Ls,
    /// Show a cluster
    Show {
        #[arg(value_name = "NAME")]
        name: Option<String>,
    },
    /// Delete a cluster that nothing runs in
    Rm {
        #[arg(value_name = "NAME")]
        name: String,
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
    fn a_command_after_two_dashes_is_the_containers() {
        let arguments =
            Arguments::try_parse_from(["hythe", "run", "web", "--wait", "--", "ls", "-l"]).unwrap();
        let Command::Run(run) = arguments.command else { panic!("{arguments:?}") };
        assert!(run.wait);
        assert_eq!(run.command, ["ls", "-l"]);
    }
}
