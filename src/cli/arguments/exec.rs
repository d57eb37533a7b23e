//! What is typed after `exec`.

use clap::Args;

#[derive(Debug, Args)]
pub(in crate::cli) struct ExecArguments {
    /// The task, by id, by the beginning of its id, or by ARN
    #[arg(value_name = "TASK")]
    pub(in crate::cli) task: String,
    /// The container; may be left out where the task has one
    #[arg(value_name = "CONTAINER")]
    pub(in crate::cli) container: Option<String>,
    /// Pass on standard input
    #[arg(long, short)]
    pub(in crate::cli) interactive: bool,
    /// Give the command a terminal
    #[arg(long, short)]
    pub(in crate::cli) tty: bool,
    /// Who it runs as [default: as the container]
    #[arg(long, short, value_name = "USER[:GROUP]")]
    pub(in crate::cli) user: Option<String>,
    /// Set a variable; a name alone takes its value from here
    #[arg(long, short, value_name = "NAME[=VALUE]")]
    pub(in crate::cli) env: Vec<String>,
    /// Where it begins [default: as the container]
    #[arg(long, short, value_name = "DIR")]
    pub(in crate::cli) workdir: Option<String>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(in crate::cli) command: Vec<String>,
}
