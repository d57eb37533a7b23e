//! What one task promises, through the command line and the API.

mod agent;
