//! Looks for records in place of consumers that have left their group. One client does it for all that are configured alike.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, Sender, TryRecvError, channel},
    },
    time::{Duration, Instant},
};

use connect_core::{
    error::{Error, Result},
    sink::TopicPartition,
};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    config::ClientConfig,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use tokio::sync::Notify;

use crate::{
    config::Prepared,
    config_error,
    context::{Asking, Trouble},
    oauth::{Login, Logins, Supply},
};

/// How long the thread waits for a record before it looks for new watches.
const POLL: Duration = Duration::from_millis(250);
/// How often it is looked whether topics have new partitions, as often as a consumer does, and how long that may take.
const LOOK: Duration = Duration::from_secs(10);
const ASK: Duration = Duration::from_secs(5);
/// What a consumer has for itself alone, and a watcher in place of it. It fetches as little as it may, and asks as rarely as a
/// record can do without.
const OWN: &[(&str, &str)] = &[
    ("client.id", "ferrovia-watcher"),
    // librdkafka wants a group; without subscription and commits none comes to exist.
    ("group.id", "ferrovia-watcher"),
    ("allow.auto.create.topics", "false"),
    ("fetch.wait.max.ms", "1000"),
    ("max.partition.fetch.bytes", "1024"),
    ("queued.min.messages", "1"),
    ("queued.max.messages.kbytes", "1024"),
];

/// Partitions, each with where reading it begins: at an offset, or at the beginning.
type Starts = BTreeMap<TopicPartition, Option<i64>>;

/// What a consumer has left.
pub(crate) struct Place {
    /// Where it would read on.
    pub(crate) starts: Starts,
    /// How many partitions its topics had when its group shared them; none: the topic was not there.
    pub(crate) partitions: BTreeMap<String, usize>,
}

/// The watchers of a worker, by what their clients are configured with.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<(Alike, Weak<Watcher>)>>);

/// What clients have in common that see the same. Not printable: it holds secrets.
#[derive(PartialEq)]
struct Alike {
    settings: BTreeMap<String, Option<String>>,
    login: Option<Login>,
}

impl Watchers {
    /// Watches for the first record that a consumer with this configuration would read.
    pub(crate) fn watch(
        &self,
        prepared: &Prepared,
        logins: &Logins,
        place: Place,
    ) -> Result<Watch> {
        let mut config = prepared.config.clone();
        config.remove("group.instance.id");
        for (key, value) in OWN {
            config.set(*key, *value);
        }
        // Not the map as it is shown: there all passwords are the same.
        let keys: Vec<String> = config.config_map().keys().map(|key| (*key).to_owned()).collect();
        let value = |key: &String| config.get(key).map(str::to_owned);
        let settings = keys.iter().map(|key| (key.clone(), value(key))).collect();
        let alike = Alike { settings, login: prepared.login.clone() };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(_, watcher)| watcher.strong_count() > 0);
        let known = all.iter().find(|(other, _)| *other == alike);
        let watcher = match known.and_then(|(_, watcher)| watcher.upgrade()) {
            Some(watcher) => watcher,
            None => {
                let tokens = logins.supply(prepared.login.clone())?;
                let new = Arc::new(Watcher::start(&config, tokens)?);
                all.push((alike, Arc::downgrade(&new)));
                new
            }
        };
        watcher.watch(place)
    }
}

enum Command {
    Watch { number: u64, watched: Watched },
    Forget { number: u64 },
}

struct Watched {
    place: Place,
    found: Arc<Notify>,
}

/// The thread that looks; it ends with the last watch.
pub(crate) struct Watcher {
    commands: Sender<Command>,
    count: AtomicU64,
}

impl Watcher {
    fn start(config: &ClientConfig, tokens: Supply) -> Result<Self> {
        let trouble = Trouble::default();
        let client: BaseConsumer<Asking> = config
            .create_with_context(Asking { trouble: trouble.clone() })
            .map_err(config_error)?;
        let client = Arc::new(client);
        tokens.join(&client, &trouble);
        let (commands, receiver) = channel();
        let look = Look { client, trouble, _tokens: tokens, table: Table::default() };
        std::thread::Builder::new()
            .name("watcher".to_owned())
            .spawn(move || look.run(&receiver))
            .map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        Ok(Self { commands, count: AtomicU64::new(0) })
    }

