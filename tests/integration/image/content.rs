//! What is in layers: everything a file system can hold, merged as the kernel merges it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use hythe::image::manifest::Compression;
use hythe::image::store::ImageStore;
use hythe::kernel::fs::{get_xattr, set_xattr};

use super::pull;
use crate::harness::images::{busybox, of_tars, rootfs_tools, tar};
use crate::harness::require;

/// The header of a tar member of the given kind, without contents.
fn special(kind: tar::EntryType, path: &str, link: &str) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_path(path).unwrap();
    header.set_mode(0o644);
    header.set_size(0);
    header.set_mtime(1);
    header.set_uid(0);
    header.set_gid(0);
    if !link.is_empty() {
        header.set_link_name(link).unwrap();
    }
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn tree(at: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![at.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap()) {
            let metadata = entry.path().symlink_metadata().unwrap();
            found.push(entry.path().strip_prefix(at).unwrap().display().to_string());
            if metadata.is_dir() {
                left.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_mounted_image_is_what_its_layers_say() {
    require!(root, overlay);
    let dir = tempfile::tempdir().unwrap();
    let (layout, place) = (dir.path().join("layout"), dir.path().join("store"));
    let bottom = tar(&[
        ("a/", b""),
        ("a/old", b"1"),
        ("b/", b""),
        ("b/one", b"1"),
        ("b/two", b"1"),
        ("c/", b""),
        ("c/x", b"1"),
        ("f", b"1"),
    ]);
    let middle = tar(&[
        ("a/", b""),
        ("a/.wh..wh..opq", b""),
        ("a/new", b"2"),
        ("b/", b""),
        ("b/.wh.one", b""),
        (".wh.c", b""),
    ]);
    let top = tar(&[("c/", b""), ("c/y", b"3"), ("f", b"3")]);
    of_tars(&layout, "latest", &[bottom, middle, top], Compression::Zstd);
    let name = format!("oci:{}", layout.display());
    let expected = ["a", "a/new", "b", "b/two", "c", "c/y", "f"];

    let mounted = dir.path().join("mounted");
    fs::create_dir(&mounted).unwrap();
    let (at, store) = (mounted.to_str().unwrap(), place.to_str().unwrap());
    rootfs_tools(&["mount", &name, at, "--store", store]);
    let seen = tree(&mounted);
    rootfs_tools(&["umount", at]);
    assert_eq!(seen, expected);

    let flat = dir.path().join("flat");
    rootfs_tools(&["unpack", &name, flat.to_str().unwrap()]);
    assert_eq!(tree(&flat), expected);

    let image = pull(&ImageStore::open(&place).unwrap(), &name).unwrap();
    let read = |path: &str| image.read_file(Path::new(path)).unwrap();
    assert_eq!(read("/f").unwrap(), b"3");
    assert_eq!(read("a/new").unwrap(), b"2");
    for gone in ["a/old", "b/one", "c/x", "nothing", "a"] {
        assert_eq!(read(gone), None, "{gone}");
    }
}

#[test]
fn an_image_of_more_layers_than_an_option_string_holds_is_mounted() {
    require!(root, overlay);
    let dir = tempfile::tempdir().unwrap();
    let (layout, mounted) = (dir.path().join("layout"), dir.path().join("mounted"));
    let tars: Vec<Vec<u8>> = (0..60).map(|n| tar(&[(&format!("f{n}"), b"x"), ("last", &[n])])).collect();
    of_tars(&layout, "latest", &tars, Compression::None);
    fs::create_dir(&mounted).unwrap();
    let store = dir.path().join("store");
    let name = format!("oci:{}", layout.display());
    rootfs_tools(&["mount", &name, mounted.to_str().unwrap(), "--store", store.to_str().unwrap()]);
    let (names, last) = (tree(&mounted).len(), fs::read(mounted.join("last")).unwrap());
    let is_writable = fs::write(mounted.join("f1"), "y").is_ok();
    rootfs_tools(&["umount", mounted.to_str().unwrap()]);
    assert_eq!((names, last, is_writable), (61, vec![59], false));
}

#[test]
fn a_file_is_read_through_links_within_the_image_only() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let mut links = special(tar::EntryType::Symlink, "etc/passwd", "../usr/lib/passwd");
    links.extend(special(tar::EntryType::Symlink, "outside", "../../../../etc/hostname"));
    links.extend(special(tar::EntryType::Symlink, "loop", "loop"));
    links.extend([0; 1024]);
    let bottom =
        tar(&[("usr/", b""), ("usr/lib/", b""), ("usr/lib/passwd", b"root:x:7:8::/r:\n"), ("etc/", b"")]);
    of_tars(&layout, "latest", &[bottom, links], Compression::Gzip);
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let image = pull(&store, &format!("oci:{}", layout.display())).unwrap();
    let user = image.resolve_user("root").unwrap();
    assert_eq!((user.uid, user.gid, user.home.as_str()), (7, 8, "/r"));
    assert_eq!(image.read_file(Path::new("outside")).unwrap(), None);
    assert!(image.read_file(Path::new("loop")).is_err());
}

#[test]
fn a_packed_tree_comes_back_with_everything_it_had() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let (source, layout) = (dir.path().join("source"), dir.path().join("layout"));
    let long = "d".repeat(90) + "/" + &"e".repeat(120) + "/" + &"f".repeat(200);
    fs::create_dir_all(source.join(&long)).unwrap();
    fs::write(source.join(&long).join("leaf"), "deep").unwrap();
    std::os::unix::fs::symlink("x".repeat(300), source.join("far")).unwrap();
    fs::write(source.join("su"), "x").unwrap();
    std::os::unix::fs::chown(source.join("su"), Some(3_000_000), Some(4_000_000)).unwrap();
    fs::set_permissions(source.join("su"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(source.join("su"), source.join("su2")).unwrap();
    // A capability whose bytes include a line feed: permitted net_bind_service and net_raw, effective.
    let capability = [1, 0, 0, 2, 0, 0x24, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0];
    fs::write(source.join("ping"), "x").unwrap();
    let has_capability =
        set_xattr(fs::File::open(source.join("ping")).unwrap(), c"security.capability", &capability).is_ok();
    let make = |kind, name: &str, device| {
        nix::sys::stat::mknod(
            &source.join(name),
            kind,
            nix::sys::stat::Mode::from_bits_truncate(0o600),
            device,
        )
    };
    make(nix::sys::stat::SFlag::S_IFIFO, "pipe", 0).unwrap();
    make(nix::sys::stat::SFlag::S_IFCHR, "null", nix::sys::stat::makedev(1, 3)).unwrap();
    make(nix::sys::stat::SFlag::S_IFBLK, "disk", nix::sys::stat::makedev(259, 300)).unwrap();

    let pack =
        || rootfs_tools(&["pack", source.to_str().unwrap(), "-o", layout.to_str().unwrap(), "--keep-times"]);
    assert_eq!(pack(), pack(), "packing twice gives one digest");
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let image = pull(&store, &format!("oci:{}", layout.display())).unwrap();
    assert!(store.verify(&image).unwrap().is_empty());
    let root = &image.layers[0].path;
    let stat = |name: &str| root.join(name).symlink_metadata().unwrap();
    assert_eq!(fs::read_to_string(root.join(&long).join("leaf")).unwrap(), "deep");
    assert_eq!(fs::read_link(root.join("far")).unwrap().as_os_str().len(), 300);
    assert_eq!(
        (stat("su").uid(), stat("su").gid(), stat("su").mode() & 0o7777),
        (3_000_000, 4_000_000, 0o4755)
    );
    assert_eq!(stat("su").ino(), stat("su2").ino());
    assert!(stat("pipe").file_type().is_fifo());
    assert!(
        stat("null").file_type().is_char_device() && stat("null").rdev() == nix::sys::stat::makedev(1, 3)
    );
    assert!(
        stat("disk").file_type().is_block_device()
            && stat("disk").rdev() == nix::sys::stat::makedev(259, 300)
    );
    assert_eq!(stat("far").mtime(), source.join("far").symlink_metadata().unwrap().mtime());
    assert_eq!(stat(&long).mtime(), source.join(&long).metadata().unwrap().mtime());
    if has_capability {
        let kept = get_xattr(fs::File::open(root.join("ping")).unwrap(), c"security.capability").unwrap();
        assert_eq!(kept.unwrap(), capability);
    }
}

#[test]
fn sparse_files_stay_sparse_in_every_format() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::create_dir(&source).unwrap();
    let file = fs::File::create(source.join("holes")).unwrap();
    let piece = |n: u64| vec![u8::try_from(n).unwrap() + 1; 4096];
    for n in 0..40 {
        std::os::unix::fs::FileExt::write_all_at(&file, &piece(n), n * (1 << 20)).unwrap();
    }
    file.set_len(64 << 20).unwrap();
    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let archive = dir.path().join("archive.tar");
        let mut command = Command::new("tar");
        command.arg("-C").arg(&source).arg("-Scf").arg(&archive).args(format).arg(".");
        assert!(command.status().unwrap().success());
        let layout = dir.path().join("layout");
        let packed =
            ["pack", archive.to_str().unwrap(), "-o", layout.to_str().unwrap(), "--compress", "zstd"];
        rootfs_tools(&packed);
        let place = tempfile::tempdir_in(dir.path()).unwrap();
        let store = ImageStore::open(place.path()).unwrap();
        let image = pull(&store, &format!("oci:{}", layout.display())).unwrap();
        let holes = image.layers[0].path.join("holes");
        let metadata = holes.metadata().unwrap();
        assert_eq!(metadata.len(), 64 << 20, "{format:?}");
        assert!(metadata.blocks() * 512 < 2 << 20, "{format:?}: {} blocks", metadata.blocks());
        assert_eq!(fs::read(&holes).unwrap(), fs::read(source.join("holes")).unwrap(), "{format:?}");
    }
}

#[test]
fn verify_finds_what_was_changed_removed_or_added() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("store");
    let store = ImageStore::open(&place).unwrap();
    let image = pull(&store, &format!("oci:{}", busybox().display())).unwrap();
    assert!(store.verify(&image).unwrap().is_empty());
    let root = image.layers[0].path.clone();
    let file = fs::File::options().write(true).open(root.join("bin/busybox")).unwrap();
    let times = file.metadata().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"\0", 100_000).unwrap();
    file.set_modified(times.modified().unwrap()).unwrap();
    fs::remove_file(root.join("etc/group")).unwrap();
    fs::write(root.join("etc/added"), "x").unwrap();
    fs::set_permissions(root.join("etc/passwd"), fs::Permissions::from_mode(0o666)).unwrap();
    let problems = store.verify(&image).unwrap();
    let what = |path: &str| {
        let found = problems.iter().find(|problem| problem.path == Path::new(path));
        found.map(|problem| problem.what.as_str())
    };
    assert_eq!(what("bin/busybox"), Some("has other contents"));
    assert_eq!(what("etc/group"), Some("missing"));
    assert_eq!(what("etc/added"), Some("was not in the layer"));
    assert_eq!(what("etc/passwd"), Some("has another mode or owner"));
}
