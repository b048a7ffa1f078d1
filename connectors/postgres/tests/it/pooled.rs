//! What a pooler in transaction mode asks for: nothing lasts longer than a transaction.

use connect_core::{data::Value, record::Record};
use connect_core_testkit::{json_batch, values};
use connectors_postgres::PostgresSource;

use crate::{
    modes::{open, properties, read_next},
    port, sink, sql,
};

fn texts(record: &Record) -> Vec<String> {
    let Value::Struct(values) = &record.value else { panic!("{record:?}") };
    values.iter().map(|value| value.as_str().unwrap_or("-").to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_keeps_no_statement_and_sets_what_values_are_written_in_by_transaction() {
    let query = "SELECT name, CASE WHEN source = 'session' THEN setting END, reset_val \
                 FROM pg_settings WHERE name IN ('DateStyle', 'IntervalStyle', 'search_path', 'TimeZone') \
                 UNION ALL SELECT 'statement', left(statement, 4), '' FROM pg_prepared_statements ORDER BY 1";
    let url = format!(
        "jdbc:postgresql://127.0.0.1:{}/mydb?currentSchema=%22My%20Schema%22,a\\b&\
         options=-c%20datestyle=German%20-c%20timezone=Asia/Tokyo%20-c%20intervalstyle=sql_standard",
        port()
    );
    let pairs = [("query", query), ("mode", "bulk"), ("connection.url", &url)];
    let mut task = open(&pairs, None).await.unwrap();
    for _ in 0..2 {
        let batch = &read_next(&mut *task).await[0];
        let rows: Vec<String> = batch.records.iter().map(|r| texts(r).join("|")).collect();
        let expected = [
            "DateStyle|ISO, DMY|German, DMY",
            "IntervalStyle|postgres|sql_standard",
            "TimeZone|UTC|Asia/Tokyo",
            r#"search_path|"My Schema",a\b|"$user", public"#,
            "statement|COPY|",
        ];
        assert_eq!(rows, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_keeps_the_types_that_are_not_postgresqls_own() {
    sql(
        "CREATE TYPE pooled_mood AS ENUM ('happy', 'sad'); CREATE DOMAIN pooled_price AS numeric(8,3); \
         CREATE TABLE pooled (m pooled_mood NOT NULL, a pooled_mood[], p pooled_price, n numeric(6,2) NOT NULL); \
         INSERT INTO pooled VALUES ('sad', '{happy}', 1.5, 2.25)",
    );
    let pairs = [("query", "SELECT m, a, p, n FROM pooled;"), ("mode", "bulk")];
    let mut task = open(&pairs, None).await.unwrap();
    let shown = |schema: &connect_core::data::Schema| {
        let fields = schema.fields().iter();
        let shown = fields.map(|f| format!("{} {:?} {}", f.name, f.schema.ty, f.schema.optional));
        shown.collect::<Vec<_>>()
    };
    let first = &read_next(&mut *task).await[0].records[0];
    let schema = first.value_schema.as_ref().unwrap();
    let found = shown(schema);
    assert_eq!(found[0], "m String false", "{found:?}");
    assert!(found[1].starts_with("a Array") && found[1].ends_with("true"), "{found:?}");
    assert_eq!((schema.fields()[2].schema.scale(), schema.fields()[3].schema.scale()), (3, 2));
    assert_eq!(found[3..], ["n Bytes false"]);
    // Found out once, and anew when the columns are others.
    let again = &read_next(&mut *task).await[0].records[0];
    assert_eq!(again.value_schema.as_deref(), Some(&**schema));
    sql("ALTER TABLE pooled ALTER m TYPE text, ALTER m DROP NOT NULL");
    let later = &read_next(&mut *task).await[0].records[0];
    assert_eq!(shown(later.value_schema.as_ref().unwrap())[0], "m String true");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_keeps_no_statement() {
    sql("CREATE FUNCTION pooled_kept() RETURNS bigint LANGUAGE sql AS \
         'SELECT count(*) FROM pg_prepared_statements'; \
         CREATE TABLE pooled_sink (id int PRIMARY KEY, kept bigint DEFAULT pooled_kept(), \
         style text DEFAULT current_setting('datestyle'))");
    let config = [
        ("topics", "pooled_sink"),
        ("insert.mode", "upsert"),
        ("pk.mode", "record_value"),
        ("pk.fields", "id"),
        ("auto.evolve", "true"),
    ];
    let mut task = sink::task(&config).await;
    for (at, row) in [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3,"more":1}"#].iter().enumerate() {
        task.put(&json_batch("pooled_sink", false, at as i64, &values(&[row]))).await.unwrap();
    }
    assert_eq!(
        sql("SELECT id, kept, style FROM pooled_sink ORDER BY id").trim(),
        "1\t0\tISO, MDY\n2\t0\tISO, MDY\n3\t0\tISO, MDY"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_schemas_that_is_none_is_named() {
    let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb?currentSchema=a,,b", port());
    let pairs = [("query", "SELECT 1"), ("mode", "bulk"), ("connection.url", url.as_str())];
    let properties = properties(&pairs);
    let registry = connect_core::registry::Registry::default().source::<PostgresSource>();
    let plugin = registry.find("PostgresSource", &properties).unwrap();
    let error = match plugin.connect(&properties).await {
        Ok(connect_core::plugin::Connected::Source(source)) => match source.partitions().await {
            Ok(_) => open(&pairs, None).await.err(),
            Err(error) => Some(error),
        },
        Ok(_) => None,
        Err(error) => Some(error),
    };
    let error = error.expect("refused").to_string();
    assert!(error.contains("currentSchema") && error.contains("a,,b"), "{error}");
}
