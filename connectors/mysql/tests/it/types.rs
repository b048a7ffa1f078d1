//! The types both ways, as a page of `docs/reference`.

#[path = "../../../jdbc/tests/types/mod.rs"]
mod shared;

use connect_core::{
    plugin::{Connected, DynSourceTask},
    registry::Registry,
    source::Polled,
};
use connectors_mysql::MySqlSource;
use xtask_servers::{MariaDb, MariaDbOptions};

use crate::roundtrip;
use shared::{Page, Read, TAKES, code, deliver, first, json, loose, named, puts, read, takes};

/// Declared type, a literal of it, and what the JVM does otherwise.
const COLUMNS: &[Read] = &[
    read("tinyint", "-2", ""),
    read("tinyint unsigned", "255", ""),
    read("tinyint(1)", "5", ""),
    read("smallint", "-2", ""),
    read("smallint unsigned", "65535", ""),
    read("mediumint", "-2", ""),
    read("mediumint unsigned", "16777215", ""),
    read("int", "7", ""),
    read("int unsigned", "4294967295", ""),
    read("bigint", "7", ""),
    read(
        "bigint unsigned",
        "7",
        "the same; the task dies of a value above 2^63-1, which is a Decimal here",
    ),
    read("float", "1.5", ""),
    read("double", "0.1", ""),
    read("decimal(10,2)", "-12.34", ""),
    read("bit(1)", "1", ""),
    read("bit(8)", "255", ""),
    read("bit(16)", "43760", "the task dies of it; with jdbc:mariadb INT8 of the first byte"),
    read("char(5)", "ab", ""),
    read("varchar(9)", "é😀", ""),
    read("text", "abc", ""),
    read("enum('a','b')", "a", ""),
    read("set('a','b')", "a,b", ""),
    read("json", "{\"a\":1}", ""),
    read("binary(4)", "ab", ""),
    read("varbinary(9)", "ab", ""),
    read("blob", "ab", ""),
    read("date", "2021-03-04", ""),
    read("time", "05:06:07", "the same; a time that is none of a day is a STRING here"),
    read("time(6)", "05:06:07.123456", ""),
    read("datetime", "2021-03-04 05:06:07", ""),
    read("datetime(6)", "2021-03-04 05:06:07.123456", ""),
    read("timestamp(6)", "2021-03-04 05:06:07.123456", ""),
    read("year", "2021", ""),
    read("uuid", "6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d", "with jdbc:mariadb column left out"),
    read("inet6", "::1", ""),
];

/// Those of the matrix, each with a text that fits.
const TAKING: &[(&str, &str)] = &[
    ("tinyint", "7"),
    ("tinyint unsigned", "255"),
    ("bigint", "7"),
    ("decimal(5,2)", "7.50"),
    ("float", "7.5"),
    ("double", "7.5"),
    ("bit(1)", "1"),
    ("bit(16)", "0000000000000101"),
    ("varchar(3)", "abc"),
    ("text", "text"),
    ("enum('a','b')", "a"),
    ("set('a','b')", "a,b"),
    ("varbinary(9)", "text"),
    ("json", "text"),
    ("date", "2021-03-04"),
    ("time", "05:06:07.9"),
    ("time(3)", "05:06:07.1239"),
    ("datetime", "2021-03-04T05:06:07.9Z"),
    ("datetime(3)", "2021-03-04T05:06:07.123+02:00"),
    ("timestamp(3) NULL", "2021-03-04 05:06:07"),
    ("year", "2021"),
    ("uuid", "6B0AA1AC8C8A4AD2A1AC0AC3A15FE65D"),
    ("inet6", "::1"),
];

const DATABASE: &str = "mysql-db-sync";

struct Server(MariaDb);

impl Server {
    fn sql(&self, text: &str) -> String {
        self.0.query(text).unwrap()
    }

