//! The rows that are measured, as PostgreSQL sends them.

use bytes::{BufMut, Bytes, BytesMut};
use connectors_jdbc::sink::table::{Column as Target, Fill, Kind, Limit};

/// Microseconds from PostgreSQL's epoch to 2021-01-01.
const START: i64 = 662_774_400_000_000;

/// Type of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Type {
    /// `bigint`, the number of the row.
    Id,
    /// `integer`.
    Integer,
    /// `text` of so many characters.
    Text(usize),
    /// `timestamp`.
    Timestamp,
    /// `numeric(18,4)`.
    Decimal,
}

/// Rows of one kind.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Records in a batch.
    pub(crate) records: usize,
    pub(crate) columns: Vec<(String, Type)>,
}

/// The shapes; without measuring, batches are small.
pub(crate) fn all(measures: bool) -> Vec<Shape> {
    let shape = |name, records, others: Vec<Type>| {
        let name_of =
            |(at, ty)| (if at == 0 { "id".to_owned() } else { format!("column_{at}") }, ty);
        let columns = [Type::Id].into_iter().chain(others).enumerate().map(name_of).collect();
        Shape { name, records: if measures { records } else { 4 }, columns }
    };
    vec![
        shape("narrow", 1000, vec![Type::Text(84), Type::Timestamp]),
        shape("wide", 500, vec![Type::Integer; 199]),
        shape("text", 50, vec![Type::Text(100_000)]),
        shape("decimals", 500, vec![Type::Decimal; 10]),
        shape("timestamps", 500, vec![Type::Timestamp; 10]),
    ]
}

impl Type {
    /// PostgreSQL's number of it, and its modifier.
    pub(crate) fn postgres(self) -> (u32, i32) {
        match self {
            Self::Id => (20, -1),
            Self::Integer => (23, -1),
            Self::Text(_) => (25, -1),
            Self::Timestamp => (1114, -1),
            Self::Decimal => (1700, (18 << 16 | 4) + 4),
        }
    }

    /// The field of a row.
    fn put(self, row: usize, column: usize, out: &mut BytesMut) {
        match self {
            Self::Id => {
                out.put_i32(8);
                out.put_i64(1_000_000 + row as i64);
            }
            Self::Integer => {
                out.put_i32(4);
                out.put_i32((row * 7919 + column * 104_729) as i32 % 1_000_000);
            }
            Self::Text(length) => {
                out.put_i32(length as i32);
                let digits = format!("{:032x}", (row as u128 + 1) * 0x9e37_79b9_7f4a_7c15);
                out.extend(digits.bytes().chain([b'x'].into_iter().cycle()).take(length));
            }
            Self::Timestamp => {
                out.put_i32(8);
                out.put_i64(START + (row * 1000 + column) as i64 * 1_000_000);
            }
            Self::Decimal => {
                // Four digits to the base of 10,000, the first of them worth its cube less one, four decimals.
                out.put_i32(16);
                [4, 2, 0, 4].into_iter().for_each(|n| out.put_u16(n));
                let last = ((row * 31 + column) % 10_000) as u16;
                [12, 3456, 7890, last].into_iter().for_each(|n| out.put_u16(n));
            }
        }
    }

    /// The column that the MySQL sink makes for it, as the server describes it.
    fn target(self) -> (Kind, &'static str) {
        match self {
            Self::Id => (Kind::Integer(i64::MIN.into(), i64::MAX.into()), "bigint(20)"),
            Self::Integer => (Kind::Integer(i32::MIN.into(), i32::MAX.into()), "int(11)"),
            Self::Text(0..1000) => (Kind::Text(Some(Limit::Characters(65_535))), "text"),
            Self::Text(_) => (Kind::Text(None), "longtext"),
            Self::Timestamp => (Kind::DateTime { instant: false, digits: 3 }, "datetime(3)"),
            Self::Decimal => (Kind::Decimal(Some(65), Some(4)), "decimal(65,4)"),
        }
    }
}

impl Shape {
    /// A batch of rows of `COPY`.
    pub(crate) fn rows(&self) -> Vec<Bytes> {
        let row = |number| {
            let mut row = BytesMut::new();
            row.put_i16(self.columns.len() as i16);
            for (at, (_, ty)) in self.columns.iter().enumerate() {
                ty.put(number, at, &mut row);
            }
            row.freeze()
        };
        (0..self.records).map(row).collect()
    }

    /// The columns of the target.
    pub(crate) fn target(&self) -> Vec<Target> {
        let target = |(name, ty): &(String, Type)| {
            let (kind, declared) = ty.target();
            let (name, declared, cast) = (name.clone(), declared.to_owned(), String::new());
            let exact = matches!(ty, Type::Id);
            Target {
                name,
                kind,
                declared,
                cast,
                exact,
                nullable: !exact,
                fill: Fill::Null,
                certain: usize::MAX,
                attributes: String::new(),
            }
        };
        self.columns.iter().map(target).collect()
    }
}