    fn watch(self: Arc<Self>, place: Place) -> Result<Watch> {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let found = Arc::new(Notify::new());
        let watched = Watched { place, found: Arc::clone(&found) };
        let sent = self.commands.send(Command::Watch { number, watched });
        sent.map_err(|_| Error::internal("the watcher's thread has ended"))?;
        Ok(Watch { watcher: self, number, found })
    }
}

/// One consumer's watch, for as long as it is held.
pub(crate) struct Watch {
    watcher: Arc<Watcher>,
    number: u64,
    found: Arc<Notify>,
}

impl Watch {
    /// Resolves when there is something to read, or something else that a member of the group would see to. Cancel safe.
    pub(crate) async fn found(&self) {
        self.found.notified().await;
        self.found.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The thread ends only with the last of them.
        let _ = self.watcher.commands.send(Command::Forget { number: self.number });
    }
}

/// Who waits for what.
#[derive(Default)]
struct Table {
    watches: HashMap<u64, Watched>,
    /// Those that wait for a partition, each with where it would begin.
    waiting: BTreeMap<TopicPartition, Vec<(u64, Option<i64>)>>,
}

impl Table {
    fn add(&mut self, number: u64, watched: Watched) {
        for (partition, start) in &watched.place.starts {
            self.waiting.entry(partition.clone()).or_default().push((number, *start));
        }
        self.watches.insert(number, watched);
    }

    /// Those that wait no longer are told, if they wait for that.
    fn remove(&mut self, number: u64, found: bool) {
        let Some(watched) = self.watches.remove(&number) else { return };
        for partition in watched.place.starts.keys() {
            if let Some(waiting) = self.waiting.get_mut(partition) {
                waiting.retain(|(other, _)| *other != number);
                if waiting.is_empty() {
                    self.waiting.remove(partition);
                }
            }
        }
        if found {
            watched.found.notify_one();
        }
    }

    /// Where each partition is to be read from: the first offset that anybody waits for.
    fn wanted(&self) -> Starts {
        // None, the beginning, is less than any offset.
        let first =
            |waiting: &Vec<(u64, Option<i64>)>| waiting.iter().map(|(_, start)| *start).min();
        let wanted = self.waiting.iter();
        wanted
            .filter_map(|(partition, waiting)| Some((partition.clone(), first(waiting)?)))
            .collect()
    }

    /// Tells those who would read this record. One before all that anybody waits for is of a topic that was made anew.
    fn found(&mut self, partition: &TopicPartition, offset: i64) {
        let Some(waiting) = self.waiting.get(partition) else { return };
        let reads = |start: Option<i64>| start.is_none_or(|start| start <= offset);
        let anew = !waiting.iter().any(|(_, start)| reads(*start));
        let found = waiting.iter().filter(|(_, start)| anew || reads(*start));
        for number in found.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.remove(number, true);
        }
    }

    /// Tells those who have left such a place.
    fn tell(&mut self, concerns: impl Fn(&Place) -> bool) {
        let concerned = self.watches.iter().filter(|(_, watched)| concerns(&watched.place));
        for number in concerned.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.remove(number, true);
        }
    }

    /// Tells those whose topics have other partitions now.
    fn compare(&mut self, topics: &HashMap<&str, usize>) {
        self.tell(|place| {
            let now = |topic: &str| topics.get(topic).copied().unwrap_or_default();
            place.partitions.iter().any(|(topic, count)| now(topic) != *count)
        });
    }
}

struct Look {
    client: Arc<BaseConsumer<Asking>>,
    trouble: Trouble,
    _tokens: Supply,
    table: Table,
}

