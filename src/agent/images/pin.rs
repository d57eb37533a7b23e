//! Images that are pinned: a deployment's later tasks run what its first one ran, wherever the tag points by now.

use crate::agent::images::Images;
use crate::image::reference::Reference;
use crate::image::store::Record;

impl Images {
    /// The name under which the image that `text` had under this manifest digest is to be brought here.
    ///
    /// An image that is here under its tag gets that name at once, so no registry is asked for what has not moved.
    /// What came from a file has no digest that one could ask for: it is what its name says now.
    pub(crate) fn pinned(&self, text: &str, digest: Option<&str>) -> String {
        let Some(digest) = digest else { return text.to_owned() };
        let Ok(reference) = Reference::parse(text) else { return text.to_owned() };
        let is_tag = reference.name().is_some_and(|name| name.digest().is_none());
        let by_digest = format!("{text}@{digest}");
        let Some(pinned) = Reference::parse(&by_digest).ok().filter(|_| is_tag) else {
            return text.to_owned();
        };
        if matches!(self.store().record(&pinned), Ok(Some(_))) {
            return by_digest;
        }
        match self.store().record(&reference) {
            Ok(Some(known)) if known.manifest.to_string() == digest => {
                let named = Record { reference: pinned, ..known };
                // Without the name the registry is asked, which is the slower way to the same image.
                if let Err(error) = self.store().write_record(&named) {
                    tracing::debug!(image = text, %error, "pinned image not named");
                }
                by_digest
            }
            Ok(Some(moved)) if moved.is_loaded => text.to_owned(),
            Ok(Some(_) | None) | Err(_) => by_digest,
        }
    }
}
