//! What a container cannot do.

mod escape;
mod inside;
mod reach;
