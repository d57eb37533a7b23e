//! Images in files: archives of both kinds, several images in one, and out again.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use hythe::image::digest::Digest;
use hythe::image::layout::Layout;
use hythe::image::manifest::Compression;
use hythe::image::platform::Platform;
use hythe::image::pull::{PullFailure, PullOptions, Unwatched};
use hythe::image::reference::Reference;
use hythe::image::save::Format;
use hythe::image::store::{ImageStore, Prune};

use super::{chain, is_clean, pull, pull_with, runtime};
use crate::harness::images::{busybox, of_tars, tar};
use crate::harness::require;

fn load(store: &ImageStore, path: &Path) -> Vec<hythe::image::store::Image> {
    runtime().block_on(store.load(path, &PullOptions::default(), Arc::new(Unwatched))).unwrap()
}

#[test]
fn a_saved_image_loads_under_its_name_with_its_contents() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let (bottom, top) =
        (tar(&[("d/", b""), ("d/gone", b"1"), ("keep", b"1")]), tar(&[("d/", b""), ("d/.wh.gone", b"")]));
    of_tars(&layout, "latest", &[bottom, top], Compression::Gzip);
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let image = pull(&store, &format!("oci:{}", layout.display())).unwrap();
    let archive = dir.path().join("web.tar");
    let digest = store.save(&image.reference, &archive, Format::OciArchive).unwrap();
    assert_eq!(
        store.save(&image.reference, &archive, Format::OciArchive).unwrap(),
        digest,
        "saving is repeatable"
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left beside the archive");

    let other = ImageStore::open(&dir.path().join("other")).unwrap();
    let loaded = load(&other, &archive);
    assert_eq!(loaded.len(), 1);
    assert_eq!(loaded[0].reference, image.reference);
    assert_eq!(loaded[0].read_file(Path::new("d/gone")).unwrap(), None);
    assert_eq!(loaded[0].read_file(Path::new("keep")).unwrap().unwrap(), b"1");
    assert_eq!(loaded[0].config.config(), image.config.config());
    assert!(is_clean(other.root()));
}

#[test]
fn what_docker_saves_is_read_compressed_or_not() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let layer = tar(&[("hello", b"world")]);
    let diff_id = Digest::of(&layer).to_string();
    let config = serde_json::json!({"architecture": Platform::host().architecture, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [diff_id]}})
    .to_string();
    let list = serde_json::json!([{"Config": "c.json", "RepoTags": ["web:1", "example.com/web:2"],
        "Layers": ["abc/layer.tar"]}])
    .to_string();
    let archive = tar(&[
        ("abc/", b""),
        ("abc/layer.tar", &layer),
        ("c.json", config.as_bytes()),
        ("manifest.json", list.as_bytes()),
    ]);
    let plain = dir.path().join("saved.tar");
    fs::write(&plain, &archive).unwrap();
    let packed = dir.path().join("saved.tar.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &archive).unwrap();
    encoder.finish().unwrap();
    for path in [plain, packed] {
        let place = tempfile::tempdir_in(dir.path()).unwrap();
        let store = ImageStore::open(place.path()).unwrap();
        let names: Vec<String> =
            load(&store, &path).iter().map(|image| image.reference.to_string()).collect();
        assert_eq!(names, ["docker.io/library/web:1", "example.com/web:2"]);
        let image = pull(&store, &format!("docker-archive:{}:web:1", path.display())).unwrap();
        assert_eq!(image.read_file(Path::new("hello")).unwrap().unwrap(), b"world");
        assert!(is_clean(store.root()));
        let missing = pull(&store, &format!("docker-archive:{}:web:9", path.display())).unwrap_err();
        assert_eq!(missing.kind(), PullFailure::NotFound);
        assert!(chain(&missing).contains("example.com/web:2"), "{}", chain(&missing));
    }
}

