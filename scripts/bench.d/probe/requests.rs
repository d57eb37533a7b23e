//! Many clients of one operation, each with a connection that it keeps.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::http::{Client, ecs};
use crate::{Failure, numbers};

#[derive(Deserialize)]
struct Request {
    socket: PathBuf,
    clients: usize,
    seconds: f64,
    operation: String,
    input: Value,
}

/// Asks for as long as was wanted.
pub(crate) fn run() -> Result<(), Failure> {
    let request: Request = numbers::request()?;
    let bytes = ecs(&request.operation, &request.input);
    let until = Instant::now() + Duration::from_secs_f64(request.seconds);
    let begun = Instant::now();
    let clients: Vec<_> = (0..request.clients)
        .map(|_| {
            let (socket, bytes) = (request.socket.clone(), bytes.clone());
            thread::Builder::new().stack_size(256 << 10).spawn(move || client(&socket, &bytes, until))
        })
        .collect::<Result<_, _>>()?;
    let mut times = Vec::new();
    for client in clients {
        times.extend(client.join().map_err(|_| "a client panicked")??);
    }
    let took = begun.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(f64::NAN);
    let count = u32::try_from(times.len())?;
    numbers::answer(&json!({ "rate": f64::from(count) / took, "p50": at(50), "p99": at(99) }))
}

fn client(socket: &Path, bytes: &[u8], until: Instant) -> Result<Vec<f64>, Failure> {
    let mut client = Client::connect(socket)?;
    let mut times = Vec::new();
    while Instant::now() < until {
        let from = Instant::now();
        match client.exchange(bytes)? {
            200 => times.push(numbers::since(from)),
            status => return Err(format!("the API answered {status}").into()),
        }
    }
    Ok(times)
}
