//! Any bytes as a layer: whatever the archive says, nothing outside its directory changes.
//!
//! Beside the directory lies a guarded one, to which the seeds' links point. Runs as root or not; as root, device nodes
//! and owners are really made.
#![no_main]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use hythe::image::unpack::{Deletions, Unpacker, remove_tree};
use libfuzzer_sys::fuzz_target;

/// `guard/kept` must stay as it is; layers go to `layer`.
static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let place = std::env::temp_dir().join(format!("hythe-fuzz-{}", std::process::id()));
    fs::create_dir_all(place.join("guard")).expect("make the guarded directory");
    fs::write(place.join("guard/kept"), "kept").expect("write the guarded file");
    place
});

fuzz_target!(|data: &[u8]| {
    let (Some(first), archive) = (data.first(), data.get(1..).unwrap_or_default()) else { return };
    let deletions = if first & 1 == 0 { Deletions::Marked } else { Deletions::CarriedOut };
    let layer = PLACE.join("layer");
    fs::create_dir(&layer).expect("make the layer's directory");
    let unpacker = Unpacker::new(&layer, deletions, None).expect("open the layer's directory");
    let _ = unpacker.unpack(archive);
    let place = File::open(&*PLACE).expect("open the place");
    remove_tree(place.as_fd(), OsStr::new("layer")).expect("remove what was unpacked");

    let names = |dir: &Path| fs::read_dir(dir).expect("list").count();
    assert_eq!(fs::read_to_string(PLACE.join("guard/kept")).ok().as_deref(), Some("kept"), "a file outside was changed");
    assert_eq!((names(&PLACE), names(&PLACE.join("guard"))), (1, 1), "something was made outside");
    let links = fs::metadata(PLACE.join("guard/kept")).expect("look").nlink();
    assert_eq!(links, 1, "a file outside was linked");
});
