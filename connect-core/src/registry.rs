//! The list of everything that a configuration may name: connectors, transformations, predicates, converters.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    config::{self, ConfigKey, Invalid, Properties},
    converter::{self, Converter, ConverterClass},
    error::Result,
    plugin::{self, Plugin},
    sink::SinkConnector,
    source::SourceConnector,
    transform::{self, DynPredicate, DynTransformation, Predicate, Transformation},
};

/// A class that builds a `T` from its configuration.
pub struct Class<T: ?Sized> {
    /// Its name.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    config_def: fn() -> Vec<ConfigKey>,
    validate: fn(&Properties) -> Vec<Invalid>,
    open: fn(&Properties) -> Result<Box<T>>,
}

impl<T: ?Sized> Clone for Class<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T: ?Sized> Copy for Class<T> {}

impl<T: ?Sized> Class<T> {
    /// Connect's `ConfigDef`.
    pub fn config_def(&self) -> Vec<ConfigKey> {
        (self.config_def)()
    }
    /// Checks what no single key shows. For properties of which every key is well by itself.
    pub fn validate(&self, properties: &Properties) -> Vec<Invalid> {
        (self.validate)(properties)
    }
    /// Builds one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::error::ErrorKind::Config), naming every bad key.
    pub fn open(&self, properties: &Properties) -> Result<Box<T>> {
        (self.open)(properties)
    }
}

fn class<T: ?Sized, C: config::ConfigSpec>(
    name: &'static str,
    version: &'static str,
    validate: fn(&Properties) -> Vec<Invalid>,
    open: fn(&Properties) -> Result<Box<T>>,
) -> Class<T> {
    Class { name, version, config_def: config::config_def::<C>, validate, open }
}

type Classes<T> = BTreeMap<&'static str, Class<T>>;

/// Explicit list of plugins; no link-time magic.
#[derive(Clone, Default)]
pub struct Registry {
    connectors: BTreeMap<&'static str, Vec<Arc<dyn Plugin>>>,
    transformations: Classes<dyn DynTransformation>,
    predicates: Classes<dyn DynPredicate>,
    converters: Classes<dyn Converter>,
    header_converters: Classes<dyn Converter>,
}

