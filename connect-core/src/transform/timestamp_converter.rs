//! `TimestampConverter`.

use std::{marker::PhantomData, sync::Arc};

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Fate, Transformation, keys,
    part::{Part, name_of_part},
    shape::{
        PerSchema, basics_of, class_name, entry, fields_of, put, renew, require_map,
        require_struct_of, shown, struct_of,
    },
    simple_date_format::SimpleDateFormat,
};
use crate::{
    CONNECT_VERSION,
    config::Invalid,
    data::{Field, Schema, Text, Type, Value, java, logical},
    error::{Error, Result},
    record::Record,
};

fn milliseconds() -> String {
    "milliseconds".to_owned()
}

/// Keys of [`TimestampConverter`].
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct TimestampConverterConfig {
    /// The field containing the timestamp, or empty if the entire value is a timestamp
    #[serde(default, deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    field: String,
    /// The desired timestamp representation: string, unix, Date, Time, or Timestamp
    #[serde(rename = "target.type", deserialize_with = "keys::trimmed")]
    #[schemars(extend("x-importance" = "HIGH"))]
    target: String,
    /// A SimpleDateFormat-compatible format for the timestamp. Used to generate the output when type=string or used
    /// to parse the input if the input is a string.
    #[serde(default, deserialize_with = "keys::trimmed")]
    format: String,
    /// The desired Unix precision for the timestamp: seconds, milliseconds, microseconds, or nanoseconds. Used to
    /// generate the output when type=unix or used to parse the input if the input is a Long. Note: This SMT will
    /// cause precision loss during conversions from, and to, values with sub-millisecond components.
    #[serde(
        rename = "unix.precision",
        default = "milliseconds",
        deserialize_with = "keys::trimmed"
    )]
    #[schemars(extend("x-importance" = "LOW"))]
    unix_precision: String,
    /// Whether to replace fields that have a default value and that are null to the default value. When set to
    /// true, the default value is used, otherwise null is used.
    #[serde(rename = "replace.null.with.default", default = "keys::yes")]
    replace_null_with_default: bool,
}

/// Converts points in time between text, numbers and Connect's types
/// (`org.apache.kafka.connect.transforms.TimestampConverter`).
pub(super) struct TimestampConverter<P> {
    /// None for the whole value.
    field: Option<Text>,
    conversion: Conversion,
    replace_null: bool,
    plans: PerSchema<Plan>,
    /// Schemas of the target, required and optional.
    targets: [Arc<Schema>; 2],
    part: PhantomData<P>,
}

struct Conversion {
    target: Form,
    format: Option<SimpleDateFormat>,
    /// Unit of numbers.
    precision: Precision,
}

#[derive(Debug, Clone, Copy)]
enum Precision {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

/// How a point in time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    String,
    Unix,
    Date,
    Time,
    Timestamp,
}

/// What becomes of the values of a schema.
struct Plan {
    schema: Arc<Schema>,
    /// Which field is converted, and how it is written; for a whole value, the field is 0.
    source: Option<(usize, Form)>,
}

const PURPOSE: &str = "converting timestamp formats";
const TARGETS: [&str; 5] = ["string", "unix", "Date", "Time", "Timestamp"];
const PRECISIONS: [&str; 4] = ["nanoseconds", "microseconds", "milliseconds", "seconds"];

fn format(config: &TimestampConverterConfig) -> Result<Option<SimpleDateFormat>, Invalid> {
    let pattern = &config.format;
    if pattern.is_empty() && config.target == "string" {
        let why = "TimestampConverter requires format option to be specified when using string timestamps";
        return Err(Invalid::new("format", why));
    }
    if pattern.is_empty() {
        return Ok(None);
    }
    SimpleDateFormat::new(pattern).map(Some).map_err(|e| {
        let what = "TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps";
        // Sic: the JVM gives the parts of its message to a constructor that takes a key and a value.
        let value = format!("java.lang.IllegalArgumentException: {e}");
        Invalid::new("format", format!("Invalid value {value} for configuration {what}: {pattern}"))
    })
}

impl<P: Part> Transformation for TimestampConverter<P> {
    const NAME: &'static str = name_of_part!(P, "TimestampConverter");
    const VERSION: &'static str = CONNECT_VERSION;
    type Config = TimestampConverterConfig;

