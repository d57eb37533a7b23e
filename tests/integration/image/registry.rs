//! A real registry: who gets in, what comes out, and what happens when it lies.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use hythe::image::credentials::Login;
use hythe::image::manifest::Compression;
use hythe::image::pull::{Policy, PullFailure, PullOptions};
use hythe::image::reference::Reference;
use hythe::image::store::{ImageStore, Prune};
use hythe::model::progress::LayerPhase;

use super::{Kept, chain, is_clean, pull, pull_with, runtime};
use crate::harness::images::{busybox, noise, of_tars, tar, try_rootfs_tools};
use crate::harness::registry::{Door, Registry};
use crate::harness::require;

#[test]
fn busybox_goes_to_a_registry_and_comes_back_whole() {
    require!(root, registry);
    let registry = Registry::start(Door::Open);
    let dir = tempfile::tempdir().unwrap();
    let name = registry.push(&busybox(), "tools/busybox:1");
    let store = ImageStore::open(dir.path()).unwrap();
    let image = pull(&store, &name).unwrap();
    assert!(store.verify(&image).unwrap().is_empty());
    assert!(image.layers[0].path.join("bin/busybox").is_file());
    assert_eq!(image.resolve_user("app").unwrap().additional_gids, [4, 100]);
    let again = pull(&store, &name).unwrap();
    assert_eq!(again.manifest_digest, image.manifest_digest);
    assert!(is_clean(dir.path()));
}

#[test]
fn a_password_opens_the_door_and_its_lack_does_not() {
    require!(root, registry);
    let registry = Registry::start(Door::Password);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    of_tars(&layout, "latest", &[tar(&[("hello", b"world")])], Compression::Gzip);
    let name = registry.push(&layout, "a:b");
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let refused = pull(&store, &name).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Unauthorised, "{}", chain(&refused));
    let wrong = Login::Basic { user: "hythe".into(), password: "wrong".into() };
    let refused =
        pull_with(&store, &name, &PullOptions { login: Some(wrong), ..PullOptions::default() }).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Unauthorised, "{}", chain(&refused));
    let right = Login::Basic { user: "hythe".into(), password: "secret".into() };
    pull_with(&store, &name, &PullOptions { login: Some(right), ..PullOptions::default() }).unwrap();

    // docker's own file, with base64 of hythe:secret
    let config = dir.path().join("config.json");
    let auths = serde_json::json!({"auths": {registry.host(): {"auth": "aHl0aGU6c2VjcmV0"}}});
    fs::write(&config, auths.to_string()).unwrap();
    let other = ImageStore::open(&dir.path().join("other")).unwrap();
    pull_with(&other, &name, &PullOptions { docker_config: Some(config), ..PullOptions::default() }).unwrap();
}

#[test]
fn a_certificate_counts_only_when_its_authority_is_named() {
    require!(root, registry, openssl);
    let registry = Registry::start(Door::Tls);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    of_tars(&layout, "latest", &[tar(&[("hello", b"world")])], Compression::Zstd);
    let name = format!("{}/a:b", registry.host());
    let certificate = registry.certificate();
    let pushed = try_rootfs_tools(&[
        "push",
        layout.to_str().unwrap(),
        &name,
        "--ca-file",
        certificate.to_str().unwrap(),
    ]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let refused = pull(&store, &name).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Unreachable, "{}", chain(&refused));
    assert!(chain(&refused).contains("certificate"), "{}", chain(&refused));
    let options = PullOptions { ca_files: vec![certificate], ..PullOptions::default() };
    pull_with(&store, &name, &options).unwrap();
}

#[test]
fn what_is_not_there_is_not_found_and_who_is_not_there_is_unreachable() {
    require!(root, registry);
    let registry = Registry::start(Door::Open);
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let missing = pull(&store, &format!("{}/no/such:thing", registry.host())).unwrap_err();
    assert_eq!(missing.kind(), PullFailure::NotFound, "{}", chain(&missing));
    let host = registry.host();
    drop(registry);
    let gone = pull(&store, &format!("{host}/no/such:thing")).unwrap_err();
    assert_eq!(gone.kind(), PullFailure::Unreachable, "{}", chain(&gone));
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_tampered_blob_and_a_cut_one_are_refused_and_leave_nothing() {
    require!(root, registry);
    let registry = Registry::start(Door::Open);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    of_tars(&layout, "latest", &[tar(&[("big", &noise(300_000, 1))])], Compression::Gzip);
    let name = registry.push(&layout, "a:b");
    let manifest = fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("blobs/sha256").join(digest)).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().replace("sha256:", "");
    let blob = registry.blob(&layer);
    let good = fs::read(&blob).unwrap();

    let mut bad = good.clone();
    bad[150_000] ^= 1;
    fs::write(&blob, &bad).unwrap();
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let refused = pull(&store, &name).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Corrupt, "{}", chain(&refused));
    assert!(chain(&refused).contains("wrong digest"), "{}", chain(&refused));

    fs::write(&blob, &good[..100_000]).unwrap();
    let refused = pull(&store, &name).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Corrupt, "{}", chain(&refused));
    assert!(is_clean(store.root()) && store.list().unwrap().is_empty());
    assert_eq!(fs::read_dir(store.root().join("partial")).unwrap().count(), 0, "bad bytes are not kept");

    fs::write(&blob, &good).unwrap();
    pull(&store, &name).unwrap();
}