impl Look {
    fn run(mut self, commands: &Receiver<Command>) {
        let mut assigned = Starts::new();
        let mut looked = Instant::now();
        loop {
            loop {
                let command = match self.table.watches.is_empty() && assigned.is_empty() {
                    true => commands.recv().map_err(|_| TryRecvError::Disconnected),
                    false => commands.try_recv(),
                };
                match command {
                    Ok(Command::Watch { number, watched }) => self.table.add(number, watched),
                    Ok(Command::Forget { number }) => self.table.remove(number, false),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            let wanted = self.table.wanted();
            if wanted != assigned
                && let Err(error) = self.assign(&assigned, &wanted)
            {
                tracing::warn!(%error, "cannot watch in place of idle consumers; they return");
                self.table.tell(|_| true);
                assigned.clear();
                if let Err(error) = self.client.unassign() {
                    tracing::debug!(%error, "cannot stop watching");
                }
                continue;
            }
            assigned = wanted;
            match self.client.poll(POLL) {
                None => {}
                Some(Ok(message)) => {
                    let (topic, partition) = (message.topic().into(), message.partition());
                    self.table.found(&TopicPartition { topic, partition }, message.offset());
                }
                Some(Err(error)) if passes(&error) => {
                    tracing::debug!(%error, "the watcher recovers by itself");
                }
                Some(Err(_)) => self.table.tell(|_| true),
            }
            if self.trouble.is_denied() {
                // What is refused is told by each of them.
                self.table.tell(|_| true);
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                self.look_for_partitions();
            }
        }
    }

    /// Changes what is fetched.
    fn assign(&self, assigned: &Starts, wanted: &Starts) -> KafkaResult<()> {
        let changed = |list: &Starts, other: &Starts| {
            let mut changed = TopicPartitionList::new();
            for (tp, start) in list.iter().filter(|(tp, start)| other.get(tp) != Some(start)) {
                let offset = start.map_or(Offset::Beginning, Offset::Offset);
                changed.add_partition_offset(&tp.topic, tp.partition, offset)?;
            }
            KafkaResult::Ok(changed)
        };
        let (gone, new) = (changed(assigned, wanted)?, changed(wanted, assigned)?);
        if gone.count() > 0 {
            self.client.incremental_unassign(&gone)?;
        }
        if new.count() > 0 {
            self.client.incremental_assign(&new)?;
        }
        Ok(())
    }

    fn look_for_partitions(&mut self) {
        let metadata = match self.client.fetch_metadata(None, ASK) {
            Ok(metadata) => metadata,
            Err(error) => return tracing::debug!(%error, "cannot look for new partitions"),
        };
        let topics = metadata.topics().iter().map(|topic| (topic.name(), topic.partitions().len()));
        self.table.compare(&topics.collect());
    }
}

/// Whether an error says only that brokers cannot be reached at the moment.
fn passes(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::NotLeaderForPartition
                | Code::LeaderNotAvailable
                | Code::Resolve
        )
    )
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn partition(partition: i32) -> TopicPartition {
        TopicPartition { topic: "t".into(), partition }
    }

    fn table(watches: &[&[(i32, Option<i64>)]]) -> (Table, Vec<Arc<Notify>>) {
        let (mut table, mut all) = (Table::default(), Vec::new());
        for (number, starts) in watches.iter().enumerate() {
            let found = Arc::new(Notify::new());
            let starts = starts.iter().map(|(p, start)| (partition(*p), *start)).collect();
            let partitions = [("t".to_owned(), 2)].into();
            let place = Place { starts, partitions };
            table.add(number as u64, Watched { place, found: Arc::clone(&found) });
            all.push(found);
        }
        (table, all)
    }

    fn told(found: &[Arc<Notify>]) -> Vec<bool> {
        found.iter().map(|found| found.notified().now_or_never().is_some()).collect()
    }

    #[test]
    fn a_record_is_told_to_those_who_would_read_it() {
        let (mut table, found) =
            table(&[&[(0, Some(5)), (1, Some(0))], &[(0, Some(7))], &[(0, None)], &[(2, Some(1))]]);
        assert_eq!(table.wanted()[&partition(0)], None, "the first that anybody waits for");
        table.found(&partition(0), 6);
        assert_eq!(told(&found), [true, false, true, false]);
        assert!(!table.wanted().contains_key(&partition(1)), "nobody waits for it any longer");
        assert_eq!(table.wanted()[&partition(0)], Some(7));
        table.found(&partition(0), 7);
        assert_eq!(told(&found), [false, true, false, false]);
    }

    #[test]
    fn a_topic_that_was_made_anew_is_told_to_all() {
        let (mut table, found) = table(&[&[(0, Some(5))], &[(0, Some(7))]]);
        table.found(&partition(0), 0);
        assert_eq!(told(&found), [true, true]);
        assert!(table.wanted().is_empty() && table.watches.is_empty());
    }

    #[test]
    fn new_partitions_are_told_to_those_who_are_still_there() {
        let (mut table, found) = table(&[&[(0, Some(5))], &[(1, Some(5))], &[]]);
        table.remove(0, false);
        table.compare(&HashMap::from([("t", 2), ("other", 3)]));
        assert_eq!(told(&found), [false; 3]);
        table.compare(&HashMap::from([("t", 3)]));
        assert_eq!(told(&found), [false, true, true]);
        assert!(table.wanted().is_empty() && table.watches.is_empty());
    }
}
