//! Places for connections, and what becomes of those that find none.
//!
//! A place is waited for a moment, in which clients that are quick make room. When none comes, the door counts as full
//! until one is free again: connections that only wait for a next request are asked to go, and new ones are told to
//! come back later, which SDKs do by themselves. So a flood costs those who flood, and never a descriptor that a task
//! needs.

use std::{sync::Arc, time::Duration};

use nix::sys::resource::{Resource, getrlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::timeout,
};

use super::{
    refused::{Kind, Refused},
    reply::ECS_JSON,
};

/// Most connections of one listener, where the process may have enough descriptors.
const MOST: usize = 512;

/// How long a place is waited for.
const MOMENT: Duration = Duration::from_secs(1);

/// How many are heard out at a time after they were told that there is no place.
const HEARD: usize = 64;

/// For hearing the rest of what the other side says: who is closed with words unread may lose ours.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The same where too many others are heard already: enough for what has been sent by now.
const GLANCE: Duration = Duration::from_millis(100);

/// The places of one listener.
pub(super) struct Crowd {
    most: usize,
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    is_full: bool,
    wanted: watch::Sender<u64>,
}

/// A place at the door, free again when it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    wanted: watch::Receiver<u64>,
}

/// The telling of somebody that there is no place.
pub(super) struct Turn {
    /// The right to hear him out.
    hearing: Option<OwnedSemaphorePermit>,
}

impl Default for Crowd {
    /// As many places as leave three quarters of the process's descriptors to others.
    fn default() -> Self {
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        Self::of(usize::try_from(soft / 4).unwrap_or(MOST).clamp(16, MOST))
    }
}

impl Crowd {
    fn of(most: usize) -> Self {
        Self {
            most,
            places: Arc::new(Semaphore::new(most)),
            turns: Arc::new(Semaphore::new(HEARD)),
            is_full: false,
            wanted: watch::Sender::new(0),
        }
    }

    /// How many conversations leave room for questions.
    pub(super) fn conversations(&self) -> usize {
        self.most / 4 * 3
    }

    /// A place, or none when the door is full.
    pub(super) async fn place(&mut self) -> Option<Place> {
        let mut permit = Arc::clone(&self.places).try_acquire_owned().ok();
        if permit.is_none() {
            self.wanted.send_modify(|times| *times += 1);
            if !self.is_full {
                let acquired = timeout(MOMENT, Arc::clone(&self.places).acquire_owned()).await;
                permit = acquired.ok().and_then(Result::ok);
            }
        }
        self.is_full = permit.is_none();
        permit.map(|permit| Place { _permit: permit, wanted: self.wanted.subscribe() })
    }

    /// How a connection is told that there is no place.
    pub(super) fn turn_away(&self) -> Turn {
        Turn { hearing: Arc::clone(&self.turns).try_acquire_owned().ok() }
    }
}

impl Place {
    /// Waits until somebody finds no place.
    pub(super) async fn is_wanted(&mut self) {
        if self.wanted.changed().await.is_err() {
            // The listener is gone, and what ends its connections is said elsewhere.
            std::future::pending::<()>().await;
        }
    }
}

impl Turn {
    /// Answers whatever is asked with: later.
    pub(super) async fn tell(self, mut stream: impl AsyncRead + AsyncWrite + Unpin, id: &str) {
        let message = "Too many connections at once. Rate exceeded";
        let body = Refused::new(Kind::ThrottlingException, message).document().to_string();
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: {ECS_JSON}\r\nx-amzn-requestid: {id}\r\n\
             retry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let telling = async {
            stream.write_all(answer.as_bytes()).await?;
            stream.shutdown().await?;
            let mut rest = [0; 4096];
            while stream.read(&mut rest).await? > 0 {}
            Ok::<_, std::io::Error>(())
        };
        let limit = if self.hearing.is_some() { LAST_WORDS } else { GLANCE };
        // Who does not listen to the end has been told enough.
        let _ = timeout(limit, telling).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_door_asks_those_who_have_a_place_and_opens_again() {
        let mut crowd = Crowd::of(1);
        let mut first = crowd.place().await.expect("the only place");
        assert!(crowd.place().await.is_none());
        assert!(crowd.place().await.is_none());
        first.is_wanted().await;
        drop(first);
        assert!(crowd.place().await.is_some());
    }

    #[tokio::test]
    async fn who_is_sent_away_hears_why_though_he_has_not_finished() {
        let crowd = Crowd::of(1);
        let (mut near, far) = tokio::io::duplex(4096);
        let telling = tokio::spawn(async move {
            let turn = crowd.turn_away();
            turn.tell(far, "an-id").await;
        });
        near.write_all(b"POST / HTTP/1.1\r\n").await.unwrap();
        let mut answer = String::new();
        near.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(
            answer.contains("ThrottlingException") && answer.contains("x-amzn-requestid: an-id"),
            "{answer}"
        );
        drop(near);
        telling.await.unwrap();
    }
}