    fn validate(config: &TimestampConverterConfig) -> Vec<Invalid> {
        let checks = [
            keys::one_of("target.type", &config.target, &TARGETS),
            keys::one_of("unix.precision", &config.unix_precision, &PRECISIONS),
        ];
        let mut invalid: Vec<_> = checks.into_iter().flatten().collect();
        if invalid.is_empty() {
            invalid.extend(format(config).err());
        }
        invalid
    }
    fn new(config: TimestampConverterConfig) -> Result<Self> {
        keys::none(Self::validate(&config))?;
        let format = format(&config).map_err(|invalid| Error::config(invalid.message()))?;
        let target = match config.target.as_str() {
            "string" => Form::String,
            "unix" => Form::Unix,
            "Date" => Form::Date,
            "Time" => Form::Time,
            _ => Form::Timestamp,
        };
        let precision = match config.unix_precision.as_str() {
            "seconds" => Precision::Seconds,
            "microseconds" => Precision::Micros,
            "nanoseconds" => Precision::Nanos,
            _ => Precision::Millis,
        };
        let schema = |optional| Arc::new(target.schema().optional(optional));
        Ok(Self {
            field: Some(config.field).filter(|field| !field.is_empty()).map(Text::from),
            conversion: Conversion { target, format, precision },
            replace_null: config.replace_null_with_default,
            plans: PerSchema::new(),
            targets: [schema(false), schema(true)],
            part: PhantomData,
        })
    }
    fn apply(&mut self, record: &mut Record, _: Option<i64>) -> Result<Fate> {
        let Self { field, conversion, replace_null, plans, targets, .. } = self;
        let (schema, value) = P::of(record);
        let Some(known) = schema else {
            match field {
                Some(field) if !value.is_null() => {
                    let entries = require_map(value, PURPOSE)?;
                    match entry(entries, field) {
                        Some(value) => conversion.convert_any(value)?,
                        // As in the JVM, a field that was missing is null afterwards.
                        None => put(entries, field, Value::Null),
                    }
                }
                _ => conversion.convert_any(value)?,
            }
            return Ok(Fate::Keep);
        };
        let Some(field) = field else {
            let form = Form::of(known)?;
            conversion.convert(value, form)?;
            *schema = Some(Arc::clone(&targets[usize::from(known.optional)]));
            return Ok(Fate::Keep);
        };
        if !matches!(value, Value::Null | Value::Struct(_)) {
            return Err(Error::data(format!(
                "Only Struct objects supported for [{PURPOSE}], found: {}",
                class_name(value)
            )));
        }
        let plan =
            plans.get(known, |schema| plan(schema, field, conversion, targets, *replace_null))?;
        if !value.is_null() {
            convert_struct(known, value, plan.source, conversion, *replace_null)?;
        }
        *schema = Some(Arc::clone(&plan.schema));
        Ok(Fate::Keep)
    }
}

fn convert_struct(
    schema: &Schema,
    value: &mut Value,
    source: Option<(usize, Form)>,
    conversion: &Conversion,
    replace_null: bool,
) -> Result<()> {
    let (fields, values) = require_struct_of(schema, value, PURPOSE)?;
    for (at, (field, value)) in fields.iter().zip(values).enumerate() {
        renew(field, value, replace_null)?;
        if let Some((_, form)) = source.filter(|(source, _)| *source == at) {
            conversion.convert(value, form)?;
        }
    }
    Ok(())
}

fn plan(
    schema: &Arc<Schema>,
    name: &Text,
    conversion: &Conversion,
    targets: &[Arc<Schema>; 2],
    replace_null: bool,
) -> Result<Plan> {
    let fields = fields_of(schema)?;
    let source = match fields.iter().position(|field| field.name == *name) {
        Some(at) => Some((at, Form::of(&fields[at].schema)?)),
        None => None,
    };
    let mut changed = fields.to_vec();
    if let Some((at, _)) = source {
        let optional = usize::from(fields[at].schema.optional);
        changed[at] = Field { name: name.clone(), schema: Arc::clone(&targets[optional]) };
    }
    let mut default = schema.default.clone();
    if let Some(default) = &mut default {
        convert_struct(schema, default, source, conversion, replace_null)?;
    }
    let basics = basics_of(schema, struct_of(changed)?);
    let schema = Arc::new(Schema { optional: schema.optional, default, ..basics });
    Ok(Plan { schema, source })
}

