//! Any bytes as what a registry answers: manifests, indexes, image configurations and references.
//!
//! Nothing may panic, and what is accepted must hold together: a layer for each diffID, digests that read back.
#![no_main]

use hythe::image::digest::Digest;
use hythe::image::manifest::{self, Document};
use hythe::image::platform::Platform;
use hythe::image::reference::Reference;
use libfuzzer_sys::fuzz_target;

/// Parts the input: a manifest, and after a zero byte a configuration.
fn parts(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    (&data[..end], data.get(end + 1..).unwrap_or_default())
}

fuzz_target!(|data: &[u8]| {
    let (manifest, config) = parts(data);
    let config = manifest::parse_config(config);
    match Document::parse(manifest) {
        Ok(Document::Image(image)) => {
            let _ = manifest::require_image(&image);
            if let Ok(config) = config
                && let Ok(layers) = manifest::layers(&image, &config)
            {
                assert_eq!(layers.len(), config.rootfs().diff_ids().len());
                for layer in layers {
                    assert_eq!(Digest::parse(&layer.blob.to_string()).ok(), Some(layer.blob));
                }
            }
        }
        Ok(Document::Index(index)) => {
            if let Some(chosen) = Platform::usual().choose(index.manifests()) {
                let _ = manifest::digest_of(chosen);
            }
        }
        Err(_) => {}
    }
    if let Ok(text) = std::str::from_utf8(manifest)
        && let Ok(reference) = Reference::parse(text)
    {
        assert!(Reference::parse(&reference.to_string()).is_ok_and(|again| again == reference), "{reference}");
    }
});
