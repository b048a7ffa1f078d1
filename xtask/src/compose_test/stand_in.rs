//! Images for those that cannot be pulled, and the override file that puts them in place.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use xtask::compose::Compose;
use xtask::{root, screen};
use xtask_servers::{apt, cache, output_of};

use super::engine::Engine;

/// The base of all images here and of our own Dockerfile.
const DEBIAN: &str = "debian:bookworm-slim";
/// The image that stands for all servers.
const SERVERS: &str = "ferrovia-servers:1.0.0";

/// Makes the images that the Dockerfile and the override file need.
pub(super) fn build_images(engine: &Engine, dir: &Path) -> Result<()> {
    if engine.docker(&["image", "inspect", DEBIAN]).is_err() {
        let tar = debian()?;
        engine.docker(&["import", &tar.to_string_lossy(), DEBIAN])?;
    }
    let files = root().join("xtask/compose");
    engine.build(SERVERS, &files.join("servers.Dockerfile"), &files)?;
    let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
    // Only what the Dockerfile copies is sent to the engine.
    engine.build(&rust_image()?, &files.join("rust.Dockerfile"), Path::new(sysroot.trim()))?;
    let program = dir.join("xtask");
    fs::copy(env::current_exe()?, program)?;
    Ok(())
}

/// The image that our Dockerfile builds with.
fn rust_image() -> Result<String> {
    let dockerfile = fs::read_to_string(root().join("Dockerfile"))?;
    let mut lines = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM rust:"));
    let rest = lines.next().context("Dockerfile has no line `FROM rust:…`")?;
    Ok(format!("rust:{}", rest.split_whitespace().next().unwrap_or_default()))
}

/// Debian's minimal system as a tar file.
fn debian() -> Result<std::path::PathBuf> {
    let place = cache::once("debian-bookworm", |place| {
        apt::ensure(&[apt::MMDEBSTRAP])?;
        let spinner = screen::spinner("making an image of Debian");
        let sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
        let sources = sources.iter().find(|file| Path::new(file).exists());
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap.args(["--quiet", "--variant=minbase", "--include=ca-certificates"]);
        // The machine's own certificate authorities, for builds behind its proxy.
        let certificates = "/etc/ssl/certs/ca-certificates.crt";
        if Path::new(certificates).exists() {
            mmdebstrap.arg(format!("--customize-hook=copy-in {certificates} /etc/ssl/certs/"));
        }
        mmdebstrap.arg("bookworm").arg(place.join("debian.tar")).args(sources);
        output_of(&mut mmdebstrap).context("Debian's mirror must be reachable")?;
        spinner.finish_and_clear();
        Ok(())
    })?;
    Ok(place.join("debian.tar"))
}

/// The override: other images and entrypoints for what cannot be pulled, the host's network for builds.
pub(super) fn override_file(compose: &Compose, dir: &Path) -> Result<String> {
    let mut services = Map::new();
    for (name, service) in &compose.services {
        let mounts = [
            format!("{}:/xtask:ro", dir.join("xtask").display()),
            format!("{}:/cache:ro", cache::dir().canonicalize()?.display()),
        ];
        let server = |words: &[&str]| {
            let entrypoint: Vec<_> = [&["/xtask"], words].concat();
            json!({
                "image": SERVERS, "entrypoint": entrypoint, "volumes": mounts,
                "environment": {"FERROVIA_CACHE": "/cache"}
            })
        };
        let value: Value = match name.as_str() {
            _ if service.is_built => json!({"build": {"network": "host"}}),
            "postgres" => server(&["serve", "postgres", "/var/lib/postgresql"]),
            "mysql" => server(&["serve", "mysql", "/var/lib/mysql"]),
            "kafka" => server(&["serve", "kafka", "/var/lib/kafka"]),
            "cassandra" => server(&["serve", "cassandra", "/var/lib/cassandra"]),
            "krakend" => server(&["gateway", "/etc/krakend/krakend.json", "8080"]),
            // Their entrypoints are the file's own.
            _ => json!({"image": SERVERS}),
        };
        services.insert(name.clone(), value);
    }
    // JSON is YAML.
    Ok(json!({ "services": services }).to_string())
}
