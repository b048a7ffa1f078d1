//! The loop of a sink task: fetch, convert, put, and only then commit. One batch is decoded while the one before is
//! being written.

use std::time::Duration;

use connect_core::{
    config::{Properties, parse},
    error::{Error, Result},
    plugin::{Connected, Plugin},
    sink::{Offsets, SinkTask, TopicPartition},
    transport::ConsumerOptions,
};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Runner, administrator,
    chain::Chain,
    classes, client_properties,
    codec::Codec,
    consumer_group,
    deliver::{deliver, pause},
    sink_reader::{Decoded, Read, Reader},
};
use crate::{
    config::{ConnectorConfig, QueueConfig, SinkConfig},
    errors::{Errant, ErrorPolicy, RetryPolicy},
    herder::Observed,
    storage::Subject,
};

/// Most records in one put, unless `consumer.override.max.poll.records` says otherwise. The JVM's 500 would make
/// the statements of a sink shorter than its `batch.size`.
const MAX_RECORDS: usize = 3000;
/// Offsets are committed this long after the first record that they cover was delivered, or sooner.
const MAX_COMMIT_DELAY: Duration = Duration::from_secs(1);

/// Runs until stopped.
pub(super) async fn run(
    runner: &Runner,
    plugin: &dyn Plugin,
    name: &str,
    task: u32,
    config: Properties,
) -> Result<()> {
    let context = &runner.context;
    let config = runner.plugin_properties(&config)?;
    let common: ConnectorConfig = parse(&config)?;
    let sink: SinkConfig = parse(&config)?;
    let queue: QueueConfig = parse(&config)?;
    let codec = Codec::open(&context.config, &context.registry, &common, &config)?;
    let chain = Chain::open(&context.registry, &common.transforms, &config)?;
    let open = async || match plugin.connect(&config).await? {
        Connected::Sink(sink) => sink.task().await,
        Connected::Source(_) => Err(Error::internal("a source in place of a sink")),
    };
    let Some(writer) = runner.retrying("starting the task", open).await? else { return Ok(()) };
    let producer = client_properties(context, "producer", &config);
    let (id, classes) = ((name, task), classes(context, &common));
    let admin = administrator(context, &config).await?;
    let creator = admin.as_deref().unwrap_or(&*context.transport);
    let policy = ErrorPolicy::open(creator, id, &common, &queue, classes, &producer).await?;
    let mut client = client_properties(context, "consumer", &config);
    client.remove("group.id");
    if context.config.exactly_once() {
        // Else what a transaction has taken back would be written.
        client.entry("isolation.level".into()).or_insert_with(|| "read_committed".into());
    }
    let max_messages = match client.get("max.poll.records") {
        None => MAX_RECORDS,
        Some(text) => text.parse().map_err(|_| {
            Error::config(format!(
                "Invalid value {text} for configuration consumer.override.max.poll.records: Not a number of type INT"
            ))
        })?,
    };
    let options = ConsumerOptions {
        group: consumer_group(&context.config, name, &config),
        client_id: format!("connector-consumer-{name}-{task}"),
        subscription: sink.subscription(),
        max_messages,
        properties: client,
    };
    let consumer = context.transport.consumer(options).await?;
    runner.running(plugin);
    let interval = context.config.config.offset_flush_interval.get();
    let graceful = context.config.config.shutdown_timeout.get();
    let mut task = SinkLoop {
        reader: Reader::new(
            consumer,
            codec,
            chain,
            RetryPolicy::new(&common),
            context.topics.task(),
        ),
        writer,
        policy,
        done: Offsets::new(),
        commit_at: None,
        commit_delay: interval.min(MAX_COMMIT_DELAY),
        graceful,
    };
    let result = task.run(runner).await;
    // Also after an error: what was delivered before it should not be delivered again.
    let committed = timeout(graceful, task.commit()).await.unwrap_or(Ok(()));
    let closed = timeout(graceful, task.reader.consumer().close()).await.unwrap_or(Ok(()));
    result.and(committed).and(closed)
}

struct SinkLoop {
    reader: Reader,
    writer: Box<dyn SinkTask>,
    policy: ErrorPolicy,
    /// Next offsets of what is durable and not yet committed.
    done: Offsets,
    commit_at: Option<Instant>,
    commit_delay: Duration,
    graceful: Duration,
}

/// Resolves when the task should have stopped by now.
async fn overdue(stop: &CancellationToken, graceful: Duration) {
    stop.cancelled().await;
    tokio::time::sleep(graceful).await;
}

