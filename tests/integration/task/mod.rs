//! What one task promises, through the command line and the API.

mod environment;
mod failures;
mod health;
mod identity;
mod input;
mod limits;
mod logs;
mod order;
mod ports;
mod restart;
mod stop;
mod together;
mod volumes;
