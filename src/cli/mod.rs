//! People: an API client that prints; and `oci`, which drives the runtime directly.
