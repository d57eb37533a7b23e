//! clone3, pidfds, wait, signals, spawning with inherited descriptors.
