//! Every type from PostgreSQL to PostgreSQL.

#[path = "../../../jdbc/tests/roundtrip/mod.rs"]
mod shared;

use connect_core::{error::Error, plugin::DynSourceTask, prelude::async_trait, sink::SinkTask};

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::{modes, port, sink, sql};
pub(crate) use shared::TEXT;
use shared::{Database, Edges, becomes, matrix, same};

/// Types, with values at their edges. Times of Connect have three digits, `timetz` is shown in UTC.
const TYPES: &[Edges] = &[
    ("boolean", &[same("true"), same("false"), same("NULL")]),
    ("smallint", &[same("32767"), same("-32768")]),
    ("integer", &[same("2147483647"), same("-2147483648")]),
    ("bigint", &[same("9223372036854775807"), same("-9223372036854775808")]),
    ("oid", &[same("4294967295"), same("0")]),
    (
        "real",
        &[same("'3.4028235e38'"), same("'1e-45'"), same("0.1"), same("'NaN'"), same("'-Infinity'")],
    ),
    (
        "double precision",
        &[
            same("'1.7976931348623157e308'"),
            same("'5e-324'"),
            same("0.1"),
            same("'NaN'"),
            same("'Infinity'"),
        ],
    ),
    ("money", &[same("'-12.34'"), same("'90071992547409.91'"), same("'92233720368547758.07'")]),
    ("numeric(10,2)", &[same("99999999.99"), same("-0.01"), same("'NaN'")]),
    ("numeric(5,-2)", &[same("9999900"), same("-100")]),
    ("numeric(2,4)", &[same("0.0099")]),
    ("numeric(38,0)", &[same("99999999999999999999999999999999999999")]),
    (
        "numeric",
        &[
            same("0.1"),
            same("123456789012345678901234567890.123456789"),
            same("1e-127"),
            same("1e-200"),
            same("1e300"),
            same("'NaN'"),
            same("'Infinity'"),
            same("'-Infinity'"),
        ],
    ),
    ("bit(1)", &[same("B'1'"), same("B'0'")]),
    ("bit(8)", &[same("B'11111111'"), same("B'00000101'")]),
    ("bit(64)", &[same("repeat('1', 64)::bit(64)"), same("B'1'::bit(64)")]),
    ("bit(70)", &[same("repeat('10', 35)::bit(70)")]),
    ("varbit(5)", &[same("B'10110'"), same("B'01'"), same("B''")]),
    ("varbit", &[same("repeat('01', 50)::varbit")]),
    ("char(5)", &[same("'ab'"), same("''"), same("'é😀'")]),
    ("varchar(3)", &[same("'abc'"), same("'a  '"), same("''"), same("'😀😀😀'")]),
    ("text", &[same("''"), same("E'a\\\\b\\n\\t''\"'"), same("'NULL'"), same("'{\"a\":1}'")]),
    ("name", &[same("'name'")]),
    ("\"char\"", &[same("'c'")]),
    ("citext", &[same("'CiText'")]),
    ("bytea", &[same("'\\x00ff41'"), same("''"), same("'\\x313233'")]),
    (
        "date",
        &[
            same("'2021-03-04'"),
            same("'4713-01-01 BC'"),
            same("'0044-03-15 BC'"),
            same("'1582-10-04'"),
            same("'1582-10-10'"),
            same("'1582-10-15'"),
            same("'12021-01-01'"),
            same("'5874897-12-31'"),
            same("'infinity'"),
            same("'-infinity'"),
        ],
    ),
    (
        "time",
        &[same("'00:00:00'"), same("'24:00:00'"), becomes("'23:59:59.999999'", "'23:59:59.999'")],
    ),
    ("time(3)", &[same("'23:59:59.999'")]),
    (
        "timetz",
        &[
            same("'24:00:00+00'"),
            same("'24:00:00+02'"),
            becomes("'10:20:30+02'", "'08:20:30+00'"),
            becomes("'00:30:00+02'", "'22:30:00+00'"),
        ],
    ),
    (
        "timestamp",
        &[
            same("'2021-03-04 05:06:07.123'"),
            becomes("'2021-03-04 05:06:07.123456'", "'2021-03-04 05:06:07.123'"),
            becomes("'1969-12-31 23:59:59.999999'", "'1969-12-31 23:59:59.999'"),
            same("'4713-01-01 00:00:00 BC'"),
            same("'1582-10-10 00:00:00'"),
            same("'12021-01-01 00:00:00'"),
            same("'294276-12-31 23:59:59'"),
            same("'infinity'"),
            same("'-infinity'"),
        ],
    ),
    (
        "timestamptz",
        &[
            same("'2021-03-04 05:06:07+02'"),
            same("'infinity'"),
            same("'-infinity'"),
            same("'0001-01-01 00:00:00+00 BC'"),
        ],
    ),
    (
        "interval",
        &[
            same("'1 year 2 mons 3 days 04:05:06.789012'"),
            same("'-1 year +2 days -00:00:00.000001'"),
            same("'178000000 years'"),
            same("'0'"),
        ],
    ),
    ("uuid", &[same("'6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d'")]),
    (
        "json",
        &[
            same("'{\"a\":  1, \"a\": 2}'"),
            same("'\"x\"'"),
            same("'5'"),
            same("'null'"),
            same("'1.50'"),
        ],
    ),
    (
        "jsonb",
        &[
            same("'{\"b\": 1.50, \"a\": [1, null]}'"),
            same("'\"x\"'"),
            same("'null'"),
            same("'12345678901234567890.5'"),
        ],
    ),
    ("xml", &[same("'<a>x</a>'")]),
    ("inet", &[same("'192.168.0.1'"), same("'192.168.0.1/24'"), same("'::1'")]),
    ("cidr", &[same("'10.0.0.0/8'")]),
    ("macaddr", &[same("'08:00:2b:01:02:03'")]),
    ("macaddr8", &[same("'08:00:2b:01:02:03:04:05'")]),
    ("int4range", &[same("'[1,5)'"), same("'empty'"), same("'(,)'")]),
    ("numrange", &[same("'(1.5,2.50]'")]),
    ("tsrange", &[same("'[2021-03-04 05:06:07.123456,infinity)'")]),
    ("tstzrange", &[same("'[2021-03-04 05:06:07+02,)'")]),
    ("daterange", &[same("'[2021-03-04,2021-03-06)'")]),
    ("nummultirange", &[same("'{[1,2),[5,6)}'")]),
    ("point", &[same("'(1.5,-2)'"), same("'(0.1,1e300)'")]),
    ("box", &[same("'(1,1),(0,0)'")]),
    ("polygon", &[same("'((0,0),(1,1),(1,0))'")]),
    ("circle", &[same("'<(0,0),1.5>'")]),
    ("tsvector", &[same("'''cat'':2 ''fat'''")]),
    ("tsquery", &[same("'''a'' & ''b'''")]),
    ("pg_lsn", &[same("'16/B374D848'")]),
    ("hstore", &[same("'\"a\"=>\"1\", \"b\"=>NULL'"), same("''")]),
    ("round_mood", &[same("'happy'"), same("'1'")]),
    ("round_short", &[same("'abc'")]),
    ("round_pair", &[same("'(1,\"a b\")'"), same("'(,)'")]),
    (
        "integer[]",
        &[
            same("'{1,NULL,3}'"),
            same("'{}'"),
            same("'{{1,2},{3,4}}'"),
            same("'[0:1]={1,2}'"),
            same("NULL"),
        ],
    ),
    (
        "integer[][]",
        &[same("'{{1,2},{3,4}}'"), same("'{1,2}'"), same("'{}'"), same("'{{{1},{2}}}'")],
    ),
    ("text[]", &[same("'{x,NULL,\"y \\\\\\\" z\",\"NULL\",\"\"}'"), same("'{{a},{b}}'")]),
    ("numeric(6,2)[]", &[same("'{1.50,NULL}'"), same("'{NaN}'")]),
    ("numeric[]", &[same("'{1.5}'"), same("'{Infinity}'")]),
    ("double precision[]", &[same("'{0.1,NaN}'")]),
    ("boolean[]", &[same("'{t,f,NULL}'")]),
    ("bytea[]", &[same("'{\"\\\\x00ff\"}'")]),
    ("date[]", &[same("'{2021-03-04,infinity}'")]),
    ("time[]", &[same("'{24:00:00,01:02:03}'")]),
    ("timestamp[]", &[same("'{\"2021-03-04 05:06:07\",infinity}'")]),
    ("timestamptz[]", &[same("'{\"2021-03-04 05:06:07+02\"}'")]),
    ("uuid[]", &[same("'{6b0aa1ac-8c8a-4ad2-a1ac-0ac3a15fe65d}'")]),
    ("jsonb[]", &[same("'{\"{\\\"a\\\": 1}\"}'")]),
    ("interval[]", &[same("'{\"1 day\"}'")]),
    ("bit(3)[]", &[same("'{101}'")]),
    ("money[]", &[same("'{1.50}'")]),
    ("round_mood[]", &[same("'{happy,sad}'")]),
];

