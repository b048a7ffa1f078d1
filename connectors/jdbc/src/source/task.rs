//! The task: its tables in turns, one query at a time.

use std::time::Duration;

use async_trait::async_trait;
use connect_core::{
    error::{Error, ErrorKind, Result},
    source::{Assigned, Polled, SourceBatch, SourceTask},
};
use tokio::time::Instant;

use super::{
    Mark, Offset, Partition, SourceConfig, anew,
    bounds::{Clauses, Limits},
    clock::{bound, moment},
    criteria::Criteria,
    database::{Holder, Horizon, Order, Origin, Read, SourceDatabase, Standing},
    gaps::Gaps,
    keys::{Mode, TextOrder},
    reader::{Batch, Place, Reading},
    settle::{Settled, settled},
    statement::{column, from},
    tables::topic,
    wake::Wake,
};
use crate::zone::Zone;

/// First and longest pause while rows wait for transactions that still run.
pub(super) const WAIT: (Duration, Duration) =
    (Duration::from_millis(2), Duration::from_millis(200));
/// Longest pause after an error while notifications are listened for.
const RETRY: Duration = Duration::from_secs(5);

/// One partition of a task.
pub(super) struct Polling {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    /// Where the offset's timestamp is in the columns' clock, once a row was read.
    pub(super) position: Option<i64>,
    due: Instant,
    /// When its last poll began: the interval counts from there.
    begun: Instant,
    /// The incrementing column, once it is known.
    pub(super) column: Option<Incrementing>,
    /// What was seen, and must not be read before its writers have ended.
    pub(super) held: Option<Horizon>,
    pub(super) held_since: Instant,
    pub(super) wait: Duration,
    /// When to look again, if it is known that this reading does not bring everything: rows were held back.
    pub(super) more: Option<Instant>,
    /// Whether something was committed since the last look.
    pub(super) told: bool,
    /// The database's time of the first look after that: rows up to then are to be read without another notification.
    pub(super) wanted: Option<i64>,
    /// The last bound of timestamps, as an instant.
    pub(super) reached: Option<i64>,
    /// Whether a timestamp was seen that has a fraction of a second.
    pub(super) fine: bool,
    /// When transactions began that have only read so far, and that the bound has passed.
    pub(super) readers: Vec<i64>,
    /// When those of them began that have ended since: what they may have committed is to be read.
    pub(super) late: Vec<i64>,
    /// Transactions whose start is not known, with what they are held to have begun after.
    pub(super) vague: Vec<Holder>,
    /// Ids that were passed over and are looked for again.
    pub(super) gaps: Gaps,
    /// Whether sessions take several ids at once.
    pub(super) cached: bool,
    /// What the database knew of the table at the last look.
    pub(super) standing: Option<Standing>,
    /// Whether its rows were written anew, or thrown away.
    pub(super) rebuilt: bool,
    /// What is to be said of rows that may have come behind the offset.
    pub(super) below: Option<String>,
    /// What is to be said of rows before the first that is read.
    pub(super) unread: Option<String>,
    /// Whether that was looked for.
    pub(super) looked: bool,
    /// For whom the log says that rows wait.
    pub(super) complained: Option<String>,
    /// Whether the log says that the database's clock is of another zone.
    pub(super) zone_told: bool,
    /// Failed attempts, one after the other.
    failed: i32,
    /// Why the last one failed.
    error: Option<String>,
}

impl Polling {
    fn new<T>(assigned: Assigned<T>) -> Self
    where
        T: SourceTask<Partition = Partition, Offset = Offset>,
    {
        let offset = assigned.offset.unwrap_or_default();
        let now = Instant::now();
        let open = offset.open.clone().unwrap_or_default();
        Self {
            partition: assigned.partition,
            position: None,
            due: now,
            begun: now,
            column: None,
            held: None,
            held_since: now,
            wait: WAIT.0,
            more: None,
            told: false,
            wanted: None,
            reached: None,
            fine: offset.timestamp_nanos.is_some_and(|nanos| nanos != 0),
            readers: open.split(',').filter_map(|start| start.parse().ok()).collect(),
            late: Vec::new(),
            vague: Vec::new(),
            gaps: Gaps::parse(offset.gaps.as_deref().unwrap_or_default(), 0),
            cached: false,
            standing: None,
            rebuilt: false,
            below: None,
            unread: None,
            looked: false,
            complained: None,
            zone_told: false,
            failed: 0,
            error: None,
            offset,
        }
    }

