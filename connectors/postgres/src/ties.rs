//! What makes rows of a PostgreSQL table depend on more than their key.

use crate::{errors::error, session::Session};
use connect_core::error::Result;
use connectors_jdbc::sink::table::Ties;

/// What the catalog says of a table, its partitions and the tables that inherit from it.
pub(crate) struct Found {
    unique: Vec<Vec<String>>,
    hidden_unique: bool,
    references: bool,
    acts: bool,
    checks: bool,
    /// Numbers of the columns that are in an index.
    indexed: Vec<i16>,
    utf8: bool,
}

/// `t`: the table and what is below it; `x`: the indexes of these.
const WITH: &str = "WITH RECURSIVE t AS (SELECT $1::oid AS oid UNION \
      SELECT i.inhrelid FROM t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.oid), \
    x AS (SELECT i.*, i.indexprs IS NULL AND i.indpred IS NULL AND i.indimmediate AND i.indisunique \
          AND i.indisvalid AND NOT i.indisexclusion AS plain, \
        ARRAY(SELECT a.attname::text FROM generate_series(0, i.indnkeyatts - 1) k \
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] ORDER BY k) AS names \
      FROM t JOIN pg_catalog.pg_index i ON i.indrelid = t.oid)";

/// Looks at the catalog.
pub(crate) async fn find(client: &Session, table: u32) -> Result<Found> {
    let unique = format!("{WITH} SELECT x.names FROM x WHERE x.indrelid = $1 AND x.plain");
    let ties = format!(
        "{WITH} SELECT \
          EXISTS (SELECT FROM x WHERE (x.indisunique OR x.indisexclusion) AND NOT x.plain) \
            OR EXISTS (SELECT FROM x WHERE x.indrelid <> $1 AND x.indisunique AND NOT EXISTS (\
              SELECT FROM x AS r WHERE r.indrelid = $1 AND r.plain AND r.names = x.names)), \
          EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.conrelid IN (SELECT oid FROM t)), \
          EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.contype = 'f' AND f.confrelid IN (SELECT oid FROM t)) \
            OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid IN (SELECT oid FROM t) \
              AND NOT g.tgisinternal AND g.tgenabled <> 'D') \
            OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class IN (SELECT oid FROM t)) \
            OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid IN (SELECT oid FROM t) AND c.relkind NOT IN ('r', 'p')), \
          EXISTS (SELECT FROM pg_catalog.pg_constraint k WHERE k.contype = 'c' AND k.conrelid IN (SELECT oid FROM t)) \
            OR EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid IN (SELECT oid FROM t) \
              AND (c.relrowsecurity OR c.relkind <> 'r' OR c.relispartition)) \
            OR EXISTS (SELECT FROM x WHERE x.indexprs IS NOT NULL OR x.indpred IS NOT NULL), \
          ARRAY(SELECT DISTINCT k FROM x, unnest(x.indkey::int2[]) k), \
          current_setting('server_encoding') = 'UTF8'"
    );
    let failed = |e| error("looking up a table's indexes and constraints", e);
    let unique = client.query(&unique, &[&table]).await.map_err(failed)?;
    let row = client.query_one(&ties, &[&table]).await.map_err(failed)?;
    Ok(Found {
        unique: unique.iter().map(|row| row.get(0)).collect(),
        hidden_unique: row.get(0),
        references: row.get(1),
        acts: row.get(2),
        checks: row.get(3),
        indexed: row.get(4),
        utf8: row.get(5),
    })
}

impl Found {
    /// Up to how many bytes of a text or of bytes are stored in a column for certain: an index refuses entries that are
    /// too long.
    pub(crate) fn certain_bytes(&self, number: i16) -> usize {
        const IN_INDEX: usize = 500;
        match (self.utf8, self.indexed.contains(&number)) {
            (false, _) => 0,
            (true, true) => IN_INDEX,
            (true, false) => usize::MAX,
        }
    }

    /// As the tasks ask for it; domains may have checks.
    pub(crate) fn ties(self, of_domains: bool) -> Ties {
        let Self { unique, hidden_unique, references, acts, checks, .. } = self;
        Ties { unique, hidden_unique, references, acts, checks: checks || of_domains }
    }
}
