//! Modes and types of the source. On a server of its own: the sink's tests leave transactions open.

use std::sync::{Mutex, OnceLock, PoisonError};

use connect_core::{
    config::Properties,
    data::{Schema, Type, Value},
    error::Result,
    plugin::{Connected, DynSourceTask, ErasedBatch},
    registry::Registry,
    source::Polled,
};
use connectors_mysql::MySqlSource;
use mysql_async::prelude::Queryable;
use serde_json::{Value as Json, json};
use xtask_servers::{MariaDb, MariaDbOptions};

fn server() -> &'static Mutex<MariaDb> {
    static SERVER: OnceLock<Mutex<MariaDb>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap().keep();
        Mutex::new(MariaDb::start(&dir, MariaDbOptions::default()).unwrap())
    })
}

pub(crate) fn sql(text: &str) -> String {
    server().lock().unwrap_or_else(PoisonError::into_inner).query(text).unwrap()
}

fn port() -> u16 {
    server().lock().unwrap_or_else(PoisonError::into_inner).port()
}

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    let url = format!("jdbc:mysql://127.0.0.1:{}/mysql-db-sync", port());
    let base = [
        ("connector.class", "io.confluent.connect.jdbc.JdbcSourceConnector"),
        ("connection.url", url.as_str()),
        // Who may see the transactions of others.
        ("connection.user", "root"),
        ("connection.password", ""),
        ("poll.interval.ms", "20"),
        ("topic.prefix", "m-"),
        // MariaDB does not tell which tables a transaction writes to: one test's would hold up the others.
        ("hold.back.running.transactions", "false"),
    ];
    base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

async fn open(pairs: &[(&str, &str)], offset: Option<Json>) -> Result<Box<dyn DynSourceTask>> {
    let properties = properties(pairs);
    let registry = Registry::default().source::<MySqlSource>();
    let plugin = registry.find("MySqlSource", &properties).unwrap();
    let Connected::Source(source) = plugin.connect(&properties).await? else { panic!() };
    let partitions = source.partitions().await?;
    let assigned = partitions.into_iter().map(|partition| (partition, offset.clone())).collect();
    source.task(assigned).await
}

/// Everything until the source has nothing more.
async fn read(task: &mut dyn DynSourceTask) -> Result<Vec<ErasedBatch>> {
    let mut batches = Vec::new();
    while let Polled::Batch(batch) = task.poll().await? {
        batches.push(batch);
    }
    Ok(batches)
}

async fn read_next(task: &mut dyn DynSourceTask) -> ErasedBatch {
    loop {
        match task.poll().await.unwrap() {
            Polled::Batch(batch) => return batch,
            Polled::Idle(_) => tokio::task::yield_now().await,
        }
    }
}

fn fields(batch: &ErasedBatch, row: usize) -> Vec<(String, Schema, Value)> {
    let record = &batch.records[row];
    let Value::Struct(values) = &record.value else { panic!() };
    let schema = record.value_schema.as_ref().unwrap();
    let named = schema.fields().iter().zip(values);
    named.map(|(f, v)| (f.name.to_string(), (*f.schema).clone(), v.clone())).collect()
}