    /// How long ids that were passed over are looked for again; none where they are not.
    pub(super) fn lag(&self, config: &SourceConfig) -> Option<Duration> {
        match config.lag {
            None if self.cached => Some(Duration::MAX),
            None | Some(0) => None,
            Some(lag) => Some(u64::try_from(lag).map_or(Duration::MAX, Duration::from_millis)),
        }
    }

    /// Most ranges of such ids.
    pub(super) fn most_gaps(&self, config: &SourceConfig) -> usize {
        if self.lag(config).is_some() { config.lag_gaps as usize } else { 0 }
    }

    /// What is left of the interval. Between two copies of a whole table all of it: a large one would be copied without end.
    pub(super) fn rest(&self, config: &SourceConfig) -> Duration {
        let taken = match config.mode {
            Some(Mode::Bulk) => Duration::ZERO,
            _ => self.begun.elapsed(),
        };
        config.poll_interval.get().saturating_sub(taken)
    }
}

/// An incrementing column.
#[derive(Debug, Clone, Default)]
pub(super) struct Incrementing {
    pub(super) name: String,
    /// Whether it is text that holds numbers.
    pub(super) numeric_text: bool,
    /// Whether it is text in its own order, or anything else that is no number.
    pub(super) other: bool,
}

/// Reads the tables of one task.
pub struct JdbcSourceTask<D: SourceDatabase> {
    config: SourceConfig,
    mode: Mode,
    zone: Zone,
    tables: Vec<Polling>,
    database: Option<D>,
    /// The query that is being read, and the position of its table.
    reading: Option<(usize, Reading<D::Rows>)>,
    /// A statement was begun whose end was not seen: a poll was dropped in between.
    busy: bool,
    wake: Option<Wake>,
}

impl<D: SourceDatabase> JdbcSourceTask<D> {
    pub(super) fn new(config: SourceConfig, assigned: Vec<Assigned<Self>>) -> Result<Self> {
        let mode = config.mode.ok_or_else(|| Error::config("Query mode must be specified"))?;
        let zone = Zone::of(&config.timezone).ok_or_else(|| Error::config("Invalid time zone"))?;
        let mut tables: Vec<Polling> = assigned.into_iter().map(Polling::new).collect();
        for polling in tables.iter_mut().filter(|polling| polling.partition.table.is_none()) {
            polling.gaps.limit(polling.most_gaps(&config));
        }
        let wake = Wake::of(&config);
        Ok(Self { config, mode, zone, tables, database: None, reading: None, busy: false, wake })
    }

    /// Has the tables tell of what is committed, if the configuration says so.
    pub(super) async fn install_triggers(&mut self, database: &mut D) -> Result<()> {
        let Some(channel) = self.config.channel().filter(|_| self.config.notify_trigger) else {
            return Ok(());
        };
        for Polling { partition, .. } in &self.tables {
            if let Origin::Table(table) = origin(database, &self.config, partition).await? {
                database.install_trigger(&table, channel).await?;
            }
        }
        Ok(())
    }

    /// Finds the columns of the first table, as the JVM's does when it starts.
    pub(super) async fn check(&mut self, database: &mut D) -> Result<()> {
        let Some(first) = self.tables.first() else { return Ok(()) };
        let origin = origin(database, &self.config, &first.partition).await?;
        let probed = probe(database, &self.config, (self.mode, &self.zone), &origin).await;
        // Only a connection is worth another start.
        probed.map_err(|e| if e.kind() == ErrorKind::Connection { e } else { e.retriable(false) })
    }

