//! Completions and manual pages, made from the description of the command line.

use std::{fs, io, path::Path};

use clap::CommandFactory as _;

use super::{arguments::Arguments, failure::Failure, session::Session};

/// Prints the completions for a shell.
pub(super) fn completions(session: &Session, shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "hythe", &mut script);
    session.print(&String::from_utf8_lossy(&script))
}

/// Writes a page for each command into `directory`.
pub(super) fn manual(directory: &Path) -> Result<(), Failure> {
    let failed =
        |error: io::Error| Failure::failed(format!("write manual pages to {}: {error}", directory.display()));
    fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), directory).map_err(failed)
}
