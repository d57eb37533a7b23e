//! Pulls that are killed, and disks that fill.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use hythe::image::manifest::Compression;
use hythe::image::pull::PullFailure;
use hythe::image::reference::Reference;
use hythe::image::store::ImageStore;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{chain, is_clean, pull};
use crate::harness::images::{ROOTFS_TOOLS, noise, of_tars, rootfs_tools, tar};
use crate::harness::registry::{Door, Registry};
use crate::harness::{PATIENCE, require, wait_for};

fn partial_bytes(store: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(store.join("partial")) else { return 0 };
    entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[test]
fn a_killed_pull_is_continued_by_the_next() {
    require!(root, registry);
    let registry = Registry::start(Door::Open);
    let dir = tempfile::tempdir().unwrap();
    let (layout, place) = (dir.path().join("layout"), dir.path().join("store"));
    let size = 3_000_000;
    of_tars(&layout, "latest", &[tar(&[("big", &noise(size, 7))])], Compression::Gzip);
    let name = registry.push(&layout, "a:b");
    let slow = registry.slow_road(2_000_000);
    let through = |host: &str| name.replace(&registry.host(), host);
    let mut child = Command::new(ROOTFS_TOOLS)
        .args(["pull", &through(&slow.host()), "--store", place.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the pull to get going", PATIENCE, || (partial_bytes(&place) >= 500_000).then_some(()));
    child.kill().unwrap();
    child.wait().unwrap();
    let had = partial_bytes(&place);
    assert!(had < size as u64, "the pull was over before it was killed");
    assert!(!is_clean(&place), "it died in the middle");

    // The next command starts clean; the bytes that came are kept.
    let store = ImageStore::open(&place).unwrap();
    assert!(is_clean(&place) && store.list().unwrap().is_empty());
    let fast = registry.slow_road(usize::MAX);
    let image = pull(&store, &through(&fast.host())).unwrap();
    assert!(store.verify(&image).unwrap().is_empty());
    assert_eq!(fs::read(image.layers[0].path.join("big")).unwrap(), noise(size, 7));
    let requests = fast.requests().to_ascii_lowercase();
    assert!(requests.contains(&format!("range: bytes={had}-")), "no range request from {had}:\n{requests}");
    assert_eq!(partial_bytes(&place), 0);
}

#[test]
fn old_bytes_that_turn_out_wrong_are_fetched_anew() {
    require!(root, registry);
    let registry = Registry::start(Door::Open);
    let dir = tempfile::tempdir().unwrap();
    let (layout, place) = (dir.path().join("layout"), dir.path().join("store"));
    of_tars(&layout, "latest", &[tar(&[("big", &noise(300_000, 7))])], Compression::Gzip);
    let name = registry.push(&layout, "a:b");
    let store = ImageStore::open(&place).unwrap();
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap());
    let layer = blobs.into_iter().find(|entry| entry.metadata().unwrap().len() > 100_000).unwrap();
    fs::write(place.join("partial").join(layer.file_name()), vec![0; 50_000]).unwrap();
    let image = pull(&store, &name).unwrap();
    assert!(store.verify(&image).unwrap().is_empty());
}

#[test]
fn a_full_disk_is_said_and_leaves_the_store_usable() {
    require!(root, registry);
    let dir = tempfile::tempdir().unwrap();
    let (layout, disk) = (dir.path().join("layout"), dir.path().join("disk"));
    of_tars(&layout, "large", &[tar(&[("big", &noise(6_000_000, 3))])], Compression::Gzip);
    of_tars(&layout, "small", &[tar(&[("little", b"x")])], Compression::Gzip);
    fs::create_dir(&disk).unwrap();
    mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=4m")).unwrap();
    let _mounted = Mounted(&disk);
    let store = ImageStore::open(&disk.join("store")).unwrap();
    let full = pull(&store, &format!("oci:{}:large", layout.display())).unwrap_err();
    assert_eq!(full.kind(), PullFailure::DiskFull, "{}", chain(&full));
    assert!(chain(&full).contains("no space left"), "{}", chain(&full));
    assert!(is_clean(store.root()) && store.list().unwrap().is_empty());
    let image = pull(&store, &format!("oci:{}:small", layout.display())).unwrap();
    assert_eq!(fs::read(image.layers[0].path.join("little")).unwrap(), b"x");

    // The same through a registry, where the bytes that arrive are kept on the same disk.
    {
        let registry = Registry::start(Door::Open);
        let name = format!("{}/a:large", registry.host());
        rootfs_tools(&["push", &format!("{}:large", layout.display()), &name]);
        let full = pull(&store, &name).unwrap_err();
        assert_eq!(full.kind(), PullFailure::DiskFull, "{}", chain(&full));
        assert!(is_clean(store.root()));
        assert_eq!(partial_bytes(store.root()), 0, "what fills the disk does not stay");
        assert!(store.get(&Reference::parse(&name).unwrap()).unwrap().is_none());
    }
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}
