//! Measures the embedded stores that the log could stand on, with its own pattern: a batch of messages is one value
//! under (partition, base offset), and a commit is acknowledged when it is fsync'd.
//!
//! `cargo run --release -p connect-core-log --example stores [DIR]`

use std::{
    env,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::sync_channel,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

/// Size of a message in bytes.
const MESSAGE: usize = 100;
/// How long each rate is measured.
const RUN: Duration = Duration::from_secs(3);
/// Concurrent appenders for group commit.
const APPENDERS: u64 = 64;
/// Messages that lie in the store when its recovery is timed.
const PRELOADED: u64 = 5_000_000;
/// How often the writing process is killed.
const KILLS: u64 = 10;

/// A store under measurement.
trait Store: Sized + Send {
    const NAME: &'static str;
    /// How the name of its write-ahead file ends, if it has one.
    const JOURNAL: Option<&'static str>;
    fn open(dir: &Path) -> Result<Self>;
    /// Stores all batches (base offset, bytes) in one transaction, durable on return.
    fn append(&mut self, batches: &[(u64, Vec<u8>)]) -> Result<()>;
    /// Number of batches and bytes, read through; fails when one is missing or torn.
    fn scan(&self) -> Result<(u64, u64)>;
}

struct Redb<const QUICK_REPAIR: bool>(redb::Database);
const TABLE: redb::TableDefinition<(u32, u64), &[u8]> = redb::TableDefinition::new("log");

impl<const QUICK_REPAIR: bool> Store for Redb<QUICK_REPAIR> {
    const NAME: &'static str = if QUICK_REPAIR { "redb-quick-repair" } else { "redb" };
    const JOURNAL: Option<&'static str> = None;
    fn open(dir: &Path) -> Result<Self> {
        Ok(Self(redb::Database::create(dir.join("log.redb"))?))
    }
    fn append(&mut self, batches: &[(u64, Vec<u8>)]) -> Result<()> {
        let mut transaction = self.0.begin_write()?;
        transaction.set_quick_repair(QUICK_REPAIR);
        let mut table = transaction.open_table(TABLE)?;
        for (base, bytes) in batches {
            table.insert((0, *base), bytes.as_slice())?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }
    fn scan(&self) -> Result<(u64, u64)> {
        use redb::ReadableDatabase;
        let Ok(table) = self.0.begin_read()?.open_table(TABLE) else { return Ok((0, 0)) };
        let mut totals = Totals::default();
        for entry in table.range((0, 0)..)? {
            let (key, value) = entry?;
            totals.add(key.value().1, value.value())?;
        }
        Ok((totals.batches, totals.bytes))
    }
}

struct Fjall(fjall::Database, fjall::Keyspace);

impl Store for Fjall {
    const NAME: &'static str = "fjall";
    const JOURNAL: Option<&'static str> = Some(".jnl");
    fn open(dir: &Path) -> Result<Self> {
        let database = fjall::Database::builder(dir).open()?;
        let keyspace = database.keyspace("log", fjall::KeyspaceCreateOptions::default)?;
        Ok(Self(database, keyspace))
    }
    fn append(&mut self, batches: &[(u64, Vec<u8>)]) -> Result<()> {
        let mut batch = self.0.batch().durability(Some(fjall::PersistMode::SyncData));
        for (base, bytes) in batches {
            batch.insert(&self.1, base.to_be_bytes(), bytes.as_slice());
        }
        Ok(batch.commit()?)
    }
    fn scan(&self) -> Result<(u64, u64)> {
        let mut totals = Totals::default();
        for entry in self.1.iter() {
            let (key, value) = entry.into_inner()?;
            totals.add(u64::from_be_bytes(key.as_ref().try_into()?), &value)?;
        }
        Ok((totals.batches, totals.bytes))
    }
}

struct Sqlite(rusqlite::Connection);

impl Store for Sqlite {
    const NAME: &'static str = "sqlite";
    const JOURNAL: Option<&'static str> = Some("-wal");
    fn open(dir: &Path) -> Result<Self> {
        let connection = rusqlite::Connection::open(dir.join("log.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "locking_mode", "exclusive")?;
        connection.execute(
            "CREATE TABLE IF NOT EXISTS log (base INTEGER PRIMARY KEY, bytes BLOB NOT NULL)",
            (),
        )?;
        Ok(Self(connection))
    }
    fn append(&mut self, batches: &[(u64, Vec<u8>)]) -> Result<()> {
        let transaction = self.0.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT INTO log VALUES (?1, ?2)")?;
        for (base, bytes) in batches {
            insert.execute((i64::try_from(*base)?, bytes))?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }
    fn scan(&self) -> Result<(u64, u64)> {
        let mut select = self.0.prepare("SELECT base, bytes FROM log ORDER BY base")?;
        let mut rows = select.query(())?;
        let mut totals = Totals::default();
        while let Some(row) = rows.next()? {
            totals.add(row.get::<_, i64>(0)?.try_into()?, row.get_ref(1)?.as_blob()?)?;
        }
        Ok((totals.batches, totals.bytes))
    }
}

#[derive(Default)]
struct Totals {
    batches: u64,
    bytes: u64,
    next: u64,
}

impl Totals {
    fn add(&mut self, base: u64, bytes: &[u8]) -> Result<()> {
        ensure!(base == self.next, "offset {base} where {} was due", self.next);
        let messages = bytes.len() / MESSAGE;
        ensure!(bytes == batch(base, messages).1, "the batch at {base} is torn");
        self.batches += 1;
        self.bytes += bytes.len() as u64;
        self.next += messages as u64;
        Ok(())
    }
}

/// A batch whose bytes follow from its offset and don't compress.
fn batch(base: u64, messages: usize) -> (u64, Vec<u8>) {
    let mut state = base.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(messages * MESSAGE + 8);
    while bytes.len() < messages * MESSAGE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(messages * MESSAGE);
    (base, bytes)
}

/// One appender, `messages` to a batch: messages and commits per second.
fn sequential<S: Store>(dir: &Path, messages: usize) -> Result<(f64, f64)> {
    let mut store = S::open(dir)?;
    let (start, mut base) = (Instant::now(), 0);
    while start.elapsed() < RUN {
        store.append(&[batch(base, messages)])?;
        base += messages as u64;
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok((base as f64 / seconds, base as f64 / messages as f64 / seconds))
}

/// Many appenders of single messages, each waiting for its own; one writer commits whatever has queued up.
fn grouped<S: Store>(dir: &Path) -> Result<f64> {
    let mut store = S::open(dir)?;
    let (queue, appends) = sync_channel::<std::sync::mpsc::SyncSender<()>>(APPENDERS as usize);
    for _ in 0..APPENDERS {
        let queue = queue.clone();
        thread::spawn(move || {
            loop {
                let (done, durable) = sync_channel(1);
                if queue.send(done).is_err() || durable.recv().is_err() {
                    return;
                }
            }
        });
    }
    drop(queue);
    let (start, mut base) = (Instant::now(), 0);
    while start.elapsed() < RUN {
        let mut waiting = vec![appends.recv()?];
        waiting.extend(appends.try_iter());
        let batches: Vec<_> = (base..).take(waiting.len()).map(|base| batch(base, 1)).collect();
        store.append(&batches)?;
        base += waiting.len() as u64;
        for done in waiting {
            done.send(())?;
        }
    }
    Ok(base as f64 / start.elapsed().as_secs_f64())
}

/// The child that is killed: appends for ever, and prints each offset that is durable.
fn append_forever<S: Store>(dir: &Path) -> Result<()> {
    let mut store = S::open(dir)?;
    let (batches, bytes) = store.scan()?;
    let mut base = bytes / MESSAGE as u64;
    let sizes = [1, 100, 1000];
    for i in batches as usize.. {
        let size = sizes[i % sizes.len()];
        store.append(&[batch(base, size)])?;
        base += size as u64;
        let mut out = std::io::stdout().lock();
        writeln!(out, "{base}")?;
        out.flush()?;
    }
    Ok(())
}

/// Kills the writing process at different moments; returns the longest time to open afterwards.
fn killed<S: Store>(dir: &Path) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    for round in 0..KILLS {
        let mut child = Command::new(env::current_exe()?)
            .args(["child", S::NAME])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no pipe")?).lines();
        let mut acknowledged = 0;
        for line in lines.by_ref().take(10 + 37 * round as usize) {
            acknowledged = line?.parse::<u64>()?;
        }
        child.kill()?;
        child.wait()?;
        for line in lines {
            acknowledged = line?.parse().unwrap_or(acknowledged);
        }
        let start = Instant::now();
        let store = S::open(dir)?;
        longest = longest.max(start.elapsed());
        let found = store.scan()?.1 / MESSAGE as u64;
        ensure!(found >= acknowledged, "{acknowledged} acknowledged, {found} found");
    }
    Ok(longest)
}

fn preload<S: Store>(dir: &Path) -> Result<(Duration, Duration)> {
    let mut store = S::open(dir)?;
    let start = Instant::now();
    for base in (0..PRELOADED).step_by(10_000) {
        let batches: Vec<_> = (0..10).map(|i| batch(base + i * 1000, 1000)).collect();
        store.append(&batches)?;
    }
    let loaded = start.elapsed();
    let start = Instant::now();
    store.scan()?;
    Ok((loaded, start.elapsed()))
}

/// What a power cut may leave: the last commit, not yet acknowledged, is in the journal in part (with a hole of 64
/// bytes near its end). Says whether the store opens with all commits before it.
fn torn<S: Store>(dir: &Path) -> Result<String> {
    let Some(journal) = S::JOURNAL else { return Ok("has no journal".to_owned()) };
    let (live, copy) = (dir.join("live"), dir.join("copy"));
    std::fs::create_dir_all(&live)?;
    let mut store = S::open(&live)?;
    for i in 0..3 {
        store.append(&[batch(i * 10, 10)])?;
    }
    ensure!(Command::new("cp").arg("-r").args([&live, &copy]).status()?.success(), "cp failed");
    let mut files = std::fs::read_dir(&copy)?.flatten().map(|entry| entry.path());
    let file =
        files.find(|path| path.to_string_lossy().ends_with(journal)).context("no journal")?;
    let mut bytes = std::fs::read(&file)?;
    let end = bytes.iter().rposition(|byte| *byte != 0).context("an empty journal")?;
    bytes[end - 563..end - 500].fill(0);
    std::fs::write(&file, bytes)?;
    Ok(match S::open(&copy).and_then(|store| store.scan()) {
        Ok((batches, _)) => format!("opens with {batches} of the 2 commits before it"),
        Err(error) => format!("does not open: {error}"),
    })
}

fn size(dir: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let is_dir = entry.file_type()?.is_dir();
        total += if is_dir { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(total)
}

fn measure<S: Store>(root: &Path) -> Result<()> {
    let fresh = || -> Result<tempfile::TempDir> { Ok(tempfile::tempdir_in(root)?) };
    println!("{}", S::NAME);
    for messages in [1, 100, 1000] {
        let (rate, commits) = sequential::<S>(fresh()?.path(), messages)?;
        println!("  batches of {messages:>4}: {rate:>8.0} messages/s, {commits:>5.0} commits/s");
    }
    let rate = grouped::<S>(fresh()?.path())?;
    println!("  {APPENDERS} appenders of 1: {rate:>6.0} messages/s");
    let dir = fresh()?;
    let (loaded, scanned) = preload::<S>(dir.path())?;
    let rate = |took: Duration| PRELOADED as f64 / took.as_secs_f64();
    let bytes = size(dir.path())? as f64 / (PRELOADED * MESSAGE as u64) as f64;
    println!(
        "  10 batches of 1000 a commit: {:.0} messages/s written, {:.0} read, disk {bytes:.2} times the payload",
        rate(loaded),
        rate(scanned)
    );
    println!("  last commit torn: {}", torn::<S>(fresh()?.path())?);
    let longest = killed::<S>(dir.path())?;
    println!("  {KILLS} kills with {PRELOADED} messages: nothing lost, longest open {longest:?}");
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, name, dir] = arguments.as_slice()
        && first == "child"
    {
        let dir = Path::new(dir);
        return match name.as_str() {
            Redb::<false>::NAME => append_forever::<Redb<false>>(dir),
            Redb::<true>::NAME => append_forever::<Redb<true>>(dir),
            Fjall::NAME => append_forever::<Fjall>(dir),
            Sqlite::NAME => append_forever::<Sqlite>(dir),
            other => bail!("no store is called {other}"),
        };
    }
    let root = arguments.first().map_or_else(env::temp_dir, PathBuf::from);
    measure::<Redb<false>>(&root)?;
    measure::<Redb<true>>(&root)?;
    measure::<Fjall>(&root)?;
    measure::<Sqlite>(&root)
}
