//! `hythe exec`: a command in a container that runs, as if it had been typed there.
//!
//! Standard input goes in with `-i`; with `-t` the command has a terminal of the container's own, this terminal passes
//! on every key as it is, and a change of its size is told. Without one, signals that people send to a program here
//! are sent on to the command. The exit code is the command's: 128 and the number of the signal that ended it, 127
//! when there is no such program, 126 when it cannot be run. Whoever ends this program ends the command.

use std::{
    io::{self, IsTerminal as _, Read as _},
    os::fd::AsFd as _,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, split},
    signal::unix::{Signal as Signals, SignalKind, signal},
    sync::mpsc,
};

use super::{arguments::ExecArguments, failure::Failure, print, session::Session};
use crate::{
    api::client::Exchange,
    kernel::{
        process::Signal,
        terminal::{Raw, size_of},
    },
    model::{
        exec::{ExecRequest, Frame, Frames},
        ids::ContainerName,
        task::Exit,
    },
};

/// Frames that wait to be sent before their source does.
const WAITING: usize = 16;

/// Bytes that are read at once.
const CHUNK: usize = 32 << 10;

/// Signals that are sent on: the hang-up, the two of the keyboard, the request to end, and the two free ones.
const SENT_ON: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];

/// Runs a command and gives its exit code.
pub(super) async fn run(session: &Session, arguments: ExecArguments) -> Result<u8, Failure> {
    let stdin = io::stdin();
    if arguments.tty && arguments.interactive && !stdin.is_terminal() {
        return Err(Failure::usage("standard input is no terminal: leave -t out"));
    }
    let task = session.task(&arguments.task).await?;
    let path = format!("/hythe/v1/tasks/{}/exec", print::last_part(&task));
    let (is_terminal, has_input) = (arguments.tty, arguments.interactive);
    let exchange = session.client.exec(&path, &request(arguments)?).await?;
    let raw = (is_terminal && has_input).then(|| Raw::enter(stdin.as_fd())).transpose();
    let raw = raw.map_err(|errno| Failure::failed(format!("set up this terminal: {errno}")))?;
    let (frames, to_send) = mpsc::channel(WAITING);
    if has_input {
        read_input(frames.clone());
    }
    send_on(&frames, is_terminal, raw.is_some())?;
    let ended = converse(exchange, to_send).await;
    drop(raw);
    ended
}

fn request(arguments: ExecArguments) -> Result<ExecRequest, Failure> {
    let container = arguments.container.as_deref().map(ContainerName::parse).transpose();
    let container = container.map_err(|error| Failure::usage(format!("the container: {error}")))?;
    let value = |name: String| match std::env::var(&name) {
        _ if name.contains('=') => Some(name),
        Ok(value) => Some(format!("{name}={value}")),
        Err(_) => None,
    };
    let size = size_of(io::stdout().as_fd()).or_else(|_| size_of(io::stdin().as_fd())).ok();
    Ok(ExecRequest {
        container,
        command: arguments.command,
        user: arguments.user,
        environment: arguments.env.into_iter().filter_map(value).collect(),
        working_directory: arguments.workdir,
        terminal: arguments.tty,
        input: arguments.interactive,
        rows: size.map_or(0, |size| size.rows),
        columns: size.map_or(0, |size| size.columns),
    })
}

/// Reads standard input on a thread of its own, which ends with the program.
fn read_input(frames: mpsc::Sender<Frame>) {
    std::thread::spawn(move || {
        let mut chunk = vec![0; CHUNK];
        loop {
            let frame = match io::stdin().read(&mut chunk) {
                Ok(0) => Frame::InputEnd,
                Ok(count) => Frame::Input(chunk[..count].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Frame::InputEnd,
            };
            let is_last = frame == Frame::InputEnd;
            if frames.blocking_send(frame).is_err() || is_last {
                return;
            }
        }
    });
}

/// Tells the command of signals and of a new size of the terminal.
fn send_on(frames: &mpsc::Sender<Frame>, is_terminal: bool, is_raw: bool) -> Result<(), Failure> {
    let listen = |wanted: Signal| {
        let listening = signal(SignalKind::from_raw(wanted.as_raw()));
        listening.map_err(|error| Failure::failed(format!("wait for signals: {error}")))
    };
    // A raw terminal passes on its keys by itself.
    for one in SENT_ON.into_iter().filter(|one| !is_raw || *one != Signal::INT) {
        tokio::spawn(tell(listen(one)?, frames.clone(), move || Some(Frame::Signal(one.as_raw()))));
    }
    if is_terminal {
        let size = || {
            let size = size_of(io::stdout().as_fd()).or_else(|_| size_of(io::stdin().as_fd())).ok()?;
            Some(Frame::Size { rows: size.rows, columns: size.columns })
        };
        tokio::spawn(tell(listen(Signal::WINCH)?, frames.clone(), size));
    }
    Ok(())
}

async fn tell(mut signals: Signals, frames: mpsc::Sender<Frame>, what: impl Fn() -> Option<Frame>) {
    while signals.recv().await.is_some() {
        if let Some(frame) = what()
            && frames.send(frame).await.is_err()
        {
            return;
        }
    }
}

/// Goes on until the command has ended.
async fn converse(exchange: Exchange, mut to_send: mpsc::Receiver<Frame>) -> Result<u8, Failure> {
    let (mut from, mut to) = split(exchange);
    let sending = async {
        while let Some(frame) = to_send.recv().await {
            let mut wire = Vec::new();
            frame.put(&mut wire);
            // That the other side is gone is heard from the other side.
            if to.write_all(&wire).await.is_err() || to.flush().await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let hearing = async {
        let (mut frames, mut chunk) = (Frames::default(), vec![0; CHUNK]);
        loop {
            while let Some(frame) = frames.next_frame().map_err(|error| Failure::failed(error.to_string()))? {
                if let Some(code) = take(frame)? {
                    return Ok(code);
                }
            }
            match from.read(&mut chunk).await {
                Ok(0) | Err(_) => {
                    let message = "the connection to the command was lost, and with it the command";
                    return Err(Failure::failed(message));
                }
                Ok(count) => frames.push(&chunk[..count]),
            }
        }
    };
    tokio::select! {
        code = hearing => code,
        () = sending => Ok(0),
    }
}

/// Takes one thing that the command's side says; its exit code with the last.
fn take(frame: Frame) -> Result<Option<u8>, Failure> {
    match frame {
        Frame::Output(bytes) => show(&mut io::stdout().lock(), &bytes)?,
        Frame::Errors(bytes) => show(&mut io::stderr().lock(), &bytes)?,
        Frame::Ended(exit) => return Ok(Some(code(exit))),
        Frame::Failed { code, message } => {
            eprintln!("hythe: {message}");
            return Ok(Some(code));
        }
        Frame::Input(_) | Frame::InputEnd | Frame::Size { .. } | Frame::Signal(_) => {}
    }
    Ok(None)
}

fn show(out: &mut impl io::Write, bytes: &[u8]) -> Result<(), Failure> {
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::failed("")),
        other => other.map_err(|error| Failure::failed(format!("write the output: {error}"))),
    }
}

/// The code that a shell would give.
fn code(exit: Exit) -> u8 {
    let code = match exit {
        Exit::Code(code) => code,
        Exit::Signal(signal) => 128 + signal,
    };
    u8::try_from(code).unwrap_or(u8::MAX)
}
