//! JSON text to values, with a schema or without. Strings without escapes are slices of the message.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{error::Category, value::RawValue};

use crate::{
    data::{Decimal, Field, MAX_SCALE, Schema, Text, Type, Value, logical},
    error::{Error, Result},
};

fn parse<'m, S>(json: &'m [u8], seed: S) -> Result<S::Value>
where
    S: DeserializeSeed<'m>,
{
    // Looked at once as a whole, and not each string again.
    let text = std::str::from_utf8(json).map_err(malformed)?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer);
    value.and_then(|value| deserializer.end().map(|()| value)).map_err(|e| match e.classify() {
        // What our own visitors say.
        Category::Data => Error::data(e.to_string()),
        _ => malformed(e),
    })
}

fn malformed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::data("Converting byte[] to Kafka Connect data failed due to serialization error: ")
        .with_source(error)
}

/// Decodes `json`, a part of `message`, into a schemaless value; nothing is null. If it is an object, it is expected to have
/// as many `entries`.
pub(super) fn schemaless(message: &Bytes, json: &[u8], entries: usize) -> Result<Value> {
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Null);
    }
    parse(json, Free { message, entries })
}

/// Decodes `json`, a part of `message`, into a value of this schema.
pub(super) fn with_schema(
    schema: &Schema,
    message: &Bytes,
    json: &[u8],
    replace_null_with_default: bool,
) -> Result<Value> {
    parse(json, Typed { schema, message, replace_null_with_default })
}

/// A part of the envelope.
enum Part {
    Schema,
    Payload,
    Other,
}

/// The name of a part, which may be written with escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Part;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Part, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Part;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Part, E> {
        Ok(match name {
            "schema" => Part::Schema,
            "payload" => Part::Payload,
            _ => Part::Other,
        })
    }
}

/// The JSON texts of schema and payload, if the message is an object of just these.
pub(super) fn envelope(message: &[u8]) -> Result<Option<(&[u8], &[u8])>> {
    struct Envelope;
    impl<'m> Visitor<'m> for Envelope {
        type Value = Option<(&'m [u8], &'m [u8])>;
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object with schema and payload")
        }
        fn visit_map<A: MapAccess<'m>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let (mut schema, mut payload, mut other) = (None, None, false);
            while let Some(part) = map.next_key_seed(Name)? {
                let value = map.next_value::<&'m RawValue>()?.get().as_bytes();
                match part {
                    Part::Schema => schema = Some(value),
                    Part::Payload => payload = Some(value),
                    Part::Other => other = true,
                }
            }
            Ok(if other { None } else { schema.zip(payload) })
        }
    }
    // What opens no object is a value without envelope, if it is JSON or nothing at all.
    match message.iter().find(|b| !b.is_ascii_whitespace()) {
        Some(b'{') => {}
        None => return Ok(None),
        Some(_) => {
            let any = serde_json::from_slice::<serde::de::IgnoredAny>(message);
            return any.map(|_| None).map_err(malformed);
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(message);
    deserializer
        .deserialize_map(Envelope)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(malformed)
}

/// Whatever the JSON says.
#[derive(Clone, Copy)]
struct Free<'b> {
    message: &'b Bytes,
    /// As many as are expected in an object.
    entries: usize,
}

/// A slice of the message that serde_json has found to be UTF-8.
fn share(message: &Bytes, text: &str) -> Text {
    Text::try_from(message.slice_ref(text.as_bytes())).unwrap_or_default()
}

impl<'de> DeserializeSeed<'de> for Free<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Free<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Int64(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(i64::try_from(value).map_or_else(|_| Decimal::new(value, 0).into(), Value::Int64))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float64(value))
    }
    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value, E> {
        Ok(Value::String(share(self.message, text)))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.into()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Self { entries: 0, ..self })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let entries = Vec::with_capacity(self.entries);
        let mut object = Object { entries, ..Object::default() };
        while let Some(name) = map.next_key_seed(Key(self.message))? {
            object.put(name, map.next_value_seed(Self { entries: 0, ..self })?);
        }
        Ok(Value::Map(object.entries))
    }
}

