//! The daemon is killed at each named point, and nothing is lost.
