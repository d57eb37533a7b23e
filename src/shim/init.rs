//! A small first process for a container: forwards signals to the program and reaps what nobody else waits for.
//!
//! `hythe init PID` attends the process with that number, a child of its own that the runtime has made before it
//! executed this program; it ends as that process ends. Without a number there is nothing to attend: it holds the
//! namespaces that it is in and reaps, until it is killed.
//!
//! It holds no file but the standard three and knows nothing of tasks. What of it can be seen from inside is a program
//! that cannot be written to: the runtime executes it through a read-only mount of its own.

use std::{ffi::OsString, process::ExitCode};

use crate::kernel::process::{
    Exit, Pid, Signal, SignalMask, reap_any, send, set_name, set_subreaper, wait_for_signal,
};

/// The exit code of a first process that cannot work.
const BROKEN: u8 = 125;

/// Attends the process whose number is the one argument, or nobody.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter();
    let number = args.next();
    let parsed = number.as_ref().map(|text| text.to_str().and_then(|text| text.parse().ok()));
    let program = match (parsed, args.next()) {
        (None, None) => None,
        (Some(Some(number)), None) if number > 0 => Some(Pid::from_raw(number)),
        (None | Some(_), _) => {
            eprintln!("usage: hythe init [PID]");
            return ExitCode::from(2);
        }
    };
    match attend(program) {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)),
        Err(errno) => {
            eprintln!("attend the container's processes: {errno}");
            ExitCode::from(BROKEN)
        }
    }
}

/// Goes on until the program has ended, and gives the code that a shell would.
fn attend(program: Option<Pid>) -> Result<i32, nix::errno::Errno> {
    let all = SignalMask::all();
    // A first process gets no signal that it neither handles nor blocks.
    all.block()?;
    set_name(c"hythe-init")?;
    if Pid::this().as_raw() != 1 {
        set_subreaper()?;
    }
    loop {
        // The program may have ended before the signals were blocked, so the look comes before the wait.
        if let Some(exit) = reap(program)? {
            return Ok(exit.code());
        }
        let signal = wait_for_signal(&all)?;
        if let Some(program) = program.filter(|_| is_passed_on(signal)) {
            // One that has just ended needs none.
            let _ = send(program, signal);
        }
    }
}

/// Takes leave of every child that has ended. Gives how the program did, if it is one of them.
fn reap(program: Option<Pid>) -> Result<Option<Exit>, nix::errno::Errno> {
    let mut ended = None;
    while let Some((pid, exit)) = reap_any()? {
        if Some(pid) == program {
            ended = Some(exit);
        }
    }
    Ok(ended)
}

/// Those about its own children and about its own use of the terminal are not for the program.
fn is_passed_on(signal: Signal) -> bool {
    ![Signal::CHLD, Signal::TTIN, Signal::TTOU].contains(&signal)
}
