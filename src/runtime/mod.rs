//! One OCI container. Knows nothing of tasks or of the daemon.
