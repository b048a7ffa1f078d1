//! Who is writing: what the server tells of the transactions of others, and of clocks.

use connect_core::error::{Error, Result};
use connectors_jdbc::{
    names::TableName,
    source::database::{Clocks, Holder, Origin, Running, Standing},
};
use tokio_postgres::Row;

use crate::{errors, session::Session};

/// The relation and its partitions, and those that it is a partition of: whoever writes to one of them may write rows
/// that are read.
pub(crate) const RELATIONS: &str = "WITH RECURSIVE r AS (SELECT c.oid FROM pg_catalog.pg_class c \
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2 \
    UNION SELECT i.inhrelid FROM r JOIN pg_catalog.pg_inherits i ON i.inhparent = r.oid), \
  a AS (SELECT oid FROM r UNION SELECT i.inhparent FROM a JOIN pg_catalog.pg_inherits i ON i.inhrelid = a.oid)";

/// Locks that only who writes to a table has, of others in this database.
const LOCKS: &str = "pg_catalog.pg_locks l WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted \
    AND l.pid IS DISTINCT FROM pg_backend_pid() \
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";

/// How a transaction shows: a writer, a reader that is as young as one that is about to write, an older reader, or one whose
/// start is not known.
mod shows {
    pub(super) const WRITER: i32 = 0;
    pub(super) const YOUNG: i32 = 1;
    pub(super) const READER: i32 = 2;
    pub(super) const VAGUE: i32 = 3;
}

/// Which of the locks are on relations that the origin reads: of a query's tables nothing is known but that they are tables.
fn on(origin: &Origin) -> (&'static str, &'static str) {
    // Relations below 16384 are the catalog's.
    match origin {
        Origin::Table(_) => (RELATIONS, "l.relation IN (SELECT oid FROM a)"),
        Origin::Query(_) => ("WITH", "l.relation >= 16384"),
    }
}

/// The query for the virtual transactions that are writing to what the origin reads. A replica has no locks of what it replays,
/// but knows the numbers of the transactions.
pub(crate) fn writers(origin: &Origin) -> String {
    let (relations, on) = on(origin);
    let relations = if relations == "WITH" { "" } else { relations };
    format!(
        "{relations} SELECT CASE WHEN pg_is_in_recovery() \
           THEN (SELECT array_agg(x::text) FROM txid_snapshot_xip(txid_current_snapshot()) x) \
           ELSE (SELECT array_agg(DISTINCT l.virtualtransaction) FROM {LOCKS} AND {on}) END"
    )
}

/// Runs a query of one row about the relations of the origin, which is `$1` and `$2` there if it is a table.
pub(crate) async fn about(session: &Session, origin: &Origin, sql: &str) -> Result<Row> {
    let row = match origin {
        Origin::Table(table) => session.one_alone(sql, &[&table.schema, &table.name]).await,
        Origin::Query(_) => session.one_alone(sql, &[]).await,
    };
    row.map_err(failed)
}

fn failed(error: tokio_postgres::Error) -> Error {
    errors::error("looking for running transactions", error).retriable(true)
}

/// The transactions of others. What only reads for a while is not waited for, nor are vacuums and the senders of replicas.
pub(crate) async fn transactions(session: &Session, origin: &Origin) -> Result<(Running, bool)> {
    let (relations, on) = on(origin);
    let separator = if relations == "WITH" { "" } else { "," };
    let (writer, young, reader, vague) = (shows::WRITER, shows::YOUNG, shows::READER, shows::VAGUE);
    let sql = format!(
        "{relations}{separator} s AS (SELECT * FROM pg_catalog.pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()), \
          w AS (SELECT DISTINCT l.pid FROM {LOCKS} AND {on}), \
          o AS (SELECT xact_start AS since, CASE WHEN backend_xid IS NOT NULL OR pid IN (SELECT pid FROM w) THEN {writer} \
              WHEN xact_start > clock_timestamp() - interval '2 seconds' THEN {young} ELSE {reader} END AS shows, \
              application_name = current_setting('application_name') AS ours, \
              format('pid %s (user %s, program %s) since %s', pid, usename, application_name, xact_start) AS who \
            FROM s WHERE xact_start IS NOT NULL AND backend_type NOT IN ('walsender', 'autovacuum worker') \
          UNION ALL SELECT prepared, {vague}, false, format('prepared transaction %s (user %s) since %s', gid, owner, prepared) \
            FROM pg_catalog.pg_prepared_xacts WHERE database = current_database() \
          UNION ALL SELECT clock_timestamp(), {vague}, false, \
              format('pid %s (user %s), virtual transaction %s', s.pid, s.usename, x.virtualtransaction) \
            FROM s JOIN (SELECT DISTINCT pid, virtualtransaction FROM pg_catalog.pg_locks \
                WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted) x ON x.pid = s.pid \
            WHERE s.query = '<insufficient privilege>') \
        SELECT (extract(epoch FROM o.since) * 1000000)::int8, o.shows, o.who, h.hidden \
        FROM (SELECT EXISTS (SELECT FROM s WHERE query = '<insufficient privilege>') AS hidden) h \
        LEFT JOIN o ON NOT o.ours OR o.shows = {writer} ORDER BY o.since"
    );
    let (mut running, mut hidden) = (Running::default(), false);
    let rows = match origin {
        Origin::Table(table) => session.query(&sql, &[&table.schema, &table.name]).await,
        Origin::Query(_) => session.query(&sql, &[]).await,
    };
    for row in rows.map_err(failed)? {
        hidden = row.get(3);
        let since: Option<i64> = row.get(0);
        let Some(since) = since else { continue };
        let holder = || Holder { since, who: row.get(2) };
        match row.get(1) {
            shows::VAGUE => running.vague.push(holder()),
            shows::READER => running.readers.push(since),
            shows => {
                running.holder.get_or_insert_with(holder);
                if shows == shows::WRITER {
                    running.writers.push(since);
                }
            }
        }
    }
    Ok((running, hidden))
}

