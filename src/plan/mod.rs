//! Decisions: pure functions of a view and a clock.
