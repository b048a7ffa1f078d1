//! The loop of a source task: poll, convert, append, and only then commit.

use std::{collections::VecDeque, time::Duration};

use connect_core::{
    config::{Properties, parse},
    error::{Error, Result},
    plugin::{Connected, DynSourceTask, ErasedBatch, Plugin},
    source::Polled,
    transport::{Append, Durable, Producer, Transport},
};
use futures_util::{FutureExt, StreamExt, stream::FuturesOrdered};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{
    Backoff, Context, Runner, administrator,
    chain::Chain,
    classes, client_properties,
    codec::Codec,
    connector::PARTITIONS,
    source_batch::Pipeline,
    source_limits::Limits,
    topics::TaskTopics,
    transactions::{Transactions, fence},
};
use crate::{
    config::{ConnectorConfig, QueueConfig, SourceConfig},
    errors::{ErrorPolicy, RetryPolicy},
    herder::Observed,
    storage::ConnectorOffsets,
    topic_creation::TopicCreation,
};

/// Appends that may be on their way, unless they hold so many records; with a full window the source is not polled
/// (back-pressure). What is more than the log takes at once would only fill memory: librdkafka has five requests on their way, and
/// looks at what waits for its turn with every message that is added.
const WINDOW: (usize, usize) = (8, 9000);

type Progress = (Json, Option<Json>);

/// Runs until stopped. With transactions, what the log refuses is undone and done again, from the offsets that were committed.
pub(super) async fn run(
    runner: &Runner,
    plugin: &dyn Plugin,
    name: &str,
    task: u32,
    config: Properties,
) -> Result<()> {
    let again = runner.context.config.exactly_once();
    let mut backoff = Backoff::default();
    loop {
        match serve(runner, plugin, name, task, config.clone()).await {
            Err(error) if again && error.is_retriable() && !runner.stop.is_cancelled() => {
                tracing::warn!(connector = name, task, error = %error.trace().trim_end(), "the transaction failed; reading its records again");
                tokio::select! {
                    () = runner.stop.cancelled() => return Ok(()),
                    () = backoff.pause() => {}
                }
            }
            result => return result,
        }
    }
}

async fn serve(
    runner: &Runner,
    plugin: &dyn Plugin,
    name: &str,
    task: u32,
    config: Properties,
) -> Result<()> {
    let context = &runner.context;
    let config = runner.plugin_properties(&config)?;
    let common: ConnectorConfig = parse(&config)?;
    let queue: QueueConfig = parse(&config)?;
    let codec = Codec::open(&context.config, &context.registry, &common, &config)?;
    let chain = Chain::open(&context.registry, &common.transforms, &config)?;
    let creation = match context.config.config.topic_creation {
        true => TopicCreation::open(&config)?,
        false => None,
    };
    let Some(partitions) = config.get(PARTITIONS) else {
        // A configuration of the JVM, where connectors say in their own ways what a task reads: the connector cuts its work anew.
        runner.stop.cancelled().await;
        return Ok(());
    };
    let partitions: Vec<Json> = serde_json::from_str(partitions)
        .map_err(|e| Error::config("task.partitions is not a JSON list").with_source(e))?;
    let source_config: SourceConfig = parse(&config)?;
    let client = client_properties(context, "producer", &config);
    let client_id = format!("connector-producer-{name}-{task}");
    let transactional_id = context.config.transactional_id(name, task);
    // Before offsets are read: what an earlier task has left is complete by then, or will never be.
    if context.config.exactly_once() && !fence(runner, name).await? {
        return Ok(());
    }
    let producer = async || match context.config.exactly_once() {
        true => context.transport.transactional(&transactional_id, &client_id, &client).await,
        false => context.transport.producer(&client_id, &client).await,
    };
    let Some(producer) = runner.retrying("opening the producer", producer).await? else {
        return Ok(());
    };
    let topic = source_config.offsets_topic.as_deref();
    let open = async || {
        let offsets = context.offsets.of_connector(&context.transport, name, topic).await?;
        let Connected::Source(source) = plugin.connect(&config).await? else {
            return Err(Error::internal("a sink in place of a source"));
        };
        let mut assigned = Vec::with_capacity(partitions.len());
        for partition in &partitions {
            let own = offsets.get(name, partition);
            let offset = match own {
                Some(offset) => Some(offset),
                None => {
                    let earlier = source.earlier(partition)?;
                    earlier.iter().find_map(|earlier| offsets.get(name, earlier))
                }
            };
            assigned.push((partition.clone(), offset));
        }
        Ok((source.task(assigned).await?, offsets))
    };
    let opened = runner.retrying("starting the task", open).await?;
    let Some((source, offsets)) = opened else { return Ok(()) };
    let (id, classes) = ((name, task), classes(context, &common));
    let admin = administrator(context, &config).await?;
    let creator = admin.as_deref().unwrap_or(&*context.transport);
    let policy = ErrorPolicy::open(creator, id, &common, &queue, classes, &client).await?;
    runner.running(plugin);
    let mut task = SourceLoop {
        name,
        task,
        source,
        pipeline: Pipeline {
            chain,
            codec,
            retry: RetryPolicy::new(&common),
            policy,
            limits: Limits::default(),
        },
        notice: None,
        creation,
        admin,
        topics: context.topics.task(),
        producer,
        offsets,
        transactions: Transactions::new(&context.config, &source_config),
        held: Covered::default(),
        context,
        window: FuturesOrdered::new(),
        progress: VecDeque::new(),
        records: 0,
    };
    let result = task.run(runner).await;
    let graceful = context.config.config.shutdown_timeout.get();
    // What is on its way becomes durable now, or is read again.
    let drained = timeout(graceful, task.drain()).await.unwrap_or(Ok(()));
    // What failed first is the cause of the rest.
    drained.and(result)
}

