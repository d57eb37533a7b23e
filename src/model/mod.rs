//! Nouns: what hythe talks about. No I/O, no clock, no async.

pub mod progress;