impl Registry {
    /// The converters, transformations and predicates of Apache Kafka itself.
    pub fn apache() -> Self {
        transform::register(converter::register(Self::default()))
    }
    /// Adds a source.
    #[must_use]
    pub fn source<C: SourceConnector>(self) -> Self {
        self.add(C::NAME, C::ALIASES, &plugin::source::<C>())
    }
    /// Adds a sink.
    #[must_use]
    pub fn sink<C: SinkConnector>(self) -> Self {
        self.add(C::NAME, C::ALIASES, &plugin::sink::<C>())
    }
    fn add(
        mut self,
        name: &'static str,
        aliases: &[&'static str],
        plugin: &Arc<dyn Plugin>,
    ) -> Self {
        for name in std::iter::once(name).chain(aliases.iter().copied()) {
            self.connectors.entry(name).or_default().push(Arc::clone(plugin));
        }
        self
    }
    /// Adds a transformation.
    #[must_use]
    pub fn transformation<T: Transformation>(mut self) -> Self {
        let class = class::<dyn DynTransformation, T::Config>(
            T::NAME,
            T::VERSION,
            |properties| config::parse(properties).map_or_else(|_| Vec::new(), |c| T::validate(&c)),
            |properties| Ok(Box::new(T::new(config::parse(properties)?)?)),
        );
        self.transformations.insert(T::NAME, class);
        self
    }
    /// Adds a predicate.
    #[must_use]
    pub fn predicate<P: Predicate>(mut self) -> Self {
        let class = class::<dyn DynPredicate, P::Config>(
            P::NAME,
            P::VERSION,
            |properties| config::parse(properties).map_or_else(|_| Vec::new(), |c| P::validate(&c)),
            |properties| Ok(Box::new(P::new(config::parse(properties)?)?)),
        );
        self.predicates.insert(P::NAME, class);
        self
    }
    /// Adds a converter, of keys and values and of headers.
    #[must_use]
    pub fn converter<C: ConverterClass>(mut self) -> Self {
        self.converters.insert(C::NAME, converter_class::<C>());
        self.header_converter::<C>()
    }
    /// Adds a converter of headers only.
    #[must_use]
    pub fn header_converter<C: ConverterClass>(mut self) -> Self {
        self.header_converters.insert(C::NAME, converter_class::<C>());
        self
    }
    /// Adds every plugin of another list.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        for (name, plugins) in other.connectors {
            self.connectors.entry(name).or_default().extend(plugins);
        }
        self.transformations.extend(other.transformations);
        self.predicates.extend(other.predicates);
        self.converters.extend(other.converters);
        self.header_converters.extend(other.header_converters);
        self
    }

    /// Every class name of a connector with the first of the plugins that answer to it, in alphabetical order.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, &dyn Plugin)> {
        self.connectors
            .iter()
            .filter_map(|(name, plugins)| Some((*name, plugins.first()?.as_ref())))
    }
    /// The full name of the connector meant by `class`.
    pub fn full_name(&self, class: &str) -> Option<&'static str> {
        let known = self.connectors.get_key_value(class).map(|(name, _)| *name);
        known.or_else(|| {
            self.connectors.keys().copied().find(|name| {
                let simple = name.rsplit('.').next().unwrap_or(name);
                simple == class || simple.strip_suffix("Connector") == Some(class)
            })
        })
    }
    /// The connector meant by `class`, which may be given without its package or without its `Connector` suffix.
    /// Where several share the name, the first that claims the properties, else the first.
    pub fn find(&self, class: &str, properties: &Properties) -> Option<Arc<dyn Plugin>> {
        let plugins = self.connectors.get(self.full_name(class)?)?;
        let claimed = plugins.iter().find(|plugin| plugin.claims(properties));
        claimed.or(plugins.first()).map(Arc::clone)
    }

    /// The transformations, in alphabetical order.
    pub fn transformations(&self) -> impl Iterator<Item = Class<dyn DynTransformation>> {
        self.transformations.values().copied()
    }
    /// The predicates, in alphabetical order.
    pub fn predicates(&self) -> impl Iterator<Item = Class<dyn DynPredicate>> {
        self.predicates.values().copied()
    }
    /// The converters of keys and values, in alphabetical order.
    pub fn converters(&self) -> impl Iterator<Item = Class<dyn Converter>> {
        self.converters.values().copied()
    }
    /// The converters of headers, in alphabetical order.
    pub fn header_converters(&self) -> impl Iterator<Item = Class<dyn Converter>> {
        self.header_converters.values().copied()
    }
    /// The transformation of this class; only its full name is known, as to the JVM.
    pub fn find_transformation(&self, class: &str) -> Option<Class<dyn DynTransformation>> {
        self.transformations.get(class).copied()
    }
    /// The predicate of this class; only its full name is known, as to the JVM.
    pub fn find_predicate(&self, class: &str) -> Option<Class<dyn DynPredicate>> {
        self.predicates.get(class).copied()
    }
    /// The converter of keys and values of this class, which may be given without its package.
    pub fn find_converter(&self, class: &str) -> Option<Class<dyn Converter>> {
        short(&self.converters, class)
    }
    /// The converter of headers of this class, which may be given without its package.
    pub fn find_header_converter(&self, class: &str) -> Option<Class<dyn Converter>> {
        short(&self.header_converters, class)
    }
}

fn converter_class<C: ConverterClass>() -> Class<dyn Converter> {
    class::<dyn Converter, C::Config>(
        C::NAME,
        C::VERSION,
        |properties| config::parse(properties).map_or_else(|_| Vec::new(), |c| C::validate(&c)),
        |properties| {
            let mut properties = properties.clone();
            // As `Converter.configure(configs, isKey)` adds it: whoever opens a converter of values need not say so.
            properties.entry("converter.type".into()).or_insert_with(|| "value".into());
            Ok(Box::new(C::new(config::parse(&properties)?)?))
        },
    )
}

fn short<T: ?Sized>(classes: &Classes<T>, class: &str) -> Option<Class<T>> {
    let named = classes.get(class);
    let found = named.or_else(|| {
        classes.values().find(|known| {
            let simple = known.name.rsplit('.').next().unwrap_or(known.name);
            simple == class || simple.strip_suffix("Converter") == Some(class)
        })
    });
    found.copied()
}