    /// Starts to read a table, in a transaction of its own: its definition cannot change before its rows come.
    async fn start(&mut self, at: usize) -> Result<()> {
        if self.database.as_ref().is_none_or(D::is_closed) || self.busy {
            self.database = None;
            self.busy = false;
            self.database = Some(D::connect(&self.config).await?);
        }
        let Some(database) = &mut self.database else {
            return Err(Error::internal("no connection"));
        };
        self.busy = true;
        let notified = self.wake.is_some();
        let polling = &mut self.tables[at];
        polling.begun = Instant::now();
        let origin = origin(database, &self.config, &polling.partition).await?;
        let mut limits = Limits::default();
        // What was committed after the held horizon was noted, nobody tells of again.
        polling.more = (notified && polling.held.is_some()).then(Instant::now);
        if self.mode.increments() {
            let found = match polling.column.take() {
                Some(known) => Some(known),
                None => incrementing(database, &self.config, (&origin, self.mode), polling).await?,
            };
            polling.column.clone_from(&found);
            anew::look(database, &self.config, &origin, polling).await?;
            if let Some(lag) = polling.lag(&self.config) {
                polling.gaps.expire(lag);
            }
            // An empty table whose first rows will tell.
            let settled = match &found {
                None => Settled::Wait(polling.rest(&self.config)),
                Some(column) if self.mode == Mode::Incrementing && self.config.hold_back => {
                    settled(database, &self.config, &origin, polling, column).await?
                }
                Some(_) => Settled::Everything,
            };
            match settled {
                Settled::Everything => {}
                Settled::UpTo(highest) => limits.highest = Some(highest),
                Settled::Wait(pause) => {
                    polling.due = Instant::now() + pause;
                    self.busy = false;
                    return Ok(());
                }
            }
        }
        if self.mode == Mode::Timestamp {
            anew::look(database, &self.config, &origin, polling).await?;
        }
        // Before the transaction: its rows must not be older than what is known of the clock and the writers.
        let moment = match self.mode.has_timestamp() {
            true => Some(moment(database, &self.config, &origin, polling).await?),
            false => None,
        };
        let columns = database.begin(&origin, &self.config).await?;
        // A column that was there at the start may come back.
        let found = Criteria::find(&self.config, self.mode, &origin, &columns);
        let mut criteria = found.map_err(|e| e.retriable(true))?;
        criteria.numeric_text = polling.column.as_ref().is_some_and(|column| column.numeric_text);
        let clauses = Clauses {
            config: &self.config,
            origin: &origin,
            mode: self.mode,
            zone: &self.zone,
            columns: &columns,
            criteria: &criteria,
        };
        anew::unread(database, &clauses, polling).await?;
        limits.gaps = polling.gaps.ranges().collect();
        let (after, position) = match &moment {
            None => (polling.offset.clone(), 0),
            Some(moment) => {
                let bound = bound(database, &clauses, moment, polling).await?;
                (limits.until, limits.late) = (Some(bound.until), bound.late);
                clauses.start(polling, bound.now)
            }
        };
        let read = Read {
            origin: &origin,
            columns: &columns,
            criteria: &criteria,
            clauses: clauses.write::<D>(&after, position, &limits)?,
            config: &self.config,
        };
        let place = Place {
            offset: after,
            position: moment.is_some().then_some(position),
            zone: (!clauses.holds_instants()).then(|| self.zone.clone()),
            gaps: polling.gaps.clone(),
            first: self.config.initial_incrementing(),
        };
        let stream =
            database.query(read).await.map_err(|e| e.context("table", origin.describe()))?;
        let column = criteria.incrementing.map(|at| columns[at].name.clone()).unwrap_or_default();
        let (mode, max_rows) = (self.mode, self.config.max_rows());
        let about = (origin, column, criteria.numeric_text);
        self.busy = false;
        self.reading = Some((at, Reading::new(stream, about, (mode, max_rows), place)));
        Ok(())
    }