fn ids(batches: &[ErasedBatch]) -> Vec<String> {
    let records = batches.iter().flat_map(|batch| &batch.records);
    let id = |record: &connect_core::record::Record| match &record.value {
        Value::Struct(values) => format!("{:?}", values[0]),
        other => panic!("{other:?}"),
    };
    records
        .map(id)
        .map(|text| text.split_once('(').unwrap().1.trim_end_matches(')').to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_and_boundaries_are_the_jvms() {
    sql("CREATE TABLE o_incr (id int PRIMARY KEY AUTO_INCREMENT, v text); \
         INSERT INTO o_incr VALUES (-1, 'x'), (5, 'y'), (9, 'z')");
    let pairs = [("table.whitelist", "o_incr"), ("mode", "incrementing")];
    let batches = read(&mut *open(&pairs, None).await.unwrap()).await.unwrap();
    assert_eq!(ids(&batches), ["5", "9"]);
    assert_eq!(batches[0].partition, json!({"protocol": "1", "table": "mysql-db-sync.o_incr"}));
    assert_eq!(batches[0].offset, Some(json!({"incrementing": 9})));
    sql(
        "CREATE TABLE o_ts (id int PRIMARY KEY, up datetime(6) NOT NULL); INSERT INTO o_ts VALUES \
         (1, '1970-01-01'), (2, '2021-03-04 05:06:07.123456'), (3, '2021-03-04 05:06:07.123456'), \
         (4, UTC_TIMESTAMP() + INTERVAL 1 HOUR)",
    );
    let pairs = [
        ("table.whitelist", "mysql-db-sync.o_ts"),
        ("mode", "timestamp"),
        ("timestamp.column.name", "up"),
        ("batch.max.rows", "1"),
    ];
    let batches = read(&mut *open(&pairs, None).await.unwrap()).await.unwrap();
    assert_eq!(ids(&batches), ["2", "3"]);
    let offsets: Vec<_> = batches.iter().map(|batch| batch.offset.clone()).collect();
    let last = json!({"timestamp_nanos": 123456000, "timestamp": 1614834367123i64});
    assert_eq!(offsets, [None, Some(last)], "rows with one timestamp are not torn apart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_id_that_is_committed_later_is_not_lost() {
    sql("CREATE TABLE o_late (id int PRIMARY KEY AUTO_INCREMENT, v text)");
    let url = format!("mysql://user:123@127.0.0.1:{}/mysql-db-sync", port());
    let mut slow = mysql_async::Conn::from_url(url).await.unwrap();
    slow.query_drop("START TRANSACTION").await.unwrap();
    slow.query_drop("INSERT INTO o_late (v) VALUES ('slow')").await.unwrap();
    sql("INSERT INTO o_late (v) VALUES ('fast')");
    let pairs = |hold_back| {
        [
            ("table.whitelist", "o_late"),
            ("mode", "incrementing"),
            ("hold.back.running.transactions", hold_back),
        ]
    };
    let mut careless = open(&pairs("false"), None).await.unwrap();
    let mut careful = open(&pairs("true"), None).await.unwrap();
    assert_eq!(ids(&read(&mut *careless).await.unwrap()), ["2"]);
    assert_eq!(ids(&read(&mut *careful).await.unwrap()), [""; 0], "waits for the transaction");
    slow.query_drop("COMMIT").await.unwrap();
    assert_eq!(ids(&[read_next(&mut *careful).await]), ["1", "2"]);
    // While it is asked again and again, as a table with a short poll interval is.
    for n in 0..20 {
        slow.query_drop("START TRANSACTION").await.unwrap();
        slow.query_drop("INSERT INTO o_late (v) VALUES ('slow')").await.unwrap();
        sql("INSERT INTO o_late (v) VALUES ('fast')");
        assert_eq!(ids(&read(&mut *careful).await.unwrap()), [""; 0], "round {n}");
        slow.query_drop("COMMIT").await.unwrap();
        assert_eq!(read_next(&mut *careful).await.records.len(), 2, "round {n}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_the_jvm_dies_of() {
    sql(
        "CREATE TABLE o_odd (id int PRIMARY KEY, b bigint unsigned NOT NULL, d date NOT NULL, t time, bits bit(16)); \
         SET sql_mode=''; INSERT INTO o_odd VALUES (1, 5, '2021-01-01', '10:00', b'1010101011110000'), \
         (2, 18446744073709551615, '0000-00-00', '-25:00:01', NULL)",
    );
    let pairs = [
        ("table.whitelist", "o_odd"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    let batches = read(&mut *open(&pairs, None).await.unwrap()).await.unwrap();
    let first = fields(&batches[0], 0);
    assert_eq!((&first[1].1.ty, &first[1].2), (&Type::Int64, &Value::Int64(5)));
    assert_eq!((first[2].1.optional, &first[2].2), (false, &Value::Date(18_628)));
    assert_eq!(first[4].2, Value::Bytes(vec![0xaa, 0xf0].into()));
    let second = fields(&batches[0], 1);
    let Value::Decimal(number) = &second[1].2 else { panic!("{:?}", second[1]) };
    assert_eq!((number.to_string(), second[1].1.scale()), ("18446744073709551615".into(), 0));
    assert_eq!((second[2].1.optional, &second[2].2), (true, &Value::Null), "no date, so no value");
    assert_eq!(second[3].2, Value::from("-25:00:01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_streams_and_a_column_that_is_added_is_seen() {
    sql("CREATE TABLE o_query (id int PRIMARY KEY, v longtext); \
         INSERT INTO o_query SELECT seq, REPEAT('x', 20000) FROM seq_1_to_2000");
    let pairs = [
        ("query", "SELECT id, v, 1 + id AS more FROM o_query WHERE id <> 3"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    let batches = read(&mut *open(&pairs, None).await.unwrap()).await.unwrap();
    assert_eq!(ids(&batches).len(), 1999);
    assert!(
        batches.iter().all(|batch| batch.records.len() <= 300),
        "a batch is bounded by its bytes"
    );
    assert_eq!(batches[0].partition, json!({"query": "query"}));
    sql("CREATE TABLE o_grow (id int PRIMARY KEY); INSERT INTO o_grow VALUES (1)");
    let pairs = [
        ("table.whitelist", "o_grow"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    let mut task = open(&pairs, None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["1"]);
    sql("ALTER TABLE o_grow ADD COLUMN extra text; INSERT INTO o_grow VALUES (2, 'x')");
    let batch = read_next(&mut *task).await;
    assert_eq!(fields(&batch, 0).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn notifications_are_refused() {
    for (pairs, key) in [
        ([("notify.channel", "c"), ("table.whitelist", "t")], "notify.channel"),
        ([("notify.install.trigger", "true"), ("table.whitelist", "t")], "notify.install.trigger"),
    ] {
        let pairs = [pairs.as_slice(), &[("mode", "bulk")]].concat();
        let properties = properties(&pairs);
        let registry = Registry::default().source::<MySqlSource>();
        let plugin = registry.find("MySqlSource", &properties).unwrap();
        let invalid = plugin.validate(&properties).await;
        let found: Vec<_> = invalid.iter().map(|i| (i.key.as_str(), i.message())).collect();
        assert!(
            matches!(found.as_slice(), [(k, m)] if *k == key && m.contains("PostgreSQL")),
            "{found:?}"
        );
        let error = open(&pairs, None).await.err().expect("fails").to_string();
        assert!(error.contains(key) && error.contains("PostgreSQL"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_urls_database_alone_where_null_means_current() {
    let port = port();
    let url = format!("mysql://root@127.0.0.1:{port}/mysql-db-sync?prefer_socket=false");
    let mut root = mysql_async::Conn::from_url(url).await.unwrap();
    for sql in [
        "CREATE DATABASE m_other",
        "CREATE TABLE m_other.m_current (id int PRIMARY KEY)",
        "CREATE TABLE m_current (id int PRIMARY KEY)",
    ] {
        root.query_drop(sql).await.unwrap();
    }
    let listed = async |parameters: &str, more: &[(&str, &str)]| {
        let url = format!("jdbc:mysql://127.0.0.1:{port}/mysql-db-sync{parameters}");
        let pairs = [
            ("connection.url", url.as_str()),
            ("table.include.list", ".*m_current"),
            ("mode", "bulk"),
        ];
        let properties = properties(&[&pairs, more].concat());
        let registry = Registry::default().source::<MySqlSource>();
        let plugin = registry.find("MySqlSource", &properties).unwrap();
        let Connected::Source(source) = plugin.connect(&properties).await.unwrap() else {
            panic!()
        };
        let partitions = source.partitions().await.map_err(|e| e.to_string())?;
        Ok::<_, String>(partitions.iter().map(Json::to_string).collect::<String>())
    };
    for parameters in ["?nullDatabaseMeansCurrent=true", "?nullCatalogMeansCurrent=true"] {
        let found = listed(parameters, &[]).await.unwrap();
        assert!(found.contains("mysql-db-sync.") && !found.contains("m_other"), "{found}");
    }
    let both = listed("?nullDatabaseMeansCurrent=false", &[]).await;
    assert!(both.is_err_and(|e| e.contains("m_current")), "two tables of one name");
    let other = listed("?nullDatabaseMeansCurrent=true", &[("catalog.pattern", "m_other")]).await;
    assert!(other.unwrap().contains("m_other."));
}
