//! What the columns that are read become.

use std::sync::Arc;

use connect_core::data::{Field, Schema, Text, Type as ConnectType};
use connectors_jdbc::source::{
    SourceConfig,
    keys::{DecimalHandling, Granularity, NumericMapping},
};
use tokio_postgres::types::Type;

use crate::catalog::PgType;

/// Scale of a numeric without declared scale, as the JVM's connector has it.
const UNCONSTRAINED_SCALE: i32 = 127;

/// What a column becomes, and how it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    /// The first of the bits.
    Bit,
    /// The digits of the bits.
    Bits,
    Int16,
    Int32,
    Int64,
    Oid,
    Float32,
    Float64,
    Money,
    Numeric {
        scale: i32,
        precision: i32,
    },
    /// A numeric that fits an integer of so many bytes.
    Whole(usize),
    /// A numeric as a double.
    Double,
    /// The digits of a numeric.
    Digits,
    /// A numeric with its own scale (`io.debezium.data.VariableScaleDecimal`).
    Variable,
    Text,
    Json,
    Jsonb,
    Uuid,
    Bytes,
    Date,
    /// In the zone of `db.timezone`.
    Time,
    Timetz,
    /// In the zone of `db.timezone`.
    Timestamp(Granularity),
    Timestamptz(Granularity),
    Array(Box<Kind>, usize),
    /// Addresses as they are shown, without the mask of a single one.
    Inet,
    /// Whatever has no type of its own in Connect: its text.
    AsText,
}

impl Kind {
    /// What a column of this type becomes.
    pub(crate) fn of(ty: &PgType, config: &SourceConfig) -> Self {
        if let Some((element, dimensions)) = &ty.element {
            return Self::Array(Box::new(Self::of(element, config)), *dimensions);
        }
        if ty.is_enum {
            return Self::Text;
        }
        match Type::from_oid(ty.oid) {
            Some(Type::BOOL) => Self::Boolean,
            Some(Type::BIT) if ty.modifier == 1 => Self::Bit,
            Some(Type::BIT | Type::VARBIT) => Self::Bits,
            Some(Type::INT2) => Self::Int16,
            Some(Type::INT4) => Self::Int32,
            Some(Type::INT8) => Self::Int64,
            Some(Type::OID) => Self::Oid,
            Some(Type::FLOAT4) => Self::Float32,
            Some(Type::FLOAT8) => Self::Float64,
            Some(Type::MONEY) => Self::Money,
            Some(Type::NUMERIC) => numeric(ty.modifier, config),
            Some(Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME) => Self::Text,
            Some(Type::JSON) => Self::Json,
            Some(Type::JSONB) => Self::Jsonb,
            Some(Type::UUID) => Self::Uuid,
            Some(Type::BYTEA) => Self::Bytes,
            Some(Type::DATE) => Self::Date,
            Some(Type::TIME) => Self::Time,
            Some(Type::TIMETZ) => Self::Timetz,
            Some(Type::TIMESTAMP) => Self::Timestamp(config.granularity),
            Some(Type::TIMESTAMPTZ) => Self::Timestamptz(config.granularity),
            Some(Type::INET) => Self::Inet,
            _ => Self::AsText,
        }
    }

    /// Connect's schema of it. Aiven's decimals do not tell their precision.
    pub(crate) fn schema(&self, aiven: bool) -> Schema {
        match self {
            Self::Boolean | Self::Bit => Schema::new(ConnectType::Boolean),
            Self::Whole(1) => Schema::new(ConnectType::Int8),
            Self::Int16 | Self::Whole(2) => Schema::new(ConnectType::Int16),
            Self::Int32 | Self::Whole(4) => Schema::new(ConnectType::Int32),
            Self::Int64 | Self::Oid | Self::Whole(_) => Schema::new(ConnectType::Int64),
            Self::Float32 => Schema::new(ConnectType::Float32),
            Self::Float64 | Self::Money | Self::Double => Schema::new(ConnectType::Float64),
            Self::Numeric { scale, .. } if aiven => Schema::decimal(*scale),
            Self::Numeric { scale, precision } => Schema::decimal(*scale)
                .parameter(Text::from_static("connect.decimal.precision"), precision.to_string()),
            Self::Variable => variable(),
            Self::Text
            | Self::Digits
            | Self::Json
            | Self::Jsonb
            | Self::Uuid
            | Self::Bits
            | Self::Inet
            | Self::AsText => Schema::new(ConnectType::String),
            Self::Bytes => Schema::new(ConnectType::Bytes),
            Self::Date => Schema::date(),
            Self::Time | Self::Timetz => Schema::time(),
            Self::Timestamp(granularity) | Self::Timestamptz(granularity) => match granularity {
                Granularity::ConnectLogical => Schema::timestamp(),
                Granularity::MicrosLong | Granularity::NanosLong => Schema::new(ConnectType::Int64),
                _ => Schema::new(ConnectType::String),
            },
            Self::Array(element, dimensions) => element.array(*dimensions, aiven),
        }
    }

