//! Config providers: `${provider:path:key}` in a configuration stands for a value that is kept elsewhere (KIP-297).
//! Resolved where a value is used; what is stored and shown is the variable.

use std::{
    collections::BTreeMap,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use connect_core::{
    config::Properties,
    error::{Error, Result},
};
use regex::Regex;

use crate::config::{Worker, below};

/// The providers that the worker's configuration names.
#[derive(Debug, Default)]
pub(crate) struct Providers(BTreeMap<String, Provider>);

#[derive(Debug)]
enum Provider {
    /// A properties file (`FileConfigProvider`).
    File(Allowed),
    /// A directory with a file for each key (`DirectoryConfigProvider`).
    Directory(Allowed),
    /// The environment (`EnvVarConfigProvider`).
    Environment(Option<Regex>),
}

/// Where a provider may read (`allowed.paths`, KIP-993); nothing means anywhere.
#[derive(Debug)]
struct Allowed(Option<Vec<PathBuf>>);

impl Allowed {
    fn parse(parameters: &Properties) -> Result<Self> {
        let Some(paths) = parameters.get("allowed.paths").filter(|text| !text.trim().is_empty())
        else {
            return Ok(Self(None));
        };
        let canonical = |path: &str| {
            std::fs::canonicalize(path.trim())
                .map_err(|e| bad("allowed.paths", path, "not a path that exists").with_source(e))
        };
        paths.split(',').map(canonical).collect::<Result<_>>().map(|all| Self(Some(all)))
    }

    /// The path with `..` and links resolved.
    fn check(&self, path: &Path) -> Result<PathBuf> {
        let failed = |e| {
            Error::config(format!("Could not read properties from file {}", path.display()))
                .with_source(e)
        };
        let real = std::fs::canonicalize(path).map_err(failed)?;
        match &self.0 {
            Some(allowed) if !allowed.iter().any(|root| real.starts_with(root)) => {
                Err(Error::config(format!("The path {} is not permitted", path.display())))
            }
            _ => Ok(real),
        }
    }
}

fn bad(key: &str, value: &str, why: &str) -> Error {
    Error::config(format!("Invalid value {value} for configuration {key}: {why}"))
}

impl Providers {
    /// The providers of a worker.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config) for a class that is not known or a bad
    /// parameter.
    pub(crate) fn open(worker: &Worker) -> Result<Self> {
        let mut providers = BTreeMap::new();
        for name in &worker.config.config_providers {
            let prefix = format!("config.providers.{name}.");
            let own = below(&worker.properties, &prefix);
            let parameters = below(&own, "param.");
            let class = own.get("class").map(String::as_str).unwrap_or_default();
            let provider = match class.rsplit('.').next().unwrap_or(class) {
                "FileConfigProvider" => Provider::File(Allowed::parse(&parameters)?),
                "DirectoryConfigProvider" => Provider::Directory(Allowed::parse(&parameters)?),
                "EnvVarConfigProvider" => {
                    let pattern = parameters.get("allowlist.pattern");
                    let compiled = pattern.map(|text| {
                        Regex::new(&format!("^(?:{text})$")).map_err(|e| {
                            bad("allowlist.pattern", text, "not a regular expression")
                                .with_source(e)
                        })
                    });
                    Provider::Environment(compiled.transpose()?)
                }
                _ => {
                    let known = "it must be one of FileConfigProvider, DirectoryConfigProvider, \
                                 EnvVarConfigProvider of org.apache.kafka.common.config.provider";
                    return Err(bad(&format!("{prefix}class"), class, known));
                }
            };
            providers.insert(name.clone(), provider);
        }
        Ok(Self(providers))
    }

    /// Whether a value refers to a provider, known or not.
    pub(crate) fn has_variable(value: &str) -> bool {
        value.find("${").is_some_and(|at| value[at..].contains(':') && value[at..].contains('}'))
    }

    /// A configuration with the values in place of the variables.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](connect_core::error::ErrorKind::Config), naming the key and the variable.
    pub(crate) fn resolve_all(&self, config: &Properties) -> Result<Properties> {
        let resolved = config.iter().map(|(key, value)| {
            let resolved = self.resolve(value).map_err(|error| error.context("key", key))?;
            Ok((key.clone(), resolved))
        });
        resolved.collect()
    }

    /// A value with what the variables in it stand for. A provider that the worker doesn't have is left alone, as
    /// by the JVM.
    pub(crate) fn resolve(&self, value: &str) -> Result<String> {
        let mut resolved = String::with_capacity(value.len());
        let mut rest = value;
        while let Some(start) = rest.find("${") {
            let (before, variable) = rest.split_at(start);
            resolved.push_str(before);
            let Some(end) = variable.find('}') else {
                rest = variable;
                break;
            };
            let (whole, after) = variable.split_at(end + 1);
            match self.lookup(&whole[2..end]) {
                Some(found) => resolved.push_str(&found.map_err(|e| e.context("variable", whole))?),
                None => resolved.push_str(whole),
            }
            rest = after;
        }
        resolved.push_str(rest);
        Ok(resolved)
    }

    fn lookup(&self, variable: &str) -> Option<Result<String>> {
        let (name, rest) = variable.split_once(':')?;
        let provider = self.0.get(name)?;
        let (path, key) = rest.split_once(':').unwrap_or(("", rest));
        Some(provider.get(path, key))
    }
}

impl Provider {
    fn get(&self, path: &str, key: &str) -> Result<String> {
        let found = match self {
            Self::File(allowed) => {
                let real = allowed.check(Path::new(path))?;
                let failed =
                    || Error::config(format!("Could not read properties from file {path}"));
                let file = File::open(&real).map_err(|e| failed().with_source(e))?;
                let mut all = java_properties::read(BufReader::new(file))
                    .map_err(|e| failed().with_source(e))?;
                all.remove(key)
            }
            Self::Directory(allowed) => {
                // A key is the name of a file in the directory, never a path.
                let plain = Path::new(key).file_name().is_some_and(|name| name == key);
                if !plain {
                    return Err(Error::config("The key must be the name of a file"));
                }
                let real = allowed.check(&Path::new(path).join(key))?;
                Some(std::fs::read_to_string(&real).map_err(|e| {
                    Error::config(format!("Could not read file {path}/{key}")).with_source(e)
                })?)
            }
            Self::Environment(allowed) => {
                let may = allowed.as_ref().is_none_or(|pattern| pattern.is_match(key));
                may.then(|| std::env::var(key).ok()).flatten()
            }
        };
        found.ok_or_else(|| Error::config("The config provider has no such key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(pairs: &[(&str, &str)]) -> Result<Providers> {
        let properties = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Providers::open(&Worker::parse(properties).unwrap())
    }

    const PACKAGE: &str = "org.apache.kafka.common.config.provider.";

    #[test]
    fn values_come_from_files_directories_and_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secrets.properties");
        std::fs::write(&file, "db.password=s3cret\n").unwrap();
        std::fs::write(dir.path().join("token"), "abc").unwrap();
        let providers = providers(&[
            ("config.providers", "file,dir,env"),
            ("config.providers.file.class", &format!("{PACKAGE}FileConfigProvider")),
            ("config.providers.dir.class", &format!("{PACKAGE}DirectoryConfigProvider")),
            ("config.providers.env.class", &format!("{PACKAGE}EnvVarConfigProvider")),
            ("config.providers.env.param.allowlist.pattern", "CARGO_PKG_N.*"),
        ])
        .unwrap();
        let path = file.display();
        let resolve = |text: &str| providers.resolve(text).unwrap();
        assert_eq!(resolve(&format!("a${{file:{path}:db.password}}b")), "as3cretb");
        assert_eq!(resolve(&format!("${{dir:{}:token}}", dir.path().display())), "abc");
        assert_eq!(resolve("${env:CARGO_PKG_NAME}"), "connect-core-runtime");
        assert_eq!(resolve("${other:x:y} ${ $1"), "${other:x:y} ${ $1");
        for wrong in [
            format!("${{file:{path}:missing}}"),
            "${file:/no/such/file:key}".to_owned(),
            format!("${{dir:{}:../secrets.properties}}", dir.path().display()),
            "${env:PATH}".to_owned(),
        ] {
            let error = providers.resolve(&wrong).unwrap_err().to_string();
            assert!(error.contains(&wrong), "{error}");
        }
    }

    #[test]
    fn only_allowed_paths_are_read() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for dir in [&inside, &outside] {
            std::fs::write(dir.path().join("f"), "k=v\n").unwrap();
        }
        let allowed = inside.path().display().to_string();
        let providers = providers(&[
            ("config.providers", "file"),
            ("config.providers.file.class", &format!("{PACKAGE}FileConfigProvider")),
            ("config.providers.file.param.allowed.paths", &allowed),
        ])
        .unwrap();
        assert_eq!(providers.resolve(&format!("${{file:{allowed}/f:k}}")).unwrap(), "v");
        let sneaky = format!(
            "${{file:{allowed}/../{}/f:k}}",
            outside.path().file_name().unwrap().to_str().unwrap()
        );
        let error = providers.resolve(&sneaky).unwrap_err().to_string();
        assert!(error.contains("is not permitted"), "{error}");
    }

    #[test]
    fn an_unknown_class_is_refused() {
        let error = providers(&[
            ("config.providers", "vault"),
            ("config.providers.vault.class", "com.example.Vault"),
        ]);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("com.example.Vault") && error.contains("FileConfigProvider"));
    }
}
