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
        /// Follow the deployment; fail when it fails or is rolled back
        #[arg(long, short)]
        wait: bool,
    },
    /// Change a service
    Update {
        #[command(flatten)]
        changes: Changes,
        /// Follow the deployment; fail when it fails or is rolled back
        #[arg(long, short)]
        wait: bool,
    },
    /// Roll out a revision that the service has had before, with the images that it had
    Rollback {
        #[arg(value_name = "NAME")]
        name: String,
        /// A revision by id or ARN, or FAMILY:REVISION [default: the last one that was completed]
        #[arg(value_name = "REVISION")]
        revision: Option<String>,
        /// Follow the deployment; fail when it fails or is rolled back
        #[arg(long, short)]
        wait: bool,
    },
    /// List the deployments of a service
    Deployments {
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Stop the deployment that is going on
    StopDeployment {
        #[arg(value_name = "NAME")]
        name: String,
        /// Leave the tasks as they are instead of rolling back
        #[arg(long)]
        abort: bool,
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

/// What an update changes.
#[derive(Debug, Args)]
pub(in crate::cli) struct Changes {
    #[arg(value_name = "NAME")]
    pub(in crate::cli) name: String,
    /// FAMILY[:REVISION]
    #[arg(long, short = 'd', value_name = "DEFINITION")]
    pub(in crate::cli) task_definition: Option<String>,
    /// How many tasks
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub(in crate::cli) desired_count: Option<u32>,
    #[command(flatten)]
    pub(in crate::cli) bounds: Bounds,
    /// Replace all tasks though nothing changed
    #[arg(long)]
    pub(in crate::cli) force_new_deployment: bool,
}

/// What is typed after `hythe explain`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExplainArguments {
    /// A task or a service
    #[arg(value_name = "TASK|SERVICE")]
    pub(in crate::cli) subject: String,
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
    /// Give a deployment up when its tasks fail too often
    #[arg(long)]
    pub(in crate::cli) circuit_breaker: bool,
    /// The same, and go back to the last one that was completed
    #[arg(long)]
    pub(in crate::cli) rollback: bool,
}
