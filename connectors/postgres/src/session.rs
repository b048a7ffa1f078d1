//! A session that may be carried out by another server process in every transaction: behind a pooler such as PgBouncer
//! in transaction mode nothing lasts longer than that.
//!
//! So statements have no names, and what values are read and written in is set in each transaction. `COPY` alone is
//! prepared under a name by the driver; the name is given up within the same transaction.

use futures_util::future::join3;
use tokio_postgres::{
    Client, CopyOutStream, Error, Row, SimpleQueryMessage, Statement,
    types::{ToSql, Type},
};

/// What values are read and written in.
const SETTINGS: &str = "SET LOCAL client_min_messages = warning; SET LOCAL datestyle = ISO; \
    SET LOCAL intervalstyle = postgres; SET LOCAL timezone = 'UTC'; SET LOCAL extra_float_digits = 1; \
    SET LOCAL bytea_output = hex";

/// A value for a parameter of a statement, whose type is told with it: nothing has to be prepared to find it out.
pub(crate) trait Parameter: ToSql + Sync {
    /// The type of the parameter.
    fn ty(&self) -> Type;
}

macro_rules! parameters {
    ($($rust:ty => $sql:ident),* $(,)?) => {
        $(impl Parameter for $rust {
            fn ty(&self) -> Type {
                Type::$sql
            }
        })*
    };
}

parameters! {
    &str => TEXT, String => TEXT, i16 => INT2, i32 => INT4, i64 => INT8, u32 => OID, Option<i64> => INT8,
    Vec<u32> => OID_ARRAY, Vec<i64> => INT8_ARRAY, Vec<String> => TEXT_ARRAY, crate::params::Values => TEXT_ARRAY,
}

/// Parameters with their types, as the driver takes them.
fn typed<'p>(parameters: &[&'p dyn Parameter]) -> Vec<(&'p (dyn ToSql + Sync), Type)> {
    parameters.iter().map(|parameter| (*parameter as &(dyn ToSql + Sync), parameter.ty())).collect()
}

/// A connection, and the settings of its transactions.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    settings: String,
}

impl Session {
    /// A session that finds names without a schema in these schemas, as `search_path` lists them.
    pub(crate) fn new(client: Client, schemas: Option<&str>) -> Self {
        let mut settings = SETTINGS.to_owned();
        if let Some(schemas) = schemas {
            let list = crate::params::quoted(schemas);
            settings
                .push_str(&format!("; SELECT pg_catalog.set_config('search_path', {list}, true)"));
        }
        Self { client, settings }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Starts a transaction with these characteristics, such as `READ ONLY`, and what follows in the same round trip.
    pub(crate) async fn begin(&self, characteristics: &str, then: &str) -> Result<(), Error> {
        let begin = format!("BEGIN {characteristics}; {}; {then}", self.settings);
        self.client.batch_execute(&begin).await
    }

    /// Runs statements as they are.
    pub(crate) async fn batch_execute(&self, sql: &str) -> Result<(), Error> {
        self.client.batch_execute(sql).await
    }

    /// Runs statements in a transaction of their own.
    pub(crate) async fn run_alone(&self, sql: &str) -> Result<(), Error> {
        // Several statements in one message are one transaction.
        self.client.batch_execute(&format!("{}; {sql}", self.settings)).await
    }

    /// Runs a query of one row in a transaction of its own.
    pub(crate) async fn one_alone(
        &self,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Row, Error> {
        let begin = format!("BEGIN; {}", self.settings);
        // Sent one after the other, without waiting for the answers: one round trip.
        let (begun, row, ended) = join3(
            self.client.batch_execute(&begin),
            self.query_one(sql, parameters),
            self.client.batch_execute("COMMIT"),
        )
        .await;
        begun?;
        let row = row?;
        ended?;
        Ok(row)
    }

    pub(crate) async fn query(
        &self,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Vec<Row>, Error> {
        self.client.query_typed(sql, &typed(parameters)).await
    }

    pub(crate) async fn query_one(
        &self,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Row, Error> {
        self.client.query_typed_one(sql, &typed(parameters)).await
    }

    pub(crate) async fn query_opt(
        &self,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<Option<Row>, Error> {
        self.client.query_typed_opt(sql, &typed(parameters)).await
    }

    /// Runs a statement, and tells how many rows it was about.
    pub(crate) async fn execute(
        &self,
        sql: &str,
        parameters: &[&dyn Parameter],
    ) -> Result<u64, Error> {
        self.client.execute_typed(sql, &typed(parameters)).await
    }

    /// Starts a `COPY ... TO STDOUT`, in a transaction.
    pub(crate) async fn copy_out(&self, sql: &str) -> Result<CopyOutStream, Error> {
        self.client.copy_out(sql).await
    }

    /// The names of a query's columns.
    pub(crate) async fn names(&self, sql: &str) -> Result<Vec<String>, Error> {
        let answers = self.client.simple_query(sql).await?;
        let names = answers.iter().find_map(|answer| match answer {
            SimpleQueryMessage::RowDescription(columns) => {
                Some(columns.iter().map(|column| column.name().to_owned()).collect())
            }
            _ => None,
        });
        Ok(names.unwrap_or_default())
    }

    /// What the driver finds out of a query by preparing it under a name. It keeps the statements with which it looks up
    /// types that are not PostgreSQL's own: the session must not be used any more, and is ended within its transaction.
    pub(crate) async fn prepared(self, sql: &str) -> Result<Statement, Error> {
        self.begin("READ ONLY", "").await?;
        self.client.prepare(sql).await
    }
}
