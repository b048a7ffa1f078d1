//! The loop of a sink task: fetch, convert, put, and only then commit. One batch is decoded while the one before is
//! being written.

use std::{sync::Arc, time::Duration};

use connect_core::{
    config::{Properties, parse},
    error::{Error, Result},
    plugin::{Connected, Plugin},
    sink::{Offsets, SinkBatch, SinkRecord, SinkTask, TopicPartition},
    transport::{Consumer, ConsumerOptions, Fetch, Fetched},
};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{Runner, codec::Codec, deliver::deliver};
use crate::{
    config::{ConnectorConfig, SinkConfig, below},
    errors::{Errant, ErrorPolicy, Stage},
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
    let common: ConnectorConfig = parse(&config)?;
    let sink: SinkConfig = parse(&config)?;
    let codec = Codec::open(&context.config, &context.registry, &common, &config)?;
    let properties = context.config.plugin_properties(&config);
    let open = async || match plugin.connect(&properties).await? {
        Connected::Sink(sink) => sink.task().await,
        Connected::Source(_) => Err(Error::internal("a source in place of a sink")),
    };
    let Some(writer) = runner.retrying("starting the task", open).await? else { return Ok(()) };
    let errors = (common.tolerance, common.log_errors);
    let policy = ErrorPolicy::open(&*context.transport, (name, task), errors, &sink).await?;
    let mut client = below(&context.config.properties, "consumer.");
    client.extend(below(&config, "consumer.override."));
    let max_messages = match client.get("max.poll.records") {
        None => MAX_RECORDS,
        Some(text) => text.parse().map_err(|_| {
            Error::config(format!(
                "Invalid value {text} for configuration consumer.override.max.poll.records: Not a number of type INT"
            ))
        })?,
    };
    let group = client.remove("group.id").unwrap_or_else(|| format!("connect-{name}"));
    let options = ConsumerOptions {
        group,
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
        reader: Reader { consumer, codec, owned: Vec::new() },
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
    let closed = timeout(graceful, task.reader.consumer.close()).await.unwrap_or(Ok(()));
    result.and(committed).and(closed)
}

/// The half that reads: it goes on while the other half writes.
struct Reader {
    consumer: Box<dyn Consumer>,
    codec: Codec,
    owned: Vec<Arc<TopicPartition>>,
}

/// What the reader found.
enum Read {
    Assigned(Vec<TopicPartition>),
    Revoked,
    Lost(Vec<TopicPartition>),
    Batch(Decoded),
}

/// A batch, with the messages it was decoded from and those that could not be.
struct Decoded {
    batch: SinkBatch,
    fetched: Vec<Fetched>,
    /// Position in `fetched`, stage, and error.
    errant: Vec<((usize, usize), Stage, Error)>,
}

impl Decoded {
    /// Offsets after everything that was fetched, decodable or not.
    fn next_offsets(&self) -> Offsets {
        let last = self
            .fetched
            .iter()
            .filter_map(|part| Some((part.origin.clone(), part.messages.last()?.0 + 1)));
        last.collect()
    }
}

impl Reader {
    /// Cancel safe, as the consumer's fetch is the only await.
    async fn read(&mut self) -> Result<Read> {
        Ok(match self.consumer.fetch().await? {
            Fetch::Assigned(partitions) => Read::Assigned(partitions),
            Fetch::Revoked(_) => Read::Revoked,
            Fetch::Lost(partitions) => Read::Lost(partitions),
            Fetch::Messages(fetched) => Read::Batch(self.decode(fetched)),
        })
    }

    fn decode(&mut self, fetched: Vec<Fetched>) -> Decoded {
        let count = fetched.iter().map(|part| part.messages.len()).sum();
        let mut records = Vec::with_capacity(count);
        let mut errant = Vec::new();
        for (at, part) in fetched.iter().enumerate() {
            let known = self.owned.iter().position(|known| **known == part.origin);
            let known = known.unwrap_or_else(|| {
                self.owned.push(Arc::new(part.origin.clone()));
                self.owned.len() - 1
            });
            let origin = &self.owned[known];
            for (i, (offset, message)) in part.messages.iter().enumerate() {
                match self.codec.decode(&origin.topic, origin.partition, message) {
                    Ok(record) => {
                        let origin = Arc::clone(origin);
                        records.push(SinkRecord { record, origin, offset: *offset });
                    }
                    Err((stage, error)) => errant.push(((at, i), stage, error)),
                }
            }
        }
        Decoded { batch: SinkBatch { records }, fetched, errant }
    }
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
                    let starts = self.writer.open(&partitions).await?;
                    if !starts.is_empty() {
                        self.reader.consumer.seek(&starts).await?;
                    }
                }
                // The consumer lets them go at the next fetch.
                Read::Revoked => self.commit().await?,
                Read::Lost(partitions) => self.done.retain(|tp, _| !partitions.contains(tp)),
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

    /// Delivers a batch while the next is read. None when told to stop.
    async fn deliver(&mut self, decoded: Decoded, runner: &Runner) -> Result<Option<Option<Read>>> {
        let next = decoded.next_offsets();
        let Decoded { batch, fetched, errant } = decoded;
        for ((part, at), stage, error) in errant {
            let (offset, message) = &fetched[part].messages[at];
            let errant = Errant { origin: &fetched[part].origin, offset: *offset, message };
            self.policy.errant(stage, errant, error).await?;
        }
        let mut ahead = None;
        if !batch.records.is_empty() {
            let writer = &mut *self.writer;
            let delivery = deliver(writer, batch, &fetched, &mut self.policy, &runner.stop);
            let overdue = overdue(&runner.stop, self.graceful);
            tokio::pin!(delivery, overdue);
            let delivered = loop {
                tokio::select! {
                    biased;
                    delivered = &mut delivery => break delivered?,
                    // A put that hangs is given up: nothing of it was committed.
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
        match self.reader.consumer.commit(&offsets).await {
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
