//! Every value at every type of column: it reads back as what it was, or is refused with table, column, value and type.

#[path = "../../../jdbc/tests/values/mod.rs"]
mod shared;

use connect_core::{config::Properties, plugin::Connected, registry::Registry, sink::SinkTask};
use connectors_postgres::PostgresSink;
use tokio::runtime::Handle;
use tokio_postgres::{Client, NoTls};

use crate::{extensions, port, sql};
use shared::{COLUMN, Column, Means, Reader, check, column};

const COLUMNS: &[Column] = &[
    column("smallint", Means::Number, &[]),
    column("integer", Means::Number, &[]),
    column("bigint", Means::Number, &[]),
    column("oid", Means::Number, &[]),
    column("numeric", Means::Number, &[]),
    column("numeric(5,2)", Means::Number, &["999.99", "999.995", "-1000"]),
    column("numeric(5,-2)", Means::Number, &["100", "150", "9999900", "10000000"]),
    column("numeric(2,4)", Means::Number, &["0.0012", "0.0099", "0.01"]),
    column("real", Means::Single, &["3.5e38", "1e39"]),
    column("double precision", Means::Double, &["1.7976931348623157e308", "0.30000000000000004"]),
    column("money", Means::Number, &["12.50", "92233720368547758.07", "92233720368547758.08"]),
    column("text", Means::Text, &[]),
    column("varchar", Means::Text, &[]),
    column("varchar(3)", Means::Text, &["abc   "]),
    column("char(5)", Means::Padded, &["ab  "]),
    column(
        "name",
        Means::Text,
        &[
            "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀",
            "a23456789b123456789c123456789d123456789e123456789f123456789g123",
        ],
    ),
    column("\"char\"", Means::Text, &[]),
    column("citext", Means::Text, &[]),
    column("bytea", Means::Bytes, &[]),
    column("bit(1)", Means::Bits, &[]),
    column("bit(8)", Means::Bits, &["00000101", "10", "256"]),
    column(
        "bit(70)",
        Means::Bits,
        &["0000000000000000000000000000000000000000000000000000000000000000000101"],
    ),
    column("varbit", Means::Read, &["10110"]),
    column("varbit(5)", Means::Read, &["10110", "101101"]),
    column("boolean", Means::Boolean, &["YES", "f"]),
    column("date", Means::Date, &["2021-03-04", "4713-01-01 BC", "12021-01-01"]),
    column("time", Means::Time(6), &[]),
    column("time(0)", Means::Time(0), &[]),
    column("timetz", Means::Time(6), &["05:06:07-08"]),
    column("timestamp", Means::DateTime(6), &[]),
    column("timestamp(0)", Means::DateTime(0), &["2021-12-31 23:59:59.9"]),
    column("timestamp(3)", Means::DateTime(3), &[]),
    column("timestamptz", Means::DateTime(6), &["2021-03-04 05:06:07-03:30"]),
    column("timestamptz(3)", Means::DateTime(3), &[]),
    column("interval", Means::Read, &["1 day 02:03", "P1Y2M"]),
    column("json", Means::Json, &["{\"a\": 1, \"a\": 2}"]),
    column("jsonb", Means::Json, &["{\"b\": 1.50}"]),
    column("xml", Means::Read, &["<a>x</a>"]),
    column("uuid", Means::Uuid, &["6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d"]),
    column("inet", Means::Read, &["192.168.0.1", "192.168.0.1/24", "::1"]),
    column("cidr", Means::Read, &["192.168.0.0/24", "10"]),
    column("macaddr", Means::Read, &["08:00:2b:01:02:03"]),
    column("int4range", Means::Read, &["[1,5]", "empty"]),
    column("tstzrange", Means::Read, &["[2021-01-01,)"]),
    column("nummultirange", Means::Read, &["{[1,2),[5,6)}"]),
    column("integer[]", Means::List(&Means::Number), &["{1,NULL}", "{{1},{2}}"]),
    column("numeric(5,2)[]", Means::List(&Means::Number), &["{1.5}"]),
    column("double precision[]", Means::List(&Means::Double), &["{NaN}"]),
    column("boolean[]", Means::List(&Means::Boolean), &["{t,f}"]),
    column("text[]", Means::List(&Means::Text), &["{a,\"b c\"}"]),
    column("varchar(3)[]", Means::List(&Means::Text), &["{abc}"]),
    column("bytea[]", Means::List(&Means::Bytes), &["{\"\\\\x00ff\"}"]),
    column("date[]", Means::List(&Means::Date), &["{2021-03-04}"]),
    column("timestamp(0)[]", Means::List(&Means::DateTime(0)), &[]),
    column("timestamptz[]", Means::List(&Means::DateTime(6)), &[]),
    column("uuid[]", Means::List(&Means::Uuid), &["{6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d}"]),
    column("jsonb[]", Means::List(&Means::Json), &["{1}"]),
    column("mood[]", Means::List(&Means::Read), &["{happy}"]),
    column("mood", Means::Read, &["happy", "1", "nope"]),
    column("posint", Means::Number, &["7", "-7"]),
    column("short", Means::Text, &["abc"]),
    column("pair", Means::Read, &["(1,a)"]),
    column("hstore", Means::Read, &["a=>1, b=>NULL"]),
    column("point", Means::Read, &["(1.5,-2)"]),
    column("tsvector", Means::Read, &["a fat cat"]),
];