/// Resolves at this moment, if there is one.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

struct SourceLoop<'r> {
    name: &'r str,
    task: u32,
    source: Box<dyn DynSourceTask>,
    pipeline: Pipeline,
    creation: Option<TopicCreation>,
    /// Creates topics, where the connector says by which client.
    admin: Option<Box<dyn Transport>>,
    topics: TaskTopics,
    /// What the status says.
    notice: Option<String>,
    producer: Box<dyn Producer>,
    offsets: ConnectorOffsets,
    transactions: Transactions,
    /// What the open transaction covers.
    held: Covered,
    context: &'r Context,
    window: FuturesOrdered<Durable>,
    /// What the appends in the window cover, in the same order.
    progress: VecDeque<Covered>,
    /// Records in the window.
    records: usize,
}

/// What an append covers.
#[derive(Default)]
struct Covered {
    records: usize,
    progress: Vec<Progress>,
}

impl SourceLoop<'_> {
    async fn run(&mut self, runner: &Runner) -> Result<()> {
        let mut backoff = Backoff::default();
        loop {
            while self.window.len() >= WINDOW.0 || self.records >= WINDOW.1 {
                tokio::select! {
                    () = runner.stop.cancelled() => return Ok(()),
                    durable = self.window.next() => self.durable(durable).await?,
                }
            }
            let mut done = Vec::new();
            let due = self.transactions.due;
            let polled = {
                let mut poll = self.source.poll();
                loop {
                    tokio::select! {
                        biased;
                        () = runner.stop.cancelled() => return Ok(()),
                        polled = &mut poll => break Some(polled),
                        // Invariant 9: the poll may be given up, and is taken up again.
                        () = at(due) => break None,
                        Some(durable) = self.window.next() => {
                            durable?;
                            done.extend(self.progress.pop_front());
                        }
                    }
                }
            };
            for covered in done {
                self.commit(covered).await?;
            }
            let Some(polled) = polled else {
                self.end_transaction(Append::default()).await?;
                continue;
            };
            self.tell(runner, polled.as_ref().err());
            let wait = match polled {
                Ok(Polled::Batch(batch)) => {
                    backoff = Backoff::default();
                    // Invariant 11: without a lease, another worker may run this task by now.
                    if !self.context.lease.for_source(&runner.stop).await {
                        return Ok(());
                    }
                    tokio::select! {
                        () = runner.stop.cancelled() => {
                            // A part of a batch, or one whose offset is missing, must not be committed when the rest drains:
                            // the open transaction is given up, and all of it is read again.
                            self.held = Covered::default();
                            return Ok(());
                        }
                        appended = self.append(batch) => appended?,
                    }
                    continue;
                }
                Ok(Polled::Idle(wait)) => {
                    backoff = Backoff::default();
                    wait
                }
                Err(error) if error.is_retriable() => {
                    tracing::warn!(connector = self.name, %error, "polling failed; trying again");
                    backoff.next()
                }
                Err(error) => return Err(error),
            };
            if !self.idle(wait, runner).await? {
                return Ok(());
            }
        }
    }

    /// Has the status say what the source has to say, or why it is tried again.
    fn tell(&mut self, runner: &Runner, error: Option<&Error>) {
        let error = error.filter(|error| error.is_retriable());
        let notice = self.source.notice().or_else(|| error.map(Error::trace));
        if notice != self.notice {
            runner.notice(notice.clone());
            self.notice = notice;
        }
    }

    /// Waits, while appends become durable, until the time is over or the source has something; false when told to stop.
    async fn idle(&mut self, wait: Duration, runner: &Runner) -> Result<bool> {
        let sleep = sleep(wait);
        tokio::pin!(sleep);
        loop {
            tokio::select! {
                biased;
                () = runner.stop.cancelled() => return Ok(false),
                Some(durable) = self.window.next() => self.durable(Some(durable)).await?,
                () = at(self.transactions.due) => self.end_transaction(Append::default()).await?,
                () = &mut sleep => return Ok(true),
                () = self.source.woken() => return Ok(true),
            }
        }
    }

    async fn append(&mut self, batch: ErasedBatch) -> Result<()> {
        let ErasedBatch { partition, offset, topic, records, unreadable } = batch;
        let messages = match unreadable {
            None => {
                let source = (&partition, offset.as_ref());
                let transport = &*self.context.transport;
                let log = (transport, &mut self.producer);
                self.pipeline.messages(records, &topic, source, log).await?
            }
            Some(error) => {
                self.pipeline.unreadable(&records, &topic, &partition, error).await?;
                Vec::new()
            }
        };
        for (topic, _) in &messages {
            if let Some(creation) = &mut self.creation {
                let creator = self.admin.as_deref().unwrap_or(&*self.context.transport);
                creation.ensure(creator, topic).await?;
            }
            if self.topics.is_new(topic) {
                let (connector, topic) = (self.name.to_owned(), topic.to_string());
                self.context.observe(Observed::Topic { connector, task: self.task, topic });
            }
        }
        let commit = match &offset {
            Some(offset) => Some(self.offsets.current().commit(self.name, &partition, offset)?),
            None => None,
        };
        self.held.records += messages.iter().map(|(_, run)| run.len()).sum::<usize>();
        self.held.progress.push((partition, offset));
        // Invariant 1: the transport stores the offset with the records, or after them.
        let append = Append { messages, offset: commit };
        match self.transactions.ends(self.source.ends_transaction()) {
            true => self.end_transaction(append).await,
            // It becomes durable with the append that ends the transaction.
            false => self.producer.hold(append).await.map(drop),
        }
    }

    async fn end_transaction(&mut self, append: Append) -> Result<()> {
        self.transactions.due = None;
        let durable = self.producer.append(append).await?;
        self.window.push_back(durable);
        self.records += self.held.records;
        self.progress.push_back(std::mem::take(&mut self.held));
        Ok(())
    }

    async fn durable(&mut self, durable: Option<Result<()>>) -> Result<()> {
        let Some(durable) = durable else { return Ok(()) };
        durable?;
        let covered = self.progress.pop_front().unwrap_or_default();
        self.commit(covered).await
    }

    async fn commit(&mut self, covered: Covered) -> Result<()> {
        self.records = self.records.saturating_sub(covered.records);
        for (partition, offset) in covered.progress {
            if let Some(offset) = offset {
                self.source.commit(&partition, &offset).await?;
            }
        }
        Ok(())
    }

    async fn drain(&mut self) -> Result<()> {
        let ended = match self.held.progress.is_empty() {
            true => Ok(()),
            false => self.end_transaction(Append::default()).await,
        };
        let mut result = Ok(());
        while let Some(durable) = self.window.next().boxed().await {
            result = result.and(self.durable(Some(durable)).await);
        }
        result.and(ended)
    }
}
