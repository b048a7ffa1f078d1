//! A store in one file, for the demo and small machines.

use std::{
    path::Path,
    sync::{
        Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use async_trait::async_trait;
use connect_core::error::{Error, Result};
use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;

use crate::{Record, Store};

/// Requests that wait for the thread; senders beyond them wait.
const QUEUE: usize = 1024;

type Answer<T> = oneshot::Sender<Result<T>>;

enum Request {
    Upsert(Record, Answer<()>),
    Get(String, Answer<Option<String>>),
}

/// Records in a SQLite file. Its thread makes everything durable together that arrives during one fsync.
#[derive(Debug)]
pub struct EmbeddedStore {
    queue: Option<SyncSender<Request>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl EmbeddedStore {
    /// Opens or creates the file.
    ///
    /// # Errors
    /// When it cannot be used, as when another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |e| {
            Error::refused("cannot open the store").context("path", path.display()).with_source(e)
        };
        let connection = connect(path).map_err(failed)?;
        let (queue, requests) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name("store".into());
        let thread = thread.spawn(move || serve(connection, &requests));
        let thread = thread.map_err(|e| Error::internal("cannot start a thread").with_source(e))?;
        Ok(Self { queue: Some(queue), thread: Mutex::new(Some(thread)) })
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T> {
        let gone = || Error::internal("the store's thread has ended");
        let full = || Error::connection("the store's queue is full");
        let (answer, answered) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(gone)?;
        queue.try_send(request(answer)).map_err(|_| full())?;
        answered.await.unwrap_or_else(|_| Err(gone()))
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.queue = None;
        let thread = self.thread.get_mut().ok().and_then(Option::take);
        if let Some(thread) = thread {
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn upsert(&self, record: &Record) -> Result<()> {
        self.ask(|answer| Request::Upsert(record.clone(), answer)).await
    }
    async fn get(&self, id: &str) -> Result<Option<String>> {
        self.ask(|answer| Request::Get(id.to_owned(), answer)).await
    }
    async fn check(&self) -> Result<()> {
        self.get("").await.map(drop)
    }
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "locking_mode", "exclusive")?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS tabela (id TEXT PRIMARY KEY, valor TEXT NOT NULL) WITHOUT ROWID",
    )?;
    Ok(connection)
}

fn serve(mut connection: Connection, queue: &Receiver<Request>) {
    while let Ok(first) = queue.recv() {
        let mut upserts = Vec::new();
        let mut gets = Vec::new();
        for request in std::iter::once(first).chain(queue.try_iter().take(QUEUE)) {
            match request {
                Request::Upsert(record, answer) => upserts.push((record, answer)),
                Request::Get(id, answer) => gets.push((id, answer)),
            }
        }
        if !upserts.is_empty() {
            let result = write(&mut connection, upserts.iter().map(|(record, _)| record));
            // Whoever doesn't wait for the answer doesn't need it.
            for (_, answer) in upserts {
                let failed = |e: &rusqlite::Error| Error::connection(format!("cannot write: {e}"));
                let _ = answer.send(result.as_ref().copied().map_err(failed));
            }
        }
        for (id, answer) in gets {
            let select = "SELECT valor FROM tabela WHERE id = ?1";
            let found = connection.query_row(select, [id], |row| row.get(0)).optional();
            let failed = |e| Error::connection("cannot read").with_source(e);
            let _ = answer.send(found.map_err(failed));
        }
    }
}

fn write<'a>(
    connection: &mut Connection,
    records: impl Iterator<Item = &'a Record>,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let sql = "INSERT INTO tabela (id, valor) VALUES (?1, ?2)
        ON CONFLICT (id) DO UPDATE SET valor = excluded.valor";
    for record in records {
        transaction.prepare_cached(sql)?.execute((&record.id, &record.valor))?;
    }
    transaction.commit()
}