impl Form {
    /// How values of a schema are written.
    fn of(schema: &Schema) -> Result<Self> {
        match (schema.name.as_deref(), &schema.ty) {
            (Some(logical::TIMESTAMP), _) => Ok(Self::Timestamp),
            (Some(logical::DATE), _) => Ok(Self::Date),
            (Some(logical::TIME), _) => Ok(Self::Time),
            (_, Type::String) => Ok(Self::String),
            (_, Type::Int64) => Ok(Self::Unix),
            _ => Err(Error::data(format!(
                "Schema {} does not correspond to a known timestamp type format",
                shown(schema)
            ))),
        }
    }

    fn schema(self) -> Schema {
        match self {
            Self::String => Schema::new(Type::String),
            Self::Unix => Schema::new(Type::Int64),
            Self::Date => Schema::date(),
            Self::Time => Schema::time(),
            Self::Timestamp => Schema::timestamp(),
        }
    }
}

impl Conversion {
    /// Converts a value without schema.
    fn convert_any(&self, value: &mut Value) -> Result<()> {
        let form = match value {
            Value::Null => return Ok(()),
            Value::Date(_) | Value::Time(_) | Value::Timestamp(_) => Form::Timestamp,
            Value::Int64(_) => Form::Unix,
            Value::String(_) => Form::String,
            other => {
                return Err(Error::data(format!(
                    "TimestampConverter does not support {} objects as timestamps",
                    java::class(other)
                )));
            }
        };
        self.convert(value, form)
    }

    fn convert(&self, value: &mut Value, form: Form) -> Result<()> {
        if value.is_null() {
            return Ok(());
        }
        let millis = match (form, &*value) {
            (Form::String, Value::String(text)) => self.parse(text)?,
            (Form::Unix, Value::Int64(n)) => match self.precision {
                Precision::Seconds => n.saturating_mul(1000),
                Precision::Millis => *n,
                // Towards zero, as `TimeUnit` does it.
                Precision::Micros => n / 1000,
                Precision::Nanos => n / 1_000_000,
            },
            (Form::String | Form::Unix, other) => return Err(unexpected(form, other)),
            (_, other) => java::millis(other).ok_or_else(|| unexpected(form, other))?,
        };
        *value = self.written(millis);
        Ok(())
    }

    fn parse(&self, text: &str) -> Result<i64> {
        let Some(format) = &self.format else {
            return Err(Error::data("no format is configured to read text with"));
        };
        format.parse(text).ok_or_else(|| {
            Error::data(format!(
                "Could not parse timestamp: value ({text}) does not match pattern ({})",
                format.pattern()
            ))
        })
    }

    fn written(&self, millis: i64) -> Value {
        const DAY: i64 = 86_400_000;
        match (self.target, &self.format) {
            (Form::String, Some(format)) => Value::String(format.format(millis).into()),
            // Not reached: such a configuration is invalid.
            (Form::String, None) => Value::Null,
            (Form::Unix, _) => Value::Int64(match self.precision {
                Precision::Seconds => millis / 1000,
                Precision::Millis => millis,
                Precision::Micros => millis.saturating_mul(1000),
                Precision::Nanos => millis.saturating_mul(1_000_000),
            }),
            // A Connect date has 32 bits of days; Java cuts the others off.
            (Form::Date, _) => Value::Date(millis.div_euclid(DAY) as i32),
            (Form::Time, _) => Value::Time(millis.rem_euclid(DAY) as i32),
            (Form::Timestamp, _) => Value::Timestamp(millis),
        }
    }
}

fn unexpected(form: Form, value: &Value) -> Error {
    let expected = match form {
        Form::String => "Expected string timestamp to be a String",
        Form::Unix => "Expected Unix timestamp to be a Long",
        Form::Date => "Expected Date to be a java.util.Date",
        Form::Time => "Expected Time to be a java.util.Date",
        Form::Timestamp => "Expected Timestamp to be a java.util.Date",
    };
    Error::data(format!("{expected}, but found {}", java::class(value)))
}
