//! `Values.parseString`: the schema and the value that a text means.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, LazyLock},
};

use super::tokens::{Tokens, trim};
use crate::data::{
    Decimal, MAX_SCALE, Schema, Type, Value,
    calendar::{self, DAY},
    java,
};

/// Deeper arrays and maps are text: the stack is not for the sender of a header to fill.
const MAX_DEPTH: usize = 100;

/// The value that a text means, with its schema: a number of the smallest type that holds it, a boolean, a date, a
/// time or a timestamp, an array, a map, null, or else the text itself.
///
/// As in the JVM, what follows a value that is complete is not looked at: `1,2` is 1. An array or a map in which
/// the elements have no common type has no schema; the JVM's schema has no element type then.
pub fn parse(text: &str) -> (Option<Arc<Schema>>, Value) {
    if text.is_empty() {
        return (Some(shared(&STRING)), Value::String(text.into()));
    }
    let parsed = Parser { tokens: Tokens::new(text), depth: 0 }.value(false);
    match parsed {
        Ok(Some((shape, value))) => (shape.schema(), value),
        Ok(None) => (None, Value::Null),
        Err(Unparsable) => (Some(shared(&STRING)), Value::String(text.into())),
    }
}

type Shared = LazyLock<Arc<Schema>>;

/// One schema for each simple type, as converters look up what they know of a schema by its address.
fn shared(schema: &'static Shared) -> Arc<Schema> {
    Arc::clone(schema)
}

static STRING: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::String)));
static BOOLEAN: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::Boolean)));
static INT8: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::Int8)));
static INT16: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::Int16)));
static INT32: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::Int32)));
static INT64: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::Int64)));
static FLOAT32: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::Float32)));
static FLOAT64: Shared = LazyLock::new(|| Arc::new(Schema::new(Type::Float64)));
static DATE: Shared = LazyLock::new(|| Arc::new(Schema::date()));
static TIME: Shared = LazyLock::new(|| Arc::new(Schema::time()));
static TIMESTAMP: Shared = LazyLock::new(|| Arc::new(Schema::timestamp()));

/// A schema in which the type of an array's or a map's elements may be unknown.
#[derive(Clone)]
enum Shape {
    Of(Arc<Schema>),
    Array(Option<Box<Shape>>),
    Map(Option<Box<Shape>>, Option<Box<Shape>>),
}

impl Shape {
    fn schema(self) -> Option<Arc<Schema>> {
        let inner = |shape: Option<Box<Self>>| shape.and_then(|shape| shape.schema());
        let ty = match self {
            Self::Of(schema) => return Some(schema),
            Self::Array(items) => Type::Array(inner(items)?),
            Self::Map(keys, values) => Type::Map(inner(keys)?, inner(values)?),
        };
        Some(Arc::new(Schema::new(ty)))
    }

    /// Position among the numbers, which widen in this order.
    fn number(&self) -> Option<usize> {
        let Self::Of(schema) = self else { return None };
        match schema.ty {
            Type::Int8 => Some(0),
            Type::Int16 => Some(1),
            Type::Int32 => Some(2),
            Type::Int64 => Some(3),
            Type::Float32 => Some(4),
            Type::Float64 => Some(5),
            _ => None,
        }
    }

    fn same_type(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Of(a), Self::Of(b)) => a.ty == b.ty,
            (Self::Array(_), Self::Array(_)) | (Self::Map(..), Self::Map(..)) => true,
            _ => false,
        }
    }

    /// The value as this type, as far as it is not that already.
    fn align(&self, value: Value) -> Result<Value> {
        let Self::Of(schema) = self else { return required(value) };
        let logical = schema.logical_name().is_some();
        let integer = || match value {
            Value::Int8(n) => Ok(i64::from(n)),
            Value::Int16(n) => Ok(i64::from(n)),
            Value::Int32(n) => Ok(i64::from(n)),
            Value::Int64(n) => Ok(n),
            _ => Err(Unparsable),
        };
        let double = || match value {
            Value::Float32(n) => Ok(f64::from(n)),
            Value::Float64(n) => Ok(n),
            _ => integer().map(|n| n as f64),
        };
        // Only wider types come here: nothing is cut.
        Ok(match schema.ty {
            Type::Int8 => Value::Int8(integer()? as i8),
            Type::Int16 => Value::Int16(integer()? as i16),
            Type::Int32 if !logical => Value::Int32(integer()? as i32),
            Type::Int32 if java::millis(&value).is_some() => value,
            Type::Int32 if Arc::ptr_eq(schema, &DATE) => Value::Date(integer()? as i32),
            Type::Int32 => match integer()? {
                millis @ 0..=DAY => Value::Time(millis as i32),
                _ => return Err(Unparsable),
            },
            Type::Int64 if logical => {
                Value::Timestamp(java::millis(&value).map_or_else(integer, Ok)?)
            }
            Type::Int64 => Value::Int64(integer()?),
            Type::Float32 => Value::Float32(double()? as f32),
            Type::Float64 => Value::Float64(double()?),
            _ => return required(value),
        })
    }
}

