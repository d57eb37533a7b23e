//! A conversation with one shim: its facts in their order and without a gap, and orders to it.
//!
//! When the shim is gone, what it had not sent is read from its ledger before the connection ends.

use std::{collections::VecDeque, io, path::PathBuf};

use tokio::{io::AsyncWriteExt, net::UnixStream, time::timeout};

use super::{Address, ClientError, HELLO};
use crate::{
    model::{
        fact::{Fact, Seen},
        ids::{ContainerName, TaskId},
        reading,
        task::StopRequest,
    },
    shim::{
        ledger::read_ledger,
        protocol::{Credentials, LINE_MAX, Order, Report},
    },
};

/// A conversation with one shim.
#[derive(Debug)]
pub struct Connection {
    task: TaskId,
    ledger: PathBuf,
    stream: UnixStream,
    /// Bytes of lines that are not whole yet.
    heard: Vec<u8>,
    /// The number of the fact that comes next.
    next: u64,
    /// What was read from the ledger of a shim that is gone.
    left: Option<VecDeque<Fact>>,
    finished: bool,
}

impl Connection {
    pub(super) fn new(address: &Address, stream: UnixStream, from: u64) -> Self {
        Self {
            task: address.task.clone(),
            ledger: address.ledger.clone(),
            stream,
            heard: Vec::new(),
            next: from.max(1),
            left: None,
            finished: false,
        }
    }

    /// The first conversation. A short task can be over before its shim was greeted; what it saw is in its ledger.
    pub(super) async fn first(address: &Address, stream: UnixStream) -> Result<Self, ClientError> {
        let mut connection = Self::new(address, stream, 1);
        match connection.greet().await {
            Err(ClientError::Gone(task)) => {
                let left = read_ledger(&address.ledger, connection.next)?;
                if left.is_empty() {
                    return Err(ClientError::Gone(task));
                }
                connection.left = Some(left.into());
            }
            greeted => greeted?,
        }
        Ok(connection)
    }

    /// Says hello and waits for the welcome.
    pub(super) async fn greet(&mut self) -> Result<(), ClientError> {
        let task = self.task.clone();
        let hello = async {
            // A shim that cannot begin has said why, and may be gone before it could be greeted.
            let said = self.say(&Order::Hello { from: self.next }).await;
            match self.hear().await {
                Ok(None) => said.map(|()| None),
                Ok(report) => Ok(report),
                Err(source) => Err(ClientError::Talk { task: task.clone(), source }),
            }
        };
        match timeout(HELLO, hello).await {
            Err(_) => Err(ClientError::Silent(task)),
            Ok(Err(error)) => Err(error),
            Ok(Ok(None)) => Err(ClientError::Gone(task)),
            Ok(Ok(Some(Report::Failed { reason }))) => Err(ClientError::Refused(reason)),
            Ok(Ok(Some(Report::Welcome { task: other, .. }))) if other == task => Ok(()),
            Ok(Ok(Some(Report::Welcome { .. } | Report::Fact { .. } | Report::Unknown))) => {
                Err(ClientError::Confused { task })
            }
        }
    }

    /// The next fact. None when the shim is gone and everything it saw has been told.
    ///
    /// Nothing is lost when the future is dropped half-way.
    pub async fn next(&mut self) -> Result<Option<Fact>, ClientError> {
        while self.left.is_none() {
            match self.hear().await {
                Ok(Some(Report::Fact { fact })) => return Ok(Some(self.took(fact))),
                Ok(Some(Report::Welcome { .. } | Report::Failed { .. } | Report::Unknown)) => {}
                Ok(None) | Err(_) => self.left = Some(read_ledger(&self.ledger, self.next)?.into()),
            }
        }
        let fact = self.left.as_mut().and_then(VecDeque::pop_front);
        Ok(fact.map(|fact| self.took(fact)))
    }

    /// Whether the shim has said that every container has ended. When [`Self::next`] gave none and this is false,
    /// the shim was killed, and its containers with it.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Tells the task to stop.
    pub async fn stop(&mut self, request: &StopRequest) -> Result<(), ClientError> {
        self.say(&Order::Stop { request: request.clone() }).await
    }

    /// Sends a signal to the first process of a container.
    pub async fn signal(&mut self, container: &ContainerName, signal: i32) -> Result<(), ClientError> {
        self.say(&Order::Signal { container: container.clone(), signal }).await
    }

    /// Brings the credentials of the task's role.
    pub async fn credentials(&mut self, credentials: Credentials) -> Result<(), ClientError> {
        self.say(&Order::Credentials { credentials: Box::new(credentials) }).await
    }

    fn took(&mut self, fact: Fact) -> Fact {
        self.next = fact.ledger.map_or(self.next, |number| number + 1);
        self.finished |= fact.seen == Seen::AllStopped;
        fact
    }

    async fn say(&mut self, order: &Order) -> Result<(), ClientError> {
        let said = async { self.stream.write_all(&order.to_line()?).await };
        said.await.map_err(|source| {
            let is_gone = matches!(source.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
            let task = self.task.clone();
            if is_gone { ClientError::Gone(task) } else { ClientError::Talk { task, source } }
        })
    }

    /// The next line, or none at the end of the stream.
    async fn hear(&mut self) -> io::Result<Option<Report>> {
        loop {
            if let Some(end) = self.heard.iter().position(|&byte| byte == b'\n') {
                let report = reading::from_slice(&self.heard[..end]);
                self.heard.drain(..=end);
                return Ok(Some(report?));
            }
            if self.heard.len() > LINE_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.stream.readable().await?;
            match self.stream.try_read_buf(&mut self.heard) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // It went away with something of ours unread.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::time::Timestamp, shim::ledger::Ledger};

    #[tokio::test]
    async fn a_task_that_was_over_before_its_shim_was_greeted_has_told_its_ledger() {
        let place = tempfile::tempdir().unwrap();
        let task = TaskId::from_random([7; 16]);
        let address = Address {
            task: task.clone(),
            socket: place.path().join("socket"),
            ledger: place.path().join("ledger"),
        };
        let first = async || {
            let (ours, shim) = UnixStream::pair().unwrap();
            drop(shim);
            Connection::first(&address, ours).await
        };
        let mut ledger = Ledger::open(&address.ledger).unwrap();
        assert!(matches!(first().await, Err(ClientError::Gone(_))), "it had not begun");
        for seen in [Seen::ShimStarted, Seen::AllStopped] {
            ledger.append(Fact { task: task.clone(), at: Timestamp(1), ledger: None, seen });
        }
        ledger.write();
        let mut connection = first().await.unwrap();
        let mut told = Vec::new();
        while let Some(fact) = connection.next().await.unwrap() {
            told.push(fact.seen);
        }
        assert_eq!(told, [Seen::ShimStarted, Seen::AllStopped]);
        assert!(connection.is_finished());
    }
}
