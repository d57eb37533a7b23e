//! argv to one of four faces: the command line, the daemon, the shim, the OCI runtime.

fn main() {}
