//! Reading docker-compose.yml: what each service is given, so that tests run programs on exactly that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

/// A compose file.
#[derive(Debug)]
pub struct Compose {
    /// Its services by name.
    pub services: BTreeMap<String, Service>,
}

/// A service, as far as running it without containers needs it.
#[derive(Debug)]
pub struct Service {
    /// Image; none where it is built alone.
    pub image: Option<String>,
    /// The name under which others reach it.
    pub host: String,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Published ports: (of the host, of the container).
    pub ports: Vec<(u16, u16)>,
    /// Files and folders of the project that are mounted, by their path in the container.
    pub mounts: BTreeMap<PathBuf, PathBuf>,
    /// The words of `command`.
    pub command: Vec<String>,
    /// Services that must run (or be healthy, or have ended) first.
    pub after: Vec<String>,
    /// Whether somebody looks after its health.
    pub has_healthcheck: bool,
    /// Networks that it is on.
    pub networks: Vec<String>,
    /// Whether its image is built from this project.
    pub is_built: bool,
}

impl Compose {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let config = yaml(&text).with_context(|| format!("{} is no YAML", file.display()))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let services = config["services"].as_object().context("a compose file without services")?;
        let services = services.iter().map(|(name, service)| {
            let service = Service::parse(name, service, folder);
            Ok((name.clone(), service.with_context(|| format!("service {name}"))?))
        });
        Ok(Self { services: services.collect::<Result<_>>()? })
    }

    /// The service of that name.
    pub fn service(&self, name: &str) -> Result<&Service> {
        self.services.get(name).with_context(|| format!("docker-compose.yml has no service {name}"))
    }
}

impl Service {
    fn parse(name: &str, service: &Value, folder: &Path) -> Result<Self> {
        let ports = list(&service["ports"]).into_iter().map(|port| {
            let (host, container) = port.split_once(':').context("a port without ':'")?;
            Ok((host.parse()?, container.parse()?))
        });
        let mounts = list(&service["volumes"]).into_iter().filter_map(|volume| {
            let mut parts = volume.split(':');
            let (ours, theirs) = (parts.next()?, parts.next()?);
            let file = ours.strip_prefix("./")?;
            Some((PathBuf::from(theirs), folder.join(file)))
        });
        Ok(Self {
            image: service["image"].as_str().map(str::to_owned),
            host: service["container_name"].as_str().unwrap_or(name).to_owned(),
            environment: pairs(&service["environment"])?,
            ports: ports.collect::<Result<_>>()?,
            mounts: mounts.collect(),
            command: list(&service["command"]),
            after: names(&service["depends_on"]),
            has_healthcheck: service["healthcheck"].is_object(),
            networks: names(&service["networks"]),
            is_built: !service["build"].is_null(),
        })
    }

    /// A variable that must be there.
    pub fn variable(&self, name: &str) -> Result<&str> {
        let value = self.environment.get(name).map(String::as_str);
        value.with_context(|| format!("{} lacks the variable {name}", self.host))
    }

    /// Where others find it: `host:port`, by the port of its container.
    pub fn address(&self) -> Result<String> {
        let (_, port) = self.ports.first().with_context(|| format!("{} has no port", self.host))?;
        Ok(format!("{}:{port}", self.host))
    }

    /// The project's file mounted at a path that ends with `end`.
    pub fn mounted(&self, end: &str) -> Result<&Path> {
        let mut mounts = self.mounts.iter();
        let found = mounts.find(|(theirs, _)| theirs.to_string_lossy().ends_with(end));
        let (_, ours) = found.with_context(|| format!("{} mounts nothing at …{end}", self.host))?;
        Ok(ours)
    }
}

/// Reads YAML, its merge keys (`<<`) included.
fn yaml(text: &str) -> Result<Value> {
    let mut yaml: serde_norway::Value = serde_norway::from_str(text)?;
    yaml.apply_merge()?;
    Ok(serde_json::to_value(yaml)?)
}

/// A scalar as Compose gives it to a container.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        _ => None,
    }
}

fn list(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().filter_map(scalar).collect(),
        other => {
            scalar(other).iter().flat_map(|s| s.split_whitespace()).map(str::to_owned).collect()
        }
    }
}

/// The names in a list, or the keys of a map.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map.keys().cloned().collect(),
        other => list(other),
    }
}

/// `environment`, in either of its two forms.
fn pairs(value: &Value) -> Result<BTreeMap<String, String>> {
    match value {
        Value::Object(map) => {
            let pair = |(key, value): (&String, &Value)| {
                let value = scalar(value).with_context(|| format!("the value of {key}"))?;
                Ok((key.clone(), value))
            };
            map.iter().map(pair).collect()
        }
        other => {
            let pair = |line: String| {
                let (key, value) = line.split_once('=').context("a variable without '='")?;
                Ok((key.to_owned(), value.to_owned()))
            };
            list(other).into_iter().map(pair).collect()
        }
    }
}
