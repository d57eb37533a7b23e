//! What is typed after `hythe task-def`.

use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TaskDefinitionCommand {
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