fn required(value: Value) -> Result<Value> {
    if value.is_null() { Err(Unparsable) } else { Ok(value) }
}

/// The type that holds all the elements seen.
#[derive(Default)]
struct Common {
    shape: Option<Shape>,
    conflict: bool,
}

impl Common {
    fn merge(&mut self, latest: Option<&Shape>) {
        let (Some(latest), false) = (latest, self.conflict) else { return };
        self.shape = match self.shape.take() {
            None => Some(latest.clone()),
            Some(known) if known.same_type(latest) => Some(latest.clone()),
            Some(known) => match (known.number(), latest.number()) {
                (Some(a), Some(b)) => Some(if a > b { known } else { latest.clone() }),
                _ => None,
            },
        };
        self.conflict = self.shape.is_none();
    }
}

/// The text is no such array or map.
struct Unparsable;
type Result<T> = std::result::Result<T, Unparsable>;
/// None is null.
type Parsed = Option<(Shape, Value)>;

fn of(schema: &'static Shared, value: Value) -> (Shape, Value) {
    (Shape::Of(shared(schema)), value)
}

struct Parser<'t> {
    tokens: Tokens<'t>,
    depth: usize,
}

impl<'t> Parser<'t> {
    fn value(&mut self, embedded: bool) -> Result<Parsed> {
        if !self.tokens.has_next() {
            return Ok(None);
        }
        if embedded && self.tokens.consume("\"") {
            return Ok(Some(self.quoted()));
        }
        if self.literal(embedded, "null") {
            return Ok(None);
        }
        for (literal, value) in [("true", true), ("false", false)] {
            if self.literal(embedded, literal) {
                return Ok(Some(of(&BOOLEAN, Value::Boolean(value))));
            }
        }
        let start = self.tokens.mark();
        if self.depth < MAX_DEPTH {
            self.depth += 1;
            let nested = if self.tokens.consume("[") {
                Some(self.array())
            } else if self.tokens.consume("{") {
                Some(self.map())
            } else {
                None
            };
            self.depth -= 1;
            match nested {
                Some(Ok(nested)) => return Ok(Some(nested)),
                Some(Err(Unparsable)) => self.tokens.rewind(start),
                None => {}
            }
        }
        let token = self.tokens.next();
        let trimmed = trim(token);
        if trimmed.is_empty() {
            return Ok(Some(of(&STRING, Value::String(token.into()))));
        }
        self.scalar(embedded, trimmed).map(Some)
    }

    /// A word that is all there is, unless it is embedded: `true}` is text.
    fn literal(&mut self, embedded: bool, literal: &str) -> bool {
        let start = self.tokens.mark();
        if self.tokens.consume(literal) && (embedded || !self.tokens.has_next()) {
            return true;
        }
        self.tokens.rewind(start);
        false
    }

    fn scalar(&mut self, embedded: bool, token: &'t str) -> Result<(Shape, Value)> {
        let digit = token.starts_with(|c: char| c.is_ascii_digit());
        if digit && let Some(temporal) = self.split_temporal(token) {
            return Ok(temporal);
        }
        if (digit || token.starts_with(['+', '-']))
            && let Some(number) = number(token)
        {
            return Ok(number);
        }
        if embedded {
            return Err(Unparsable);
        }
        Ok(of(&STRING, Value::String(self.tokens.text.into())))
    }

    /// The colons of a time are delimiters: it comes as five tokens.
    fn split_temporal(&mut self, token: &'t str) -> Option<(Shape, Value)> {
        let start = self.tokens.mark();
        if let Some(rest) = self.tokens.take(4)
            && token.len() + rest.len() <= MAX_TEMPORAL
            && let Some(found) = temporal(&[token, rest].concat())
        {
            return Some(found);
        }
        self.tokens.rewind(start);
        temporal(token)
    }

    fn quoted(&mut self) -> (Shape, Value) {
        let mut content = String::new();
        while self.tokens.has_next() && !self.tokens.consume("\"") {
            content.push_str(self.tokens.next());
        }
        temporal(&content).unwrap_or_else(|| of(&STRING, Value::String(content.into())))
    }

    fn array(&mut self) -> Result<(Shape, Value)> {
        let (mut items, mut common) = (Vec::new(), Common::default());
        while self.tokens.has_next() {
            if self.tokens.consume("]") {
                let Some(shape) = common.shape else {
                    return Ok((Shape::Array(None), Value::Array(items)));
                };
                let items = items.into_iter().map(|item| shape.align(item));
                let items = items.collect::<Result<_>>()?;
                return Ok((Shape::Array(Some(Box::new(shape))), Value::Array(items)));
            }
            if self.tokens.consume(",") {
                return Err(Unparsable);
            }
            let (shape, item) = self.value(true)?.unzip();
            common.merge(shape.as_ref());
            items.push(item.unwrap_or_default());
            let mark = self.tokens.mark();
            if self.tokens.consume("]") {
                self.tokens.rewind(mark);
            } else if !self.tokens.consume(",") {
                return Err(Unparsable);
            }
        }
        Err(Unparsable)
    }

