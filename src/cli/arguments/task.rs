//! What is typed after the commands for tasks: `run`, `ps`, `show`, `logs` and `stop`.

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct RunArguments {
    /// FAMILY[:REVISION], or a JSON file that is registered first
    #[arg(value_name = "DEFINITION")]
    pub(in crate::cli) definition: String,
    /// How many tasks
    #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub(in crate::cli) count: u32,
    /// Wait for the end, and end with the container's exit code
    #[arg(long, short)]
    pub(in crate::cli) wait: bool,
    /// Print the output as it comes, until the end
    #[arg(long, short)]
    pub(in crate::cli) follow: bool,
    /// Set an environment variable
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(in crate::cli) env: Vec<String>,
    /// The container that --env and the command change [default: the first]
    #[arg(long, short = 'C', value_name = "NAME")]
    pub(in crate::cli) container: Option<String>,
    /// The tasks' group
    #[arg(long)]
    pub(in crate::cli) group: Option<String>,
    /// Who starts them, for `ps`
    #[arg(long, value_name = "WHO")]
    pub(in crate::cli) started_by: Option<String>,
    /// Replaces the container's command
    #[arg(last = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct PsArguments {
    /// Stopped tasks too
    #[arg(long, short)]
    pub(in crate::cli) all: bool,
    /// Only of this service
    #[arg(long, short, value_name = "NAME")]
    pub(in crate::cli) service: Option<String>,
    /// Only of this family
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) family: Option<String>,
    /// Only the ids, whole
    #[arg(long, short)]
    pub(in crate::cli) quiet: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowArguments {
    /// The task, by id, by the beginning of its id, or by ARN
    #[arg(value_name = "TASK")]
    pub(in crate::cli) task: String,
    /// Where its start spent its time
    #[arg(long)]
    pub(in crate::cli) timing: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct LogsArguments {
    /// A task or a service
    #[arg(value_name = "TASK|SERVICE", required_unless_present_any = ["group", "groups"])]
    pub(in crate::cli) source: Option<String>,
    /// A group of the log driver awslogs instead
    #[arg(long, short, value_name = "GROUP", conflicts_with_all = ["source", "groups"])]
    pub(in crate::cli) group: Option<String>,
    /// Only this stream of the group
    #[arg(long, value_name = "STREAM", requires = "group")]
    pub(in crate::cli) stream: Option<String>,
    /// List the groups and their streams
    #[arg(long, conflicts_with_all = ["source", "follow", "since", "until", "tail", "container", "timestamps"])]
    pub(in crate::cli) groups: bool,
    /// Go on with what is written later
    #[arg(long, short)]
    pub(in crate::cli) follow: bool,
    /// Nothing older: 90s, 15m, 2h, 1d, or a time like 2030-01-02T03:04:05Z
    #[arg(long, value_name = "TIME")]
    pub(in crate::cli) since: Option<String>,
    /// Nothing newer: the same
    #[arg(long, value_name = "TIME", conflicts_with = "follow")]
    pub(in crate::cli) until: Option<String>,
    /// At most so many of the newest lines of each container
    #[arg(long, short = 'n', value_name = "LINES")]
    pub(in crate::cli) tail: Option<usize>,
    /// Only of this container
    #[arg(long, short = 'C', value_name = "NAME")]
    pub(in crate::cli) container: Option<String>,
    /// Print the time of each line
    #[arg(long, short)]
    pub(in crate::cli) timestamps: bool,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct StopArguments {
    #[arg(required = true, value_name = "TASK")]
    pub(in crate::cli) tasks: Vec<String>,
    /// Why, for the record
    #[arg(long)]
    pub(in crate::cli) reason: Option<String>,
    /// Wait until nothing of them is left
    #[arg(long, short)]
    pub(in crate::cli) wait: bool,
}
