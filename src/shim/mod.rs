//! One task's parent: one thread, outlives the daemon.
