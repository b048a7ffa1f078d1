//! What librdkafka tells of its connections: logs, and why the brokers don't let a client in.

use std::{future::Future, time::Duration};

use connect_core::error::{Error, Result};
use rdkafka::{
    config::RDKafkaLogLevel, consumer::ConsumerContext, error::KafkaError, types::RDKafkaErrorCode,
};
use tokio::sync::watch;

/// How long a client that was refused may still be let in: by another broker, or because its account is just being made.
const DOUBT: Duration = Duration::from_secs(1);

/// What a client's connections suffer from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum State {
    #[default]
    Fine,
    /// Something that may pass.
    Seen(String),
    /// The brokers know the client, or its certificate, and refuse it.
    Denied(String),
}

/// What is wrong with a client's connections at the moment. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Trouble(watch::Sender<State>);

impl Default for Trouble {
    fn default() -> Self {
        Self(watch::Sender::new(State::Fine))
    }
}

impl Trouble {
    /// Something that may pass.
    pub(crate) fn seen(&self, reason: &str) {
        self.0.send_if_modified(|state| match state {
            State::Denied(_) => false,
            _ => {
                *state = State::Seen(reason.to_owned());
                true
            }
        });
    }

    /// Something that doesn't pass by itself.
    pub(crate) fn denied(&self, reason: &str) {
        self.0.send_replace(State::Denied(reason.to_owned()));
    }

    /// What was wrong is over.
    pub(crate) fn over(&self) {
        self.0.send_if_modified(|state| std::mem::take(state) != State::Fine);
    }

    /// librdkafka's own words.
    pub(crate) fn hear(&self, error: &KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "from librdkafka");
        use RDKafkaErrorCode as Code;
        match error.rdkafka_error_code() {
            Some(Code::Authentication | Code::SaslAuthenticationFailed) => self.denied(reason),
            // With TLS 1.3 a broker refuses a certificate only after the handshake.
            Some(Code::SSL | Code::BrokerTransportFailure) if is_final(reason) => {
                self.denied(reason);
            }
            // They say less than what came before them.
            Some(Code::AllBrokersDown | Code::PartitionEOF) => {}
            _ => self.seen(reason),
        }
    }

    /// Resolves when the client was refused, and no one has let it in since.
    pub(crate) async fn until_denied(&self) -> Error {
        let mut states = self.0.subscribe();
        loop {
            // The sender is in `self`.
            let _ = states.wait_for(|state| matches!(state, State::Denied(_))).await;
            let over = states.wait_for(|state| !matches!(state, State::Denied(_)));
            if tokio::time::timeout(DOUBT, over).await.is_err() {
                return self.refused();
            }
        }
    }

    fn refused(&self) -> Error {
        let error = Error::refused("the Kafka brokers don't let this client in");
        match &*self.0.borrow() {
            State::Denied(reason) | State::Seen(reason) => error.context("reason", reason),
            State::Fine => error,
        }
    }

    /// Adds what is known to an error that says only that nothing was heard.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match &*self.0.borrow() {
            State::Denied(reason) | State::Seen(reason) if error.is_retriable() => {
                error.context("reason", reason)
            }
            _ => error,
        }
    }

    /// Whether the brokers have refused the client last.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(&*self.0.borrow(), State::Denied(_))
    }

    /// What was heard last.
    pub(crate) fn last(&self) -> Option<String> {
        match &*self.0.borrow() {
            State::Denied(reason) | State::Seen(reason) => Some(reason.clone()),
            State::Fine => None,
        }
    }

    /// Waits for a call, but no longer than until the brokers have refused the client.
    pub(crate) async fn unless_denied<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::select! {
            biased;
            result = call => match result {
                Ok(done) => {
                    self.over();
                    Ok(done)
                }
                Err(error) => Err(self.explain(error)),
            },
            refused = self.until_denied() => Err(refused),
        }
    }
}

/// Whether TLS that failed so fails the next time, too.
fn is_final(reason: &str) -> bool {
    ["certificate verify failed", "tls alert", "wrong version number"]
        .iter()
        .any(|sign| reason.contains(sign))
}

/// librdkafka's log lines as ours.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, line: &str) {
    use RDKafkaLogLevel as Level;
    match level {
        Level::Emerg | Level::Alert | Level::Critical | Level::Error | Level::Warning => {
            tracing::warn!(facility, "librdkafka: {line}");
        }
        Level::Notice | Level::Info => tracing::info!(facility, "librdkafka: {line}"),
        Level::Debug => tracing::debug!(facility, "librdkafka: {line}"),
    }
}

/// Makes what librdkafka tells a client heard: its log lines, and what its `trouble` is.
macro_rules! hears {
    ($context:ty) => {
        impl rdkafka::ClientContext for $context {
            fn log(&self, level: rdkafka::config::RDKafkaLogLevel, facility: &str, line: &str) {
                $crate::context::log(level, facility, line);
            }
            fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
                self.trouble.hear(&error, reason);
            }
        }
    };
}
pub(crate) use hears;

/// The context of clients that only ask.
pub(crate) struct Asking {
    pub(crate) trouble: Trouble,
}

hears!(Asking);

impl ConsumerContext for Asking {}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(code: RDKafkaErrorCode, reason: &str) -> Trouble {
        let trouble = Trouble::default();
        trouble.hear(&KafkaError::Global(code), reason);
        trouble
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_ends_a_call_and_a_success_ends_the_refusal() {
        let trouble = heard(RDKafkaErrorCode::Authentication, "Invalid username or password");
        let error = trouble.unless_denied(std::future::pending::<Result<()>>()).await.unwrap_err();
        assert!(!error.is_retriable(), "{error:?}");
        assert!(error.to_string().contains("Invalid username or password"), "{error}");
        trouble.unless_denied(async { Ok(()) }).await.unwrap();
        assert_eq!(trouble.last(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_is_only_told() {
        let trouble = heard(RDKafkaErrorCode::BrokerTransportFailure, "Connection refused");
        trouble.hear(&KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        let call = async { Err::<(), _>(Error::connection("no answer")) };
        let error = trouble.unless_denied(call).await.unwrap_err();
        assert!(
            error.is_retriable() && error.to_string().contains("Connection refused"),
            "{error}"
        );
    }

    #[test]
    fn a_handshake_that_is_only_interrupted_is_tried_again() {
        let interrupted = heard(RDKafkaErrorCode::SSL, "SSL handshake failed: Disconnected");
        assert!(matches!(&*interrupted.0.borrow(), State::Seen(_)));
        let untrusted =
            heard(RDKafkaErrorCode::SSL, "SSL handshake failed: certificate verify failed");
        assert!(matches!(&*untrusted.0.borrow(), State::Denied(_)));
    }
}
