//! What the columns that are read become.

use connect_core::data::{Schema, Text, Type};
use connectors_jdbc::{
    datetime::DAY,
    source::{
        SourceConfig,
        database::{Column, Order, YEAR},
        keys::{DecimalHandling, Granularity},
    },
};
use mysql_async::consts::{ColumnFlags, ColumnType};

/// Number of the character set of bytes.
const BINARY: u16 = 63;

/// What a column becomes, and how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    /// 64 bits without sign: INT64, and `Decimal` where that is too small.
    UInt64,
    Float32,
    Float64,
    Decimal {
        scale: i32,
        precision: i32,
    },
    /// A decimal number as a double.
    Double,
    /// The digits of a decimal number.
    Digits,
    Text,
    Bytes,
    /// At most eight bits, as INT8.
    Bits,
    Date,
    Time,
    DateTime(Granularity),
    /// The first of January.
    Year,
    /// The year as a number (`yearIsDateType=false`).
    YearNumber,
}

/// Parameters of the connection that change what columns become.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Driver {
    /// MariaDB's driver makes booleans of `tinyint(1)` and `bit(1)`.
    pub(crate) booleans: bool,
    pub(crate) year_is_date: bool,
    /// None where it is not said.
    pub(crate) zero: Option<ZeroDate>,
}

/// What becomes of dates such as 0000-00-00 (`zeroDateTimeBehavior`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ZeroDate {
    Null,
    Exception,
    Round,
}

impl Driver {
    pub(crate) fn new(config: &SourceConfig) -> connect_core::error::Result<Self> {
        let settings = &config.connection;
        let mariadb = config.url.protocol == "mariadb";
        let tinyint = settings.flag("tinyInt1isBit")?.unwrap_or(true);
        let zero = settings.parameter("zeroDateTimeBehavior").unwrap_or_default();
        let zero = match zero.to_ascii_uppercase().replace('_', "").as_str() {
            "" => None,
            "CONVERTTONULL" => Some(ZeroDate::Null),
            "EXCEPTION" => Some(ZeroDate::Exception),
            "ROUND" => Some(ZeroDate::Round),
            _ => {
                let expected = "CONVERT_TO_NULL, EXCEPTION or ROUND expected";
                return Err(connectors_jdbc::connection::invalid(
                    "zeroDateTimeBehavior",
                    zero,
                    expected,
                ));
            }
        };
        let year_is_date = settings.flag("yearIsDateType")?.unwrap_or(true);
        Ok(Self { booleans: mariadb && tinyint, year_is_date, zero })
    }
}

