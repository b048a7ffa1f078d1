//! Every value at every type of column: it reads back as what it was, or is refused with table, column, value and type.

#[path = "../../../jdbc/tests/values/mod.rs"]
mod shared;

use connect_core::{config::Properties, plugin::Connected, registry::Registry, sink::SinkTask};
use connectors_mysql::MySqlSink;
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use tokio::runtime::Handle;
use xtask_servers::{MariaDb, MariaDbOptions};

use shared::{COLUMN, Column, Means, Reader, check, column};

const COLUMNS: &[Column] = &[
    column("tinyint", Means::Number, &[]),
    column("tinyint(1)", Means::Number, &[]),
    column("tinyint unsigned", Means::Number, &[]),
    column("smallint", Means::Number, &[]),
    column("smallint unsigned", Means::Number, &[]),
    column("mediumint", Means::Number, &["8388607", "8388608"]),
    column("mediumint unsigned", Means::Number, &["16777215", "16777216"]),
    column("int", Means::Number, &[]),
    column("int unsigned", Means::Number, &[]),
    column("bigint", Means::Number, &[]),
    column("bigint unsigned", Means::Number, &[]),
    column("decimal(5,2)", Means::Number, &["999.99", "999.995", "-1000"]),
    column("decimal(4,4) unsigned", Means::Number, &["0.9999", "1"]),
    column("decimal(65,30)", Means::Number, &[]),
    column("float", Means::Single, &["3.5e38", "1e39"]),
    column("double", Means::Double, &["1.7976931348623157e308", "0.30000000000000004"]),
    column("double unsigned", Means::Double, &[]),
    column("bit(1)", Means::Bits, &[]),
    column("bit(16)", Means::Bits, &["0000000000000101", "10", "65536"]),
    column("bit(64)", Means::Bits, &["18446744073709551615"]),
    column("char(5)", Means::Padded, &["ab  "]),
    column("varchar(3)", Means::Text, &["abc   "]),
    column("varchar(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", Means::Text, &[]),
    column("varchar(40) CHARACTER SET latin1", Means::Text, &["ÿ", "ж"]),
    column("varchar(40) CHARACTER SET utf8mb3", Means::Text, &[]),
    column("varchar(40) CHARACTER SET ascii", Means::Text, &[]),
    column("tinytext", Means::Text, &[]),
    column("text", Means::Text, &[]),
    column("mediumtext", Means::Text, &[]),
    column("longtext", Means::Text, &[]),
    column(
        "enum('a','B','3','x y','it''s')",
        Means::Padded,
        &["a", "B", "3", "2", " 3", "3 ", "it's"],
    ),
    column("enum('ä','b') CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", Means::Padded, &["ä", "1"]),
    column("set('a','b','3')", Means::Set, &["a,3", "b,a", "3", "2", "7"]),
    column("binary(4)", Means::PaddedBytes, &[]),
    column("varbinary(4)", Means::Bytes, &[]),
    column("tinyblob", Means::Bytes, &[]),
    column("blob", Means::Bytes, &[]),
    column("longblob", Means::Bytes, &[]),
    column("json", Means::Json, &["{\"a\": 1, \"a\": 2}"]),
    column("date", Means::Date, &["2021-03-04", "0000-00-00", "2021-00-00"]),
    column("time", Means::Time(0), &["05:06:07-08"]),
    column("time(6)", Means::Time(6), &[]),
    column("datetime", Means::DateTime(0), &["2021-12-31 23:59:59.9", "0000-00-00 00:00:00"]),
    column("datetime(3)", Means::DateTime(3), &[]),
    column("datetime(6)", Means::DateTime(6), &[]),
    column(
        "timestamp NULL",
        Means::DateTime(0),
        &["2021-03-04 05:06:07-03:30", "2038-01-19 03:14:08"],
    ),
    column("timestamp(6) NULL", Means::DateTime(6), &[]),
    column("year", Means::Year, &["2021", "1900", "99"]),
    column("uuid", Means::Uuid, &["6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d"]),
    column("inet6", Means::Read, &["::1", "2001:db8::ff00:42:8329", "1.2.3.4", "::ffff:1.2.3.4"]),
    column("inet4", Means::Read, &["1.2.3.4"]),
    column("geometry", Means::Bytes, &[]),
    column("point", Means::Bytes, &[]),
];

