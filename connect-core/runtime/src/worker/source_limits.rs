//! How large a message may be: what no log takes is an error of its record, not of the task (KIP-779).

use std::collections::HashMap;

use connect_core::{
    data::Text,
    error::{Error, Result},
    transport::{Message, Producer, Transport},
};

/// The limits of the topics that a task has used.
#[derive(Default)]
pub(super) struct Limits(HashMap<Text, Limit>);

/// The limit of a topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    /// Most bytes of a message.
    longest: usize,
    /// What the topic says of itself.
    topic: Option<usize>,
}

impl Limits {
    /// The limit of a topic, which is looked up the first time; none if nothing bounds its messages.
    pub(super) async fn of(
        &mut self,
        transport: &dyn Transport,
        producer: &mut dyn Producer,
        topic: &Text,
    ) -> Result<Option<Limit>> {
        if let Some(limit) = self.0.get(topic) {
            return Ok(Some(*limit));
        }
        // One that is not there yet will take what the brokers take.
        let of_topic = transport.topic(topic).await?.and_then(|topic| topic.max_bytes);
        let Some(longest) = producer.longest(of_topic) else { return Ok(None) };
        let limit = Limit { longest, topic: of_topic };
        self.0.insert(topic.clone(), limit);
        Ok(Some(limit))
    }
}

impl Limit {
    /// Why the message is not taken, if it is not.
    pub(super) fn refuses(self, topic: &Text, message: &Message) -> Option<Error> {
        let size = message.size();
        if size <= self.longest {
            return None;
        }
        let mut error = Error::data("The message is larger than the log takes")
            .context("topic", topic)
            .context("bytes", size)
            .context("at most", self.longest)
            .context("limits", "max.request.size of the producer, max.message.bytes of the topic");
        if let Some(bytes) = self.topic {
            error = error.context("max.message.bytes", bytes);
        }
        Some(match &message.key {
            Some(key) => error.context("key", shown(key)),
            None => error.context(
                "value begins with",
                message.value.as_deref().map_or_else(String::new, shown),
            ),
        })
    }
}

/// The beginning of a key or value, for a message.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 200;
    String::from_utf8_lossy(&bytes[..bytes.len().min(MOST)]).into_owned()
}
