//! Random writers beside a polling source, on servers of their own: MariaDB does not tell which tables a transaction writes to.

#[path = "../../../jdbc/tests/late/mod.rs"]
mod shared;

use connect_core::{
    config::Properties,
    plugin::{Connected, DynSourceTask},
    registry::Registry,
};
use connectors_mysql::MySqlSource;
use mysql_async::{Conn, Opts, OptsBuilder, prelude::Queryable};
use serde_json::Value as Json;
use xtask_servers::{Kind, MariaDb, MariaDbOptions, MySql, MySqlOptions};

use shared::{AsyncRun, Database, Session, fuzz};

/// A server, by its port; the flavour decides nothing but the name.
struct Server<const MYSQL: bool>(u16);

impl<const MYSQL: bool> Server<MYSQL> {
    /// Of root, who may see what others do.
    const PASSWORD: &str = if MYSQL { "root-of-the-test" } else { "" };

    async fn connect(&self) -> Conn {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(self.0)
            .user(Some("root"))
            .pass(Some(Self::PASSWORD))
            .db_name(Some("mysql-db-sync"));
        Conn::new(Opts::from(options)).await.unwrap()
    }
}

struct Execute;

impl AsyncRun<Conn> for Execute {
    async fn run(&self, conn: &mut Conn, sql: &str) -> Result<(), String> {
        conn.query_drop(sql).await.map_err(|e| e.to_string())
    }
}

impl<const MYSQL: bool> Database for Server<MYSQL> {
    const NAME: &'static str = if MYSQL { "MySQL" } else { "MariaDB" };
    const TIMES: &'static [&'static str] = &[
        "DATETIME",
        "DATETIME(1)",
        "DATETIME(3)",
        "DATETIME(6)",
        "TIMESTAMP",
        "TIMESTAMP(2)",
        "TIMESTAMP(6)",
    ];
    const NOWS: &'static [&'static [&'static str]] =
        &[&["NOW()"], &["NOW(3)", "NOW(6)", "SYSDATE(6)"]];
    const CACHES: bool = false;

    fn create(table: &str, time: &str, _: bool) -> Vec<String> {
        vec![format!(
            "CREATE TABLE {table} (id int PRIMARY KEY AUTO_INCREMENT, v int, ts {time} NOT NULL)"
        )]
    }

    fn zone(zone: &str) -> ((&'static str, String), String) {
        (
            ("connection.sessionVariables", format!("time_zone='{zone}'")),
            format!("SET time_zone = '{zone}'"),
        )
    }

    async fn execute(&self, sql: &str) {
        self.connect().await.query_drop(sql).await.unwrap();
    }

    async fn session(&self) -> Session {
        Session::new(self.connect().await, Execute)
    }

    async fn rows(&self, table: &str) -> Vec<(i64, i64)> {
        self.connect().await.query(format!("SELECT id, v FROM {table}")).await.unwrap()
    }

    async fn open(&self, pairs: &[(&str, &str)], offset: Option<Json>) -> Box<dyn DynSourceTask> {
        let url = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", self.0);
        let base = [
            ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector"),
            ("connection.url", url.as_str()),
            ("connection.user", "root"),
            ("connection.password", Self::PASSWORD),
            ("poll.interval.ms", "20"),
            ("topic.prefix", "f-"),
        ];
        let pairs = base.iter().chain(pairs);
        let properties: Properties =
            pairs.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let registry = Registry::default().source::<MySqlSource>();
        let plugin = registry.find("MySqlSource", &properties).unwrap();
        let Connected::Source(source) = plugin.connect(&properties).await.unwrap() else {
            panic!()
        };
        let partitions = source.partitions().await.unwrap();
        let assigned = partitions.into_iter().map(|partition| (partition, offset.clone()));
        source.task(assigned.collect()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_random_writers_commit_is_delivered_on_mariadb() {
    let dir = tempfile::tempdir().unwrap();
    let server = MariaDb::start(dir.path(), MariaDbOptions::default()).unwrap();
    fuzz(&Server::<false>(server.port())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_random_writers_commit_is_delivered_on_mysql() {
    if let Err(error) = MySqlOptions::install() {
        println!("no MySQL here: {error:#}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let server = MySql::start(
        dir.path(),
        MySqlOptions {
            root_password: Server::<true>::PASSWORD.to_owned(),
            ..MySqlOptions::default()
        },
    )
    .unwrap();
    fuzz(&Server::<true>(server.port())).await;
}
