//! Where the worker's properties come from: a file, `CONNECT_*` variables on top, and the command line.

use std::{fs::File, io::BufReader, path::Path};

use anyhow::Context;
use connect_core::config::Properties;

/// Reads the file, if one is given, and puts the environment's `CONNECT_*` variables on top.
///
/// # Errors
/// If the file cannot be read or is not a properties file.
pub fn worker_properties(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Properties> {
    let mut properties = Properties::new();
    if let Some(path) = file {
        let open = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = java_properties::read(BufReader::new(open));
        let read = read.with_context(|| format!("{} is not a properties file", path.display()))?;
        properties.extend(read);
    }
    for (name, value) in environment {
        if let Some(name) = name.strip_prefix("CONNECT_") {
            properties.insert(property_name(name), value);
        }
    }
    // The key of old workers, which the images' CONNECT_REST_PORT still sets.
    if let (Some(port), false) = (properties.get("rest.port"), properties.contains_key("listeners"))
    {
        let host = properties.get("rest.host.name").map(String::as_str).unwrap_or_default();
        let listener = format!("http://{host}:{port}");
        properties.insert("listeners".into(), listener);
    }
    Ok(properties)
}

/// As the container images do (`cub`, `dub`): `_` is a dot, `__` a dash, `___` an underscore.
fn property_name(variable: &str) -> String {
    let lower = variable.to_ascii_lowercase();
    lower.replace("___", "\u{1}").replace("__", "-").replace('_', ".").replace('\u{1}', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_as_the_images_map_them() {
        assert_eq!(property_name("BOOTSTRAP_SERVERS"), "bootstrap.servers");
        assert_eq!(property_name("A__B_C___D"), "a-b.c_d");
        let environment = [
            ("CONNECT_GROUP_ID".to_owned(), "g".to_owned()),
            ("CONNECT_REST_PORT".to_owned(), "8083".to_owned()),
            ("PATH".to_owned(), "/bin".to_owned()),
        ];
        let properties = worker_properties(None, environment.into_iter()).unwrap();
        assert_eq!(properties["group.id"], "g");
        assert_eq!(properties["listeners"], "http://:8083");
        assert!(!properties.contains_key("path"));
    }
}
