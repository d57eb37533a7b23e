//! Packets: installs tables, decides nothing.