/// Who these virtual transactions are.
pub(crate) async fn describe(session: &Session, writers: &[String]) -> Result<String> {
    const SQL: &str = "SELECT string_agg(DISTINCT format('pid %s (user %s, program %s) since %s', \
            l.pid, s.usename, s.application_name, s.xact_start), ', ') \
        FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity s ON s.pid = l.pid WHERE l.virtualtransaction = ANY($1)";
    let row = session.query_one(SQL, &[&writers.to_vec()]).await.map_err(failed)?;
    let found: Option<String> = row.get(0);
    // A prepared transaction has no process, nor has one that a replica replays.
    Ok(found.unwrap_or_else(|| format!("transactions {}", writers.join(", "))))
}

/// What the catalog tells of a table and of the sequence that its incrementing column takes its values from. Views and the like
/// have nothing of their own that could be thrown away.
pub(crate) async fn standing(
    session: &Session,
    table: &TableName,
    column: Option<&str>,
) -> Result<Option<Standing>> {
    const SQL: &str = "SELECT c.oid::text, coalesce(pg_relation_filenode(c.oid), 0)::text, \
          txid_snapshot_xmax(txid_current_snapshot())::text, s.seqrelid::regclass::text, s.seqcache, \
          CASE WHEN has_sequence_privilege(s.seqrelid, 'SELECT,USAGE') THEN pg_sequence_last_value(s.seqrelid) END \
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attname = $3 \
        LEFT JOIN LATERAL (SELECT s.* FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_depend d \
            ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.seqrelid AND d.classid = 'pg_attrdef'::regclass \
              AND d.objid = (SELECT f.oid FROM pg_catalog.pg_attrdef f WHERE f.adrelid = c.oid AND f.adnum = a.attnum) \
            OR d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.deptype IN ('i', 'a') \
              AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.refobjsubid = a.attnum LIMIT 1) s ON true \
        WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";
    let column = column.unwrap_or_default();
    let row = session.query_opt(SQL, &[&table.schema, &table.name, &column]).await;
    let row = row.map_err(|e| errors::error("looking at the table", e).retriable(true))?;
    let standing = |row: Row| Standing {
        table: row.get(0),
        storage: row.get(1),
        moment: row.get(2),
        sequence: row.get::<_, Option<String>>(3).zip(row.get(4)),
        last: row.get(5),
    };
    Ok(row.map(standing))
}

/// The condition for rows that were written before a standing was.
pub(crate) fn older(standing: &Standing) -> String {
    // Numbers of transactions have 32 bits in rows. The moment is the first number that was not given out.
    let moment = standing.moment.parse::<u64>().unwrap_or_default() & u64::from(u32::MAX);
    format!("age(xmin) > age('{moment}'::xid)")
}

/// The zone of sessions that set none of their own.
pub(crate) async fn zone(session: &Session) -> Result<String> {
    const SQL: &str = "SELECT reset_val FROM pg_catalog.pg_settings WHERE name = 'TimeZone'";
    Ok(session.query_one(SQL, &[]).await.map_err(failed)?.get(0))
}

/// What clocks of the zone show at these instants.
pub(crate) async fn clocks(session: &Session, zone: &str, instants: &[i64]) -> Result<Clocks> {
    const SQL: &str = "SELECT (extract(epoch FROM (timestamptz 'epoch' + i * interval '1 microsecond') AT TIME ZONE $1) \
            * 1000000)::int8 FROM unnest($2::int8[]) WITH ORDINALITY AS u (i, n) ORDER BY n";
    let rows = session.query(SQL, &[&zone, &instants.to_vec()]).await.map_err(failed)?;
    let stamped: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
    // No type is shown in the session's zone: those with a zone are read in binary form.
    Ok(Clocks { shown: stamped.clone(), stamped })
}
