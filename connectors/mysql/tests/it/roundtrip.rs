//! Every type from MySQL to MySQL, and from MariaDB to MariaDB.

#[path = "../../../jdbc/tests/roundtrip/mod.rs"]
mod shared;

use connect_core::{
    config::Properties,
    error::Error,
    plugin::{Connected, DynSourceTask},
    prelude::async_trait,
    registry::Registry,
    sink::SinkTask,
};
use connectors_mysql::{MySqlSink, MySqlSource};
use mysql_async::{Conn, OptsBuilder, prelude::Queryable};
use tokio::sync::Mutex;
use xtask_servers::{Kind as _, MySql, MySqlOptions};

pub(crate) use shared::TEXT;
use shared::{Database, Edges, becomes, matrix, same};

/// Types of both, with values at their edges. Times of Connect have three digits.
const TYPES: &[Edges] = &[
    ("tinyint", &[same("-128"), same("127"), same("NULL")]),
    ("tinyint unsigned", &[same("255")]),
    ("tinyint(1)", &[same("5"), same("1"), same("0")]),
    ("smallint", &[same("-32768")]),
    ("smallint unsigned", &[same("65535")]),
    ("mediumint", &[same("-8388608")]),
    ("mediumint unsigned", &[same("16777215")]),
    ("int", &[same("-2147483648"), same("2147483647")]),
    ("int unsigned", &[same("4294967295")]),
    ("bigint", &[same("-9223372036854775808"), same("9223372036854775807")]),
    ("bigint unsigned", &[same("18446744073709551615"), same("9223372036854775807")]),
    ("float", &[same("0.1"), same("3.40282e38"), same("1.17549e-38"), same("16777217")]),
    ("double", &[same("0.1"), same("1.7976931348623157e308"), same("-0.5")]),
    ("decimal(10,2)", &[same("-12345678.90"), same("0.01")]),
    (
        "decimal(65,30)",
        &[same("-99999999999999999999999999999999999.999999999999999999999999999999")],
    ),
    ("decimal(65,0)", &[same("99999999999999999999999999999999999999999999999999999999999999999")]),
    ("bit(1)", &[same("b'1'"), same("b'0'")]),
    ("bit(8)", &[same("b'11111111'"), same("b'101'")]),
    ("bit(10)", &[same("b'1000000011'")]),
    ("bit(24)", &[same("0xd76df8")]),
    ("bit(64)", &[same("b'1000000000000000000000000000000000000000000000000000000000000001'")]),
    ("char(5)", &[same("'ab'"), same("''"), same("'é😀'")]),
    ("varchar(9)", &[same("'a  '"), same("''"), same("'é😀'")]),
    ("text", &[same("''"), same("'a\\\\b\\n\\0\\'\"'"), same("'NULL'")]),
    ("longtext", &[same("'{\"a\":1}'")]),
    ("enum('a','b','1')", &[same("'b'"), same("'1'"), same("''")]),
    ("set('a','b')", &[same("'a,b'"), same("''")]),
    (
        "json",
        &[
            same("'{\"a\": [1, null]}'"),
            same("'\"x\"'"),
            same("'5'"),
            same("'null'"),
            same("'1.50'"),
        ],
    ),
    ("binary(4)", &[same("'ab'"), same("0x00ff41")]),
    ("varbinary(9)", &[same("0x00ff41"), same("''"), same("'123'")]),
    ("blob", &[same("0x00ff5c27"), same("''")]),
    (
        "date",
        &[
            same("'2021-03-04'"),
            same("'9999-12-31'"),
            same("'0001-01-01'"),
            same("'0000-01-01'"),
            same("'1582-10-04'"),
            same("'1582-10-10'"),
            becomes("'0000-00-00'", "NULL"),
            same("'2021-02-00'"),
            same("'2021-00-00'"),
            same("'0000-05-00'"),
        ],
    ),
    (
        "time",
        &[
            same("'00:00:00'"),
            same("'24:00:00'"),
            same("'838:59:59'"),
            same("'-01:00:00'"),
            same("'-838:59:59'"),
        ],
    ),
    (
        "time(6)",
        &[
            same("'-00:00:00.000001'"),
            same("'100:00:00.5'"),
            becomes("'23:59:59.999999'", "'23:59:59.999'"),
        ],
    ),
    (
        "datetime",
        &[
            same("'9999-12-31 23:59:59'"),
            same("'0001-01-01 00:00:00'"),
            becomes("'0000-00-00 00:00:00'", "NULL"),
            same("'2021-02-00 05:06:07'"),
        ],
    ),
    (
        "datetime(6)",
        &[
            same("'2021-03-04 05:06:07.123'"),
            becomes("'2021-03-04 05:06:07.123456'", "'2021-03-04 05:06:07.123'"),
        ],
    ),
    ("timestamp NULL", &[same("'1970-01-01 00:00:01'"), same("'2038-01-19 03:14:07'")]),
    ("timestamp(3) NULL", &[same("'2021-03-04 05:06:07.123'")]),
    ("year", &[same("2021"), same("1901"), same("2155"), same("1970"), same("0")]),
    ("point", &[same("ST_GeomFromText('POINT(1.5 -2)')")]),
    ("geometry", &[same("ST_GeomFromText('LINESTRING(0 0,1 1)')")]),
];

