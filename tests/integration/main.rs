//! One folder a promise. Tests that need root say so and are skipped by name, never silently passed.

mod api;
mod crash;
mod harness;
mod image;
mod net;
mod runtime;
mod security;
mod service;
mod style;
mod task;