/// A connection that shows values as UTC does.
struct Postgres(Client);

impl Postgres {
    async fn connect() -> Self {
        let url = format!(
            "host=127.0.0.1 port={} user=user password=password dbname=mydb options='-c timezone=UTC'",
            port()
        );
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }
}

#[async_trait]
impl Database for Postgres {
    async fn sql(&self, text: &str) -> Vec<(usize, String)> {
        let answers = self.0.simple_query(text).await.unwrap_or_else(|e| panic!("{text}: {e:?}"));
        let row = |answer| match answer {
            SimpleQueryMessage::Row(row) => {
                Some((row.get(0)?.parse().ok()?, row.get(1)?.to_owned()))
            }
            _ => None,
        };
        answers.into_iter().filter_map(row).collect()
    }

    fn shown(&self, ty: &str, value: &str) -> String {
        // What a number is shown with behind the point is no part of it.
        let text = match ty {
            "numeric" => format!("trim_scale({value})::text"),
            _ => format!("{value}::text"),
        };
        format!("encode(convert_to({text}, 'UTF8'), 'hex')")
    }

    async fn source(&self, query: &str) -> Result<Box<dyn DynSourceTask>, Error> {
        modes::open(&[("query", query), ("mode", "bulk"), ("poll.interval.ms", "600000")], None)
            .await
    }

    async fn sink(&self) -> Box<dyn SinkTask> {
        sink::task(&[("topics", "round")]).await
    }
}

/// Takes every type through.
pub(crate) async fn rows() -> Vec<Vec<String>> {
    crate::extensions();
    sql(
        "CREATE TYPE round_mood AS ENUM ('happy', 'sad', '1', '2'); CREATE DOMAIN round_short AS varchar(3); \
         CREATE TYPE round_pair AS (n integer, t text)",
    );
    matrix(&Postgres::connect().await, TYPES).await
}
