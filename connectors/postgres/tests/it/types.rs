//! The types both ways, as a page of `docs/reference`.

#[path = "../../../jdbc/tests/types/mod.rs"]
mod shared;

use connect_core::{
    config::Properties,
    plugin::{Connected, DynSourceTask},
    registry::Registry,
    sink::SinkTask,
};
use connectors_postgres::{PostgresSink, PostgresSource};

use crate::{extensions, port, roundtrip, sql};
use shared::{Page, Read, TAKES, code, deliver, first, json, loose, named, puts, read, takes};

const MISSING: &str = "column left out, with a warning";

/// Declared type, a literal of it, and what the JVM does otherwise.
const COLUMNS: &[Read] = &[
    read("smallint", "-2", ""),
    read("integer", "7", ""),
    read("bigint", "9007199254740993", ""),
    read("oid", "4294967295", ""),
    read("real", "1.5", ""),
    read("double precision", "NaN", ""),
    read("numeric(10,2)", "-12.34", ""),
    read(
        "numeric",
        "12.345",
        "the same, unless numeric.mapping is set: then INT8, its fraction cut",
    ),
    read("numeric(5,-2)", "12300", "scale 2046, an artefact of its driver"),
    read("money", "12.50", ""),
    read("boolean", "true", ""),
    read("bit(1)", "1", ""),
    read(
        "bit(8)",
        "00000101",
        "INT8 of the digits read as a decimal: 101; the task dies of 10101010",
    ),
    read("bit(16)", "0000000000000101", "BYTES: the digits in ASCII"),
    read("varbit", "101", MISSING),
    read("text", "é😀", ""),
    read("varchar(9)", "abc", ""),
    read("char(5)", "ab", ""),
    read("name", "abc", ""),
    read("citext", "Abc", MISSING),
    read("bytea", "\\x00ff", ""),
    read(
        "date",
        "2021-03-04",
        "the same; its task dies of infinity, which is the first or last day here",
    ),
    read("time", "05:06:07.123456", ""),
    read("timetz", "05:06:07+02", ""),
    read("timestamp", "2021-03-04 05:06:07.123456", ""),
    read("timestamptz", "2021-03-04 05:06:07.123456+02", ""),
    read("interval", "1 day 02:03:04", MISSING),
    read("json", "{\"a\": 1}", ""),
    read("jsonb", "{\"a\":1}", ""),
    read("xml", "<a/>", ""),
    read("uuid", "6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d", ""),
    read("inet", "192.168.0.1", MISSING),
    read("cidr", "192.168.0.0/24", MISSING),
    read("macaddr", "08:00:2b:01:02:03", MISSING),
    read("int4range", "[1,5)", MISSING),
    read("integer[]", "{1,NULL}", MISSING),
    read("text[]", "{a,b}", MISSING),
    read("integer[][]", "{{1,2},{3,4}}", MISSING),
    read("t_mood", "happy", ""),
    read("t_positive", "7", ""),
    read("t_pair", "(1,a)", MISSING),
    read("hstore", "a=>1", MISSING),
    read("point", "(1.5,-2)", MISSING),
    read("tsvector", "a fat cat", MISSING),
];

/// Those of the matrix, each with a text that fits.
const TAKING: &[(&str, &str)] = &[
    ("smallint", "7"),
    ("bigint", "7"),
    ("numeric", "7.5"),
    ("numeric(5,2)", "7.50"),
    ("real", "7.5"),
    ("double precision", "7.5"),
    ("money", "7.50"),
    ("boolean", "yes"),
    ("bit(8)", "00000101"),
    ("varbit", "101"),
    ("text", "text"),
    ("varchar(3)", "abc"),
    ("bytea", "text"),
    ("date", "2021-03-04"),
    ("time(0)", "05:06:07.9"),
    ("timetz", "05:06:07+02"),
    ("timestamp", "2021-03-04T05:06:07Z"),
    ("timestamp(0)", "2021-03-04 05:06:07.9"),
    ("timestamptz", "2021-03-04T05:06:07+02:00"),
    ("interval", "1 day"),
    ("json", "{\"a\": 1}"),
    ("jsonb", "text"),
    ("uuid", "6B0AA1AC8C8A4AD2A1AC0AC3A15FE65D"),
    ("inet", "192.168.0.1"),
    ("int4range", "[1,4]"),
    ("integer[]", "{1,2}"),
    ("text[]", "{a,b}"),
    ("t_mood", "happy"),
    ("hstore", "a=>1"),
    ("point", "(1,2)"),
    ("tsvector", "a cat"),
];

