//! One line of output as a message for a syslog server, in the forms that Docker's driver writes.
//!
//! ```text
//!   local          <30>Nov 21 07:00:00 tag[42]: text
//!   rfc3164        <30>Nov 21 07:00:00 host tag[42]: text
//!   rfc5424        <30>1 2026-11-21T07:00:00Z host tag 42 tag - text
//!   rfc5424micro   <30>1 2026-11-21T07:00:00.123456Z host tag 42 tag - text
//! ```
//!
//! Times are in UTC, and the number is the shim's process.

use std::io::Write as _;

use super::{
    Stream,
    queue::Line,
    time::{stamp, time},
};
use crate::{
    kernel::process::Pid,
    shim::spec::{SyslogForm, SyslogSpec},
};

/// How messages of a container are written.
#[derive(Debug)]
pub(super) struct Syslog {
    form: SyslogForm,
    facility: u8,
    /// What stands between the time and the text.
    names: String,
}

impl Syslog {
    /// Messages as `spec` says, from this process.
    pub(super) fn new(spec: &SyslogSpec) -> Self {
        Self::from(spec, Pid::this().as_raw())
    }

    fn from(spec: &SyslogSpec, pid: i32) -> Self {
        let SyslogSpec { tag, hostname, .. } = spec;
        let names = match spec.form {
            SyslogForm::Local => format!("{tag}[{pid}]:"),
            SyslogForm::Rfc3164 => format!("{hostname} {tag}[{pid}]:"),
            // A blank would end the name.
            SyslogForm::Rfc5424 | SyslogForm::Rfc5424Micro => {
                let tag = tag.replace(char::is_whitespace, "_");
                format!("{hostname} {tag} {pid} {tag} -")
            }
        };
        Self { form: spec.form, facility: spec.facility, names }
    }

    /// Appends the message of a line to `wire`, without anything that ends it.
    pub(super) fn encode(&self, line: &Line, wire: &mut Vec<u8>) {
        let severity = match line.stream {
            Stream::Stdout => 6,
            Stream::Stderr => 3,
            Stream::Note => 4,
        };
        let priority = u16::from(self.facility) * 8 + severity;
        let exact = time(line.nanos);
        let exact = String::from_utf8_lossy(&exact);
        let when = match self.form {
            SyslogForm::Local | SyslogForm::Rfc3164 => stamp(line.nanos),
            SyslogForm::Rfc5424 => format!("1 {}Z", &exact[..19]),
            SyslogForm::Rfc5424Micro => format!("1 {}Z", &exact[..26]),
        };
        let _ = write!(wire, "<{priority}>{when} {} ", self.names); // a Vec takes everything
        wire.extend_from_slice(&line.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_read_as_docker_writes_them() {
        let text = |form, stream| {
            let spec = SyslogSpec {
                targets: Vec::new(),
                host: None,
                facility: 3,
                form,
                tag: "my tag".to_owned(),
                hostname: "box".to_owned(),
                tls: None,
            };
            let line =
                Line { nanos: 951_827_696_123_456_789, stream, whole: true, bytes: b"hello\xff".to_vec() };
            let mut wire = Vec::new();
            Syslog::from(&spec, 42).encode(&line, &mut wire);
            String::from_utf8_lossy(&wire).into_owned()
        };
        let all = [
            (SyslogForm::Local, Stream::Stdout, "<30>Feb 29 12:34:56 my tag[42]: hello\u{fffd}"),
            (SyslogForm::Rfc3164, Stream::Stderr, "<27>Feb 29 12:34:56 box my tag[42]: hello\u{fffd}"),
            (
                SyslogForm::Rfc5424,
                Stream::Note,
                "<28>1 2000-02-29T12:34:56Z box my_tag 42 my_tag - hello\u{fffd}",
            ),
            (
                SyslogForm::Rfc5424Micro,
                Stream::Stdout,
                "<30>1 2000-02-29T12:34:56.123456Z box my_tag 42 my_tag - hello\u{fffd}",
            ),
        ];
        for (form, stream, expected) in all {
            assert_eq!(text(form, stream), expected);
        }
    }
}
