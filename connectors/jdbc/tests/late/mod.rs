//! Random writers beside a polling source: at the end every committed row was delivered in its last state.
//!
//! Transactions end late or are rolled back, updates wait for locks, sequences have a cache, clocks have zones and times any
//! precision, rows are deleted and tables emptied, the source is stopped and goes on from an offset. What remains by design is not
//! drawn: times that clients make up, days, and ids that are taken without a sequence.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use connect_core::{data::Value, plugin::DynSourceTask, plugin::ErasedBatch, source::Polled};
use serde_json::Value as Json;
use tokio::sync::mpsc;

/// How long what was committed may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
const SESSIONS: usize = 4;
/// Without FUZZ_MINUTES.
const BUDGET: Duration = Duration::from_secs(25);
const SEEDS: [u64; 3] = [1, 20_261_201, 0xdead_beef];

/// Numbers that look random, the same for the same seed (SplitMix64).
pub(crate) struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
    /// Once in so many times.
    fn chance(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A connection of a writer, whose statements may wait.
pub(crate) struct Session {
    statements: mpsc::UnboundedSender<String>,
    /// Statements that were sent and not yet answered.
    left: Arc<AtomicUsize>,
    open: bool,
}

impl Session {
    /// One that runs statements so; what fails is rolled back.
    pub(crate) fn new<C, F>(mut connection: C, run: F) -> Self
    where
        C: Send + 'static,
        F: AsyncRun<C>,
    {
        let (statements, mut taken) = mpsc::unbounded_channel::<String>();
        let left = Arc::new(AtomicUsize::new(0));
        let done = Arc::clone(&left);
        tokio::spawn(async move {
            while let Some(sql) = taken.recv().await {
                if run.run(&mut connection, &sql).await.is_err() {
                    // A deadlock, or a row that another has made: the transaction is over.
                    let _ = run.run(&mut connection, "ROLLBACK").await;
                }
                done.fetch_sub(1, Ordering::AcqRel);
            }
        });
        Self { statements, left, open: false }
    }

    fn busy(&self) -> bool {
        self.left.load(Ordering::Acquire) > 0
    }

    /// Sends a statement, and waits a moment for its answer: it may be long in coming.
    async fn run(&self, sql: &str) {
        self.left.fetch_add(1, Ordering::AcqRel);
        self.statements.send(sql.to_owned()).unwrap();
        let start = Instant::now();
        while self.busy() && start.elapsed() < Duration::from_millis(30) {
            tokio::task::yield_now().await;
        }
    }
}

/// Runs a statement on a connection.
pub(crate) trait AsyncRun<C>: Send + Sync + 'static {
    fn run(&self, connection: &mut C, sql: &str)
    -> impl Future<Output = Result<(), String>> + Send;
}