    /// The next rows of the query that is being read.
    async fn read(&mut self) -> Result<Option<SourceBatch<Self>>> {
        let Some((at, reading)) = &mut self.reading else { return Ok(None) };
        let at = *at;
        reading.fill().await?;
        // As soon as all rows are here: nothing stays locked while they are on their way, or idle in a transaction.
        if reading.ended() && !reading.closed {
            // One that was dropped halfway leaves a connection that nobody uses any more.
            if let Some(database) = self.database.as_mut().filter(|_| !self.busy) {
                self.busy = true;
                database.end().await?;
                self.busy = false;
            }
            reading.closed = true;
        }
        let batch = reading.take()?;
        let polling = &mut self.tables[at];
        polling.failed = 0;
        polling.error = None;
        let Some(Batch { records, place, fine, unreadable }) = batch else {
            polling.late.clear();
            let later = Instant::now() + polling.rest(&self.config);
            polling.due = polling.more.take().unwrap_or(later);
            self.reading = None;
            return Ok(None);
        };
        polling.fine |= fine;
        polling.below = None;
        polling.position = place.position;
        polling.gaps = place.gaps;
        let mut offset = place.offset;
        let open: Vec<String> = polling.readers.iter().map(i64::to_string).collect();
        offset.open = (!open.is_empty()).then(|| open.join(",").into());
        polling.offset = offset.clone();
        // In bulk mode, and before the first group of equal timestamps is complete, there is none.
        let offset = (offset != Offset::default()).then_some(offset);
        let partition = match self.mode {
            Mode::Bulk => bulk_partition(&polling.partition),
            _ => polling.partition.clone(),
        };
        let table = reading.origin.table().map(|table| table.name.as_str());
        let topic = topic(&self.config, table.unwrap_or_default()).into();
        Ok(Some(SourceBatch { partition, offset, topic, records, unreadable }))
    }

    /// The error of a table's query: tried again as often as `query.retry.attempts` says.
    fn failed(&mut self, at: usize, error: Error) -> Error {
        // The other tables of the task get their turn.
        let polling = &mut self.tables[at];
        let interval = self.config.poll_interval.get();
        // An interval that relies on notifications may be long.
        let pause = if self.wake.is_some() { interval.min(RETRY) } else { interval };
        polling.due = Instant::now() + pause;
        polling.column = None;
        polling.failed = polling.failed.saturating_add(1);
        polling.error = Some(error.trace().trim_end().to_owned());
        let most = self.config.query_retries;
        if error.is_retriable() && most > 0 && polling.failed >= most {
            return error.retriable(false).context("query.retry.attempts", most);
        }
        error
    }

    /// Something was committed, in whichever table.
    fn told(&mut self) {
        let now = Instant::now();
        for polling in &mut self.tables {
            polling.told = true;
            // Whoever waits longest stays first; what failed waits.
            if polling.failed == 0 {
                polling.due = polling.due.min(now);
            }
        }
    }
}

/// Checks that what is to be run can be: the columns that tell what is new, and the statement itself, which is not run.
pub(super) async fn probe<D: SourceDatabase>(
    database: &mut D,
    config: &SourceConfig,
    (mode, zone): (Mode, &Zone),
    origin: &Origin,
) -> Result<()> {
    let begun = database.begin(origin, config).await;
    let probed = async {
        let columns = begun?;
        let criteria = Criteria::find(config, mode, origin, &columns)?;
        let (columns, criteria) = (&columns, &criteria);
        let clauses = Clauses { config, origin, mode, zone, columns, criteria };
        let clauses = clauses.write::<D>(&Offset::default(), 0, &Limits::default())?;
        database.check(Read { origin, columns, criteria, clauses, config }).await
    };
    let probed = probed.await;
    let ended = database.end().await;
    probed.and(ended)
}

/// Bulk mode's partition in the JVM's form, which never had a version.
fn bulk_partition(partition: &Partition) -> Partition {
    let bare = |qualified: &String| {
        Partition::bare(qualified.split_once('.').map_or(qualified.as_str(), |(_, name)| name))
    };
    partition.table.as_ref().map_or_else(|| partition.clone(), bare)
}

async fn origin<D: SourceDatabase>(
    database: &mut D,
    config: &SourceConfig,
    partition: &Partition,
) -> Result<Origin> {
    match (&partition.table, config.query()) {
        (Some(qualified), _) => Ok(Origin::Table(database.table(qualified).await?)),
        (None, Some(query)) => Ok(Origin::Query(query.to_owned())),
        (None, None) => Err(Error::config("the partition is of a query, but there is none")),
    }
}

