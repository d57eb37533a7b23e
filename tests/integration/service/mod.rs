//! What a service promises: its count is held.
