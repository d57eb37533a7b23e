//! Rules of a task definition that need more than one member.
