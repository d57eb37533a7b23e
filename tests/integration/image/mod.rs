//! Images: registries, layers, archives, and a door for each.
