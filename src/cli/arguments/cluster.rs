//! What is typed after `hythe cluster`.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClusterCommand {
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
