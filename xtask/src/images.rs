//! What the official images make of their environment, for servers that stand where those images would.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use xtask_servers::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, MariaDb, MariaDbOptions, Postgres,
    PostgresOptions, SqlOptions,
};

use crate::interrupt;

/// Environment variables of a service.
pub type Environment = BTreeMap<String, String>;

/// Runs one server in a container as its official image would, until the container is stopped: the program in the images that
/// `cargo xtask compose-test` builds.
pub fn serve(name: &str, dir: &Path) -> Result<()> {
    interrupt::install()?;
    let environment: Environment = env::vars().collect();
    match name {
        "postgres" => until_stopped(&postgres(dir, &environment)?),
        "mysql" => {
            let options = sql_options(&environment)?;
            let args = vec!["--bind-address=0.0.0.0".to_owned()];
            until_stopped(&MariaDb::start(
                dir,
                MariaDbOptions { port: Some(3306), args, ..options },
            )?)
        }
        "kafka" => {
            let properties = kafka_properties(&environment, &[]);
            let options = KafkaOptions { port: Some(9092), properties, ..Default::default() };
            until_stopped(&Kafka::start(dir, options)?)
        }
        "cassandra" => {
            let public_address = Some(own_address()?);
            let options =
                CassandraOptions { port: Some(9042), public_address, ..Default::default() };
            until_stopped(&Cassandra::start(dir, options)?)
        }
        _ => bail!("`{name}` is none of postgres, mysql, kafka, cassandra"),
    }
}

/// Waits for the container's end; the server ends as it goes out of scope.
fn until_stopped<T>(_server: &T) -> Result<()> {
    println!("ready");
    match interrupt::wait("the end", Duration::MAX, || Ok(None::<()>)) {
        Err(_) if interrupt::happened() => Ok(()),
        other => other,
    }
}

/// As the image does it: the scripts run on a server that nobody else reaches, then the real one starts.
fn postgres(dir: &Path, environment: &Environment) -> Result<Postgres> {
    let options = postgres_options(environment)?;
    let mut private = Postgres::start(dir, options.clone())?;
    let mut scripts: Vec<_> = fs::read_dir("/docker-entrypoint-initdb.d")?.flatten().collect();
    scripts.sort_by_key(fs::DirEntry::file_name);
    for script in scripts {
        private.query(&fs::read_to_string(script.path())?)?;
    }
    private.stop()?;
    let rules = dir.join("data/pg_hba.conf");
    fs::write(&rules, fs::read_to_string(&rules)? + "host all all all scram-sha-256\n")?;
    let settings = vec!["listen_addresses=*".to_owned()];
    Postgres::start(dir, PostgresOptions { port: Some(5432), settings, ..options })
}

/// `POSTGRES_*`.
pub fn postgres_options(environment: &Environment) -> Result<PostgresOptions> {
    let user = variable(environment, "POSTGRES_USER")?;
    let password = variable(environment, "POSTGRES_PASSWORD")?;
    let database = variable(environment, "POSTGRES_DB")?;
    Ok(PostgresOptions { user, password, database, ..Default::default() })
}

/// `MYSQL_*`, for MySQL or MariaDB.
pub fn sql_options<Flavour>(environment: &Environment) -> Result<SqlOptions<Flavour>> {
    Ok(SqlOptions {
        root_password: variable(environment, "MYSQL_ROOT_PASSWORD")?,
        database: variable(environment, "MYSQL_DATABASE")?,
        user: variable(environment, "MYSQL_USER")?,
        password: variable(environment, "MYSQL_PASSWORD")?,
        ..Default::default()
    })
}

/// `KAFKA_A_B` as the property `a.b`, but for those whose name holds a word of `without`.
pub fn kafka_properties(environment: &Environment, without: &[&str]) -> Vec<String> {
    let kept = environment.iter().filter(|(key, _)| !without.iter().any(|word| key.contains(word)));
    let properties = kept.filter_map(|(key, value)| {
        let name = key.strip_prefix("KAFKA_")?.to_lowercase().replace('_', ".");
        Some(format!("{name}={value}"))
    });
    properties.collect()
}

fn variable(environment: &Environment, name: &str) -> Result<String> {
    environment.get(name).cloned().with_context(|| format!("the variable {name} is missing"))
}

/// The address that other containers know this one by.
fn own_address() -> Result<Ipv4Addr> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")?;
    let addresses = (host.trim(), 0).to_socket_addrs()?.map(|address| address.ip());
    let mut own = addresses.filter_map(|ip| match ip {
        IpAddr::V4(ip) if !ip.is_loopback() => Some(ip),
        _ => None,
    });
    own.next().with_context(|| format!("{} has no address of its own", host.trim()))
}
