//! From a batch of a source to messages: transform, convert, and pass over what cannot be.

use connect_core::{
    data::Text, error::Result, record::Record, transform::Fate, transport::Message,
};
use serde_json::Value as Json;

use super::{
    chain::Chain,
    codec::{Codec, Failed},
};
use crate::errors::{Errant, ErrorPolicy, RetryPolicy, Stage};

/// What the records of one task go through.
pub(super) struct Pipeline {
    pub(super) chain: Chain,
    pub(super) codec: Codec,
    pub(super) retry: RetryPolicy,
    pub(super) policy: ErrorPolicy,
}

/// Messages by topic, each run in order.
pub(super) type Runs = Vec<(Text, Vec<Message>)>;

impl Pipeline {
    /// Encodes the records of a batch. One that cannot be is passed over, as far as the policy allows it.
    pub(super) async fn messages(
        &mut self,
        records: Vec<Record>,
        topic: &Text,
        partition: &Json,
    ) -> Result<Runs> {
        let mut runs: Runs = vec![(topic.clone(), Vec::with_capacity(records.len()))];
        for mut record in records {
            let message = match self.encode(&mut record, topic) {
                Ok(message) => message,
                Err(failed) => self.failed(failed, record, topic, partition).await?,
            };
            let Some((own, message)) = message else { continue };
            // A record of another topic starts a new run, so that order is kept.
            match runs.last_mut() {
                Some((last, run)) if *last == *own.as_ref().unwrap_or(topic) => run.push(message),
                _ => runs.push((own.unwrap_or_else(|| topic.clone()), vec![message])),
            }
        }
        runs.retain(|(_, run)| !run.is_empty());
        Ok(runs)
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
        mut record: Record,
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
                Stage::Transformation(_) => self.encode(&mut record, topic),
                _ => self.codec.encode(&record).map(|m| Some((record.topic.clone(), m))),
            };
            match again {
                Ok(message) => return Ok(message),
                Err(next) => (stage, error) = next,
            }
        }
        let errant = Errant::Polled { record: &record, topic, partition };
        self.policy.errant(stage, errant, error).await?;
        Ok(None)
    }
}
