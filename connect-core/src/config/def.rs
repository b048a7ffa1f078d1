//! Connect's `ConfigDef`, derived from the JSON schema of a configuration struct.
//!
//! Name, type, default and choices come from the field; documentation from its doc comment; `x-importance`,
//! `x-group`, `x-order`, `x-width`, `x-display`, `x-default`, `x-any-case`, `x-exact-case`, `x-refusal` and `x-dependents` from `#[schemars(extend(...))]`.

use std::{
    any::TypeId,
    collections::HashMap,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use serde_json::Value as Json;

use super::{ConfigSpec, Invalid};

/// Connect's type of a configuration value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "names say it")]
pub enum ConfigType {
    Boolean,
    Int,
    Short,
    Long,
    Double,
    String,
    List,
    Password,
    Class,
}

impl ConfigType {
    /// As REST spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::String => "STRING",
            Self::List => "LIST",
            Self::Password => "PASSWORD",
            Self::Class => "CLASS",
        }
    }
}

/// Definition of one key.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigKey {
    /// Key, such as `poll.interval.ms`.
    pub name: String,
    /// Type.
    pub ty: ConfigType,
    /// Whether it must be given; what must not has a default, if only null.
    pub required: bool,
    /// Default as Connect prints it.
    pub default: Option<String>,
    /// `HIGH`, `MEDIUM` or `LOW`.
    pub importance: String,
    /// The field's doc comment.
    pub documentation: String,
    /// Heading under which tools show it.
    pub group: Option<String>,
    /// Position within the group, from 1; -1 without group.
    pub order: i32,
    /// `NONE`, `SHORT`, `MEDIUM` or `LONG`.
    pub width: String,
    /// Name to show.
    pub display_name: String,
    /// Keys whose meaning depends on this one.
    pub dependents: Vec<String>,
    /// Values to choose from; empty means any.
    pub choices: Vec<String>,
    /// Least value of a number.
    pub minimum: Option<i64>,
    /// Greatest value of a number.
    pub maximum: Option<i64>,
    /// Whether a string may not be empty.
    pub non_empty: bool,
    /// Whether the choices are shown as Connect shows those of its enumerations: in capitals, and taken in any case.
    pub any_case: bool,
    /// What is said of a value that is none of the choices, in place of Connect's `String must be one of`.
    pub refusal: Option<String>,
    /// Whether a choice counts only as it is written. Otherwise it is taken in any case, though Connect doesn't say so.
    pub exact_case: bool,
}

/// Definitions by type: making them takes longer than everything else that a request needs.
static KNOWN: LazyLock<Mutex<HashMap<TypeId, Arc<[ConfigKey]>>>> = LazyLock::new(Mutex::default);

/// The definitions of `T`'s fields, in their order; made once.
pub(super) fn shared<T: ConfigSpec>() -> Arc<[ConfigKey]> {
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = known().get(&TypeId::of::<T>()) {
        return Arc::clone(found);
    }
    let made: Arc<[ConfigKey]> = make::<T>().into();
    known().insert(TypeId::of::<T>(), Arc::clone(&made));
    made
}

/// The definitions of `T`'s fields, in their order.
pub fn config_def<T: ConfigSpec>() -> Vec<ConfigKey> {
    shared::<T>().to_vec()
}

fn make<T: ConfigSpec>() -> Vec<ConfigKey> {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let Some(properties) = schema["properties"].as_object() else { return Vec::new() };
    let mut orders = HashMap::<String, i32>::new();
    let mut keys = Vec::with_capacity(properties.len());
    for (name, property) in properties {
        let mut key = key(name, property, required.contains(&name.as_str()));
        if let Some(order) = property["x-order"].as_i64() {
            key.order = order as i32;
        } else if let Some(group) = &key.group {
            let order = orders.entry(group.clone()).or_default();
            *order += 1;
            key.order = *order;
        }
        keys.push(key);
    }
    keys
}

fn key(name: &str, property: &Json, required: bool) -> ConfigKey {
    let text = |key: &str| property[key].as_str().map(str::to_owned);
    // An `Option` of an enumeration is `anyOf` it and null.
    let inner = property["anyOf"].get(0).unwrap_or(property);
    let choices = choices(inner);
    let group = text("x-group");
    ConfigKey {
        name: name.to_owned(),
        ty: ty(property, inner),
        required,
        default: default(property.get("x-default").unwrap_or(&property["default"])),
        importance: text("x-importance").unwrap_or_else(|| "MEDIUM".into()),
        documentation: text("description").unwrap_or_default().replace('\n', " "),
        order: -1,
        width: text("x-width")
            .unwrap_or_else(|| if group.is_some() { "MEDIUM" } else { "NONE" }.into()),
        display_name: text("x-display").unwrap_or_else(|| name.to_owned()),
        dependents: strings(&property["x-dependents"]),
        group,
        minimum: inner["minimum"].as_i64(),
        maximum: inner["maximum"].as_i64(),
        non_empty: inner["minLength"].as_u64().is_some_and(|least| least > 0),
        any_case: property["x-any-case"].as_bool() == Some(true),
        exact_case: property["x-exact-case"].as_bool() == Some(true),
        refusal: text("x-refusal"),
        choices,
    }
}

