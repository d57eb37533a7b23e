//! One repository of one registry, over HTTPS.
//!
//! oci-client speaks the protocol: the challenge, tokens, basic passwords, redirects. This file decides what may be
//! spoken to in plain HTTP (loopback and configured hosts, after HTTPS has failed to answer), which certificates
//! count, and puts the client's errors into kinds that a user and a caller can act on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt};
use oci_client::client::{
    BlobResponse, Certificate, CertificateEncoding, ClientConfig, ClientProtocol, LayerDescriptor,
};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, RegistryOperation};

use crate::image::credentials::Login;
use crate::image::digest::Digest;
use crate::image::manifest::ACCEPTED;
use crate::image::pull::PullFailure;
use crate::image::reference::Name;

/// Why a registry did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// It has no such image.
    #[error("{0} is not in the registry")]
    NotFound(String),
    /// It wants to know who asks, or does not like the answer.
    #[error("registry {0} refuses access: a user and password with the right to do this are needed")]
    Unauthorised(String, #[source] Box<OciDistributionError>),
    /// It does not answer.
    #[error("registry {0} does not answer")]
    Unreachable(String, #[source] Box<OciDistributionError>),
    /// It asks for patience.
    #[error("registry {0} allows no more requests for now")]
    Throttled(String),
    /// What it sent does not have the digest it was asked for by.
    #[error("registry {0} sent something with the wrong digest")]
    Digest(String, #[source] Box<OciDistributionError>),
    /// It answered something else.
    #[error("registry {0} answered with an error")]
    Answer(String, #[source] Box<OciDistributionError>),
    /// The connection broke.
    #[error("connection to registry {0} broke")]
    Broken(String, #[source] std::io::Error),
    /// It sent more than a manifest or config can be.
    #[error("registry {0} sent a document larger than 8 MiB")]
    Large(String),
    /// A certificate file cannot be used.
    #[error("read certificates in {}", .0.display())]
    Certificates(PathBuf, #[source] std::io::Error),
    /// The client could not be set up.
    #[error("set up the client for registry {0}")]
    Client(String, #[source] Box<OciDistributionError>),
}

impl RegistryError {
    /// What kind of failure it is.
    pub fn kind(&self) -> PullFailure {
        match self {
            Self::NotFound(_) => PullFailure::NotFound,
            Self::Unauthorised(_, _) => PullFailure::Unauthorised,
            Self::Unreachable(_, _) | Self::Broken(_, _) => PullFailure::Unreachable,
            Self::Throttled(_) => PullFailure::Throttled,
            Self::Digest(_, _) | Self::Large(_) => PullFailure::Corrupt,
            Self::Answer(_, _) | Self::Certificates(_, _) | Self::Client(_, _) => PullFailure::Other,
        }
    }

    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_, _) | Self::Broken(_, _) | Self::Throttled(_) => true,
            Self::Answer(_, err) => {
                matches!(**err, OciDistributionError::ServerError { code, .. } if code >= 500)
            }
            Self::NotFound(_)
            | Self::Unauthorised(_, _)
            | Self::Digest(_, _)
            | Self::Large(_)
            | Self::Certificates(_, _)
            | Self::Client(_, _) => false,
        }
    }
}

/// How to reach a registry.
#[derive(Debug, Clone)]
pub struct Access<'a> {
    /// Who to be.
    pub login: Login,
    /// Whether plain HTTP will do when HTTPS does not answer.
    pub may_be_plain: bool,
    /// Files with certificates of further authorities.
    pub ca_files: &'a [PathBuf],
}

/// A repository that has let us in.
pub struct Registry {
    pub(crate) client: Client,
    pub(crate) name: oci_client::Reference,
    pub(crate) auth: RegistryAuth,
    host: String,
}

/// Bytes of a blob.
pub(crate) struct BlobStream {
    /// Where in the blob they start: where asked, or at its start if the registry cannot do that.
    pub(crate) offset: u64,
    pub(crate) bytes: BoxStream<'static, Result<Bytes, std::io::Error>>,
}

impl Registry {
    /// Introduces us to the registry of `name`.
    pub async fn connect(name: &Name, access: &Access<'_>, push: bool) -> Result<Self, RegistryError> {
        // The provider of cryptography is one for the process; that somebody else has set it is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let operation = if push { RegistryOperation::Push } else { RegistryOperation::Pull };
        let secure = Self::client(name, access, ClientProtocol::Https)?;
        match secure.introduce(operation).await {
            Ok(()) => Ok(secure),
            Err(RegistryError::Unreachable(_, err))
                if access.may_be_plain && !is_certificate_trouble(&err) =>
            {
                let plain = Self::client(name, access, ClientProtocol::Http)?;
                plain.introduce(operation).await?;
                Ok(plain)
            }
            Err(other) => Err(other),
        }
    }

    fn client(name: &Name, access: &Access<'_>, protocol: ClientProtocol) -> Result<Self, RegistryError> {
        let mut extra = Vec::new();
        for file in access.ca_files {
            extra.extend(certificates(file)?);
        }
        // This machine is never reached by way of another, whatever the environment says. The client takes that only as
        // a proxy with exceptions.
        let nowhere = name.is_loopback().then(|| "http://127.0.0.1:9".to_owned());
        let config = ClientConfig {
            http_proxy: nowhere.clone(),
            https_proxy: nowhere,
            no_proxy: name.is_loopback().then(|| "localhost,127.0.0.0/8,::1/128".to_owned()),
            protocol,
            extra_root_certificates: extra,
            connect_timeout: Some(Duration::from_secs(15)),
            read_timeout: Some(Duration::from_secs(60)),
            user_agent: concat!("hythe/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let host = name.host().to_owned();
        let client =
            Client::try_from(config).map_err(|err| RegistryError::Client(host.clone(), Box::new(err)))?;
        let repository = name.repository().to_owned();
        let tag = name.tag().unwrap_or("latest").to_owned();
        let reference = match name.digest() {
            Some(digest) => oci_client::Reference::with_digest(host.clone(), repository, digest.to_string()),
            None => oci_client::Reference::with_tag(host.clone(), repository, tag),
        };
        let auth = match &access.login {
            Login::Anonymous => RegistryAuth::Anonymous,
            Login::Basic { user, password } => RegistryAuth::Basic(user.clone(), password.clone()),
            Login::Token(token) => RegistryAuth::Bearer(token.clone()),
        };
        Ok(Self { client, name: reference, auth, host })
    }

    /// Gets a token if the registry wants one. Without this the client would swallow a refusal.
    async fn introduce(&self, operation: RegistryOperation) -> Result<(), RegistryError> {
        let done = self.client.auth(&self.name, &self.auth, operation).await;
        done.map(drop).map_err(|err| self.explain(err, &self.name.to_string()))
    }

    /// The manifest or index with `digest`, or the one that the name stands for.
    pub(crate) async fn manifest(&self, digest: Option<&Digest>) -> Result<Bytes, RegistryError> {
        let name = match digest {
            Some(digest) => self.name.clone_with_digest(digest.to_string()),
            None => self.name.clone(),
        };
        let pulled = self.client.pull_manifest_raw(&name, &self.auth, &ACCEPTED).await;
        pulled.map(|(bytes, _)| bytes).map_err(|err| self.explain(err, &name.to_string()))
    }

    /// A small blob as a whole, unchecked.
    pub(crate) async fn document(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let mut stream = self.blob(digest, 0).await?;
        let mut document = Vec::new();
        while let Some(chunk) = stream.bytes.next().await {
            document.extend_from_slice(&chunk.map_err(|err| RegistryError::Broken(self.host.clone(), err))?);
            if document.len() as u64 > limit {
                return Err(RegistryError::Large(self.host.clone()));
            }
        }
        Ok(document)
    }

    /// The bytes of a blob from `offset` on, unchecked.
    pub(crate) async fn blob(&self, digest: &Digest, offset: u64) -> Result<BlobStream, RegistryError> {
        let text = digest.to_string();
        let layer = LayerDescriptor { digest: &text, urls: &None };
        let response = self.client.pull_blob_stream_partial(&self.name, &layer, offset, None).await;
        match response.map_err(|err| self.explain(err, &text))? {
            BlobResponse::Partial(stream) => Ok(BlobStream { offset, bytes: stream.stream }),
            BlobResponse::Full(stream) => Ok(BlobStream { offset: 0, bytes: stream.stream }),
        }
    }

    /// The host, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn explain(&self, err: OciDistributionError, wanted: &str) -> RegistryError {
        use OciDistributionError as E;
        let host = self.host.clone();
        let (mut code, mut status) = (None, 0);
        if let E::RegistryError { envelope, .. } = &err {
            code = envelope.errors.first().map(|first| &first.code);
        } else if let E::ServerError { code, .. } = &err {
            status = *code;
        }
        let is_missing = matches!(
            code,
            Some(
                OciErrorCode::BlobUnknown
                    | OciErrorCode::ManifestUnknown
                    | OciErrorCode::NameUnknown
                    | OciErrorCode::NotFound
            )
        );
        let is_refusal = matches!(code, Some(OciErrorCode::Unauthorized | OciErrorCode::Denied))
            || matches!(err, E::UnauthorizedError { .. } | E::AuthenticationFailure(_));
        if is_missing || status == 404 || matches!(err, E::ImageManifestNotFoundError(_)) {
            RegistryError::NotFound(wanted.to_owned())
        } else if is_refusal || matches!(status, 401 | 403) {
            RegistryError::Unauthorised(host, Box::new(err))
        } else if status == 429 || matches!(code, Some(OciErrorCode::Toomanyrequests)) {
            RegistryError::Throttled(host)
        } else if matches!(err, E::RequestError(_) | E::IoError(_)) {
            RegistryError::Unreachable(host, Box::new(err))
        } else if matches!(err, E::DigestError(_)) {
            RegistryError::Digest(host, Box::new(err))
        } else {
            RegistryError::Answer(host, Box::new(err))
        }
    }
}

/// A host that speaks TLS badly is not one that speaks plain HTTP.
fn is_certificate_trouble(err: &OciDistributionError) -> bool {
    let chain = std::iter::successors(Some(err as &dyn std::error::Error), |err| err.source());
    chain.map(ToString::to_string).any(|text| text.contains("certificate") || text.contains("UnknownIssuer"))
}

/// Every certificate in a PEM file, each on its own as the client wants them.
fn certificates(file: &Path) -> Result<Vec<Certificate>, RegistryError> {
    const END: &str = "-----END CERTIFICATE-----";
    let failed = |err| RegistryError::Certificates(file.to_owned(), err);
    let text = std::fs::read_to_string(file).map_err(failed)?;
    let pieces = text.split_inclusive(END).filter_map(|piece| {
        let start = piece.find("-----BEGIN CERTIFICATE-----")?;
        piece.ends_with(END).then(|| piece.as_bytes()[start..].to_vec())
    });
    let found: Vec<Certificate> =
        pieces.map(|data| Certificate { encoding: CertificateEncoding::Pem, data }).collect();
    if found.is_empty() {
        return Err(failed(std::io::Error::new(std::io::ErrorKind::InvalidData, "no certificate in it")));
    }
    Ok(found)
}