impl Kind {
    /// What a column of a result becomes.
    pub(crate) fn of(column: &mysql_async::Column, config: &SourceConfig, driver: Driver) -> Self {
        let unsigned = column.flags().contains(ColumnFlags::UNSIGNED_FLAG);
        let binary = column.character_set() == BINARY;
        let length = column.column_length();
        match column.column_type() {
            ColumnType::MYSQL_TYPE_TINY if driver.booleans && length == 1 => Self::Boolean,
            ColumnType::MYSQL_TYPE_TINY if unsigned => Self::Int16,
            ColumnType::MYSQL_TYPE_TINY => Self::Int8,
            ColumnType::MYSQL_TYPE_SHORT if unsigned => Self::Int32,
            ColumnType::MYSQL_TYPE_SHORT => Self::Int16,
            ColumnType::MYSQL_TYPE_INT24 | ColumnType::MYSQL_TYPE_LONG if unsigned => Self::Int64,
            ColumnType::MYSQL_TYPE_INT24 | ColumnType::MYSQL_TYPE_LONG => Self::Int32,
            ColumnType::MYSQL_TYPE_LONGLONG if unsigned => Self::UInt64,
            ColumnType::MYSQL_TYPE_LONGLONG => Self::Int64,
            ColumnType::MYSQL_TYPE_FLOAT => Self::Float32,
            ColumnType::MYSQL_TYPE_DOUBLE => Self::Float64,
            ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL => {
                let scale = i32::from(column.decimals());
                // Its length counts the sign and the point too.
                let extra = i32::from(!unsigned) + i32::from(scale > 0);
                let precision = i32::try_from(length).unwrap_or(65) - extra;
                match config.decimal_handling {
                    Some(DecimalHandling::Double) => Self::Double,
                    Some(DecimalHandling::String) => Self::Digits,
                    _ => Self::Decimal { scale, precision },
                }
            }
            ColumnType::MYSQL_TYPE_BIT if length == 1 && driver.booleans => Self::Boolean,
            ColumnType::MYSQL_TYPE_BIT if length <= 8 => Self::Bits,
            ColumnType::MYSQL_TYPE_BIT => Self::Bytes,
            ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE => Self::Date,
            ColumnType::MYSQL_TYPE_TIME | ColumnType::MYSQL_TYPE_TIME2 => Self::Time,
            ColumnType::MYSQL_TYPE_DATETIME
            | ColumnType::MYSQL_TYPE_DATETIME2
            | ColumnType::MYSQL_TYPE_TIMESTAMP
            | ColumnType::MYSQL_TYPE_TIMESTAMP2 => Self::DateTime(config.granularity),
            ColumnType::MYSQL_TYPE_YEAR if driver.year_is_date => Self::Year,
            ColumnType::MYSQL_TYPE_YEAR => Self::YearNumber,
            ColumnType::MYSQL_TYPE_GEOMETRY => Self::Bytes,
            ColumnType::MYSQL_TYPE_JSON => Self::Text,
            _ if binary
                && !column.flags().intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG) =>
            {
                Self::Bytes
            }
            _ => Self::Text,
        }
    }

    /// Connect's schema of it. Aiven's decimals do not tell their precision.
    pub(crate) fn schema(self, aiven: bool) -> Schema {
        match self {
            Self::Boolean => Schema::new(Type::Boolean),
            Self::Int8 | Self::Bits => Schema::new(Type::Int8),
            Self::Int16 | Self::YearNumber => Schema::new(Type::Int16),
            Self::Int32 => Schema::new(Type::Int32),
            Self::Int64 | Self::UInt64 => Schema::new(Type::Int64),
            Self::Float32 => Schema::new(Type::Float32),
            Self::Float64 | Self::Double => Schema::new(Type::Float64),
            Self::Decimal { scale, .. } if aiven => Schema::decimal(scale),
            Self::Decimal { scale, precision } => Schema::decimal(scale)
                .parameter(Text::from_static("connect.decimal.precision"), precision.to_string()),
            Self::Text | Self::Digits => Schema::new(Type::String),
            Self::Bytes => Schema::new(Type::Bytes),
            Self::Date | Self::Year => Schema::date(),
            Self::Time => Schema::time(),
            Self::DateTime(granularity) => match granularity {
                Granularity::ConnectLogical => Schema::timestamp(),
                Granularity::MicrosLong | Granularity::NanosLong => Schema::new(Type::Int64),
                _ => Schema::new(Type::String),
            },
        }
    }

    fn order(self) -> Order {
        match self {
            Self::Boolean | Self::Int8 | Self::Int16 | Self::Int32 | Self::Int64 | Self::UInt64 => {
                Order::Integer
            }
            Self::Float32 | Self::Float64 | Self::Decimal { .. } | Self::Double | Self::Digits => {
                Order::Number
            }
            Self::Text => Order::Text,
            Self::Date | Self::DateTime(_) | Self::Year => Order::Local,
            _ => Order::Other,
        }
    }
}

/// Whether a column holds instants, which are shown in the session's zone.
fn shown(column: &mysql_async::Column) -> bool {
    use ColumnType::{MYSQL_TYPE_TIMESTAMP, MYSQL_TYPE_TIMESTAMP2};
    matches!(column.column_type(), MYSQL_TYPE_TIMESTAMP | MYSQL_TYPE_TIMESTAMP2)
}

/// The smallest difference between two times of a column, in microseconds.
fn step(column: &mysql_async::Column) -> i64 {
    match (column.column_type(), column.decimals()) {
        (ColumnType::MYSQL_TYPE_DATE | ColumnType::MYSQL_TYPE_NEWDATE, _) => DAY,
        (ColumnType::MYSQL_TYPE_YEAR, _) => YEAR,
        (_, digits @ 0..=6) => 10_i64.pow(6 - u32::from(digits)),
        // Of an expression, whose digits are not known.
        _ => 1_000_000,
    }
}

/// The columns of a result.
pub(crate) fn columns(
    found: &[mysql_async::Column],
    config: &SourceConfig,
    driver: Driver,
) -> Vec<Column<Kind>> {
    let column = |column: &mysql_async::Column| {
        let ty = Kind::of(column, config, driver);
        Column {
            name: column.name_str().into_owned(),
            nullable: !column.flags().contains(ColumnFlags::NOT_NULL_FLAG),
            auto_increment: column.flags().contains(ColumnFlags::AUTO_INCREMENT_FLAG),
            order: if shown(column) { Order::Shown } else { ty.order() },
            step: step(column),
            ty,
        }
    };
    found.iter().map(column).collect()
}
