//! A layer from a registry: download and unpacking at once, continued where an earlier attempt was cut off.
//!
//! Two sides of a short queue. The async side asks the registry for bytes, again from where it was when a connection
//! breaks. The blocking side first reads what `partial/` holds from before, then takes from the queue; each piece is
//! kept in `partial/` and handed to the unpacker. The queue's length bounds memory and lets the slower side set the pace.
//!
//! Bytes from an earlier attempt are trusted no more than others: if the whole turns out wrong and some of it was old,
//! the layer is fetched once more from the start.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::image::layer::LayerError;
use crate::image::locks::Lease;
use crate::image::manifest::Layer;
use crate::image::pull::{Pull, PullError, blocking};
use crate::image::registry::{Registry, RegistryError};
use crate::image::store::StoreError;
use crate::model::progress::LayerPhase;

/// Pieces in the queue. Slow registries send some 16 KiB at a time, fast ones up to half a megabyte.
const QUEUE: usize = 8;
/// Attempts without a single new byte before giving up.
const ATTEMPTS: u32 = 5;
/// The first pause between two attempts; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What the async side sends.
enum Piece {
    Bytes(Bytes),
    /// All is sent. A queue that ends without this was given up.
    End,
}

/// Fetches and lands `layer`; the leases are its own and its blob's.
pub(crate) async fn layer(
    pull: &Pull,
    registry: &Registry,
    layer: &Layer,
    leases: [Lease; 2],
) -> Result<(), PullError> {
    let path = pull.store.partial_path(&layer.blob);
    let failed = |err| PullError::Store(pull.image.clone(), StoreError::Io(path.clone(), err));
    let leases = std::sync::Arc::new(leases);
    loop {
        let partial = Partial::open(&path, layer.size).map_err(failed)?;
        let had = partial.length;
        let result = attempt(pull, registry, layer, partial, leases.clone()).await;
        let is_bad = match &result {
            Ok(()) => true,
            Err(PullError::Layer(_, err)) => err.is_content() || err.is_disk_full(),
            Err(_) => false, // what has come is good as far as anyone knows, and will be continued
        };
        if is_bad {
            match std::fs::remove_file(&path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(failed(err)),
                Ok(()) | Err(_) => {}
            }
        }
        match result {
            Err(PullError::Layer(_, err)) if err.is_content() && had > 0 => {}
            other => return other,
        }
    }
}

async fn attempt(
    pull: &Pull,
    registry: &Registry,
    layer: &Layer,
    partial: Partial,
    leases: std::sync::Arc<[Lease; 2]>,
) -> Result<(), PullError> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let from = partial.length;
    let landing = tokio::spawn(blocking({
        let (store, layer, working) = (pull.store.clone(), layer.clone(), pull.working.clone());
        move || {
            let _working = working;
            let [own, _blob] = &*leases;
            let arriving = Arriving { partial, receiver, current: Bytes::new(), is_over: false };
            // What is gone before the disk is flushed is mostly never written to it. One that stays is found later.
            let checked = || drop(std::fs::remove_file(store.partial_path(&layer.blob)));
            store.land(&layer, arriving, checked, own)
        }
    }));
    let sent = send(pull, registry, layer, from, sender).await;
    let landed = match landing.await {
        Ok(landed) => landed,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    };
    match (sent, landed) {
        // The unpacker only fails for lack of bytes when the sender did.
        (Err(err), _) => Err(PullError::Registry(pull.image.clone(), err)),
        (Ok(()), Err(err)) => Err(PullError::Layer(pull.image.clone(), err)),
        (Ok(()), Ok(())) => Ok(()),
    }
}

/// Sends what the registry has from `offset` on. Ends well, too, when the other side wants no more.
async fn send(
    pull: &Pull,
    registry: &Registry,
    layer: &Layer,
    mut offset: u64,
    queue: mpsc::Sender<Piece>,
) -> Result<(), RegistryError> {
    let (mut attempts, mut pause) = (0, FIRST_PAUSE);
    pull.tell(layer, LayerPhase::Downloading, offset);
    while offset < layer.size {
        let before = offset;
        match send_some(pull, registry, layer, &mut offset, &queue).await {
            Ok(Sent::All) => break,
            Ok(Sent::NobodyListens) => return Ok(()),
            Err(err) => {
                (attempts, pause) = if offset > before { (0, FIRST_PAUSE) } else { (attempts + 1, pause) };
                if !err.is_transient() || attempts >= ATTEMPTS {
                    return Err(err);
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
    }
    pull.tell(layer, LayerPhase::Unpacking, offset);
    let _ = queue.send(Piece::End).await; // a failed unpacker says so itself
    Ok(())
}

enum Sent {
    All,
    NobodyListens,
}

/// One request: sends until its answer ends or breaks.
async fn send_some(
    pull: &Pull,
    registry: &Registry,
    layer: &Layer,
    offset: &mut u64,
    queue: &mpsc::Sender<Piece>,
) -> Result<Sent, RegistryError> {
    let step = (layer.size / 100).max(1 << 16);
    let mut stream = registry.blob(&layer.blob, *offset).await?;
    let mut skip = *offset - stream.offset;
    let mut told = *offset;
    while let Some(bytes) = stream.bytes.next().await {
        let mut bytes = match bytes {
            Ok(bytes) => bytes,
            // The client compares digests at the end of a whole blob; the unpacking side does, too, and says more.
            Err(_) if *offset >= layer.size => break,
            Err(err) if is_digest(&err) => break,
            Err(err) => return Err(RegistryError::Broken(registry.host().to_owned(), err)),
        };
        let known = skip.min(bytes.len() as u64);
        skip -= known;
        bytes.advance(usize::try_from(known).unwrap_or(usize::MAX));
        *offset += bytes.len() as u64;
        if !bytes.is_empty() && queue.send(Piece::Bytes(bytes)).await.is_err() {
            return Ok(Sent::NobodyListens);
        }
        if *offset - told >= step {
            told = *offset;
            pull.tell(layer, LayerPhase::Downloading, told);
        }
        if *offset > layer.size {
            break; // more than promised; what more there is does not matter
        }
    }
    Ok(Sent::All)
}

fn is_digest(err: &io::Error) -> bool {
    err.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<oci_client::errors::DigestError>)
}

/// Bytes of a blob on disk, to be read from the start and then added to.
struct Partial {
    file: File,
    read: u64,
    length: u64,
}

impl Partial {
    fn open(path: &std::path::Path, size: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let length = file.metadata()?.len();
        // More than the whole cannot be a part.
        let length = if length > size { 0 } else { length };
        file.set_len(length)?;
        Ok(Self { file, read: 0, length })
    }
}

/// The blob as the unpacker reads it.
struct Arriving {
    partial: Partial,
    receiver: mpsc::Receiver<Piece>,
    current: Bytes,
    is_over: bool,
}

impl Read for Arriving {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.partial.length - self.partial.read;
        if left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = self.partial.file.read(&mut buffer[..wanted])?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.partial.read += read as u64;
            return Ok(read);
        }
        while self.current.is_empty() && !self.is_over {
            match self.receiver.blocking_recv() {
                Some(Piece::Bytes(bytes)) => {
                    self.partial.file.write_all(&bytes)?;
                    self.current = bytes;
                }
                Some(Piece::End) => self.is_over = true,
                None => {
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "download was given up"));
                }
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[allow(dead_code, reason = "the compiler proves that what crosses threads may")]
fn what_crosses_threads_may(arriving: Arriving, error: LayerError) {
    fn may<T: Send>(_: T) {}
    may(arriving);
    may(error);
}
