//! A serde deserializer of string properties: each value becomes whatever type its field asks for.

use serde::{
    Deserializer,
    de::{self, IntoDeserializer, value::MapDeserializer},
};

use super::{ConfigSpec, Properties};
use crate::error::{Error, Result};

/// Deserializes `T`; keys that `T` doesn't know are ignored.
pub(super) fn deserialize<T: ConfigSpec>(properties: &Properties) -> Result<T> {
    let entries = properties.iter().map(|(key, text)| (key.as_str(), Scalar { key, text }));
    let map = MapDeserializer::<_, de::value::Error>::new(entries);
    T::deserialize(map).map_err(|e| Error::config(e.to_string()))
}

#[derive(Clone, Copy)]
struct Scalar<'a> {
    key: &'a str,
    text: &'a str,
}

macro_rules! parse_as {
    ($($method:ident => $visit:ident: $ty:ty),* $(,)?) => {$(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            let Self { key, text } = self;
            let value = text.trim().parse::<$ty>().map_err(|_| {
                de::Error::custom(format_args!(
                    "Invalid value {text} for configuration {key}: not a {}", stringify!($ty)
                ))
            })?;
            visitor.$visit(value)
        }
    )*};
}

impl<'de> Deserializer<'de> for Scalar<'de> {
    type Error = de::value::Error;
    fn deserialize_any<V: de::Visitor<'de>>(self, v: V) -> Result<V::Value, Self::Error> {
        v.visit_borrowed_str(self.text)
    }
    parse_as! {
        deserialize_f64 => visit_f64: f64,
        deserialize_i16 => visit_i16: i16, deserialize_i32 => visit_i32: i32,
        deserialize_i64 => visit_i64: i64, deserialize_u16 => visit_u16: u16,
        deserialize_u32 => visit_u32: u32, deserialize_u64 => visit_u64: u64,
    }
    fn deserialize_bool<V: de::Visitor<'de>>(self, v: V) -> Result<V::Value, Self::Error> {
        v.visit_bool(self.text.trim().eq_ignore_ascii_case("true"))
    }
    fn deserialize_option<V: de::Visitor<'de>>(self, v: V) -> Result<V::Value, Self::Error> {
        if self.text.is_empty() { v.visit_none() } else { v.visit_some(self) }
    }
    fn deserialize_seq<V: de::Visitor<'de>>(self, v: V) -> Result<V::Value, Self::Error> {
        let items = self.text.split(',').map(str::trim).filter(|text| !text.is_empty());
        v.visit_seq(de::value::SeqDeserializer::new(items.map(|text| Self { text, ..self })))
    }
    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Self::Error> {
        let text = self.text.trim();
        // Connect's enumerations take any case.
        let text = variants.iter().find(|v| v.eq_ignore_ascii_case(text)).map_or(text, |v| v);
        let variant: de::value::StrDeserializer<'_, Self::Error> = text.into_deserializer();
        v.visit_enum(variant).map_err(|e| de::Error::custom(format_args!("{}: {e}", self.key)))
    }
    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        _: &'static str,
        v: V,
    ) -> Result<V::Value, Self::Error> {
        v.visit_newtype_struct(self)
    }
    serde::forward_to_deserialize_any! {
        i8 i128 u8 u128 f32 char str string bytes byte_buf unit unit_struct tuple
        tuple_struct map struct identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, de::value::Error> for Scalar<'de> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}
