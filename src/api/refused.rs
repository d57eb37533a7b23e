//! What a caller is told when a call is not done: a name from the service model and a sentence.

use serde_json::{Map, Value};

use crate::{
    api::live::{LiveError, LiveErrorKind},
    model::{
        arn::BadArn,
        ids::BadName,
        reading::{Fault, Refusal},
        report::chain,
    },
    store::WriteError,
};

/// Names of errors, as the service model has them, and a few that AWS's JSON services share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The caller may not call.
    AccessDeniedException,
    /// More attributes than one instance may have.
    AttributeLimitExceededException,
    /// The caller's fault, most of all in task definitions.
    ClientException,
    /// The cluster still has services.
    ClusterContainsServicesException,
    /// The cluster still has tasks.
    ClusterContainsTasksException,
    /// There is no such cluster.
    ClusterNotFoundException,
    /// A client token was used for another request.
    ConflictException,
    /// A signature that lacks something.
    IncompleteSignatureException,
    /// A value or a combination that is not possible.
    InvalidParameterException,
    /// A signature that is wrong, or of another time or place.
    InvalidSignatureException,
    /// More than there may be.
    LimitExceededException,
    /// A request without a signature where one is needed.
    MissingAuthenticationTokenException,
    /// There is no such namespace.
    NamespaceNotFoundException,
    /// The thing is in use.
    ResourceInUseException,
    /// There is no such thing.
    ResourceNotFoundException,
    /// The text of the request cannot be read.
    SerializationException,
    /// Not the caller's fault.
    ServerException,
    /// There is no such deployment of a service.
    ServiceDeploymentNotFoundException,
    /// The service is DRAINING or INACTIVE.
    ServiceNotActiveException,
    /// There is no such service.
    ServiceNotFoundException,
    /// What an attribute is for is not there.
    TargetNotFoundException,
    /// More at once than the daemon takes.
    ThrottlingException,
    /// There is no such operation.
    UnknownOperationException,
    /// A signature with a key that nobody has.
    UnrecognizedClientException,
    /// ECS has it and this host does not.
    UnsupportedFeatureException,
}

impl Kind {
    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AccessDeniedException => "AccessDeniedException",
            Self::AttributeLimitExceededException => "AttributeLimitExceededException",
            Self::ClientException => "ClientException",
            Self::ClusterContainsServicesException => "ClusterContainsServicesException",
            Self::ClusterContainsTasksException => "ClusterContainsTasksException",
            Self::ClusterNotFoundException => "ClusterNotFoundException",
            Self::ConflictException => "ConflictException",
            Self::IncompleteSignatureException => "IncompleteSignatureException",
            Self::InvalidParameterException => "InvalidParameterException",
            Self::LimitExceededException => "LimitExceededException",
            Self::MissingAuthenticationTokenException => "MissingAuthenticationTokenException",
            Self::InvalidSignatureException => "InvalidSignatureException",
            Self::NamespaceNotFoundException => "NamespaceNotFoundException",
            Self::ResourceInUseException => "ResourceInUseException",
            Self::ResourceNotFoundException => "ResourceNotFoundException",
            Self::SerializationException => "SerializationException",
            Self::ServerException => "ServerException",
            Self::ServiceDeploymentNotFoundException => "ServiceDeploymentNotFoundException",
            Self::ServiceNotActiveException => "ServiceNotActiveException",
            Self::ServiceNotFoundException => "ServiceNotFoundException",
            Self::TargetNotFoundException => "TargetNotFoundException",
            Self::ThrottlingException => "ThrottlingException",
            Self::UnknownOperationException => "UnknownOperationException",
            Self::UnrecognizedClientException => "UnrecognizedClientException",
            Self::UnsupportedFeatureException => "UnsupportedFeatureException",
        }
    }
}

/// A call that is not done, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{}: {message}", kind.name())]
pub struct Refused {
    /// The error's name.
    pub kind: Kind,
    /// The whole sentence.
    pub message: String,
    /// Other members of the answer.
    pub more: Map<String, Value>,
}

impl Refused {
    /// A refusal of that kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), more: Map::new() }
    }

    /// A ClientException.
    pub fn client(message: impl Into<String>) -> Self {
        Self::new(Kind::ClientException, message)
    }

    /// An InvalidParameterException.
    pub fn parameter(message: impl Into<String>) -> Self {
        Self::new(Kind::InvalidParameterException, message)
    }

    /// The same with the member that it is about, and the beginning of what that holds.
    #[must_use]
    pub fn about(mut self, member: &str, text: &str) -> Self {
        let start: String = text.chars().take(100).collect();
        self.message = format!("{} ({member}: '{start}')", self.message);
        self
    }

    /// The document on the wire.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut members = Map::new();
        members.insert("__type".into(), self.kind.name().into());
        members.insert("message".into(), self.message.clone().into());
        members.extend(self.more.clone());
        Value::Object(members)
    }

    /// The same where the request is at hand, of which the sentence can then tell what the member holds.
    #[must_use]
    pub fn unreadable_in(document: &Value, refusal: &Refusal, rule: Kind) -> Self {
        Self { message: refusal.told_of(document), ..Self::unreadable(refusal, rule) }
    }

    /// What a request that cannot be read is told. Sentences of ECS's own rules are errors of kind `rule`.
    #[must_use]
    pub fn unreadable(refusal: &Refusal, rule: Kind) -> Self {
        let kind = match refusal.fault {
            Fault::Syntax | Fault::WrongType => Kind::SerializationException,
            Fault::UnknownMember => Kind::ClientException,
            Fault::MissingMember | Fault::WrongValue | Fault::Rule => rule,
        };
        Self::new(kind, refusal.to_string())
    }
}

impl From<BadName> for Refused {
    fn from(bad: BadName) -> Self {
        Self::parameter(bad.to_string())
    }
}

impl From<BadArn> for Refused {
    fn from(bad: BadArn) -> Self {
        Self::parameter(bad.to_string())
    }
}

impl From<LiveError> for Refused {
    fn from(error: LiveError) -> Self {
        let kind = match error.kind {
            LiveErrorKind::NotFound => Kind::ResourceNotFoundException,
            LiveErrorKind::Invalid => Kind::InvalidParameterException,
            LiveErrorKind::InUse => Kind::ResourceInUseException,
            LiveErrorKind::AccessDenied => Kind::AccessDeniedException,
            LiveErrorKind::Unsupported => Kind::UnsupportedFeatureException,
            LiveErrorKind::Failed => Kind::ServerException,
        };
        Self::new(kind, error.message)
    }
}

impl From<WriteError<Refused>> for Refused {
    fn from(error: WriteError<Self>) -> Self {
        match error {
            WriteError::Refused(refused) => refused,
            WriteError::Commit(_) | WriteError::Closed => Self::new(Kind::ServerException, chain(&error)),
        }
    }
}
