//! One error type for plugins and runtime: a kind to branch on, a retry fact for the runtime, context for
//! the operator, and the source chain for the log.

use std::{borrow::Cow, fmt};

/// Result whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, coarse enough for the runtime to act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The configuration is invalid; nothing but a new configuration helps.
    Config,
    /// A record cannot be read, converted or written; other records may be fine.
    Data,
    /// The external system cannot be reached, or the connection to it is no longer usable.
    Connection,
    /// The external system answers, but cannot do it now: a lock, a full disk, a limit on its resources. Not about a record,
    /// unless other records pass.
    Busy,
    /// A record stands against what is stored now: the row that it refers to is missing, or another row holds its unique
    /// value. That may pass without anybody's doing; if it does not, it is the record's fault.
    Conflict,
    /// The external system refuses for good: a missing table, a missing permission, a bad statement.
    Refused,
    /// The external system refuses what was written, and its answer does not say whether a record is at fault or
    /// everything would be refused: whether other records pass tells.
    Rejected,
    /// A bug on our side.
    Internal,
}

impl ErrorKind {
    /// Whether the same call may go well later, unless the error says otherwise.
    fn is_retriable(self) -> bool {
        matches!(self, Self::Connection | Self::Busy | Self::Conflict)
    }
}

/// Error of every fallible call of a plugin, a converter or a transport.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retriable: bool,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Creates an error. One of kind [`ErrorKind::Connection`], [`ErrorKind::Busy`] or [`ErrorKind::Conflict`] is retriable
    /// unless said otherwise.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let retriable = kind.is_retriable();
        Self(Box::new(Inner {
            kind,
            retriable,
            message: message.into(),
            context: Vec::new(),
            source: None,
        }))
    }
    /// Shorthand for an error of kind [`ErrorKind::Config`].
    pub fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Config, message)
    }
    /// Shorthand for an error of kind [`ErrorKind::Data`].
    pub fn data(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Data, message)
    }
    /// Shorthand for a retriable error of kind [`ErrorKind::Connection`].
    pub fn connection(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Connection, message)
    }
    /// Shorthand for an error of kind [`ErrorKind::Refused`].
    pub fn refused(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Refused, message)
    }
    /// Shorthand for an error of kind [`ErrorKind::Internal`].
    pub fn internal(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }
    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
    /// The message alone, without context.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// Whether the runtime may try the same call again.
    pub fn is_retriable(&self) -> bool {
        self.0.retriable
    }
    /// Says whether the same call may be tried again, against the kind's default.
    #[must_use]
    pub fn retriable(mut self, retriable: bool) -> Self {
        self.0.retriable = retriable;
        self
    }
    /// Adds context: a table, a topic, an offset; never a secret.
    #[must_use]
    pub fn context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }
    /// Keeps the cause in the chain instead of flattening it into the message.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.0.source = Some(source.into());
        self
    }
    /// The whole chain, outermost first, a line each: Connect's `trace` without the Java frames.
    pub fn trace(&self) -> String {
        format!("{self:?}\n")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (i, (key, value)) in self.0.context.iter().enumerate() {
            write!(f, "{}{key}={value}", if i == 0 { " (" } else { ", " })?;
        }
        if !self.0.context.is_empty() {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(e) = cause {
            write!(f, "\nCaused by: {e}")?;
            cause = e.source();
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}
