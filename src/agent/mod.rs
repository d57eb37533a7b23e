//! This host's hands: performs actions, idempotently.
