//! A stream that gives up on a peer which does not read.
//!
//! A write that waits longer than the limit fails, and with it the connection. The limit is short for an answer
//! that is whole and long for a conversation, where a person may have stopped a pager.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// For answers that are whole.
const SHORT: Duration = Duration::from_secs(30);

/// For conversations.
const LONG: Duration = Duration::from_secs(60 * 60);

/// How long a write may wait, shared between a connection and its requests.
#[derive(Clone, Debug)]
pub(super) struct Patience {
    is_long: Arc<AtomicBool>,
    short: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { is_long: Arc::default(), short: SHORT }
    }
}

impl Patience {
    pub(super) fn be_long(&self) {
        self.is_long.store(true, Ordering::Relaxed);
    }

    pub(super) fn be_short(&self) {
        self.is_long.store(false, Ordering::Relaxed);
    }

    fn limit(&self) -> Duration {
        if self.is_long.load(Ordering::Relaxed) { LONG } else { self.short }
    }
}

/// A stream with patience.
pub(super) struct Patient<S> {
    inner: S,
    patience: Patience,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) fn new(inner: S, patience: Patience) -> Self {
        Self { inner, patience, waiting: None }
    }

    /// Passes on what a write gave, and measures how long it gives nothing.
    fn measured<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let limit = self.patience.limit();
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.measured(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        self.measured(flushed, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.measured(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (near, _far) = tokio::io::duplex(16);
        let patience = Patience { short: Duration::from_millis(10), ..Patience::default() };
        let mut stream = Patient::new(near, patience);
        let error = stream.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