struct MySql(Conn);

impl MySql {
    fn one(&mut self, sql: &str) -> Result<Option<String>, String> {
        // As text, whatever it is.
        let row: Option<mysql_async::Row> =
            Handle::current().block_on(self.0.query_first(sql)).map_err(|e| e.to_string())?;
        Ok(row.ok_or("no such row")?.take(0).unwrap())
    }
}

impl Reader for MySql {
    fn stored(&mut self, table: &str, column: &Column, id: i64) -> Result<Option<String>, String> {
        let shown = match column.means {
            Means::Single => format!("CAST({COLUMN} AS DOUBLE)"),
            Means::Bytes | Means::PaddedBytes => format!("HEX({COLUMN})"),
            Means::Bits => {
                let length = column.ty.trim_matches(|c: char| !c.is_ascii_digit());
                format!("LPAD(BIN({COLUMN} + 0), {length}, '0')")
            }
            _ => COLUMN.to_owned(),
        };
        self.one(&format!("SELECT {shown} FROM {table} WHERE id = {id}"))
    }

    fn count(&mut self, table: &str) -> i64 {
        self.one(&format!("SELECT count(*) FROM {table}")).unwrap().unwrap().parse().unwrap()
    }

    fn reads(&mut self, column: &Column, text: &str, _: bool) -> Result<Option<String>, String> {
        let text = text.replace('\\', "\\\\").replace('\'', "''");
        match column.means {
            Means::Read => self.one(&format!("SELECT CAST('{text}' AS {})", column.ty)),
            _ => Err("no type that is cast to".to_owned()),
        }
    }
}

async fn task(port: u16) -> Box<dyn SinkTask> {
    let url = format!("jdbc:mariadb://127.0.0.1:{port}/mysql-db-sync");
    let pairs = [
        ("connector.class", "MySqlSink"),
        ("connection.url", url.as_str()),
        ("connection.user", "user"),
        ("connection.password", "123"),
        ("topics", "values"),
    ];
    let properties: Properties = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let plugin = Registry::default().sink::<MySqlSink>();
    let plugin = plugin.find("MySqlSink", &properties).unwrap();
    let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
    sink.task().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_at_every_type_reads_back_or_is_refused_by_name() {
    // A server of its own: another test kills the one that the others share.
    let dir = tempfile::tempdir().unwrap();
    let args = vec!["--innodb-flush-log-at-trx-commit=0".to_owned()];
    let options = MariaDbOptions { args, ..MariaDbOptions::default() };
    let path = dir.path().to_owned();
    let server = tokio::task::spawn_blocking(move || MariaDb::start(&path, options).unwrap());
    let server = server.await.unwrap();
    let port = server.port();
    check(COLUMNS, |table, column| {
        Handle::current().block_on(async {
            let options = OptsBuilder::default()
                .ip_or_hostname("127.0.0.1")
                .tcp_port(port)
                .prefer_socket(false)
                .user(Some("user"))
                .pass(Some("123"))
                .db_name(Some("mysql-db-sync"));
            let mut conn = Conn::new(options).await.unwrap();
            let create = format!(
                "CREATE TABLE {table} (id bigint PRIMARY KEY, {COLUMN} {}) DEFAULT CHARACTER SET utf8mb4",
                column.ty
            );
            conn.query_drop("SET time_zone = '+00:00'").await.unwrap();
            conn.query_drop(create).await.unwrap();
            (task(port).await, MySql(conn))
        })
    });
}
