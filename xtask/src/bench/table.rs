//! The tables that are copied.

use anyhow::Result;
use xtask_servers::{MariaDb, Postgres};

/// A table with ids from 1.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// Columns of 16 characters beside the key; none stands for a text and a timestamp, 100 bytes a row with the key.
    texts: Option<u64>,
}

/// Bytes of a key, and of each further column.
const KEY: u64 = 8;
const TEXT: u64 = 16;

impl Table {
    /// Rows of 100 bytes: a key, a text and a timestamp.
    pub(crate) fn of_rows(name: &str, rows: u64) -> Self {
        Self { name: name.to_owned(), rows, texts: None }
    }

    /// So many columns of text and a key, in rows that hold so many cells together.
    pub(crate) fn of_columns(name: &str, columns: u64, cells: u64) -> Self {
        let texts = Some(columns.saturating_sub(1));
        Self { name: name.to_owned(), rows: cells / columns, texts }
    }

    /// Bytes of data in a row.
    pub(crate) fn row(&self) -> u64 {
        self.texts.map_or(100, |texts| KEY + texts * TEXT)
    }

    /// Its columns as a database has them whose timestamps have this type.
    pub(crate) fn columns(&self, timestamp: &str) -> String {
        match self.texts {
            None => format!(
                "id bigint PRIMARY KEY, valor text NOT NULL, updated_at {timestamp} NOT NULL"
            ),
            Some(texts) => {
                let texts = (0..texts).map(|at| format!(", c{at} text NOT NULL"));
                format!("id bigint PRIMARY KEY{}", texts.collect::<String>())
            }
        }
    }

    pub(crate) fn fill(&self, postgres: &Postgres) -> Result<()> {
        let Self { name, rows, texts } = self;
        let values = match texts {
            None => {
                ", rpad(md5(g::text), 84, 'x'), timestamp '2021-01-01' + g * interval '1 second'"
                    .to_owned()
            }
            Some(texts) => {
                let value = |at| format!(", substr(md5((g + {at})::text), 1, {TEXT})");
                (0..*texts).map(value).collect()
            }
        };
        postgres.query(&format!(
            "CREATE TABLE {name} ({}); \
             INSERT INTO {name} SELECT g{values} FROM generate_series(1, {rows}) g; ANALYZE {name}",
            self.columns("timestamp")
        ))?;
        Ok(())
    }

    /// The table of rows of 100 bytes in MariaDB.
    pub(crate) fn fill_mariadb(&self, mariadb: &MariaDb) -> Result<()> {
        let Self { name, rows, .. } = self;
        mariadb.query(&format!(
            "CREATE TABLE {name} ({}); \
             INSERT INTO {name} SELECT seq, RPAD(MD5(seq), 84, 'x'), TIMESTAMP'2021-01-01 00:00:00' + INTERVAL seq SECOND \
             FROM seq_1_to_{rows}",
            self.columns("datetime")
        ))?;
        Ok(())
    }
}
