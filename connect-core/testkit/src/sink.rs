//! What every sink promises.

use std::sync::Arc;

use async_trait::async_trait;
use connect_core::{
    config::Properties,
    error::{ErrorKind, Result},
    plugin::Connected,
    record::Record,
    registry::Registry,
    sink::{Delivered, SinkBatch, SinkRecord, SinkTask, TopicPartition},
};

/// The system behind a sink.
#[async_trait]
pub trait SinkHarness: Send + Sync {
    /// The connector, among others if need be.
    fn registry(&self) -> Registry;
    /// Its configuration, `connector.class` included.
    fn properties(&self) -> Properties;
    /// The record of this number.
    fn record(&self, number: i64) -> Record;
    /// A record that the system can never take; none if it takes everything.
    fn bad_record(&self) -> Option<Record>;
    /// The numbers that are in the system, in any order.
    async fn numbers(&self) -> Vec<i64>;
    /// Whether a record that is delivered again stays one item.
    fn idempotent(&self) -> bool;
    /// Kills the system and starts it again, if that can be done.
    async fn restart(&self) -> bool {
        false
    }
}

/// Checks a sink on its empty system.
pub async fn sink_suite(harness: &impl SinkHarness) {
    let mut task = open(harness).await;
    let delivered = put(&mut *task, &batch(harness, 0..0)).await;
    assert!(matches!(delivered, Ok(Delivered::All)), "an empty batch is delivered");
    what_is_reported_is_there(harness, &mut *task).await;
    an_error_leaves_nothing_behind(harness, &mut *task).await;
    redelivery_is_idempotent(harness, &mut *task).await;
    a_restart_is_survived(harness, &mut *task).await;
}

async fn open(harness: &impl SinkHarness) -> Box<dyn SinkTask> {
    let properties = harness.properties();
    let class = properties.get("connector.class").expect("the harness gives connector.class");
    let plugin = harness.registry().find(class, &properties).expect("the connector is registered");
    let connected = plugin.connect(&properties).await.expect("connects");
    let Connected::Sink(sink) = connected else { panic!("{class} is not a sink") };
    sink.task().await.expect("opens a task")
}

fn sink_record(record: Record, offset: i64) -> SinkRecord {
    let topic = record.topic.clone().unwrap_or_else(|| "suite".into());
    let record = Record { topic: Some(topic.clone()), ..record };
    SinkRecord { record, origin: Arc::new(TopicPartition { topic, partition: 0 }), offset }
}

fn batch(harness: &impl SinkHarness, numbers: std::ops::Range<i64>) -> SinkBatch {
    SinkBatch { records: numbers.map(|n| sink_record(harness.record(n), n)).collect() }
}

/// Puts as the runtime does: a retriable error is tried again.
async fn put(task: &mut dyn SinkTask, batch: &SinkBatch) -> Result<Delivered> {
    let mut last = task.put(batch).await;
    for _ in 0..600 {
        match &last {
            // What is wrong with data may go away, but not here.
            Err(error) if error.is_retriable() && error.kind() != ErrorKind::Data => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                last = task.put(batch).await;
            }
            _ => break,
        }
    }
    last
}

async fn sorted(harness: &impl SinkHarness) -> Vec<i64> {
    let mut numbers = harness.numbers().await;
    numbers.sort_unstable();
    numbers
}

fn assert_all(delivered: Result<Delivered>, count: usize) {
    match delivered {
        Ok(Delivered::All) => {}
        Ok(Delivered::Each(results)) => {
            assert_eq!(results.len(), count, "one answer for each record");
            results.into_iter().for_each(|result| result.expect("delivered"));
        }
        Err(error) => panic!("put failed: {error:?}"),
    }
}

async fn what_is_reported_is_there(harness: &impl SinkHarness, task: &mut dyn SinkTask) {
    assert_all(put(task, &batch(harness, 0..20)).await, 20);
    assert_eq!(sorted(harness).await, (0..20).collect::<Vec<_>>(), "what put reports is there");
}

async fn an_error_leaves_nothing_behind(harness: &impl SinkHarness, task: &mut dyn SinkTask) {
    let Some(bad) = harness.bad_record() else { return };
    let mut mixed = batch(harness, 20..30);
    // Last: whatever the sink has done for the others by then must be undone.
    mixed.records.push(sink_record(bad, 99));
    match put(task, &mixed).await {
        Err(error) => {
            assert_eq!(
                error.kind(),
                ErrorKind::Data,
                "a bad record is an error of data: {error:?}"
            );
            assert_eq!(
                sorted(harness).await,
                (0..20).collect::<Vec<_>>(),
                "Err means nothing was written"
            );
            assert_all(put(task, &batch(harness, 20..30)).await, 10);
        }
        Ok(Delivered::Each(results)) => {
            let failed: Vec<_> = (0..results.len()).filter(|at| results[*at].is_err()).collect();
            assert_eq!((results.len(), failed), (11, vec![10]), "only the bad record is refused");
        }
        Ok(Delivered::All) => panic!("a record that cannot be taken was reported as delivered"),
    }
    assert_eq!(sorted(harness).await, (0..30).collect::<Vec<_>>(), "the good ones are there");
}

async fn redelivery_is_idempotent(harness: &impl SinkHarness, task: &mut dyn SinkTask) {
    if !harness.idempotent() {
        return;
    }
    let before = sorted(harness).await;
    assert_all(put(task, &batch(harness, 0..20)).await, 20);
    // The same key twice in one batch as well.
    let mut twice = batch(harness, 0..5);
    twice.records.extend(batch(harness, 0..5).records);
    assert_all(put(task, &twice).await, 10);
    assert_eq!(sorted(harness).await, before, "what is delivered again stays one");
}

async fn a_restart_is_survived(harness: &impl SinkHarness, task: &mut dyn SinkTask) {
    if !harness.restart().await {
        return;
    }
    let before = sorted(harness).await.len() as i64;
    let batch = batch(harness, before..before + 10);
    match task.put(&batch).await {
        Err(error) => {
            assert!(error.is_retriable(), "a lost connection may be retried: {error:?}");
            assert_all(put(task, &batch).await, 10);
        }
        delivered => assert_all(delivered, 10),
    }
    assert_eq!(
        sorted(harness).await,
        (0..before + 10).collect::<Vec<_>>(),
        "all there after a restart"
    );
}