    /// The schema of an array of these with so many dimensions, at least one.
    pub(crate) fn array(&self, dimensions: usize, aiven: bool) -> Schema {
        let mut schema = self.schema(aiven).optional(true);
        for _ in 1..dimensions {
            schema = Schema::new(ConnectType::Array(Arc::new(schema))).optional(true);
        }
        Schema::new(ConnectType::Array(Arc::new(schema)))
    }

    /// How a column stands in the SELECT: as it is where its binary form is read here, else as text.
    pub(crate) fn selected(&self, column: String) -> String {
        match self {
            Self::AsText => format!("{column}::text"),
            // A cast would add the mask.
            Self::Inet => format!("textin(inet_out({column}))"),
            Self::Money => format!("{column}::numeric"),
            Self::Array(element, _) => match **element {
                Self::AsText | Self::Inet => format!("{column}::text[]"),
                Self::Money => format!("{column}::numeric[]"),
                _ => column,
            },
            _ => column,
        }
    }
}

/// Debezium's structure of a number and its scale.
fn variable() -> Schema {
    let field =
        |name, ty| Field { name: Text::from_static(name), schema: Arc::new(Schema::new(ty)) };
    let fields = vec![field("scale", ConnectType::Int32), field("value", ConnectType::Bytes)];
    let schema = Schema::new(ConnectType::Struct(fields));
    Schema { version: Some(1), ..schema.named("io.debezium.data.VariableScaleDecimal") }
}

/// What a numeric becomes.
fn numeric(modifier: i32, config: &SourceConfig) -> Kind {
    match (mapped(modifier, config), config.decimal_handling) {
        (Kind::Numeric { .. }, Some(DecimalHandling::Double)) => Kind::Double,
        (Kind::Numeric { .. }, Some(DecimalHandling::String)) => Kind::Digits,
        (Kind::Numeric { .. }, Some(DecimalHandling::Precise)) if modifier < 4 => Kind::Variable,
        (kind, _) => kind,
    }
}

/// `JdbcSourceConnectorConfig.NumericMapping`, as `GenericDatabaseDialect.addFieldToSchema` applies it.
fn mapped(modifier: i32, config: &SourceConfig) -> Kind {
    let mapping = config.numeric();
    if modifier < 4 {
        // Of any size: cutting its fraction, as the JVM's does, would lose it.
        return Kind::Numeric { scale: UNCONSTRAINED_SCALE, precision: 0 };
    }
    // numeric(p,s): p in the upper 16 bits, s in the lower 11, signed.
    let packed = modifier - 4;
    let (precision, scale) = (packed >> 16, ((packed & 0x7ff) ^ 1024) - 1024);
    let decimal = Kind::Numeric { scale, precision };
    let whole = |digits| match digits {
        ..=2 => Kind::Whole(1),
        3..=4 => Kind::Whole(2),
        5..=9 => Kind::Whole(4),
        10..=18 => Kind::Whole(8),
        _ => Kind::Numeric { scale, precision },
    };
    match (mapping, scale) {
        (NumericMapping::None, _) => decimal,
        (_, 0) => whole(precision),
        (NumericMapping::BestFit, 1..) if precision <= 18 => Kind::Double,
        (NumericMapping::BestFitEagerDouble, 1..) => Kind::Double,
        (NumericMapping::BestFit | NumericMapping::BestFitEagerDouble, -84..0) => {
            whole(precision - scale)
        }
        _ => decimal,
    }
}
