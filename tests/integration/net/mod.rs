//! Packets: what a published port and a task's address promise.
