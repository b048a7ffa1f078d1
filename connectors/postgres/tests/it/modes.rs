//! Boundaries of the modes, and what the JVM's connector cannot do.

use connect_core::{
    config::Properties,
    data::{Value, logical},
    error::{ErrorKind, Result},
    plugin::{Connected, DynSourceTask, ErasedBatch},
    registry::Registry,
    source::Polled,
};
use connectors_postgres::PostgresSource;
use serde_json::{Value as Json, json};

use crate::{port, sql};

pub(crate) fn properties(pairs: &[(&str, &str)]) -> Properties {
    let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb", port());
    let base = [
        ("connector.class", "PostgresSource"),
        ("connection.url", url.as_str()),
        ("connection.user", "user"),
        ("connection.password", "password"),
        ("poll.interval.ms", "20"),
        ("topic.prefix", "p-"),
    ];
    base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

pub(crate) async fn open(
    pairs: &[(&str, &str)],
    offset: Option<Json>,
) -> Result<Box<dyn DynSourceTask>> {
    let properties = properties(pairs);
    let registry = Registry::default().source::<PostgresSource>();
    let plugin = registry.find("PostgresSource", &properties).unwrap();
    let Connected::Source(source) = plugin.connect(&properties).await? else { panic!() };
    let partitions = source.partitions().await?;
    let assigned = partitions.into_iter().map(|partition| (partition, offset.clone())).collect();
    source.task(assigned).await
}

/// What is wrong with a configuration, by its keys.
pub(crate) async fn validate(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let properties = properties(pairs);
    let registry = Registry::default().source::<PostgresSource>();
    let plugin = registry.find("PostgresSource", &properties).unwrap();
    let invalid = plugin.validate(&properties).await;
    invalid.into_iter().map(|invalid| (invalid.key.clone(), invalid.message())).collect()
}

/// Everything until the source has nothing more.
pub(crate) async fn read(task: &mut dyn DynSourceTask) -> Result<Vec<ErasedBatch>> {
    let mut batches = Vec::new();
    while let Polled::Batch(batch) = task.poll().await? {
        batches.push(batch);
    }
    Ok(batches)
}

pub(crate) async fn read_next(task: &mut dyn DynSourceTask) -> Vec<ErasedBatch> {
    loop {
        match task.poll().await.unwrap() {
            Polled::Batch(batch) => return vec![batch],
            Polled::Idle(_) => tokio::task::yield_now().await,
        }
    }
}

pub(crate) fn ids(batches: &[ErasedBatch]) -> Vec<String> {
    let records = batches.iter().flat_map(|batch| &batch.records);
    let id = |record: &connect_core::record::Record| match &record.value {
        Value::Struct(values) => match &values[0] {
            Value::Int32(n) => n.to_string(),
            Value::Int64(n) => n.to_string(),
            Value::String(text) => text.to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    records.map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn incrementing_starts_at_zero_and_sees_only_growing_ids() {
    sql("CREATE TABLE m_incr (id int PRIMARY KEY); INSERT INTO m_incr VALUES (-1), (0), (5)");
    let pairs = [
        ("table.whitelist", "m_incr"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    let mut task = open(&pairs, None).await.unwrap();
    let first = read(&mut *task).await.unwrap();
    assert_eq!(ids(&first), ["0", "5"]);
    assert_eq!(first[0].partition, json!({"protocol": "1", "table": "public.m_incr"}));
    assert_eq!(first[0].offset, Some(json!({"incrementing": 5})));
    assert_eq!(&*first[0].topic, "p-m_incr");
    sql("INSERT INTO m_incr VALUES (3), (6)");
    assert_eq!(ids(&read_next(&mut *task).await), ["6"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamps_are_exclusive_at_both_ends_and_keep_microseconds() {
    sql("CREATE TABLE m_ts (id int PRIMARY KEY, up timestamp NOT NULL); INSERT INTO m_ts VALUES \
         (1, '1970-01-01'), (2, '2021-03-04 05:06:07.123456'), (3, '2021-03-04 05:06:07.123456'), \
         (4, now() at time zone 'UTC' + interval '1 hour')");
    let pairs = [
        ("table.whitelist", "public.m_ts"),
        ("mode", "timestamp"),
        ("timestamp.column.name", "up"),
        ("batch.max.rows", "1"),
    ];
    let mut task = open(&pairs, None).await.unwrap();
    let batches = read(&mut *task).await.unwrap();
    assert_eq!(ids(&batches), ["2", "3"]);
    let offsets: Vec<_> = batches.iter().map(|batch| batch.offset.clone()).collect();
    let last = json!({"timestamp_nanos": 123456000, "timestamp": 1614834367123i64});
    assert_eq!(offsets, [None, Some(last.clone())], "rows with one timestamp are not torn apart");
    let mut task = open(&pairs, Some(last)).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn timestamp_and_id_order_together() {
    sql(
        "CREATE TABLE m_both (id text PRIMARY KEY, v text, up timestamptz NOT NULL); INSERT INTO m_both VALUES \
         ('10', 'b', '2021-01-01'), ('9', 'a', '2021-01-01'), ('1', 'c', '2020-01-01')",
    );
    let pairs = [
        ("table.whitelist", "m_both"),
        ("mode", "timestamp+incrementing"),
        ("timestamp.column.name", "up"),
        ("incrementing.column.name", "id"),
    ];
    let mut task = open(&pairs, None).await.unwrap();
    let first = read(&mut *task).await.unwrap();
    assert_eq!(ids(&first), ["1", "9", "10"]);
    let offset = json!({"timestamp_nanos": 0, "incrementing": 10, "timestamp": 1609459200000i64});
    assert_eq!(first[0].offset, Some(offset.clone()));
    // A smaller id with a newer timestamp, a changed row, and a greater id with the same timestamp.
    sql("INSERT INTO m_both VALUES ('2', 'd', '2021-02-01'), ('11', 'e', '2021-01-01'); \
         UPDATE m_both SET v = 'c2', up = '2021-03-01' WHERE id = '1'");
    let mut task = open(&pairs, Some(offset)).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["11", "2", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_reads_the_whole_table_each_time_and_stores_no_offset() {
    sql("CREATE TABLE m_bulk (id int PRIMARY KEY); INSERT INTO m_bulk VALUES (1), (2)");
    let mut task = open(&[("table.whitelist", "m_bulk"), ("mode", "bulk")], None).await.unwrap();
    for _ in 0..2 {
        let batches = read_next(&mut *task).await;
        assert_eq!((ids(&batches), &batches[0].offset), (vec!["1".into(), "2".into()], &None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_ids_are_ordered_as_what_they_are() {
    let config = |table| {
        [("table.whitelist", table), ("mode", "incrementing"), ("incrementing.column.name", "id")]
    };
    // Numbers, by number.
    sql("CREATE TABLE m_num (id text PRIMARY KEY); INSERT INTO m_num VALUES ('9'), ('10')");
    let pairs = config("m_num");
    let mut task = open(&pairs, None).await.unwrap();
    let batches = read(&mut *task).await.unwrap();
    assert_eq!(ids(&batches), ["9", "10"], "by number, not by letter");
    assert_eq!(batches[0].offset, Some(json!({"incrementing": 10})));
    // One that is none among them is not passed over.
    sql("INSERT INTO m_num VALUES ('007a')");
    let mut task = open(&pairs, batches[0].offset.clone()).await.unwrap();
    let error = read(&mut *task).await.err().expect("fails");
    let text = error.to_string();
    assert!(text.contains("public.m_num") && text.contains("'007a'"), "{text}");
    assert_eq!((error.kind(), error.is_retriable()), (ErrorKind::Refused, false));
    let mut task = open(&pairs, None).await.unwrap();
    let error = read(&mut *task).await.err().expect("fails").to_string();
    assert!(error.contains("public.m_num") && error.contains("incrementing.text.order"), "{error}");
    let by_text = [pairs.as_slice(), &[("incrementing.text.order", "text")]].concat();
    let mut task = open(&by_text, None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["007a", "10", "9"]);
    // Texts, in their column's order; an empty table decides with its first rows.
    for (table, ty, rows) in [
        ("m_ulid", "text", ["01B", "01C", "01D"]),
        (
            "m_uuid",
            "uuid",
            [
                "01000000-0000-7000-8000-000000000000",
                "02000000-0000-7000-8000-000000000000",
                "03000000-0000-7000-8000-000000000000",
            ],
        ),
    ] {
        sql(&format!("CREATE TABLE {table} (id {ty} PRIMARY KEY)"));
        let pairs = config(table);
        let mut task = open(&pairs, None).await.unwrap();
        assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
        sql(&format!("INSERT INTO {table} VALUES ('{}'), ('{}')", rows[1], rows[0]));
        let first = read_next(&mut *task).await;
        assert_eq!(ids(&first), rows[..2]);
        let last = json!({"incrementing": rows[1]});
        assert_eq!(first[0].offset, Some(last.clone()));
        sql(&format!("INSERT INTO {table} VALUES ('{}')", rows[2]));
        let mut task = open(&pairs, Some(last)).await.unwrap();
        assert_eq!(ids(&read(&mut *task).await.unwrap()), rows[2..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_contradicts_the_table_fails_the_start() {
    sql("CREATE TABLE m_null (id int, v text)");
    for (column, found) in
        [("nope", "Incrementing column: nope does not exist"), ("id", "column is nullable")]
    {
        let pairs = [
            ("table.whitelist", "m_null"),
            ("mode", "incrementing"),
            ("incrementing.column.name", column),
        ];
        let error = open(&pairs, None).await.err().expect("fails");
        assert!(error.to_string().contains(found), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_and_every_common_type() {
    sql(
        r#"CREATE SCHEMA "od.d"; CREATE TABLE "od.d"."T '"";x" ("I d" serial PRIMARY KEY, b bool, s smallint, f real,
           d double precision, n numeric(10,2), t varchar(9), y bytea, da date, ti time, ts timestamp, j jsonb,
           u uuid, a int[], e interval);
           INSERT INTO "od.d"."T '"";x" VALUES (1, true, -2, 1.5, 2.5, -12.34, 'é', '\x00ff', '1969-12-31', '01:02:03.004',
           '2021-03-04 05:06:07.123456', '{"a": 1}', '6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d', '{1,NULL}', '1 day')"#,
    );
    let pairs = [
        ("schema.pattern", "od.d"),
        ("mode", "incrementing"),
        ("db.timezone", "America/Sao_Paulo"),
    ];
    let mut task = open(&pairs, None).await.unwrap();
    let batches = read(&mut *task).await.unwrap();
    let record = &batches[0].records[0];
    let schema = record.value_schema.as_ref().unwrap();
    assert_eq!(schema.name.as_deref(), Some("T '\";x"));
    let Value::Struct(values) = &record.value else { panic!() };
    let field = |name: &str| {
        let at = schema.fields().iter().position(|field| field.name == name).unwrap();
        (&values[at], &schema.fields()[at].schema)
    };
    assert_eq!(field("I d").0, &Value::Int32(1));
    assert!(!field("I d").1.optional && field("b").1.optional);
    assert_eq!(field("b").0, &Value::Boolean(true));
    assert_eq!(field("s").0, &Value::Int16(-2));
    assert_eq!(field("f").0, &Value::Float32(1.5));
    assert_eq!(field("d").0, &Value::Float64(2.5));
    let (number, declared) = field("n");
    assert!(matches!(number, Value::Decimal(n) if n.to_string() == "-12.34"), "{number:?}");
    assert_eq!((declared.logical_name(), declared.scale()), (Some(logical::DECIMAL), 2));
    assert_eq!(field("t").0.as_str(), Some("é"));
    assert_eq!(field("y").0, &Value::Bytes(vec![0u8, 255].into()));
    assert_eq!(field("da").0, &Value::Date(-1));
    assert_eq!(field("ti").0, &Value::Time(14_523_004));
    // 05:06:07 in São Paulo is 08:06:07 UTC.
    assert_eq!(field("ts").0, &Value::Timestamp(1_614_834_367_123 + 3 * 3_600_000));
    assert_eq!(field("j").0.as_str(), Some("{\"a\": 1}"));
    assert_eq!(field("u").0.as_str(), Some("6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d"));
    assert_eq!(field("a").0, &Value::Array(vec![Value::Int32(1), Value::Null]));
    assert_eq!(field("e").0.as_str(), Some("1 day"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_and_a_column_that_is_added() {
    sql("CREATE TABLE m_query (id int PRIMARY KEY, v text); INSERT INTO m_query VALUES (1, 'a')");
    let pairs = [
        ("query", "SELECT id, upper(v) AS big FROM m_query WHERE v <> 'no'"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    let mut task = open(&pairs, None).await.unwrap();
    // Of a query it is not known which tables it reads: a neighbour's transaction holds its rows back.
    let batches = read_next(&mut *task).await;
    assert_eq!(batches[0].partition, json!({"query": "query"}));
    assert_eq!(&*batches[0].topic, "p-");
    let table = [
        ("table.whitelist", "m_query"),
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
    ];
    let mut task = open(&table, None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["1"]);
    sql("ALTER TABLE m_query ADD COLUMN extra text; INSERT INTO m_query VALUES (2, 'b', 'x')");
    let batches = read_next(&mut *task).await;
    let schema = batches[0].records[0].value_schema.as_ref().unwrap();
    assert_eq!((ids(&batches), schema.fields().len()), (vec!["2".into()], 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_committed_late_is_not_lost() {
    sql("CREATE TABLE m_late (id int PRIMARY KEY, up timestamptz NOT NULL DEFAULT now())");
    let url = format!("host=127.0.0.1 port={} user=user password=password dbname=mydb", port());
    let (late, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    late.batch_execute("BEGIN; INSERT INTO m_late VALUES (1)").await.unwrap();
    sql("INSERT INTO m_late VALUES (2)");
    let pairs = |hold_back| {
        [
            ("table.whitelist", "m_late"),
            ("mode", "timestamp+incrementing"),
            ("timestamp.column.name", "up"),
            ("incrementing.column.name", "id"),
            ("hold.back.running.transactions", hold_back),
        ]
    };
    let mut careless = open(&pairs("false"), None).await.unwrap();
    let mut careful = open(&pairs("true"), None).await.unwrap();
    assert_eq!(ids(&read_next(&mut *careless).await), ["2"]);
    assert_eq!(
        ids(&read(&mut *careful).await.unwrap()),
        [""; 0],
        "waits for the one that began before"
    );
    late.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ids(&read_next(&mut *careful).await), ["1", "2"]);
    assert_eq!(ids(&read(&mut *careless).await.unwrap()), [""; 0], "the JVM's way has lost it");
}

#[tokio::test(flavor = "multi_thread")]
async fn decimals_become_what_the_key_says() {
    sql(
        "CREATE TABLE m_decimal (id int PRIMARY KEY, n numeric, p numeric(6,2)); INSERT INTO m_decimal VALUES \
         (1, 1.50, 2.5), (2, 'NaN', 'NaN'), (3, '-Infinity', 1), (4, 1e-200, 1)",
    );
    let read = async |mode: Option<&str>| {
        let mut pairs = vec![("table.whitelist", "m_decimal"), ("mode", "bulk")];
        pairs.extend(mode.map(|mode| ("decimal.handling.mode", mode)));
        let batch = &read_next(&mut *open(&pairs, None).await.unwrap()).await[0];
        let row = |record: &connect_core::record::Record| {
            let Value::Struct(values) = &record.value else { panic!("{record:?}") };
            let schema = record.value_schema.as_ref().unwrap();
            let name = |at: usize| schema.fields()[at].schema.name.as_deref().unwrap_or_default();
            let of = |at: usize| match &values[at] {
                Value::Decimal(number) => format!("{} {number}", name(at)),
                other => format!("{} {other:?}", name(at)),
            };
            (of(1), of(2))
        };
        batch.records.iter().map(row).collect::<Vec<_>>()
    };
    let text = |text: &str| format!(" String({text:?})");
    let strings = read(Some("string")).await;
    assert_eq!(strings[0], (text("1.50"), text("2.50")));
    assert_eq!(strings[1], (text("NaN"), text("NaN")));
    assert_eq!(strings[2].0, text("-Infinity"));
    let doubles = read(Some("double")).await;
    assert_eq!(doubles[0], (" Float64(1.5)".into(), " Float64(2.5)".into()));
    assert_eq!((&*doubles[1].1, &*doubles[2].0), (" Float64(NaN)", " Float64(-inf)"));
    let precise = read(Some("precise")).await;
    let variable = "io.debezium.data.VariableScaleDecimal Struct([Int32(2), Bytes(b\"\\x96\")])";
    assert_eq!(precise[0].0, variable.replace("x96", "0\\x96"));
    assert_eq!(precise[0].1, format!("{} 2.50", logical::DECIMAL));
    // Without the key: rows that a Decimal cannot hold have text there, their neighbours what they always have.
    let unset = read(None).await;
    assert!(unset[0].0.starts_with(&format!("{} 1.5000", logical::DECIMAL)), "{unset:?}");
    assert_eq!((&*unset[1].0, &*unset[1].1), (&*text("NaN"), &*text("NaN")));
    assert_eq!(unset[2].0, text("-Infinity"));
    assert!(unset[3].0.starts_with(" String(\"0.000"), "{unset:?}");
}
