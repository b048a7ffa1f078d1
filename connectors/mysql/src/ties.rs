//! What makes rows of a table of MySQL or MariaDB depend on more than their key.

use connect_core::error::Result;
use connectors_jdbc::{names::TableName, sink::table::Ties};
use mysql_async::{Conn, prelude::Queryable};

use crate::errors::error;

/// Looks at the catalog. Views and tables that keep a history are not known to be free of anything.
pub(crate) async fn find(conn: &mut Conn, table: &TableName, relation: &str) -> Result<Ties> {
    const INDEXES: &str = "SELECT INDEX_NAME, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
        WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND NON_UNIQUE = 0 ORDER BY INDEX_NAME, SEQ_IN_INDEX";
    const TRIGGERS: &str = "SELECT COUNT(*) FROM information_schema.TRIGGERS \
        WHERE EVENT_OBJECT_SCHEMA = ? AND EVENT_OBJECT_TABLE = ?";
    const OUT: &str = "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS \
        WHERE CONSTRAINT_SCHEMA = ? AND TABLE_NAME = ?";
    const IN: &str = "SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS \
        WHERE UNIQUE_CONSTRAINT_SCHEMA = ? AND REFERENCED_TABLE_NAME = ?";
    const CHECKS: &str = "SELECT COUNT(*) FROM information_schema.TABLE_CONSTRAINTS \
        WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND CONSTRAINT_TYPE = 'CHECK'";
    const PARTITIONED: &str = "SELECT COUNT(*) FROM information_schema.PARTITIONS \
        WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND PARTITION_NAME IS NOT NULL";
    let failed = |e| error("looking up a table's indexes and constraints", e);
    let key = (&table.schema, &table.name);
    let parts: Vec<(String, Option<String>, Option<u64>)> =
        conn.exec(INDEXES, key).await.map_err(failed)?;
    let mut count = async |sql: &str| {
        let count: Option<u64> = conn.exec_first(sql, key).await.map_err(failed)?;
        Ok::<bool, connect_core::error::Error>(count.unwrap_or(0) > 0)
    };
    let (references, referred) = (count(OUT).await?, count(IN).await?);
    let checks = count(CHECKS).await? || count(PARTITIONED).await?;
    let triggers = count(TRIGGERS).await? || !shows_triggers(conn, table).await?;
    let plain = relation == "BASE TABLE";
    let (unique, hidden_unique) = indexes(parts);
    Ok(Ties { unique, hidden_unique, references, acts: referred || triggers || !plain, checks })
}

/// The columns of each unique index, and whether there is one over expressions or the beginnings of texts.
fn indexes(parts: Vec<(String, Option<String>, Option<u64>)>) -> (Vec<Vec<String>>, bool) {
    let mut indexes: Vec<(String, Option<Vec<String>>)> = Vec::new();
    for (index, column, prefix) in parts {
        if indexes.last().is_none_or(|(last, _)| *last != index) {
            indexes.push((index, Some(Vec::new())));
        }
        let Some((_, columns)) = indexes.last_mut() else { continue };
        match (columns.as_mut(), column, prefix) {
            (Some(columns), Some(column), None) => columns.push(column),
            _ => *columns = None,
        }
    }
    let hidden = indexes.iter().any(|(_, columns)| columns.is_none());
    (indexes.into_iter().filter_map(|(_, columns)| columns).collect(), hidden)
}

/// Whether the user may see the triggers of the table: without the privilege TRIGGER there seem to be none.
async fn shows_triggers(conn: &mut Conn, table: &TableName) -> Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM (\
          SELECT GRANTEE FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'TRIGGER' \
        UNION ALL SELECT GRANTEE FROM information_schema.SCHEMA_PRIVILEGES \
          WHERE PRIVILEGE_TYPE = 'TRIGGER' AND ? LIKE TABLE_SCHEMA \
        UNION ALL SELECT GRANTEE FROM information_schema.TABLE_PRIVILEGES \
          WHERE PRIVILEGE_TYPE = 'TRIGGER' AND TABLE_SCHEMA = ? AND TABLE_NAME = ?) p \
        WHERE GRANTEE LIKE CONCAT('''', REPLACE(SUBSTRING_INDEX(CURRENT_USER(), '@', 1), '_', '\\_'), '''@%')";
    let key = (&table.schema, &table.schema, &table.name);
    let granted: Option<u64> = conn
        .exec_first(SQL, key)
        .await
        .map_err(|e| error("looking up the privileges on a table", e))?;
    Ok(granted.unwrap_or(0) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_over_a_prefix_or_an_expression_is_hidden() {
        let part = |index: &str, column: Option<&str>, prefix| {
            (index.to_owned(), column.map(str::to_owned), prefix)
        };
        let (unique, hidden) = indexes(vec![
            part("PRIMARY", Some("a"), None),
            part("PRIMARY", Some("b"), None),
            part("e", Some("email"), None),
        ]);
        assert_eq!((unique.len(), unique[0].len(), hidden), (2, 2, false));
        for odd in [part("x", Some("t"), Some(10)), part("x", None, None)] {
            let (unique, hidden) = indexes(vec![part("PRIMARY", Some("a"), None), odd]);
            assert_eq!((unique.len(), hidden), (1, true));
        }
    }
}
