//! An image as one plain directory tree, without a store: every layer on top of the one before, deletions carried out.

use std::io;
use std::path::Path;

use futures_util::StreamExt;

use crate::image::layer::{LayerError, unpack_checked};
use crate::image::manifest::Layer;
use crate::image::platform::Platform;
use crate::image::pull::{PullError, PullOptions, blocking};
use crate::image::reference::Reference;
use crate::image::registry::RegistryError;
use crate::image::source::Source;
use crate::image::unpack::{Deletions, Unpacker};

/// Unpacks the image `reference` stands for into `directory`, which is there and empty.
pub async fn unpack_flat(
    reference: &Reference,
    options: &PullOptions,
    directory: &Path,
) -> Result<(), PullError> {
    let image = reference.familiar();
    let source = Source::open(reference, options, directory).await?;
    let platform = options.platform.clone().unwrap_or_else(Platform::host);
    let resolved = source.resolve(&image, &platform).await?;
    for layer in resolved.layers {
        let landed = match &source {
            Source::Local(local) => {
                let packed = local.open_layer(&layer.blob);
                let packed = packed.map_err(|err| PullError::Local(image.clone(), err))?;
                let directory = directory.to_owned();
                blocking(move || unpack(&layer, packed, &directory)).await
            }
            Source::Registry(registry) => {
                let stream = registry.blob(&layer.blob, 0).await;
                let mut stream = stream.map_err(|err| PullError::Registry(image.clone(), err))?;
                let (sender, receiver) = tokio::sync::mpsc::channel(32);
                let directory = directory.to_owned();
                let landing =
                    tokio::spawn(blocking(move || unpack(&layer, Queue::new(receiver), &directory)));
                let mut broken = None;
                while let Some(piece) = stream.bytes.next().await {
                    let bytes = match piece {
                        Ok(bytes) => bytes,
                        Err(err) => {
                            broken = Some(RegistryError::Broken(registry.host().to_owned(), err));
                            break;
                        }
                    };
                    if sender.send(bytes).await.is_err() {
                        break; // the unpacker says why
                    }
                }
                drop(sender);
                let landed = landing.await.unwrap_or_else(|err| std::panic::resume_unwind(err.into_panic()));
                broken.map_or(Ok(()), |err| Err(PullError::Registry(image.clone(), err)))?;
                landed
            }
        };
        landed.map_err(|err| PullError::Layer(image.clone(), err))?;
    }
    Ok(())
}

fn unpack(layer: &Layer, packed: impl io::Read + Send, directory: &Path) -> Result<(), LayerError> {
    let unpacker = Unpacker::new(directory, Deletions::CarriedOut, None);
    let unpacker = unpacker.map_err(|err| LayerError::Store(directory.to_owned(), err))?;
    unpack_checked(layer, packed, unpacker).map(drop)
}

/// The pieces of a queue as one reader.
struct Queue {
    receiver: tokio::sync::mpsc::Receiver<bytes::Bytes>,
    current: bytes::Bytes,
}

impl Queue {
    fn new(receiver: tokio::sync::mpsc::Receiver<bytes::Bytes>) -> Self {
        Self { receiver, current: bytes::Bytes::new() }
    }
}

impl io::Read for Queue {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(bytes) => self.current = bytes,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        bytes::Buf::copy_to_slice(&mut self.current, &mut buffer[..length]);
        Ok(length)
    }
}
