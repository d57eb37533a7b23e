//! What is typed after `hythe service`.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceCommand {
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
pub(in crate::cli) struct Bounds {
    /// The least that runs during an update, in per cent of the count
    #[arg(long, value_name = "PERCENT")]
    pub(in crate::cli) minimum_healthy_percent: Option<u32>,
    /// The most that runs during an update, in per cent of the count
    #[arg(long, value_name = "PERCENT")]
    pub(in crate::cli) maximum_percent: Option<u32>,
}