fn ty(property: &Json, inner: &Json) -> ConfigType {
    let ty = inner["type"].as_str().or_else(|| inner["type"][0].as_str());
    match (ty, inner["format"].as_str()) {
        (Some("boolean"), _) => ConfigType::Boolean,
        (Some("integer"), Some("int16" | "uint16")) => ConfigType::Short,
        (Some("integer"), Some("int64" | "uint64")) => ConfigType::Long,
        (Some("integer"), _) => ConfigType::Int,
        (Some("number"), _) => ConfigType::Double,
        (Some("array"), _) => ConfigType::List,
        (_, Some("password")) => ConfigType::Password,
        (_, Some("class")) => ConfigType::Class,
        _ if property["x-class"].as_bool() == Some(true) => ConfigType::Class,
        _ => ConfigType::String,
    }
}

fn choices(inner: &Json) -> Vec<String> {
    let simple = strings(&inner["enum"]);
    if !simple.is_empty() {
        return simple;
    }
    // With doc comments on its variants, an enumeration is `oneOf` constants and lists of names.
    let variants = inner["oneOf"].as_array().into_iter().flatten();
    variants
        .flat_map(|variant| match variant["const"].as_str() {
            Some(name) => vec![name.to_owned()],
            None => strings(&variant["enum"]),
        })
        .collect()
}

fn strings(list: &Json) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned)).collect()
}

fn default(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        Json::Array(items) => {
            let items = items.iter().map(|item| item.as_str().unwrap_or_default());
            Some(items.collect::<Vec<_>>().join(","))
        }
        other => Some(other.to_string()),
    }
}

/// As `String.trim` of Java, and with it Connect's parser: control characters go too, other spaces stay.
pub fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

impl ConfigKey {
    /// An optional key without default, group and limits, of middling importance.
    pub fn new(name: impl Into<String>, ty: ConfigType, documentation: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            display_name: name.clone(),
            name,
            ty,
            required: false,
            default: None,
            importance: "MEDIUM".into(),
            documentation: documentation.into(),
            group: None,
            order: -1,
            width: "NONE".into(),
            dependents: Vec::new(),
            choices: Vec::new(),
            minimum: None,
            maximum: None,
            non_empty: false,
            any_case: false,
            exact_case: false,
            refusal: None,
        }
    }

    /// What is wrong with the given value, or with its absence.
    pub fn check(&self, value: Option<&String>) -> Option<Invalid> {
        self.check_type(value).or_else(|| self.check_value(value?))
    }

    /// Whether the value is there and of the key's type.
    pub fn check_type(&self, value: Option<&String>) -> Option<Invalid> {
        let name = &self.name;
        let Some(value) = value else {
            return self.required.then(|| Invalid::missing(name));
        };
        let text = java_trim(value);
        let number = || format!("Not a number of type {}", self.ty.name());
        let why = match self.ty {
            ConfigType::Boolean => {
                let known = text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false");
                (!known).then(|| "Expected value to be either true or false".to_owned())
            }
            ConfigType::Int => text.parse::<i32>().is_err().then(number),
            ConfigType::Short => text.parse::<i16>().is_err().then(number),
            ConfigType::Long => text.parse::<i64>().is_err().then(number),
            ConfigType::Double => text.parse::<f64>().is_err().then(number),
            ConfigType::String | ConfigType::List | ConfigType::Password | ConfigType::Class => {
                None
            }
        };
        why.map(|why| Invalid::value(name, value, &why))
    }

    /// Whether a value of the key's type is one that it takes: what Connect's validators say.
    fn check_value(&self, value: &str) -> Option<Invalid> {
        let text = java_trim(value);
        let number = text.parse::<i64>().ok();
        let chosen = |choice: &String| match self.exact_case {
            true => choice == text,
            false => choice.eq_ignore_ascii_case(text),
        };
        let why = match (self.minimum, self.maximum) {
            (Some(min), _) if number.is_some_and(|n| n < min) => {
                format!("Value must be at least {min}")
            }
            (_, Some(max)) if number.is_some_and(|n| n > max) => {
                format!("Value must be no more than {max}")
            }
            _ if self.ty != ConfigType::String => return None,
            // Connect's parser trims before its validators look.
            _ if self.non_empty && text.is_empty() => "String must be non-empty".to_owned(),
            _ if self.choices.is_empty() || self.choices.iter().any(chosen) => return None,
            // An optional choice that is not made.
            _ if text.is_empty()
                && !self.required
                && self.default.as_deref().is_none_or(str::is_empty) =>
            {
                return None;
            }
            _ if self.refusal.is_some() => self.refusal.clone().unwrap_or_default(),
            _ if self.any_case => format!(
                "String must be one of (case insensitive): {}",
                self.choices.join(", ").to_ascii_uppercase()
            ),
            _ => format!("String must be one of: {}", self.choices.join(", ")),
        };
        Some(Invalid::value(&self.name, text, &why))
    }

    /// The value as Connect prints it after parsing: null if it cannot be parsed, never a password.
    pub fn shown(&self, value: Option<&String>) -> Option<String> {
        let Some(value) = value else { return self.default.clone() };
        let text = java_trim(value);
        match self.ty {
            ConfigType::Boolean => {
                let text = text.to_ascii_lowercase();
                (text == "true" || text == "false").then_some(text)
            }
            ConfigType::Int => text.parse::<i32>().ok().map(|n| n.to_string()),
            ConfigType::Short => text.parse::<i16>().ok().map(|n| n.to_string()),
            ConfigType::Long => text.parse::<i64>().ok().map(|n| n.to_string()),
            ConfigType::Double => text.parse::<f64>().ok().map(|_| text.to_owned()),
            ConfigType::List if text.is_empty() => Some(String::new()),
            ConfigType::List => Some(text.split(',').map(str::trim).collect::<Vec<_>>().join(",")),
            ConfigType::Password => Some("[hidden]".to_owned()),
            ConfigType::String | ConfigType::Class => Some(text.to_owned()),
        }
    }
}