struct Postgres(Client);

/// What shows a column's value as text.
fn shown(means: Means) -> String {
    match means {
        Means::Single => format!("{COLUMN}::float8::text"),
        Means::Bytes => format!("encode({COLUMN}, 'hex')"),
        Means::List(Means::Bytes) => {
            // Without the prefix of each item.
            format!("replace(to_json({COLUMN}::text[])::text, '\\\\x', '')")
        }
        Means::List(_) => format!("to_json({COLUMN}::text[])::text"),
        Means::Number => format!("trim({COLUMN}::numeric::text)"),
        _ => format!("{COLUMN}::text"),
    }
}

impl Postgres {
    fn one(
        &self,
        sql: &str,
        parameter: &(dyn tokio_postgres::types::ToSql + Sync),
    ) -> Result<Option<String>, String> {
        let row = Handle::current().block_on(self.0.query_one(sql, &[parameter]));
        row.map(|row| row.get(0)).map_err(|e| format!("{e:?}"))
    }
}

impl Reader for Postgres {
    fn stored(&mut self, table: &str, column: &Column, id: i64) -> Result<Option<String>, String> {
        let shown = match column.ty {
            "oid" => format!("{COLUMN}::text"),
            _ => shown(column.means),
        };
        self.one(&format!("SELECT {shown} FROM {table} WHERE id = $1"), &id)
    }

    fn count(&mut self, table: &str) -> i64 {
        let count = format!("SELECT count(*) FROM {table}");
        Handle::current().block_on(self.0.query_one(&count, &[])).unwrap().get(0)
    }

    fn reads(
        &mut self,
        column: &Column,
        text: &str,
        whole: bool,
    ) -> Result<Option<String>, String> {
        let (ty, means) = match (column.means, column.ty.strip_suffix("[]")) {
            (Means::List(item), Some(ty)) if !whole => (ty, *item),
            (means, _) => (column.ty, means),
        };
        let shown = shown(means);
        self.one(&format!("SELECT {shown} FROM (SELECT $1::text::{ty} AS {COLUMN}) AS s"), &text)
    }
}

async fn task() -> Box<dyn SinkTask> {
    // Durable is not what is tested.
    let options = "options=-c%20synchronous_commit=off";
    let url = format!("jdbc:postgresql://127.0.0.1:{}/mydb?{options}", port());
    let pairs = [
        ("connector.class", "PostgresSink"),
        ("connection.url", url.as_str()),
        ("connection.user", "user"),
        ("connection.password", "password"),
        ("topics", "values"),
    ];
    let properties: Properties = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let plugin = Registry::default().sink::<PostgresSink>();
    let plugin = plugin.find("PostgresSink", &properties).unwrap();
    let Connected::Sink(sink) = plugin.connect(&properties).await.unwrap() else { panic!() };
    sink.task().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_at_every_type_reads_back_or_is_refused_by_name() {
    extensions();
    sql("CREATE TYPE mood AS ENUM ('happy', 'sad', '1', '2'); \
         CREATE DOMAIN posint AS integer CHECK (VALUE > 0); CREATE DOMAIN short AS varchar(3); \
         CREATE TYPE pair AS (n integer, t text)");
    check(COLUMNS, |table, column| {
        Handle::current().block_on(async {
            let url = format!("host=127.0.0.1 port={} user=user password=password dbname=mydb options='-c timezone=UTC'", port());
            let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
            tokio::spawn(connection);
            let create = format!("CREATE TABLE {table} (id bigint PRIMARY KEY, {COLUMN} {})", column.ty);
            client.batch_execute(&create).await.unwrap();
            (task().await, Postgres(client))
        })
    });
}
