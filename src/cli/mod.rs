//! People: an API client that prints; and `oci`, which drives the runtime directly.
//!
//! Every command reads its arguments, asks the daemon over its socket and prints the answer: a table or a few lines
//! for people, the API's own JSON with `--output json`. Nothing here decides anything or looks at the host; where no
//! daemon answers, [`doctor`] prints what the daemon's part of this program sees. How a command ends is in its exit code; [`failure`] has the list.

mod ahead;
mod arguments;
mod cluster;
mod doctor;
mod exec;
mod failure;
mod image;
mod logs;
pub mod oci;
mod pages;
mod print;
mod progress;
mod run;
mod service;
mod session;
mod table;
mod task;
mod task_definition;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser as _;

use self::{
    arguments::{Arguments, Command},
    failure::Failure,
    session::Session,
};
use crate::api::live::DoctorFinding;

/// What is left to do after the command line was read.
#[derive(Debug)]
pub enum Next {
    /// Nothing: the command ran.
    Exit(ExitCode),
    /// Be the daemon, with this configuration file if one was named.
    Daemon(Option<PathBuf>),
    /// Be the daemon that ends the instance of this configuration.
    Down(Option<PathBuf>),
}

/// Looks at this host for the instance of a configuration file; a sentence when that cannot be used.
///
/// The daemon's part, asked by [`main`] when no daemon answers.
pub type Examine = fn(Option<&Path>) -> Result<Vec<DoctorFinding>, String>;

/// Reads the command line and does what it says, except being the daemon.
pub fn main(examine: Examine) -> Next {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // clap writes help to standard output and what is wrong to standard error.
            let _ = error.print();
            return Next::Exit(ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 }));
        }
    };
    if let Command::Daemon { config, down } = arguments.command {
        return if down { Next::Down(config) } else { Next::Daemon(config) };
    }
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("start: {error}")))
        .and_then(|runtime| runtime.block_on(command(arguments, examine)));
    Next::Exit(match done {
        Ok(code) => ExitCode::from(code),
        Err(failure) => failure.tell(),
    })
}

/// Runs one command; its exit code is 0 unless it is that of a container.
async fn command(arguments: Arguments, examine: Examine) -> Result<u8, Failure> {
    let session = Session::new(&arguments.global);
    match arguments.command {
        // The daemon was told apart above, the shim and the runtime before the command line was read.
        Command::Daemon { .. } | Command::Oci { .. } => Ok(()),
        Command::Doctor { config } => return doctor::run(&session, config.as_deref(), examine).await,
        Command::Image { command } => image::run(&session, command).await,
        Command::TaskDef { command } => task_definition::run(&session, command).await,
        Command::Run(arguments) => return run::run(&session, arguments).await,
        Command::Ps(arguments) => task::list(&session, arguments).await,
        Command::Show(arguments) => task::show(&session, arguments).await,
        Command::Logs(arguments) => logs::run(&session, arguments).await,
        Command::Exec(arguments) => return exec::run(&session, arguments).await,
        Command::Stop(arguments) => task::stop(&session, arguments).await,
        Command::Service { command } => service::run(&session, command).await,
        Command::Plan(changes) => ahead::plan(&session, &changes).await,
        Command::Explain(arguments) => ahead::explain(&session, &arguments).await,
        Command::Cluster { command } => cluster::run(&session, command).await,
        Command::Completions { shell } => pages::completions(&session, shell),
        Command::Man { directory } => pages::manual(&directory),
    }
    .map(|()| 0)
}