#[test]
fn an_image_has_the_layers_its_config_promises() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    of_tars(&layout, "latest", &[tar(&[("a", b"a")])], Compression::Gzip);
    // Another config over the same blob.
    let layout_api = hythe::image::layout::Layout::open(&layout).unwrap();
    let other = hythe::image::digest::Digest::of(b"other");
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let gzip = blobs.into_iter().find(|path| fs::read(path).unwrap().starts_with(&[0x1f, 0x8b])).unwrap();
    let blob = hythe::image::pack::Blob {
        digest: hythe::image::digest::Digest::of(&fs::read(&gzip).unwrap()),
        size: fs::metadata(&gzip).unwrap().len(),
    };
    let config = serde_json::json!({"architecture": hythe::image::platform::Platform::host().architecture,
        "os": "linux", "rootfs": {"type": "layers", "diff_ids": [other.to_string()]}});
    let config = config.to_string();
    let layers = [(blob, other)];
    hythe::image::pack::write_image(&layout_api, "latest", config.as_bytes(), &layers, Compression::Gzip)
        .unwrap();
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let refused = pull(&store, &format!("oci:{}", layout.display())).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Corrupt, "{}", chain(&refused));
    assert!(chain(&refused).contains("config says"), "{}", chain(&refused));
    assert!(is_clean(store.root()) && fs::read_dir(store.root().join("layers")).unwrap().next().is_none());
}

#[test]
fn two_pulls_of_one_image_fetch_each_layer_once() {
    require!(root, registry);
    let registry = Registry::start(Door::Open);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let tars: Vec<Vec<u8>> = (0..4).map(|n| tar(&[(&format!("f{n}"), &noise(400_000, n + 1))])).collect();
    of_tars(&layout, "latest", &tars, Compression::None);
    let name = registry.push(&layout, "a:b").replace(&registry.host(), "HOST");
    let road = registry.slow_road(4_000_000);
    let name = name.replace("HOST", &road.host());
    let (one, two) = (
        ImageStore::open(&dir.path().join("store")).unwrap(),
        ImageStore::open(&dir.path().join("store")).unwrap(),
    );
    let options = PullOptions { docker_config: Some("/nonexistent".into()), ..PullOptions::default() };
    let reference = Reference::parse(&name).unwrap();
    let (first, second) = (Arc::new(Kept::default()), Arc::new(Kept::default()));
    let results = runtime().block_on(async {
        tokio::join!(
            one.pull(&reference, &options, first.clone()),
            two.pull(&reference, &options, second.clone())
        )
    });
    let (image, other) = (results.0.unwrap(), results.1.unwrap());
    assert_eq!(image.layers, other.layers);
    let count = |kept: &Kept, phase| kept.0.lock().unwrap().iter().filter(|p| p.phase == phase).count();
    assert_eq!(count(&first, LayerPhase::Done) + count(&second, LayerPhase::Done), 4);
    assert_eq!(count(&first, LayerPhase::Exists) + count(&second, LayerPhase::Exists), 4);
    assert!(road.carried() < 4 * 400_000 * 3 / 2, "{} bytes for 1.6 MB of layers", road.carried());
}

#[test]
fn layers_are_shared_and_go_with_the_last_image_that_needs_them() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let (base, top) = (tar(&[("base", b"1")]), tar(&[("top", b"2")]));
    of_tars(&layout, "one", std::slice::from_ref(&base), Compression::Gzip);
    of_tars(&layout, "two", &[base, top], Compression::Zstd);
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let one = pull(&store, &format!("oci:{}:one", layout.display())).unwrap();
    let two = pull(&store, &format!("oci:{}:two", layout.display())).unwrap();
    assert_eq!(one.layers[0], two.layers[0]);
    assert_eq!(two.overlay_lowerdirs(), [two.layers[1].path.clone(), two.layers[0].path.clone()]);

    let in_use = BTreeSet::from([two.manifest_digest.clone()]);
    assert!(store.remove(&two.reference, &in_use).is_err(), "a container needs it");
    assert_eq!(store.remove(&one.reference, &in_use).unwrap().layers, 0);
    let freed = store.prune(Prune::Unused, &BTreeSet::new()).unwrap();
    assert_eq!((freed.images.len(), freed.layers, freed.is_deferred), (1, 2, false));
    assert!(store.list().unwrap().is_empty());
    assert_eq!(fs::read_dir(store.root().join("blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn an_image_that_lost_its_name_keeps_its_layers_while_it_is_in_use() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let name = format!("oci:{}:t", layout.display());
    of_tars(&layout, "t", &[tar(&[("a", b"1")])], Compression::Gzip);
    let old = pull(&store, &name).unwrap();
    of_tars(&layout, "t", &[tar(&[("a", b"2")])], Compression::Gzip);
    let new = pull(&store, &name).unwrap();
    assert_ne!(old.manifest_digest, new.manifest_digest);
    let in_use = BTreeSet::from([old.manifest_digest.clone()]);
    assert_eq!(store.prune(Prune::Leftovers, &in_use).unwrap().layers, 0);
    assert!(old.layers[0].path.is_dir());
    assert_eq!(store.prune(Prune::Leftovers, &BTreeSet::new()).unwrap().layers, 1);
    assert!(!old.layers[0].path.exists() && new.layers[0].path.is_dir());
}

#[test]
fn an_image_that_is_here_will_do_when_that_is_the_policy() {
    require!(root, registry);
    let registry = Registry::start(Door::Open);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    of_tars(&layout, "latest", &[tar(&[("a", b"1")])], Compression::None);
    let name = registry.push(&layout, "a:b");
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    pull(&store, &name).unwrap();
    drop(registry);
    assert_eq!(pull(&store, &name).unwrap_err().kind(), PullFailure::Unreachable);
    let options = PullOptions { policy: Policy::IfMissing, ..PullOptions::default() };
    pull_with(&store, &name, &options).unwrap();
}
