//! What tests of several rooms share: text that is compared with a file of the tree, so that a reviewer reads the
//! difference.

use std::{fs, path::Path};

/// Compares `text` with the file at `path` in the tree, or writes it there.
#[track_caller]
pub(crate) fn golden(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("HYTHE_WRITE_GOLDEN").is_some() {
        fs::write(&file, text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&file).unwrap(), "HYTHE_WRITE_GOLDEN=1 writes {path}");
}
