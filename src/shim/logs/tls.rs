//! TLS over a socket that never makes the shim wait: bytes in, bytes out, and nothing in between that blocks.
//!
//! Certificates are read when a connection begins, so that renewed ones are taken up. What the other end has to say is
//! heard and thrown away.

use std::{
    io::{self, Read, Write},
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use nix::sys::socket::{MsgFlags, recv, send};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};

use crate::shim::spec::TlsSpec;

/// The authorities that the host trusts, wherever it keeps them.
const AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Bytes that are taken at a time: one record's.
const RECORD: usize = 16 << 10;

/// A connection.
#[derive(Debug)]
pub(super) struct Tls(ClientConnection);

impl Tls {
    /// Begins one. An error is a sentence.
    pub(super) fn begin(spec: &TlsSpec) -> Result<Self, String> {
        let name = ServerName::try_from(spec.name.clone())
            .map_err(|_| format!("{} is no name that a certificate could have", spec.name))?;
        let config = config(spec)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        Ok(Self(connection))
    }

    /// Moves what can be moved now, both ways. An error is a sentence, and the end of the connection.
    pub(super) fn go_on(&mut self, socket: &OwnedFd) -> Result<(), String> {
        let wire = &mut Wire(socket);
        loop {
            match self.0.read_tls(wire) {
                Ok(0) => return Err("the connection was closed".to_owned()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
            let state = self.0.process_new_packets().map_err(|error| {
                // The reason goes to the other end as far as it can.
                let _ = self.0.write_tls(wire);
                error.to_string()
            })?;
            let mut unheard = io::sink();
            let _ = io::copy(&mut self.0.reader().take(state.plaintext_bytes_to_read() as u64), &mut unheard);
        }
        while self.0.wants_write() {
            match self.0.write_tls(wire) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(())
    }

    /// Whether both ends know each other.
    pub(super) fn is_ready(&self) -> bool {
        !self.0.is_handshaking()
    }

    /// Whether bytes wait for room in the socket.
    pub(super) fn is_full(&self) -> bool {
        self.0.wants_write()
    }

    /// Takes some of these bytes and sends what it can; none while earlier ones wait.
    pub(super) fn send(&mut self, bytes: &[u8], socket: &OwnedFd) -> Result<usize, String> {
        self.go_on(socket)?;
        if self.is_full() {
            return Ok(0);
        }
        let taken = self.0.writer().write(&bytes[..bytes.len().min(RECORD)]);
        let taken = taken.map_err(|error| error.to_string())?;
        self.go_on(socket).map(|()| taken)
    }

    /// Says that nothing more comes.
    pub(super) fn close(&mut self, socket: &OwnedFd) {
        self.0.send_close_notify();
        let _ = self.go_on(socket);
    }
}

/// Looks whether the files that are named can be used. An error is a sentence.
pub(crate) fn check(spec: &TlsSpec) -> Result<(), String> {
    Tls::begin(spec).map(drop)
}

fn config(spec: &TlsSpec) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = if spec.skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        builder.with_root_certificates(roots(spec.authority.as_deref())?)
    };
    match (&spec.certificate, &spec.key) {
        (Some(certificate), Some(key)) => {
            let secret = PrivateKeyDer::from_pem_file(key);
            let secret =
                secret.map_err(|error| format!("read a private key from {}: {error}", key.display()))?;
            let chain = certificates(certificate)?;
            let use_it = |error| format!("use certificate {} with its key: {error}", certificate.display());
            builder.with_client_auth_cert(chain, secret).map_err(use_it)
        }
        (Some(_), None) | (None, Some(_)) => {
            Err("syslog-tls-cert and syslog-tls-key are two halves of one thing: give both".to_owned())
        }
        (None, None) => Ok(builder.with_no_client_auth()),
    }
}

/// The authorities in a file; those of the host where none is named.
fn roots(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = file {
        for certificate in certificates(file)? {
            let refused = |error| format!("use the authority in {}: {error}", file.display());
            roots.add(certificate).map_err(refused)?;
        }
        return Ok(roots);
    }
    let found = AUTHORITIES.into_iter().map(Path::new).find(|file| file.exists());
    let Some(found) = found else {
        return Err("this host has no file of authorities: name one in syslog-tls-ca-cert".to_owned());
    };
    // Some of a host's authorities are of kinds that are not known here.
    roots.add_parsable_certificates(certificates(found)?);
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| format!("read certificates from {}: {error}", file.display()))?;
    if read.is_empty() {
        return Err(format!("{} has no certificate in PEM", file.display()));
    }
    Ok(read)
}

/// A socket, as what moves bytes sees it.
struct Wire<'a>(&'a OwnedFd);

impl Read for Wire<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Ok(recv(self.0.as_raw_fd(), into, MsgFlags::MSG_DONTWAIT)?)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(send(self.0.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Takes whoever answers for the server, because the definition says so.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