/// The name of an entry.
#[derive(Clone, Copy)]
struct Key<'b>(&'b Bytes);

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Text;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key<'_> {
    type Value = Text;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Text, E> {
        Ok(share(self.0, name))
    }
    fn visit_str<E>(self, name: &str) -> Result<Text, E> {
        Ok(name.into())
    }
}

/// Entries of an object, of which the last of those with the same name counts.
#[derive(Default)]
struct Object {
    entries: Vec<(Value, Value)>,
    /// A bit for each name, by a cheap hash: as a rule it says that a name is new, and no other is looked at.
    seen: [u64; 4],
    /// Where each name stands, in a large object.
    places: HashMap<Text, usize>,
}

impl Object {
    fn put(&mut self, name: Text, value: Value) {
        match self.place(&name) {
            Some(place) => self.entries[place].1 = value,
            None => self.entries.push((Value::String(name), value)),
        }
    }

    /// Where the name stands already.
    fn place(&mut self, name: &Text) -> Option<usize> {
        const LARGE: usize = 128;
        let count = self.entries.len();
        if count < LARGE {
            let bytes = name.as_bytes();
            let ends = bytes.first().zip(bytes.last()).map_or(0, |(first, last)| {
                u32::from(*first).wrapping_mul(31) ^ u32::from(*last).wrapping_mul(131)
            });
            let hash = (ends ^ (bytes.len() as u32).wrapping_mul(17)) as usize % 256;
            let (word, bit) = (hash / 64, 1 << (hash % 64));
            let new = self.seen[word] & bit == 0;
            self.seen[word] |= bit;
            let same = |(key, _): &(Value, Value)| key.as_str() == Some(name);
            return if new { None } else { self.entries.iter().position(same) };
        }
        if self.places.is_empty() {
            let places = self.entries.iter().enumerate().filter_map(|(at, (key, _))| match key {
                Value::String(name) => Some((name.clone(), at)),
                _ => None,
            });
            self.places = places.collect();
        }
        let place = *self.places.entry(name.clone()).or_insert(count);
        (place < count).then_some(place)
    }
}

/// A value of a schema's type.
#[derive(Clone, Copy)]
struct Typed<'s> {
    schema: &'s Schema,
    message: &'s Bytes,
    replace_null_with_default: bool,
}

impl<'s> Typed<'s> {
    fn of(self, schema: &'s Schema) -> Self {
        Self { schema, ..self }
    }

    fn null<E: serde::de::Error>(self) -> Result<Value, E> {
        match &self.schema.default {
            Some(default) if self.replace_null_with_default => Ok(default.clone()),
            _ if self.schema.optional => Ok(Value::Null),
            _ => Err(E::custom(format_args!(
                "Invalid null value for required {} field",
                self.name()
            ))),
        }
    }

