//! What the tests of the log share.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::{future::Future, ops::Deref, path::Path, time::Duration};

use connect_core::transport::{
    Append, Consumer, ConsumerOptions, Fetch, Message, Subscription, Transport,
};
use connect_core_log::EmbeddedLog;

/// A message with this value.
pub(crate) fn text(value: &str) -> Message {
    Message { value: Some(value.to_owned().into()), ..Message::default() }
}

/// Fails instead of hanging.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("took longer than 30 s")
}

/// Fetches `count` messages of one partition.
pub(crate) async fn fetched(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<(i64, Message)> {
    let mut messages = Vec::new();
    while messages.len() < count {
        match within(consumer.fetch()).await.unwrap() {
            Fetch::Messages(fetched) => {
                messages.extend(fetched.into_iter().flat_map(|f| f.messages));
            }
            other => panic!("{other:?} instead of messages"),
        }
    }
    messages
}

/// A log with short ways to use it.
#[derive(Clone)]
pub(crate) struct Log(EmbeddedLog);

impl Deref for Log {
    type Target = EmbeddedLog;
    fn deref(&self) -> &EmbeddedLog {
        &self.0
    }
}

impl Log {
    pub(crate) fn open(dir: &Path) -> Self {
        Self(EmbeddedLog::open(dir).unwrap())
    }
    /// Appends and waits until it is durable.
    pub(crate) async fn append(&self, topic: &str, messages: impl IntoIterator<Item = Message>) {
        let mut producer = self.producer("test", &Default::default()).await.unwrap();
        let messages = vec![(topic.into(), messages.into_iter().collect())];
        let durable = producer.append(Append { messages, offset: None }).await.unwrap();
        within(durable).await.unwrap();
    }
    pub(crate) async fn consume(&self, group: &str, topic: &str, max: usize) -> Box<dyn Consumer> {
        self.subscribe(group, Subscription::Topics(vec![topic.into()]), max).await
    }
    pub(crate) async fn subscribe(
        &self,
        group: &str,
        subscription: Subscription,
        max_messages: usize,
    ) -> Box<dyn Consumer> {
        let options = ConsumerOptions {
            group: group.into(),
            client_id: "test".into(),
            subscription,
            max_messages,
            properties: Default::default(),
        };
        self.consumer(options).await.unwrap()
    }
}
