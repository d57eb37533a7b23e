//! What one task promises, through the command line and the API.

mod cli;
mod containers;
mod definition;
mod end;
mod logs;
mod network;
mod outside;
mod storage;
