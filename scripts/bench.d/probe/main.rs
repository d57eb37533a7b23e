//! What `scripts/bench` measures with: small programs in one binary, because the bench runs them inside containers, too.
//!
//! ```text
//!   commands   rounds of commands of several contenders, interleaved        (lifecycles, one-off runs)
//!   starts     a call of an API to the first instruction of the container   (hythe and docker)
//!   deaths     a killed container to its replacement's first instruction
//!   requests   many clients of one HTTP operation
//!   fill       a store with many tasks in its history
//!   decisions  one event in a large cluster, in memory
//!   paths      paths that wait for nobody, for who counts their instructions
//!   stamp      inside a container: says when it came to life
//!   rest       inside a container: waits to be told to end
//!   flood      inside a container: writes lines as fast as they are taken
//! ```
//!
//! What is to be done comes as JSON on the standard input, what was seen goes out as JSON.

use std::process::ExitCode;

mod commands;
mod deaths;
mod decisions;
mod fill;
mod flood;
mod floor;
mod http;
mod numbers;
mod paths;
mod requests;
mod stamp;
mod starts;

/// Any failure, told by the caller.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let done = match command.as_str() {
        "stamp" => stamp::run(&rest),
        "rest" => stamp::rest(),
        "flood" => flood::run(&rest),
        "commands" => commands::run(),
        "starts" => starts::run(),
        "deaths" => deaths::run(),
        "requests" => requests::run(),
        "paths" => paths::run(&rest),
        "fill" => fill::run(&rest),
        "decisions" => decisions::run(),
        other => Err(format!("there is no probe {other:?}").into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
