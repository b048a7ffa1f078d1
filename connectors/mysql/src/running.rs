//! Who is writing: what the server tells of the transactions and statements of others.

use connect_core::error::Result;
use connectors_jdbc::source::database::Holder;
use mysql_async::{Conn, prelude::Queryable};

use crate::errors::error;

/// Errors of a user who may not see what others do.
pub(crate) const DENIED: [u16; 2] = [1142, 1227];

/// Statements of others that are being executed: a time that one of them writes is its start.
const STATEMENTS: &str = "SELECT ID, TIME, LEFT(INFO, 200), CONCAT(ID, ' (user ', USER, ', from ', HOST, ')') \
    FROM information_schema.PROCESSLIST \
    WHERE COMMAND IN ('Query', 'Execute') AND INFO IS NOT NULL AND ID <> CONNECTION_ID()";

/// What only reads begins with one of these.
const READING: [&str; 9] =
    ["SELECT", "SHOW", "SET", "EXPLAIN", "DESC", "USE", "COMMIT", "ROLLBACK", "KILL"];

/// A transaction or statement that has written something, or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writing {
    /// Tells it apart from others, of the same session too.
    pub(crate) id: String,
    /// Whole seconds since it began.
    pub(crate) seconds: i64,
    /// For the log.
    pub(crate) who: String,
}

impl Writing {
    /// As what holds rows back at this time of the database, in microseconds since the epoch.
    pub(crate) fn holder(&self, now: i64) -> Holder {
        // It began at some time in the second before.
        let since = now.saturating_sub((self.seconds + 1) * 1_000_000);
        Holder { since, who: format!("{} for {} s", self.who, self.seconds) }
    }
}

/// What writes; none where the user may not see what others do.
///
/// Transactions are from the monitor: `information_schema.innodb_trx` is a copy that is not made anew while it is looked at
/// more often than every 100 ms, and knows nothing of what has begun meanwhile. Statements count before their transaction
/// shows: they may wait for a lock, or look for what to change.
pub(crate) async fn writing(conn: &mut Conn) -> Result<Option<Vec<Writing>>> {
    const SQL: &str = "SHOW ENGINE INNODB STATUS";
    let failed = |e| error("looking for running transactions", e);
    let statements: mysql_async::Result<Vec<(u64, i64, String, String)>> =
        conn.query(STATEMENTS).await;
    let statements = statements.map_err(failed)?.into_iter().filter_map(statement);
    let mut found: Vec<Writing> = statements.collect();
    let row: mysql_async::Result<Option<(String, String, String)>> = conn.query_first(SQL).await;
    match row {
        Ok(row) => found.extend(row.iter().flat_map(|(_, _, status)| transactions(status))),
        Err(mysql_async::Error::Server(e)) if DENIED.contains(&e.code) => return Ok(None),
        Err(e) => return Err(failed(e)),
    }
    Ok(Some(found))
}

fn statement((id, seconds, text, who): (u64, i64, String, String)) -> Option<Writing> {
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || c == '(');
    // A comment before the statement says nothing.
    while let Some(comment) =
        rest.strip_prefix("/*").filter(|comment| !comment.starts_with(['!', 'M']))
    {
        rest = comment.split_once("*/").map_or("", |(_, rest)| rest).trim_start();
    }
    let reads = READING
        .iter()
        .any(|word| rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
    // The same text again is another statement, or one that waits: it cannot be told.
    let id = format!("statement {id}: {text}");
    (!reads).then(|| Writing {
        id,
        seconds,
        who: format!("thread {who}, which executes {}", word(rest)),
    })
}

fn word(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or("a statement")
}

/// Reads InnoDB's monitor: `---TRANSACTION 42, ACTIVE 3 sec`, and behind it `undo log entries` of those that have written,
/// `LOCK WAIT` of those that wait for a row.
fn transactions(status: &str) -> impl Iterator<Item = Writing> {
    let transaction = |part: &str| {
        let (id, rest) = part.split_once(',')?;
        // `ACTIVE 3 sec`, or `ACTIVE (PREPARED) 3 sec`.
        let active = rest.trim_start().strip_prefix("ACTIVE ")?;
        let seconds = active.split_whitespace().find_map(|word| word.parse().ok())?;
        let writes = rest.contains("undo log entries") || rest.contains("LOCK WAIT");
        let thread =
            rest.lines().find_map(|line| line.split_once("thread id ")).map(|(_, rest)| rest);
        let words: Vec<&str> = thread.unwrap_or_default().split_whitespace().collect();
        let who = match words.iter().position(|word| *word == "query") {
            // `8, OS thread handle 1, query id 7 localhost 127.0.0.1 root updating`.
            Some(at) => {
                let from = words.iter().skip(at + 3).take(3).copied().collect::<Vec<_>>().join(" ");
                format!("thread {} ({from})", words[0].trim_end_matches(','))
            }
            None => format!("transaction {id}"),
        };
        writes.then(|| Writing { id: id.to_owned(), seconds, who })
    };
    status.split("---TRANSACTION ").skip(1).filter_map(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monitor_tells_who_has_written() {
        let status = "LIST OF TRANSACTIONS FOR EACH SESSION:\n\
            ---TRANSACTION (0x7f1), not started\n0 lock struct(s), heap size 1128, 0 row lock(s)\n\
            ---TRANSACTION 4711, ACTIVE 3 sec\n1 lock struct(s), heap size 1128, 0 row lock(s), undo log entries 1\n\
            MariaDB thread id 5, OS thread handle 1, query id 7 127.0.0.1 root\n\
            ---TRANSACTION 4713, ACTIVE (PREPARED) 5 sec\n2 lock struct(s), undo log entries 8\n\
            ---TRANSACTION 4714, ACTIVE 7 sec starting index read\nmysql tables in use 1, locked 1\n\
            LOCK WAIT 2 lock struct(s), heap size 1128, 1 row lock(s)\n\
            ---TRANSACTION 4712, ACTIVE 90 sec\n0 lock struct(s), heap size 1128, 0 row lock(s)\n--------\nFILE I/O";
        let found: Vec<Writing> = transactions(status).collect();
        let found: Vec<_> = found.iter().map(|w| (&*w.id, w.seconds, &*w.who)).collect();
        let expected = [
            ("4711", 3, "thread 5 (127.0.0.1 root)"),
            ("4713", 5, "transaction 4713"),
            ("4714", 7, "transaction 4714"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn statements_that_only_read_do_not_count() {
        let writes = |text: &str| statement((1, 2, text.to_owned(), String::new())).is_some();
        for text in [
            "UPDATE t SET a = 1",
            "/* hint */ insert into t",
            "CALL p()",
            "WITH a AS (SELECT 1) UPDATE t",
        ] {
            assert!(writes(text), "{text}");
        }
        for text in ["SELECT 1", "(select 1)", "/* a */ /* b */ SELECT 2", "show tables"] {
            assert!(!writes(text), "{text}");
        }
    }
}
