//! The offline door to `src/image`: make, pull, unpack, pack, verify, mount a root filesystem.

fn main() {}
