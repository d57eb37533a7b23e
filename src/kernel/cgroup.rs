//! Control groups, version 1, version 2 and the hybrid layout.