/// Those of MariaDB alone.
const MARIADB: &[Edges] = &[
    ("uuid", &[same("'6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d'")]),
    ("inet6", &[same("'::1'"), same("'::ffff:192.168.0.1'")]),
    ("inet4", &[same("'192.168.0.1'")]),
];

/// Those of MySQL alone.
const MYSQL: &[Edges] = &[("vector(2)", &[same("STRING_TO_VECTOR('[1.5,-2]')")])];

/// A connection that takes what the strict modes would not.
struct Server {
    port: u16,
    conn: Mutex<Conn>,
}

impl Server {
    async fn connect(port: u16) -> Self {
        let options = OptsBuilder::default()
            .ip_or_hostname("127.0.0.1")
            .tcp_port(port)
            .prefer_socket(false)
            .user(Some("user"))
            .pass(Some("123"))
            .db_name(Some("mysql-db-sync"));
        let mut conn = Conn::new(options).await.unwrap();
        conn.query_drop("SET NAMES utf8mb4, sql_mode = '', time_zone = '+00:00'").await.unwrap();
        Self { port, conn: Mutex::new(conn) }
    }

    fn properties(&self, pairs: &[(&str, &str)]) -> Properties {
        let url = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", self.port);
        let base = [
            ("connection.url", url.as_str()),
            ("connection.user", "user"),
            ("connection.password", "123"),
        ];
        base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }
}

#[async_trait]
impl Database for Server {
    async fn sql(&self, text: &str) -> Vec<(usize, String)> {
        let mut conn = self.conn.lock().await;
        let mut result = conn.query_iter(text).await.unwrap_or_else(|e| panic!("{text}: {e}"));
        let mut rows = Vec::new();
        while !result.is_empty() {
            rows.extend(result.collect::<(usize, String)>().await.unwrap());
        }
        rows
    }

    fn shown(&self, ty: &str, value: &str) -> String {
        match ty.split(['(', ' ']).next().unwrap_or_default() {
            "binary" | "varbinary" | "blob" | "bit" | "point" | "geometry" | "vector" => {
                format!("HEX({value})")
            }
            // In its own digits, of which a FLOAT shows six.
            "float" => format!("HEX(CAST(CAST({value} AS DOUBLE) AS CHAR))"),
            _ => format!("HEX(CAST({value} AS CHAR CHARACTER SET utf8mb4))"),
        }
    }

    async fn source(&self, query: &str) -> Result<Box<dyn DynSourceTask>, Error> {
        let pairs = [
            ("connector.class", "MySqlSource"),
            ("topic.prefix", "round"),
            ("mode", "bulk"),
            ("poll.interval.ms", "600000"),
            ("query", query),
        ];
        let properties = self.properties(&pairs);
        let plugin = Registry::default().source::<MySqlSource>();
        let plugin = plugin.find("MySqlSource", &properties).unwrap();
        let Connected::Source(source) = plugin.connect(&properties).await? else { panic!() };
        let partitions = source.partitions().await?;
        source.task(partitions.into_iter().map(|partition| (partition, None)).collect()).await
    }

    async fn sink(&self) -> Box<dyn SinkTask> {
        let properties = self.properties(&[("connector.class", "MySqlSink"), ("topics", "round")]);
        let plugin = Registry::default().sink::<MySqlSink>();
        let plugin = plugin.find("MySqlSink", &properties).unwrap();
        let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
        sink.task().await.unwrap()
    }
}

/// Takes every type through a server of MariaDB.
pub(crate) async fn mariadb(port: u16) -> Vec<Vec<String>> {
    matrix(&Server::connect(port).await, &[TYPES, MARIADB].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_mysql_is_equal_there_or_refused_by_name() {
    if let Err(error) = MySqlOptions::install() {
        eprintln!("MySQL is not to be had here, so it is left out: {error:#}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let start = move || MySql::start(&path, MySqlOptions::default()).unwrap();
    let server = tokio::task::spawn_blocking(start).await.unwrap();
    matrix(&Server::connect(server.port()).await, &[TYPES, MYSQL].concat()).await;
}