/// Finds the incrementing column, and whether its texts are numbers: as the offset says, or the configuration, or the
/// table's rows. None if there are no rows that could say it.
async fn incrementing<D: SourceDatabase>(
    database: &mut D,
    config: &SourceConfig,
    (origin, mode): (&Origin, Mode),
    polling: &Polling,
) -> Result<Option<Incrementing>> {
    let columns = database.begin(origin, config).await?;
    let found = Criteria::find(config, mode, origin, &columns);
    let criteria = found.map_err(|e| e.retriable(true))?;
    let at = criteria.incrementing.ok_or_else(|| Error::internal("no incrementing column"))?;
    let column = &columns[at];
    let numeric_text = match (column.order, config.text_order, &polling.offset.incrementing) {
        (Order::Text, TextOrder::Numeric, _) => true,
        (Order::Text, TextOrder::Auto, Some(Mark::Number(_))) => true,
        (Order::Text, TextOrder::Auto, None) => {
            let from = from(origin, config, D::QUOTE);
            let name = self::column(origin, config, D::QUOTE, &column.name);
            match database.integers(&from, &name).await? {
                Some((true, false)) => {
                    return Err(Error::refused(format!(
                        "some values of the incrementing column {} of {} are integers and others are not; set \
                         incrementing.text.order=text if they grow as texts, or =numeric and correct the others",
                        column.name,
                        origin.describe()
                    )));
                }
                Some((_, all)) => all,
                None => {
                    database.end().await?;
                    return Ok(None);
                }
            }
        }
        _ => false,
    };
    database.end().await?;
    let other = !numeric_text && !matches!(column.order, Order::Integer | Order::Number);
    Ok(Some(Incrementing { name: column.name.clone(), numeric_text, other }))
}

#[async_trait]
impl<D: SourceDatabase> SourceTask for JdbcSourceTask<D> {
    type Partition = Partition;
    type Offset = Offset;

    async fn poll(&mut self) -> Result<Polled<SourceBatch<Self>>> {
        // Tables that had their turn. On a slow database one is due again before the last has had its own.
        let mut turns = 0;
        loop {
            let (at, result) = if let Some((at, _)) = &self.reading {
                let at = *at;
                match self.read().await {
                    Ok(Some(batch)) => return Ok(Polled::Batch(batch)),
                    Ok(None) => (at, Ok(())),
                    Err(error) => (at, Err(error)),
                }
            } else {
                // Only between readings: what is told during one must make its table due once more after it.
                if let Some(wake) = &mut self.wake
                    && wake.told::<D>(&self.config).await
                {
                    self.told();
                }
                let now = Instant::now();
                let next = self.tables.iter().enumerate().min_by_key(|(_, table)| table.due);
                match next.map(|(at, table)| (at, table.due)) {
                    None => return Ok(Polled::Idle(self.config.table_poll_interval.get())),
                    Some((_, due)) if due > now || turns > self.tables.len() => {
                        let again = self.wake.as_ref().and_then(Wake::due);
                        let due = again.map_or(due, |again| again.min(due));
                        return Ok(Polled::Idle(due.saturating_duration_since(now)));
                    }
                    Some((at, _)) => {
                        turns += 1;
                        (at, self.start(at).await)
                    }
                }
            };
            if let Err(error) = result {
                self.reading = None;
                self.database = None;
                return Err(self.failed(at, error));
            }
        }
    }

    fn notice(&self) -> Option<String> {
        let of = |polling: &'_ Polling| {
            let Polling { error, below, unread, .. } = polling;
            [error, below, unread].into_iter().flatten().cloned().collect::<Vec<String>>()
        };
        let notices: Vec<String> = self.tables.iter().flat_map(of).collect();
        (!notices.is_empty()).then(|| notices.join("\n"))
    }

    async fn woken(&mut self) {
        match &mut self.wake {
            Some(wake) => wake.changed().await,
            None => std::future::pending().await,
        }
    }
}