    fn pairs(&self, protocol: &str, pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let url = format!("jdbc:{protocol}://127.0.0.1:{}/{DATABASE}", self.0.port());
        let base = [
            ("connection.url", url.as_str()),
            ("connection.user", "user"),
            ("connection.password", "123"),
        ];
        base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    async fn source(
        &self,
        protocol: &str,
        table: &str,
        pairs: &[(&str, &str)],
    ) -> Box<dyn DynSourceTask> {
        let base = [
            ("connector.class", "MySqlSource"),
            ("topic.prefix", "t-"),
            ("mode", "bulk"),
            ("table.whitelist", table),
        ];
        let properties = self.pairs(protocol, &[&base, pairs].concat()).into_iter().collect();
        let registry = Registry::default().source::<MySqlSource>();
        let plugin = registry.find("MySqlSource", &properties).unwrap();
        let Connected::Source(source) = plugin.connect(&properties).await.unwrap() else {
            panic!()
        };
        let partitions = source.partitions().await.unwrap();
        let assigned = partitions.into_iter().map(|partition| (partition, None)).collect();
        source.task(assigned).await.unwrap()
    }

    /// Types with their literals as the table's columns c0, c1 and so on.
    fn table(&self, name: &str, columns: &[(&str, &str)]) {
        let definitions =
            columns.iter().enumerate().map(|(i, (ty, _))| format!("c{i} {ty} NOT NULL"));
        let definitions: Vec<String> = definitions.collect();
        let value = |(ty, value): &(&str, &str)| match ty.starts_with("bit") {
            true => (*value).to_owned(),
            false => format!("'{value}'"),
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        self.sql(&format!(
            "CREATE TABLE {name} ({}) DEFAULT CHARACTER SET utf8mb4; SET NAMES utf8mb4; SET time_zone='+00:00'; \
             INSERT INTO {name} VALUES ({})",
            definitions.join(", "),
            values.join(", ")
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_types_is_up_to_date() {
    // A server of its own: another test kills the one that the others share.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let start = move || MariaDb::start(&path, MariaDbOptions::default()).unwrap();
    let server = Server(tokio::task::spawn_blocking(start).await.unwrap());
    let mut page = Page::new(
        "JDBC connectors: types of MySQL and MariaDB",
        "What the connectors for `jdbc:mysql:` and `jdbc:mariadb:` URLs read and write, each line tried on MariaDB. \
         Values in JSON are those of `JsonConverter`. A column that may be null has an optional schema.",
    );
    read_types(&server, &mut page).await;
    written_types(&server, &mut page).await;
    page.chapter("From a table to the same table", roundtrip::TEXT);
    page.table(&["column", "with a schema", "without"], &roundtrip::mariadb(server.0.port()).await);
    page.check("jdbc-types-mysql.md");
}

async fn read_types(server: &Server, page: &mut Page) {
    page.chapter(
        "Source: what a column becomes",
        "With the defaults: `timestamp.granularity=connect_logical`, `db.timezone=UTC`. As with the JVM's drivers the URL \
         makes a difference: with `jdbc:mariadb:` a `tinyint(1)` and a `bit(1)` are booleans, unless it says \
         `tinyInt1isBit=false`. `numeric.mapping` changes nothing.",
    );
    let columns: Vec<_> = COLUMNS.iter().map(|column| (column.ty, column.value)).collect();
    server.table("t_read", &columns);
    let mysql = first(&mut *server.source("mysql", "t_read", &[]).await).await;
    let mariadb = first(&mut *server.source("mariadb", "t_read", &[]).await).await;
    let mut rows = Vec::new();
    for ((column, (schema, value)), (other, other_value)) in
        COLUMNS.iter().zip(&mysql).zip(&mariadb)
    {
        let mut shown = code(&json(Some(schema), value));
        if other != schema {
            let other_shown = code(&json(Some(other), other_value));
            shown = format!("{shown}; with jdbc:mariadb {} {other_shown}", named(other));
        }
        let (ty, jvm) = (code(column.ty), column.jvm.to_owned());
        rows.push(vec![ty, code(column.value), named(schema), shown, jvm]);
    }
    page.table(&["column", "value", "Connect schema", "in JSON", "the JVM's"], &rows);

    page.chapter(
        "Source: zero dates",
        "Of `0000-00-00` in a column of dates, by the URL's `zeroDateTimeBehavior`. Without it the JVM's task dies of such a \
         date; here it is null, and the schema of its record is optional there.",
    );
    server.sql("CREATE TABLE t_zero (d date NOT NULL); SET sql_mode=''; INSERT INTO t_zero VALUES ('0000-00-00')");
    let mut rows = Vec::new();
    for behaviour in ["", "CONVERT_TO_NULL", "ROUND", "EXCEPTION"] {
        let pairs = [("connection.zeroDateTimeBehavior", behaviour)];
        let pairs = if behaviour.is_empty() { &[][..] } else { &pairs[..] };
        let mut task = server.source("mysql", "t_zero", pairs).await;
        let read = match behaviour {
            "EXCEPTION" => match task.poll().await {
                Ok(Polled::Batch(batch)) => {
                    format!("error: {}", batch.unreadable.expect("a zero date").message())
                }
                Ok(Polled::Idle(_)) => panic!("nothing was read"),
                Err(error) => panic!("{error}"),
            },
            _ => {
                let found = first(&mut *task).await;
                format!("{} {}", named(&found[0].0), code(&json(Some(&found[0].0), &found[0].1)))
            }
        };
        rows.push(vec![
            if behaviour.is_empty() { "not given".into() } else { code(behaviour) },
            read,
        ]);
    }
    page.table(&["zeroDateTimeBehavior", "read"], &rows);
}

async fn written_types(server: &Server, page: &mut Page) {
    let pairs = [("connector.class", "MySqlSink"), ("topics", "t"), ("auto.create", "true")];
    let properties = server.pairs("mysql", &pairs).into_iter().collect();
    let registry = Registry::default().sink::<connectors_mysql::MySqlSink>();
    let plugin = registry.find("MySqlSink", &properties).unwrap();
    let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
    let mut task = sink.task().await.unwrap();
    page.chapter(
        "Sink: the column that `auto.create` makes",
        "Of records with a schema the types are the JVM's, but for lists, maps and structs, which it refuses. MariaDB calls \
         JSON `longtext` and checks it. A text in a primary key becomes VARCHAR(255), where the JVM's fails.",
    );
    let mut tables = Vec::new();
    for (at, put) in puts().iter().chain(&loose()).enumerate() {
        let name = format!("t_made_{at}");
        deliver(&mut *task, &name, 1, (put.schema.as_ref(), &put.value)).await.unwrap();
        let ty = server.sql(&format!(
            "SELECT COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_NAME = '{name}' AND COLUMN_NAME = 'v'"
        ));
        let stored = server.sql(&format!("SELECT v FROM {name}"));
        let schema = put.schema.clone().map(std::sync::Arc::new);
        let json = code(&json(schema.as_ref(), &put.value));
        let row = vec![put.name.to_owned(), json, code(ty.trim()), code(stored.trim())];
        tables.push((put.schema.is_some(), row));
    }
    let rows = |with| {
        let of = tables.iter().filter(|(with_schema, _)| *with_schema == with);
        of.map(|(_, row)| row.clone()).collect::<Vec<_>>()
    };
    page.table(&["Connect schema", "in JSON", "column", "stored"], &rows(true));
    page.chapter(
        "Sink: without a schema",
        "The values decide: those of all records of the batch that makes the table. The JVM's connector refuses such records.",
    );
    page.table(&["value", "in JSON", "column", "stored"], &rows(false));

    page.chapter(
        "Sink: what an existing column takes",
        "What stands in the column after a value of each kind was put into it; – is an error of the data that names \
         table, column, value and type. INT8 to INT64 are alike, as are FLOAT32 and FLOAT64, MAP and STRUCT. A value that \
         would not read back equal is refused, where the server or the JVM's driver may change it: a fraction in a column of \
         integers, text that is too long, the number of a label in an enumeration. Times alone are cut to the column's \
         digits. Integers in columns of dates and times are days or milliseconds since 1970, in a column of times \
         milliseconds since midnight. Bits are shown as a number.",
    );
    let mut rows = Vec::new();
    for (at, (ty, text)) in TAKING.iter().enumerate() {
        let name = format!("t_takes_{at}");
        server
            .sql(&format!("CREATE TABLE {name} (id bigint, v {ty}) DEFAULT CHARACTER SET utf8mb4"));
        let value = if ty.starts_with("bit") { "v + 0" } else { "v" };
        let shown = |id| {
            let select =
                format!("SET time_zone='+00:00'; SELECT {value} FROM {name} WHERE id = {id}");
            server.sql(&select).trim().to_owned()
        };
        let mut cells = takes(&mut *task, &name, text, shown).await;
        cells[3] = format!("{} → {}", code(text), cells[3]);
        rows.push([vec![code(ty)], cells].concat());
    }
    page.table(&TAKES, &rows);
}
