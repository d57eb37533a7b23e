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
    clients: u32,
    seconds: f64,
    operation: String,
    input: Value,
    /// How often all clients together ask in a second; as often as they are answered when missing.
    rate: Option<f64>,
}

/// Asks for as long as was wanted.
pub(crate) fn run() -> Result<(), Failure> {
    let request: Request = numbers::request()?;
    let bytes = ecs(&request.operation, &request.input);
    let begun = Instant::now();
    let until = begun + Duration::from_secs_f64(request.seconds);
    let pause = request.rate.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate));
    let clients: Vec<_> = (0..request.clients)
        .map(|number| {
            let (socket, bytes) = (request.socket.clone(), bytes.clone());
            // They take turns, so that the calls are spread over the time.
            let due = (begun + pause * number, pause * request.clients);
            thread::Builder::new().stack_size(256 << 10).spawn(move || client(&socket, &bytes, due, until))
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

/// Asks when it is `due`, and after each pause again.
fn client(
    socket: &Path,
    bytes: &[u8],
    (mut due, pause): (Instant, Duration),
    until: Instant,
) -> Result<Vec<f64>, Failure> {
    let mut client = Client::connect(socket)?;
    let mut times = Vec::new();
    while due.max(Instant::now()) < until {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Who is late waits on: a call that could not be made in time counts from when it was due.
        let from = if pause.is_zero() { Instant::now() } else { due };
        due += pause;
        match client.exchange(bytes)? {
            200 => times.push(numbers::since(from)),
            status => return Err(format!("the API answered {status}").into()),
        }
    }
    Ok(times)
}
