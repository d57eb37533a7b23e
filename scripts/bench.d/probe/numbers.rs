//! Reading what is to be done, and writing what was seen.

use std::io;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Failure;

/// The request on the standard input.
pub(crate) fn request<T: DeserializeOwned>() -> Result<T, Failure> {
    Ok(serde_json::from_reader(io::stdin().lock())?)
}

/// Says what was seen.
pub(crate) fn answer(value: &Value) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}

/// Milliseconds since `from`.
pub(crate) fn since(from: Instant) -> f64 {
    millis(from.elapsed())
}

/// A duration in milliseconds.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The monotonic clock, which is the same in every container.
pub(crate) fn now() -> Result<Duration, Failure> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}
