//! One task in the hands of its shim: real processes, real namespaces, real control groups.

mod lab;
mod life;
mod logs;
mod shim;
