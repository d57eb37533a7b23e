//! What one task promises, through the command line and the API.

mod environment;
mod failures;
mod health;
mod identity;
mod input;
mod limits;

mod order;
mod output;
mod ports;
mod restart;
mod stop;
mod together;
mod volumes;
