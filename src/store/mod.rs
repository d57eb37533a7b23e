//! Memory: intent and fact, revisions, watch.
