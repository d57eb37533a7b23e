//! From the call of an API to the first instruction of the container that it asked for.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::Client;
use crate::stamp::Ear;
use crate::{Failure, numbers};

/// Between two starts, so that the end of the one is not measured with the next.
const REST: Duration = Duration::from_millis(60);

#[derive(Deserialize)]
struct Request {
    rounds: usize,
    /// Where the containers send their stamps.
    ear: PathBuf,
    /// hythe's socket and the RunTask input.
    hythe: Option<(PathBuf, Value)>,
    /// docker's socket and the body of `/containers/create`.
    docker: Option<(PathBuf, Value)>,
}

/// Starts containers of both, in turn.
pub(crate) fn run() -> Result<(), Failure> {
    let request: Request = numbers::request()?;
    let ear = Ear::at(&request.ear)?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..=request.rounds {
        if let Some((socket, input)) = &request.hythe {
            let took = hythe(socket, input, &ear)?;
            ours.extend((round > 0).then_some(took));
        }
        if let Some((socket, body)) = &request.docker {
            let took = docker(socket, body, &ear)?;
            theirs.extend((round > 0).then_some(took));
        }
    }
    numbers::answer(&json!({ "hythe": { "times": ours }, "docker": { "times": theirs } }))
}

fn hythe(socket: &Path, input: &Value, ear: &Ear) -> Result<f64, Failure> {
    let mut client = Client::connect(socket)?;
    let from = numbers::now()?;
    client.ecs("RunTask", input)?;
    let took = ear.next()?.at.saturating_sub(from);
    thread::sleep(REST);
    Ok(numbers::millis(took))
}

fn docker(socket: &Path, body: &Value, ear: &Ear) -> Result<f64, Failure> {
    let mut client = Client::connect(socket)?;
    let from = numbers::now()?;
    let made = client.json("POST", "/v1.40/containers/create", Some(body))?;
    let id = made["Id"].as_str().ok_or("docker made no container")?.to_owned();
    client.json("POST", &format!("/v1.40/containers/{id}/start"), None)?;
    let took = ear.next()?.at.saturating_sub(from);
    thread::sleep(REST);
    client.json("DELETE", &format!("/v1.40/containers/{id}?force=1"), None)?;
    Ok(numbers::millis(took))
}
