//! What every source promises.

use std::{ops::Range, task::Poll, time::Duration};

use async_trait::async_trait;
use connect_core::{
    config::Properties,
    plugin::{Connected, DynSourceTask, ErasedBatch},
    record::Record,
    registry::Registry,
    source::Polled,
};
use serde_json::Value as Json;

/// Most time that anything may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The system behind a source.
#[async_trait]
pub trait SourceHarness: Send + Sync {
    /// The connector, among others if need be.
    fn registry(&self) -> Registry;
    /// Its configuration, `connector.class` included. One partition, and batches of at most 10 records.
    fn properties(&self) -> Properties;
    /// Adds items with these numbers, after those that are there.
    async fn add(&self, numbers: Range<i64>);
    /// The number of the item that a record is.
    fn number(&self, record: &Record) -> i64;
}

/// Checks a source, with some forty items of its system.
pub async fn source_suite(harness: &impl SourceHarness) {
    harness.add(0..25).await;
    reads_everything_in_order(harness).await;
    resumes_after_each_batch(harness).await;
    loses_nothing_when_a_poll_is_dropped(harness).await;
    sees_what_is_added_while_it_runs(harness).await;
}

async fn open(
    harness: &impl SourceHarness,
    offset: Option<Json>,
) -> (Json, Box<dyn DynSourceTask>) {
    let properties = harness.properties();
    let class = properties.get("connector.class").expect("the harness gives connector.class");
    let plugin = harness.registry().find(class, &properties).expect("the connector is registered");
    let connected = plugin.connect(&properties).await.expect("connects");
    let Connected::Source(source) = connected else { panic!("{class} is not a source") };
    let mut partitions = source.partitions().await.expect("lists its partitions");
    assert_eq!(partitions.len(), 1, "the harness has one partition");
    let partition = partitions.remove(0);
    let task = source.task(vec![(partition.clone(), offset)]).await.expect("opens a task");
    (partition, task)
}

/// Polls until idle, or until so many batches came.
async fn batches(task: &mut dyn DynSourceTask, most: usize) -> Vec<ErasedBatch> {
    let mut batches = Vec::new();
    let reading = async {
        while batches.len() < most {
            match task.poll().await.expect("polls") {
                Polled::Batch(batch) => batches.push(batch),
                Polled::Idle(_) => return,
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading)
        .await
        .expect("idle is answered at once, not waited for");
    batches
}

fn numbers(harness: &impl SourceHarness, batches: &[ErasedBatch]) -> Vec<i64> {
    let records = batches.iter().flat_map(|batch| &batch.records);
    records.map(|record| harness.number(record)).collect()
}

async fn reads_everything_in_order(harness: &impl SourceHarness) {
    let (partition, mut task) = open(harness, None).await;
    let read = batches(&mut *task, usize::MAX).await;
    assert_eq!(numbers(harness, &read), (0..25).collect::<Vec<_>>(), "everything, once, in order");
    for batch in &read {
        assert_eq!(batch.partition, partition, "a batch names the partition that was assigned");
        assert!(!batch.topic.is_empty(), "a batch names its topic");
    }
}

async fn resumes_after_each_batch(harness: &impl SourceHarness) {
    let mut offset = None;
    let mut seen = Vec::new();
    // Each batch by a task of its own, as if the worker had died after it.
    for _ in 0..25 {
        let (_, mut task) = open(harness, offset.clone()).await;
        let read = batches(&mut *task, 1).await;
        let Some(batch) = read.first() else { break };
        seen.extend(numbers(harness, &read));
        offset = batch.offset.clone();
    }
    assert_eq!(seen, (0..25).collect::<Vec<_>>(), "no gap and no repetition after a restart");
}

async fn loses_nothing_when_a_poll_is_dropped(harness: &impl SourceHarness) {
    let (_, mut task) = open(harness, None).await;
    let mut read = Vec::new();
    let mut idle = 0;
    let mut patience = 1;
    while idle < 3 {
        // Given up after ever more looks: at every await at some time, and in the end never.
        let polled = {
            let mut poll = task.poll();
            let mut looks = 0;
            std::future::poll_fn(|cx| match poll.as_mut().poll(cx) {
                Poll::Ready(polled) => Poll::Ready(Some(polled)),
                Poll::Pending if looks == patience => Poll::Ready(None),
                Poll::Pending => {
                    looks += 1;
                    Poll::Pending
                }
            })
            .await
        };
        match polled {
            None => patience += 1,
            Some(Ok(Polled::Batch(batch))) => {
                read.push(batch);
                patience = 1;
            }
            Some(Ok(Polled::Idle(_))) => idle += 1,
            Some(Err(error)) => panic!("polling after a dropped poll: {error:?}"),
        }
    }
    let seen = numbers(harness, &read);
    assert_eq!(seen, (0..25).collect::<Vec<_>>(), "a dropped poll loses and repeats nothing");
}

async fn sees_what_is_added_while_it_runs(harness: &impl SourceHarness) {
    let (_, mut task) = open(harness, None).await;
    let before = batches(&mut *task, usize::MAX).await;
    assert_eq!(numbers(harness, &before).len(), 25);
    harness.add(25..40).await;
    let mut added = Vec::new();
    let reading = async {
        while added.len() < 15 {
            match task.poll().await.expect("polls") {
                Polled::Batch(batch) => added.extend(numbers(harness, &[batch])),
                Polled::Idle(wait) => tokio::time::sleep(wait).await,
            }
        }
    };
    tokio::time::timeout(DEADLINE, reading).await.expect("what is added is seen");
    assert_eq!(added, (25..40).collect::<Vec<_>>(), "what is added, once, in order");
}