    fn map(&mut self) -> Result<(Shape, Value)> {
        let mut entries = Entries::default();
        let (mut keys, mut values) = (Common::default(), Common::default());
        while self.tokens.has_next() {
            if self.tokens.consume("}") {
                let (key, value) = match (keys.shape, values.shape) {
                    (None, _) => return Ok((Shape::Map(None, None), entries.value())),
                    (Some(key), value) => (key, value),
                };
                let mut aligned = Entries::default();
                for (k, v) in entries.list {
                    let v = value.as_ref().map_or(Ok(v.clone()), |shape| shape.align(v));
                    aligned.put(key.align(k)?, v?);
                }
                let shape = Shape::Map(Some(Box::new(key)), value.map(Box::new));
                return Ok((shape, aligned.value()));
            }
            if self.tokens.consume(",") {
                return Err(Unparsable);
            }
            let (key_shape, key) = self.value(true)?.ok_or(Unparsable)?;
            if !self.tokens.consume(":") {
                return Err(Unparsable);
            }
            let (value_shape, value) = self.value(true)?.unzip();
            entries.put(key, value.unwrap_or_default());
            self.tokens.consume(",");
            keys.merge(Some(&key_shape));
            values.merge(value_shape.as_ref());
        }
        Err(Unparsable)
    }
}

/// `LinkedHashMap`: a key that comes again keeps its place and gets the new value.
#[derive(Default)]
struct Entries {
    list: Vec<(Value, Value)>,
    /// Place of each key, by its debug form: like Java's `equals`, that tells a byte from a short.
    places: HashMap<String, usize>,
}

impl Entries {
    fn put(&mut self, key: Value, value: Value) {
        match self.places.entry(format!("{key:?}")) {
            Entry::Occupied(place) => self.list[*place.get()].1 = value,
            Entry::Vacant(place) => {
                place.insert(self.list.len());
                self.list.push((key, value));
            }
        }
    }
    fn value(self) -> Value {
        Value::Map(self.list)
    }
}

fn number(token: &str) -> Option<(Shape, Value)> {
    let decimal = Decimal::of_java(token)?;
    if let Some(n) = decimal.to_i64() {
        let int8 = i8::try_from(n).map(|n| of(&INT8, Value::Int8(n)));
        let int16 = || i16::try_from(n).map(|n| of(&INT16, Value::Int16(n)));
        let int32 = || i32::try_from(n).map(|n| of(&INT32, Value::Int32(n)));
        let number = int8.or_else(|_| int16()).or_else(|_| int32());
        return Some(number.unwrap_or_else(|_| of(&INT64, Value::Int64(n))));
    }
    if decimal.scale() != 0 {
        let float = token.parse::<f32>().ok().filter(|n| n.is_finite());
        let float = float.map(|n| of(&FLOAT32, Value::Float32(n)));
        let double = || token.parse::<f64>().ok().filter(|n| n.is_finite());
        let number = float.or_else(|| double().map(|n| of(&FLOAT64, Value::Float64(n))));
        if number.is_some() {
            return number;
        }
    }
    // With a larger exponent it stays text: written out, it would fill the memory.
    (decimal.scale().unsigned_abs() <= MAX_SCALE).then(|| {
        let schema = Schema::decimal(decimal.scale());
        (Shape::Of(Arc::new(schema)), decimal.into())
    })
}

/// Most bytes that a text of 24 UTF-16 units, with as many escapes, can have.
const MAX_TEMPORAL: usize = 24 * 4;

/// A time, a timestamp or a date, told by the length of the text.
fn temporal(token: &str) -> Option<(Shape, Value)> {
    if token.len() > MAX_TEMPORAL {
        return None;
    }
    let token = token.replace("\\:", ":");
    match token.encode_utf16().count() {
        13 => {
            let millis = calendar::parse("HH:mm:ss.SSSZ", &token)?;
            Some(of(&TIME, Value::Time(millis.try_into().ok()?)))
        }
        24 => {
            let millis = calendar::parse("yyyy-MM-ddTHH:mm:ss.SSSZ", &token)?;
            Some(of(&TIMESTAMP, Value::Timestamp(millis)))
        }
        10 => {
            let millis = calendar::parse("yyyy-MM-dd", &token)?;
            Some(of(&DATE, Value::Date((millis / DAY).try_into().ok()?)))
        }
        _ => None,
    }
}