fn properties(pairs: &[(&str, &str)]) -> Properties {
    let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb", port());
    let base = [
        ("connection.url", url.as_str()),
        ("connection.user", "user"),
        ("connection.password", "password"),
    ];
    base.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

async fn source(table: &str, pairs: &[(&str, &str)]) -> Box<dyn DynSourceTask> {
    let base = [
        ("connector.class", "PostgresSource"),
        ("topic.prefix", "t-"),
        ("mode", "bulk"),
        ("table.whitelist", table),
    ];
    let properties = properties(&[&base, pairs].concat());
    let registry = Registry::default().source::<PostgresSource>();
    let plugin = registry.find("PostgresSource", &properties).unwrap();
    let Connected::Source(source) = plugin.connect(&properties).await.unwrap() else { panic!() };
    let partitions = source.partitions().await.unwrap();
    let assigned = partitions.into_iter().map(|partition| (partition, None)).collect();
    source.task(assigned).await.unwrap()
}

async fn sink() -> Box<dyn SinkTask> {
    let pairs = [("connector.class", "PostgresSink"), ("topics", "t"), ("auto.create", "true")];
    let properties = properties(&pairs);
    let registry = Registry::default().sink::<PostgresSink>();
    let plugin = registry.find("PostgresSink", &properties).unwrap();
    let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
    sink.task().await.unwrap()
}

/// Types with their literals as the table's columns c0, c1 and so on.
fn table(name: &str, columns: &[(&str, &str)]) {
    let definitions = columns.iter().enumerate().map(|(i, (ty, _))| format!("c{i} {ty} NOT NULL"));
    let definitions: Vec<String> = definitions.collect();
    let values: Vec<String> = columns.iter().map(|(_, value)| format!("'{value}'")).collect();
    sql(&format!(
        "CREATE TABLE {name} ({}); INSERT INTO {name} VALUES ({})",
        definitions.join(", "),
        values.join(", ")
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_types_is_up_to_date() {
    extensions();
    sql(
        "CREATE TYPE t_mood AS ENUM ('happy', 'sad'); CREATE DOMAIN t_positive AS integer CHECK (VALUE > 0); \
         CREATE TYPE t_pair AS (n integer, t text)",
    );
    let mut page = Page::new(
        "JDBC connectors: types of PostgreSQL",
        "What the connectors for `jdbc:postgresql:` URLs read and write, each line tried on PostgreSQL. \
         Values in JSON are those of `JsonConverter`. A column that may be null has an optional schema.",
    );
    read_types(&mut page).await;
    written_types(&mut page).await;
    page.chapter("From a table to the same table", roundtrip::TEXT);
    page.table(&["column", "with a schema", "without"], &roundtrip::rows().await);
    page.check("jdbc-types-postgresql.md");
}

async fn read_types(page: &mut Page) {
    page.chapter(
        "Source: what a column becomes",
        "With the defaults: `numeric.mapping=none`, `timestamp.granularity=connect_logical`, `db.timezone=UTC`. \
         `t_mood` is an enumeration, `t_positive` a domain over integer, `t_pair` a composite type. Any other type \
         becomes a STRING of its text.",
    );
    table("t_read", &COLUMNS.iter().map(|column| (column.ty, column.value)).collect::<Vec<_>>());
    let found = first(&mut *source("t_read", &[]).await).await;
    let rows = COLUMNS.iter().zip(&found).map(|(column, (schema, value))| {
        let json = code(&json(Some(schema), value));
        vec![code(column.ty), code(column.value), named(schema), json, column.jvm.to_owned()]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    page.table(&["column", "value", "Connect schema", "in JSON", "the JVM's"], &rows);

    page.chapter("Source: `numeric.mapping`", "As the JVM's, but for `numeric` without precision.");
    let columns = [
        "numeric(2,0)",
        "numeric(4,0)",
        "numeric(9,0)",
        "numeric(18,0)",
        "numeric(19,0)",
        "numeric(10,2)",
        "numeric(20,2)",
        "numeric(5,-2)",
        "numeric",
    ];
    table("t_numeric", &columns.map(|ty| (ty, "0")));
    let mut rows: Vec<Vec<String>> = columns.iter().map(|ty| vec![code(ty)]).collect();
    let mappings = ["none", "precision_only", "best_fit", "best_fit_eager_double"];
    for mapping in mappings {
        let found = first(&mut *source("t_numeric", &[("numeric.mapping", mapping)]).await).await;
        for (row, (schema, _)) in rows.iter_mut().zip(&found) {
            row.push(named(schema));
        }
    }
    page.table(&[&["column"][..], &mappings].concat(), &rows);

    page.chapter(
        "Source: `timestamp.granularity`",
        "Of the timestamp `2021-03-04 05:06:07.123456`.",
    );
    table("t_granular", &[("timestamp", "2021-03-04 05:06:07.123456")]);
    let mut rows = Vec::new();
    for granularity in [
        "connect_logical",
        "micros_long",
        "micros_string",
        "micros_iso_datetime_string",
        "nanos_long",
        "nanos_string",
        "nanos_iso_datetime_string",
    ] {
        let pairs = [("timestamp.granularity", granularity)];
        let found = first(&mut *source("t_granular", &pairs).await).await;
        let (schema, value) = &found[0];
        rows.push(vec![code(granularity), named(schema), code(&json(Some(schema), value))]);
    }
    page.table(&["granularity", "Connect schema", "in JSON"], &rows);
}

async fn written_types(page: &mut Page) {
    let mut task = sink().await;
    page.chapter(
        "Sink: the column that `auto.create` makes",
        "Of records with a schema the types are the JVM's, but for maps, structs and lists of them, which it refuses.",
    );
    let mut tables = Vec::new();
    for (at, put) in puts().iter().chain(&loose()).enumerate() {
        let name = format!("t_made_{at}");
        deliver(&mut *task, &name, 1, (put.schema.as_ref(), &put.value)).await.unwrap();
        let ty = sql(&format!(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{name}'::regclass AND attname = 'v'"
        ));
        let stored = sql(&format!("SELECT v::text FROM {name}"));
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
         table, column, value and type. INT8 to INT64 are alike, as are FLOAT32 and FLOAT64, MAP and STRUCT. A value that would not \
         read back equal is refused: a fraction in a column of integers, text that is too long. Times alone are cut to \
         the column's digits. Integers in columns of dates and times are days or milliseconds since 1970, in a column of \
         times milliseconds since midnight. The JVM's connector takes what its driver takes: text fits only columns of \
         text, uuid, json and jsonb there, unless the URL has `stringtype=unspecified`; maps and structs fit none.",
    );
    let mut rows = Vec::new();
    for (at, (ty, text)) in TAKING.iter().enumerate() {
        let name = format!("t_takes_{at}");
        sql(&format!("CREATE TABLE {name} (id bigint, v {ty})"));
        // What stands before an amount depends on the server's language.
        let value = if *ty == "money" { "v::numeric" } else { "v" };
        let shown =
            |id| sql(&format!("SELECT {value} FROM {name} WHERE id = {id}")).trim().to_owned();
        let mut cells = takes(&mut *task, &name, text, shown).await;
        cells[3] = format!("{} → {}", code(text), cells[3]);
        rows.push([vec![code(ty)], cells].concat());
    }
    page.table(&TAKES, &rows);
}