#[test]
fn an_index_gives_each_host_its_own_image() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let directory = dir.path().join("layout");
    let mut entries = Vec::new();
    for (architecture, variant) in [("arm", "v6"), ("arm", "v7"), ("amd64", "")] {
        let layer = tar(&[("who", format!("{architecture}{variant}").as_bytes())]);
        let layout = Layout::create(&directory).unwrap();
        let (blob, ()) = layout.write_blob(|out| out.write_all(&layer)).unwrap();
        let diff_id = blob.digest.clone();
        let config = serde_json::json!({"architecture": architecture, "variant": variant, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [diff_id.to_string()]}});
        let config = config.to_string();
        let layers = [(blob, diff_id)];
        let digest =
            hythe::image::pack::write_image(&layout, "x", config.as_bytes(), &layers, Compression::None)
                .unwrap();
        let size = fs::metadata(layout.blob_path(&digest)).unwrap().len();
        entries.push(
            serde_json::json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": size,
            "digest": digest.to_string(),
            "platform": {"os": "linux", "architecture": architecture, "variant": variant}}),
        );
    }
    let layout = Layout::open(&directory).unwrap();
    let index = serde_json::json!({"schemaVersion": 2, "manifests": entries});
    let index = layout.add_blob(index.to_string().as_bytes()).unwrap();
    layout.tag("x", &index).unwrap();
    let name = format!("oci:{}:x", directory.display());
    for (platform, expected) in
        [("linux/arm/v7", "armv7"), ("linux/arm/v6", "armv6"), ("linux/amd64", "amd64")]
    {
        let store = ImageStore::open(&dir.path().join(expected)).unwrap();
        let options =
            PullOptions { platform: Some(Platform::parse(platform).unwrap()), ..PullOptions::default() };
        let image = pull_with(&store, &name, &options).unwrap();
        assert_eq!(image.read_file(Path::new("who")).unwrap().unwrap(), expected.as_bytes());
        assert_eq!(image.resolved_digest, index.digest);
        assert_ne!(image.manifest_digest, index.digest);
    }
    let store = ImageStore::open(&dir.path().join("none")).unwrap();
    let options =
        PullOptions { platform: Some(Platform::parse("linux/s390x").unwrap()), ..PullOptions::default() };
    let refused = pull_with(&store, &name, &options).unwrap_err();
    assert_eq!(refused.kind(), PullFailure::Unsupported);
    assert!(chain(&refused).contains("linux/arm/v6"), "{}", chain(&refused));
}

#[test]
fn what_a_dead_process_left_is_swept_and_what_a_live_one_holds_is_not() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(dir.path()).unwrap();
    let hex = "a".repeat(64);
    let left = dir.path().join("tmp").join(format!("layer-{hex}"));
    fs::create_dir_all(left.join("fs/deep")).unwrap();
    fs::write(dir.path().join("tmp/stray"), "x").unwrap();
    ImageStore::open(dir.path()).unwrap();
    assert!(is_clean(dir.path()));
    assert_eq!(store.prune(Prune::Unused, &BTreeSet::new()).unwrap().layers, 0);
}

#[test]
fn missing_files_and_things_that_are_no_images_are_said() {
    require!(root);
    let dir = tempfile::tempdir().unwrap();
    let store = ImageStore::open(&dir.path().join("store")).unwrap();
    let nowhere = pull(&store, "oci-archive:/nonexistent.tar").unwrap_err();
    assert_eq!(nowhere.kind(), PullFailure::NotFound, "{}", chain(&nowhere));
    let file = dir.path().join("text");
    fs::write(&file, "no tar at all").unwrap();
    let nonsense = pull(&store, &format!("docker-archive:{}", file.display())).unwrap_err();
    assert!(chain(&nonsense).contains("text"), "{}", chain(&nonsense));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let empty = pull(&store, &format!("oci:{}", empty.display())).unwrap_err();
    assert!(chain(&empty).contains("index.json"), "{}", chain(&empty));
    assert!(store.get(&Reference::parse("web").unwrap()).unwrap().is_none());
}

#[test]
fn the_busybox_recipe_is_made_once_and_is_always_the_same() {
    require!(root);
    let layout = busybox();
    let before = fs::metadata(layout.join("index.json")).unwrap().modified().unwrap();
    assert_eq!(busybox(), layout);
    assert_eq!(fs::metadata(layout.join("index.json")).unwrap().modified().unwrap(), before);
}