/// A database with its ways of saying things.
pub(crate) trait Database {
    const NAME: &'static str;
    /// Types of times, of every precision.
    const TIMES: &'static [&'static str];
    /// Expressions for the time of a row; those of a table are of one group. Of a table in which some rows have whole seconds and
    /// others have not nobody can tell which comes next.
    const NOWS: &'static [&'static [&'static str]];
    /// Statements that make the table, with ids of a sequence that has a cache, or has none.
    fn create(table: &str, time: &str, cached: bool) -> Vec<String>;
    /// Whether sequences may have a cache.
    const CACHES: bool;
    /// The parameter of the source's connection that gives sessions a zone, and the statement that does.
    fn zone(zone: &str) -> ((&'static str, String), String);
    async fn execute(&self, sql: &str);
    async fn session(&self) -> Session;
    async fn rows(&self, table: &str) -> Vec<(i64, i64)>;
    async fn open(&self, pairs: &[(&str, &str)], offset: Option<Json>) -> Box<dyn DynSourceTask>;
}

fn seen(batch: &ErasedBatch, delivered: &mut HashSet<(i64, i64)>) {
    let number = |value: &Value| match value {
        Value::Int32(n) => i64::from(*n),
        Value::Int64(n) => *n,
        other => panic!("{other:?}"),
    };
    for record in &batch.records {
        let Value::Struct(values) = &record.value else { panic!() };
        delivered.insert((number(&values[0]), number(&values[1])));
    }
}

/// Runs fixed seeds and a fresh one, or as long as FUZZ_MINUTES says from FUZZ_SEED on.
pub(crate) async fn fuzz<D: Database>(database: &D) {
    let env = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    let fresh = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
    let budget = env("FUZZ_MINUTES").map_or(BUDGET, |minutes| Duration::from_secs(60 * minutes));
    let mut seeds: Vec<u64> = match env("FUZZ_SEED") {
        Some(seed) => vec![seed],
        None => SEEDS.into_iter().chain([fresh]).collect(),
    };
    seeds.reverse();
    let start = Instant::now();
    let mut last = 0;
    let mut runs = 0;
    while let Some(seed) = seeds.pop().or_else(|| (start.elapsed() < budget).then(|| last + 1)) {
        println!("{}: FUZZ_SEED={seed}", D::NAME);
        once(database, seed).await;
        (last, runs) = (seed, runs + 1);
    }
    println!("{}: {runs} runs", D::NAME);
}

async fn once<D: Database>(database: &D, seed: u64) {
    let mut draw = Draw(seed);
    let table = format!("fuzz_{seed}");
    let mode = draw.one(&["incrementing", "timestamp", "timestamp+incrementing"]);
    let cached = D::CACHES && draw.chance(2);
    let time = draw.one(D::TIMES);
    let ((parameter, value), set_zone) = D::zone(draw.one(&["+00:00", "+09:00", "-03:00"]));
    let nows = draw.one(D::NOWS);
    let zone = draw.one(&["UTC", "Asia/Tokyo", "America/Sao_Paulo"]);
    for statement in D::create(&table, time, cached) {
        database.execute(&statement).await;
    }
    let pairs = [
        ("table.whitelist", table.as_str()),
        ("mode", mode),
        ("incrementing.column.name", "id"),
        ("timestamp.column.name", "ts"),
        ("db.timezone", zone),
        (parameter, value.as_str()),
        ("hold.back.running.transactions", "true"),
        ("batch.max.rows", draw.one(&["1", "3", "100"])),
    ];
    let about = format!(
        "{} FUZZ_SEED={seed}: {mode}, {time}, {nows:?}, cached={cached}, {value}, {zone}",
        D::NAME
    );
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let session = database.session().await;
        session.run(&set_zone).await;
        sessions.push(session);
    }
    let mut task = database.open(&pairs, None).await;
    let (mut delivered, mut offsets, mut next) = (HashSet::new(), vec![None], 0_i64);
    for _ in 0..60 + draw.below(60) {
        let at = draw.below(SESSIONS);
        let act = draw.below(12);
        if act < 4 {
            for _ in 0..=draw.below(3) {
                if let Polled::Batch(batch) = task.poll().await.unwrap() {
                    seen(&batch, &mut delivered);
                    offsets.push(batch.offset);
                }
            }
            continue;
        }
        // A table that is emptied and filled beyond the offset while nobody looks cannot be told from one that has grown.
        if act == 4 && draw.chance(3) && !offsets.is_empty() {
            // From the last offset, or from an earlier one: what came after that comes once more.
            let back = draw.below(offsets.len().min(3));
            let offset = offsets[offsets.len() - 1 - back].clone();
            task = database.open(&pairs, offset).await;
            continue;
        }
        if act == 5
            && draw.chance(4)
            && sessions.iter().all(|session| !session.open && !session.busy())
        {
            // What is being read keeps the table from being emptied.
            while let Polled::Batch(batch) = task.poll().await.unwrap() {
                seen(&batch, &mut delivered);
                offsets.push(batch.offset);
            }
            offsets.clear();
            let empty = if D::CACHES { " RESTART IDENTITY" } else { "" };
            database.execute(&format!("TRUNCATE TABLE {table}{empty}")).await;
            // Seen while it is empty.
            for _ in 0..3 {
                if let Polled::Batch(batch) = task.poll().await.unwrap() {
                    seen(&batch, &mut delivered);
                }
            }
            continue;
        }
        let session = &mut sessions[at];
        if session.busy() {
            continue;
        }
        next += 1;
        let now = draw.one(nows);
        let row = draw.below(12) + 1;
        if !session.open && draw.chance(2) {
            session.run("START TRANSACTION").await;
            session.open = true;
            if draw.chance(2) {
                session.run("SELECT 1").await;
            }
        }
        match act {
            5 | 6 if session.open => {
                session.open = false;
                session.run(if draw.chance(3) { "ROLLBACK" } else { "COMMIT" }).await;
            }
            7 if mode != "incrementing" => {
                session
                    .run(&format!("UPDATE {table} SET v = {next}, ts = {now} WHERE id = {row}"))
                    .await;
            }
            8 => session.run(&format!("DELETE FROM {table} WHERE id = {row}")).await,
            9 if mode != "incrementing" => {
                session.run(&format!("SELECT v FROM {table} WHERE id = {row} FOR UPDATE")).await;
            }
            _ => session.run(&format!("INSERT INTO {table} (v, ts) VALUES ({next}, {now})")).await,
        }
    }
    for session in &mut sessions {
        session.run("COMMIT").await;
    }
    let ended = Instant::now();
    while sessions.iter().any(Session::busy) {
        assert!(ended.elapsed() < PATIENCE, "{about}: a writer hangs");
        tokio::task::yield_now().await;
    }
    let rows = database.rows(&table).await;
    let ended = Instant::now();
    loop {
        if let Polled::Batch(batch) = task.poll().await.unwrap() {
            seen(&batch, &mut delivered);
        }
        let missing: Vec<_> = rows.iter().filter(|row| !delivered.contains(row)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(ended.elapsed() < PATIENCE, "{about}: not delivered: {missing:?} of {rows:?}");
        tokio::task::yield_now().await;
    }
    drop(task);
    database.execute(&format!("DROP TABLE {table}")).await;
}