    fn name(self) -> &'static str {
        self.schema.ty.name()
    }

    fn integer<E: serde::de::Error>(self, n: i64) -> Result<Value, E> {
        let out_of_range = || E::custom(format_args!("{n} is out of the range of {}", self.name()));
        let i32 = || i32::try_from(n).map_err(|_| out_of_range());
        match (&self.schema.ty, self.schema.logical_name()) {
            (Type::Int32, Some(logical::DATE)) => {
                i32::try_from(n).map(Value::Date).map_err(|_| self.mismatch("NUMBER"))
            }
            (Type::Int32, Some(logical::TIME)) => {
                let time = i32().ok().filter(|_| (0..=logical::DAY_MILLIS).contains(&n));
                time.map(Value::Time).ok_or_else(|| {
                    E::custom(
                        "Time values must use number of milliseconds greater than 0 and less than 86400000",
                    )
                })
            }
            (Type::Int64, Some(logical::TIMESTAMP)) => Ok(Value::Timestamp(n)),
            (Type::Int8, _) => n.try_into().map(Value::Int8).map_err(|_| out_of_range()),
            (Type::Int16, _) => n.try_into().map(Value::Int16).map_err(|_| out_of_range()),
            (Type::Int32, _) => i32().map(Value::Int32),
            (Type::Int64, _) => Ok(Value::Int64(n)),
            _ => self.float(n as f64),
        }
    }

    fn float<E: serde::de::Error>(self, n: f64) -> Result<Value, E> {
        match self.schema.ty {
            Type::Float32 => Ok(Value::Float32(n as f32)),
            Type::Float64 => Ok(Value::Float64(n)),
            // A whole number may be written as a fraction; beyond 2^53 nobody knows which one was meant.
            Type::Int8 | Type::Int16 | Type::Int32 | Type::Int64
                if self.schema.logical_name().is_none()
                    && n.fract() == 0.0
                    && n.abs() <= (1i64 << 53) as f64 =>
            {
                self.integer(n as i64)
            }
            _ => Err(self.mismatch("NUMBER")),
        }
    }

    /// In the words of the JVM, as far as it minds.
    fn mismatch<E: serde::de::Error>(self, found: &str) -> E {
        let logical = |name: &str, what: &str| {
            let name = name.rsplit('.').next().unwrap_or(name);
            E::custom(format_args!(
                "Invalid type for {name}, underlying representation should be {what} but was {found}"
            ))
        };
        match (&self.schema.ty, self.schema.logical_name()) {
            (_, Some(name @ logical::DECIMAL)) => logical(name, "numeric or bytes"),
            (_, Some(name @ logical::TIMESTAMP)) => logical(name, "integral"),
            (_, Some(name)) => logical(name, "integer"),
            (Type::Struct(_), _) => E::custom(format_args!(
                "Structs should be encoded as JSON objects, but found {found}"
            )),
            (Type::Map(keys, _), _) if keys.ty == Type::String => E::custom(format_args!(
                "Maps with string fields should be encoded as JSON objects, but found {found}"
            )),
            (Type::Map(..), _) => E::custom(format_args!(
                "Maps with non-string fields should be encoded as JSON array of tuples, but found {found}"
            )),
            _ => E::custom(format_args!("Invalid type for {}: {found}", self.name())),
        }
    }

    fn text<E: serde::de::Error>(
        self,
        text: &str,
        share: impl FnOnce() -> Text,
    ) -> Result<Value, E> {
        match self.schema.ty {
            Type::String => Ok(Value::String(share())),
            Type::Bytes => BASE64
                .decode(text)
                .map(|b| Value::Bytes(b.into()))
                .map_err(|e| E::custom(format_args!("Invalid bytes field: {e}"))),
            Type::Float32 | Type::Float64 if matches!(text, "NaN" | "Infinity" | "-Infinity") => {
                let n = match text {
                    "NaN" => f64::NAN,
                    "Infinity" => f64::INFINITY,
                    _ => f64::NEG_INFINITY,
                };
                self.float(n)
            }
            _ => Err(self.mismatch("STRING")),
        }
    }

    /// A number or the base64 of the unscaled integer; the text of the number is needed, not its double.
    fn decimal<E: serde::de::Error>(self, raw: &str) -> Result<Value, E> {
        if raw == "null" {
            return self.null();
        }
        let scale = self.schema.scale();
        if scale.unsigned_abs() > MAX_SCALE {
            return Err(E::custom(format_args!("a Decimal of scale {scale}")));
        }
        let found = match raw.as_bytes().first() {
            Some(b'"') => {
                let bytes = BASE64.decode(raw.trim_matches('"'));
                let bytes = bytes
                    .map_err(|e| E::custom(format_args!("Invalid bytes for Decimal field: {e}")))?;
                return Ok(Decimal::from_bytes(&bytes, scale).into());
            }
            Some(b't' | b'f') => "BOOLEAN",
            Some(b'[') => "ARRAY",
            Some(b'{') => "OBJECT",
            // With the digits that it has, as in the JVM: to cut it to the scale would change it.
            _ => return raw.parse::<Decimal>().map(Value::from).map_err(E::custom),
        };
        Err(self.mismatch(found))
    }

    /// The float nearest to the text: that of the nearest double may be another.
    fn float32<E: serde::de::Error>(self, raw: &str) -> Option<Result<Value, E>> {
        let number = raw.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        number.then(|| raw.parse().map(Value::Float32).map_err(E::custom))
    }
}

