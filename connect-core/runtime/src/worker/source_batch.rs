//! From a batch of a source to messages: transform, convert, and pass over what cannot be.

use connect_core::{
    data::Text,
    error::{Error, Result},
    record::Record,
    transform::Fate,
    transport::{Message, Producer, Transport},
};
use serde_json::Value as Json;

use super::{
    chain::Chain,
    codec::{Codec, Failed},
    source_limits::{Limit, Limits},
};
use crate::errors::{Errant, ErrorPolicy, RetryPolicy, Stage};

/// What the records of one task go through.
pub(super) struct Pipeline {
    pub(super) chain: Chain,
    pub(super) codec: Codec,
    pub(super) retry: RetryPolicy,
    pub(super) policy: ErrorPolicy,
    pub(super) limits: Limits,
}

/// Messages by topic, each run in order.
pub(super) type Runs = Vec<(Text, Vec<Message>)>;

impl Pipeline {
    /// Encodes the records of a batch. One that cannot be is passed over, as far as the policy allows it.
    pub(super) async fn messages(
        &mut self,
        records: Vec<Record>,
        topic: &Text,
        source: (&Json, Option<&Json>),
        (transport, producer): (&dyn Transport, &mut Box<dyn Producer>),
    ) -> Result<Runs> {
        let mut runs: Runs = vec![(topic.clone(), Vec::with_capacity(records.len()))];
        // Of the topic of the last record.
        let mut limit: Option<(Text, Option<Limit>)> = None;
        for mut record in records {
            let message = match self.encode(&mut record, topic) {
                Ok(message) => message,
                Err(failed) => self.failed(failed, &mut record, topic, source.0).await?,
            };
            let Some((own, message)) = message else { continue };
            let target = own.as_ref().unwrap_or(topic);
            if limit.as_ref().is_none_or(|(of, _)| of != target) {
                let found = self.limits.of(transport, &mut **producer, target).await?;
                limit = Some((target.clone(), found));
            }
            let refused =
                limit.as_ref().and_then(|(_, limit)| limit.as_ref()?.refuses(target, &message));
            if let Some(error) = refused {
                let (partition, offset) = source;
                let error = error.context("source partition", partition);
                let error = match offset {
                    Some(offset) => error.context("source offset up to", offset),
                    None => error,
                };
                let errant = Errant::Polled { record: &record, topic: target, partition };
                self.policy.errant(Stage::KafkaProduce, errant, error).await?;
                continue;
            }
            // A record of another topic starts a new run, so that order is kept.
            match runs.last_mut() {
                Some((last, run)) if *last == *own.as_ref().unwrap_or(topic) => run.push(message),
                _ => runs.push((own.unwrap_or_else(|| topic.clone()), vec![message])),
            }
        }
        runs.retain(|(_, run)| !run.is_empty());
        Ok(runs)
    }

    /// Passes over records that could not be read as they are, as far as the policy allows it.
    pub(super) async fn unreadable(
        &mut self,
        records: &[Record],
        topic: &Text,
        partition: &Json,
        error: Error,
    ) -> Result<()> {
        let mut error = Some(error);
        for record in records {
            let error = error.take().unwrap_or_else(|| Error::data("as the record before"));
            let errant = Errant::Polled { record, topic, partition };
            self.policy.errant(Stage::TaskPoll, errant, error).await?;
        }
        Ok(())
    }

    /// The message of a record with the record's own topic, if it has one; none if a transformation drops it.
    fn encode(
        &mut self,
        record: &mut Record,
        topic: &Text,
    ) -> Result<Option<(Option<Text>, Message)>, Failed> {
        if !self.chain.is_empty() {
            record.topic.get_or_insert_with(|| topic.clone());
            // After an error the record is in no state to be tried again or shown.
            let keep = self.retry.is_on() || self.policy.shows_records();
            let original = keep.then(|| record.clone());
            let fate = self.chain.apply(record, None);
            if fate.is_err()
                && let Some(original) = original
            {
                *record = original;
            }
            if fate? == Fate::Drop {
                return Ok(None);
            }
        }
        let message = self.codec.encode(record)?;
        Ok(Some((record.topic.take(), message)))
    }

    /// Tries again what may be tried again; the rest is for the policy.
    async fn failed(
        &mut self,
        failed: Failed,
        record: &mut Record,
        topic: &Text,
        partition: &Json,
    ) -> Result<Option<(Option<Text>, Message)>> {
        let mut attempts = self.retry.attempts();
        let (mut stage, mut error) = failed;
        while let Some(pause) = attempts.after(&error) {
            tracing::warn!(stage = stage.name(), %error, "trying again");
            tokio::time::sleep(pause).await;
            // A converter has changed nothing: after the transformations only it is tried again.
            let again = match stage {
                Stage::Transformation(_) => self.encode(record, topic),
                _ => self.codec.encode(record).map(|m| Some((record.topic.clone(), m))),
            };
            match again {
                Ok(message) => return Ok(message),
                Err(next) => (stage, error) = next,
            }
        }
        let errant = Errant::Polled { record, topic, partition };
        self.policy.errant(stage, errant, error).await?;
        Ok(None)
    }
}