impl SinkLoop {
    async fn run(&mut self, runner: &Runner) -> Result<()> {
        let mut ahead = None;
        loop {
            let read = match ahead.take() {
                Some(read) => read,
                None => {
                    let commit_at = self.commit_at.unwrap_or_else(Instant::now);
                    tokio::select! {
                        biased;
                        () = runner.stop.cancelled() => return Ok(()),
                        read = self.reader.read() => read?,
                        () = sleep_until(commit_at), if self.commit_at.is_some() => {
                            self.commit().await?;
                            continue;
                        }
                    }
                }
            };
            match read {
                Read::Assigned(partitions) => {
                    let Some(starts) = self.open(&partitions, runner).await? else { return Ok(()) };
                    if !starts.is_empty() {
                        self.reader.consumer().seek(&starts).await?;
                    }
                }
                // The consumer lets them go at the next fetch.
                Read::Revoked(partitions) => {
                    self.commit().await?;
                    self.writer.close(&partitions).await;
                }
                Read::Lost(partitions) => {
                    self.done.retain(|tp, _| !partitions.contains(tp));
                    self.writer.close(&partitions).await;
                }
                Read::Batch(decoded) => {
                    if self.commit_at.is_some_and(|at| at <= Instant::now()) {
                        self.commit().await?;
                    }
                    let next = self.deliver(decoded, runner).await?;
                    let Some(next) = next else { return Ok(()) };
                    ahead = next;
                }
            }
        }
    }

    /// Opens the partitions, as often as a put is tried. None when told to stop.
    async fn open(
        &mut self,
        partitions: &[TopicPartition],
        runner: &Runner,
    ) -> Result<Option<Offsets>> {
        let retry = self.writer.retry();
        let mut attempts = 0;
        loop {
            let error = match self.writer.open(partitions).await {
                Ok(starts) => return Ok(Some(starts)),
                Err(error) => error,
            };
            if !error.is_retriable() || retry.attempts.is_some_and(|most| attempts >= most) {
                return Err(error);
            }
            attempts += 1;
            tracing::warn!(error = %error.trace().trim_end(), attempts, "open failed; trying again");
            if !pause(retry.backoff, &runner.stop).await {
                return Ok(None);
            }
        }
    }

    /// Delivers a batch while the next is read. None when told to stop.
    async fn deliver(&mut self, decoded: Decoded, runner: &Runner) -> Result<Option<Option<Read>>> {
        let next = decoded.next_offsets();
        let Decoded { batch, fetched, errant, new_topics } = decoded;
        for topic in new_topics {
            let Subject::Task(connector, task) = runner.subject.clone() else { continue };
            runner.context.observe(Observed::Topic { connector, task, topic: topic.to_string() });
        }
        for ((part, at), stage, error) in errant {
            let (offset, message) = &fetched[part].messages[at];
            let errant =
                Errant::Fetched { origin: &fetched[part].origin, offset: *offset, message };
            self.policy.errant(stage, errant, error).await?;
        }
        // Invariant 11: without a lease, another worker may have written newer values by now.
        if !runner.context.lease.for_sink(&runner.stop).await {
            return Ok(None);
        }
        let mut ahead = None;
        if !batch.records.is_empty() {
            let writer = &mut *self.writer;
            let (policy, done) = (&mut self.policy, &mut self.done);
            let delivery = deliver(writer, batch, &fetched, policy, &runner.stop, done);
            let overdue = overdue(&runner.stop, self.graceful);
            tokio::pin!(delivery, overdue);
            let delivered = loop {
                tokio::select! {
                    biased;
                    delivered = &mut delivery => break delivered?,
                    // A put that hangs is given up: nothing of it is committed.
                    () = &mut overdue => break false,
                    read = self.reader.read(), if ahead.is_none() => ahead = Some(read?),
                }
            };
            if !delivered {
                return Ok(None);
            }
        }
        // Invariant 2: every record before these offsets is durable, or in the dead letter queue.
        self.done.extend(next);
        self.commit_at.get_or_insert_with(|| Instant::now() + self.commit_delay);
        Ok(Some(ahead))
    }

    async fn commit(&mut self) -> Result<()> {
        self.commit_at = None;
        if self.done.is_empty() {
            return Ok(());
        }
        let offsets = std::mem::take(&mut self.done);
        match self.reader.consumer().commit(&offsets).await {
            Err(error) if error.is_retriable() => {
                // They are delivered; a later commit covers them, or they are delivered again.
                tracing::warn!(error = %error.trace().trim_end(), "committing offsets failed; trying again");
                for (tp, offset) in offsets {
                    self.done.entry(tp).or_insert(offset);
                }
                self.commit_at = Some(Instant::now() + self.commit_delay);
                Ok(())
            }
            result => result,
        }
    }
}