impl<'de> DeserializeSeed<'de> for Typed<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.schema.logical_name() == Some(logical::DECIMAL) {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            return self.decimal(raw.get());
        }
        if self.schema.ty == Type::Float32 {
            let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
            return match self.float32(raw.get()) {
                Some(number) => number,
                None => serde_json::Deserializer::from_str(raw.get())
                    .deserialize_any(self)
                    .map_err(D::Error::custom),
            };
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Typed<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        self.null()
    }
    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Value, E> {
        match self.schema.ty {
            Type::Boolean => Ok(Value::Boolean(value)),
            _ => Err(self.mismatch("BOOLEAN")),
        }
    }
    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        self.integer(value)
    }
    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        let n = i64::try_from(value);
        self.integer(
            n.map_err(|_| E::custom(format_args!("{value} is out of the range of INT64")))?,
        )
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        self.float(value)
    }
    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Value, E> {
        self.text(text, || share(self.message, text))
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.text(text, || text.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        match &self.schema.ty {
            Type::Array(items) => {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element_seed(self.of(items))? {
                    values.push(value);
                }
                Ok(Value::Array(values))
            }
            Type::Map(keys, values) if keys.ty != Type::String => {
                let mut entries = Vec::new();
                while let Some(entry) =
                    seq.next_element_seed(Pair(self.of(keys), self.of(values)))?
                {
                    entries.push(entry);
                }
                Ok(Value::Map(entries))
            }
            _ => Err(self.mismatch("ARRAY")),
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        match &self.schema.ty {
            Type::Map(keys, values) if keys.ty == Type::String => {
                let mut object = Object::default();
                while let Some(key) = map.next_key_seed(Key(self.message))? {
                    object.put(key, map.next_value_seed(self.of(values))?);
                }
                Ok(Value::Map(object.entries))
            }
            Type::Struct(fields) => {
                let mut values: Vec<Option<Value>> = vec![None; fields.len()];
                let mut expected = 0;
                while let Some(position) = map.next_key_seed(Position { fields, expected })? {
                    match position {
                        Some(at) => {
                            let value = map.next_value_seed(self.of(&fields[at].schema));
                            values[at] = Some(value.map_err(|e| {
                                A::Error::custom(format_args!("field {}: {e}", fields[at].name))
                            })?);
                            expected = at + 1;
                        }
                        None => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                let values = values.into_iter().zip(fields).map(|(value, field)| match value {
                    Some(value) => Ok(value),
                    None => self.of(&field.schema).null().map_err(|e: A::Error| {
                        A::Error::custom(format_args!("field {}: {e}", field.name))
                    }),
                });
                values.collect::<Result<_, _>>().map(Value::Struct)
            }
            _ => Err(self.mismatch("OBJECT")),
        }
    }
}

/// The position of the field that is named next, if there is one.
struct Position<'s> {
    fields: &'s [Field],
    /// Fields come in the schema's order, as a rule.
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for Position<'_> {
    type Value = Option<usize>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Position<'_> {
    type Value = Option<usize>;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(match self.fields.get(self.expected) {
            Some(field) if field.name == name => Some(self.expected),
            _ => self.fields.iter().position(|field| field.name == name),
        })
    }
}

/// A map entry written as a list of two.
struct Pair<'s>(Typed<'s>, Typed<'s>);

impl<'de> DeserializeSeed<'de> for Pair<'_> {
    type Value = (Value, Value);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_> {
    type Value = (Value, Value);
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a map entry as a list of key and value")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let length = |found| {
            let message = "Found invalid map entry, expected length 2 but found :";
            A::Error::custom(format_args!("{message}{found}"))
        };
        let key = seq.next_element_seed(self.0)?.ok_or_else(|| length(0))?;
        let value = seq.next_element_seed(self.1)?.ok_or_else(|| length(1))?;
        let mut more = 0;
        while seq.next_element::<serde::de::IgnoredAny>()?.is_some() {
            more += 1;
        }
        if more > 0 { Err(length(2 + more)) } else { Ok((key, value)) }
    }
}
