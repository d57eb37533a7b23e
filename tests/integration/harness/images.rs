//! Images for tests. The real ones are made once and shared; two test processes that want one at the same time take turns.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hythe::image::digest::Digest;
use hythe::image::layout::Layout;
use hythe::image::manifest::Compression;
use hythe::image::pack::{Blob, Encoder, HashingWriter, write_image};

/// The program under test.
pub const ROOTFS_TOOLS: &str = env!("CARGO_BIN_EXE_rootfs-tools");

/// Runs `rootfs-tools`, which must succeed, and returns what it printed.
pub fn rootfs_tools(arguments: &[&str]) -> String {
    let output = try_rootfs_tools(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rootfs-tools {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Runs `rootfs-tools`.
pub fn try_rootfs_tools(arguments: &[&str]) -> Output {
    Command::new(ROOTFS_TOOLS).args(arguments).output().unwrap()
}

/// An OCI layout with Debian's busybox under the tag `latest`.
pub fn busybox() -> PathBuf {
    recipe("busybox")
}

/// An OCI layout with Debian and nginx under the tag `latest`. Needs a Debian mirror or a filled cache.
pub fn nginx() -> PathBuf {
    recipe("nginx")
}

fn recipe(name: &str) -> PathBuf {
    let fixtures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixtures");
    fs::create_dir_all(&fixtures).unwrap();
    let turn = File::create(fixtures.join(format!("{name}.lock"))).unwrap();
    turn.lock().unwrap();
    let layout = fixtures.join(name);
    let cache = fixtures.join("packages");
    rootfs_tools(&["recipe", name, "-o", layout.to_str().unwrap(), "--cache", cache.to_str().unwrap()]);
    layout
}

/// An image of hand-made tars, each a layer, bottom first. Returns the manifest's digest.
pub fn of_tars(layout: &Path, tag: &str, tars: &[Vec<u8>], compression: Compression) -> Digest {
    of_config(layout, tag, tars, compression, &serde_json::json!({"Cmd": ["sh"]}))
}

/// The same with a configuration of its own.
pub fn of_config(
    layout: &Path,
    tag: &str,
    tars: &[Vec<u8>],
    compression: Compression,
    config: &serde_json::Value,
) -> Digest {
    let layout = Layout::create(layout).unwrap();
    let layers: Vec<(Blob, Digest)> = tars
        .iter()
        .map(|tar| {
            let pack = |out: &mut dyn std::io::Write| {
                let mut hashing = HashingWriter::new(Encoder::new(out, compression)?);
                std::io::Write::write_all(&mut hashing, tar)?;
                let (encoder, diff_id) = hashing.finish();
                encoder.finish()?;
                Ok(diff_id)
            };
            layout.write_blob(pack).unwrap()
        })
        .collect();
    let config = serde_json::json!({
        "architecture": hythe::image::platform::Platform::host().architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|(_, d)| d.to_string()).collect::<Vec<_>>()},
    });
    write_image(&layout, tag, config.to_string().as_bytes(), &layers, compression).unwrap()
}

/// A tar made with the tar crate: path and contents; a path with a slash at its end is a directory.
pub fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, contents) in members {
        let mut header = tar::Header::new_gnu();
        let is_directory = path.ends_with('/');
        header.set_entry_type(if is_directory { tar::EntryType::Directory } else { tar::EntryType::Regular });
        header.set_mode(if is_directory { 0o755 } else { 0o644 });
        header.set_size(contents.len() as u64);
        header.set_mtime(1);
        builder.append_data(&mut header, path, *contents).unwrap();
    }
    builder.into_inner().unwrap()
}

/// Bytes that do not compress, the same each time.
pub fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
