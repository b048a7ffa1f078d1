//! The triggers of `notify.install.trigger`: they notify the channel when something was committed.

use connect_core::error::Result;
use connectors_jdbc::{
    names::{Quote, TableName},
    source::database::SourceDatabase,
};
use tokio_postgres::Row;

use crate::{errors::error, running::RELATIONS, session::Session, source::PostgresReader};

/// Of the function, and the beginning of the triggers' names.
const NAME: &str = "ferrovia_notify";
/// Longest name, in bytes; the server would cut a longer one.
const MAX_NAME: usize = 63;
/// One installation at a time: the function of a schema is made once. Whoever writes to the table is held up for two seconds
/// at most, while the trigger waits for transactions that run.
const BEGIN: &str =
    "BEGIN; SET LOCAL lock_timeout = '2s'; SELECT pg_advisory_xact_lock(7020094312)";
const BODY: &str = "BEGIN PERFORM pg_catalog.pg_notify(TG_ARGV[0], ''); RETURN NULL; END";

/// Installs what is missing; where nothing is, no table is locked.
pub(crate) async fn install(client: &Session, table: &TableName, channel: &str) -> Result<()> {
    let installed = match run(client, BEGIN).await {
        Ok(()) => missing(client, table, channel).await,
        Err(error) => Err(error),
    };
    run(client, if installed.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    installed
}

async fn missing(client: &Session, table: &TableName, channel: &str) -> Result<()> {
    // A trigger for each statement fires for the table that the statement names: a partition has one of its own.
    let sql = format!(
        "{RELATIONS} SELECT n.nspname, c.relname FROM r JOIN pg_catalog.pg_class c ON c.oid = r.oid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND NOT EXISTS (\
           SELECT FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid \
           WHERE t.tgrelid = c.oid AND p.proname = '{NAME}' \
             AND t.tgargs = convert_to($3, getdatabaseencoding()) || '\\x00'::bytea) ORDER BY 1, 2"
    );
    let rows = client.query(&sql, &[&table.schema, &table.name, &channel]).await;
    let name = |row: Row| TableName { schema: row.get(0), name: row.get(1) };
    let rows = rows.map_err(|e| error("looking at triggers", e))?;
    for table in rows.into_iter().map(name) {
        create(client, &table, channel).await?;
        tracing::info!(table = table.qualified(), channel, "installed a trigger that notifies");
    }
    Ok(())
}

async fn create(client: &Session, table: &TableName, channel: &str) -> Result<()> {
    const KNOWN: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n \
        ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = $2 AND p.pronargs = 0)";
    let quoting = Quote::Double.always();
    let function = quoting.qualified(&[&table.schema, NAME]);
    let known = client.query_one(KNOWN, &[&table.schema, &NAME]).await;
    let known: bool = known.map_err(|e| error("looking for the function", e))?.get(0);
    if !known {
        let body = PostgresReader::text(BODY);
        let sql =
            format!("CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS {body}");
        run(client, &sql).await?;
    }
    let (trigger, on) = (quoting.identifier(&trigger_name(channel)), table.quoted(quoting));
    let argument = PostgresReader::text(channel);
    run(
        client,
        &format!(
            "CREATE TRIGGER {trigger} AFTER INSERT OR UPDATE ON {on} FOR EACH STATEMENT \
             EXECUTE PROCEDURE {function}({argument})"
        ),
    )
    .await
}

fn trigger_name(channel: &str) -> String {
    let mut name = format!("{NAME}_{channel}");
    while name.len() > MAX_NAME {
        name.pop();
    }
    name
}

async fn run(client: &Session, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(|e| error("installing a trigger", e))
}
