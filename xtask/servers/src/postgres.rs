//! PostgreSQL from Debian's packages.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Signal, geteuid};

use crate::server::{Kind, Place, Server};
use crate::{apt, output_of};

/// A PostgreSQL server.
pub type Postgres = Server<PostgresOptions>;

/// What a PostgreSQL server is created with. The defaults are those of the user's compose file.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Port; any free one when `None`.
    pub port: Option<u16>,
    /// Superuser.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Database to create.
    pub database: String,
    /// Settings, as `name=value`.
    pub settings: Vec<String>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            port: None,
            user: "user".into(),
            password: "password".into(),
            database: "mydb".into(),
            settings: Vec::new(),
        }
    }
}

impl Kind for PostgresOptions {
    const NAME: &'static str = "PostgreSQL";
    /// "Fast shutdown": SIGTERM would wait until the last client has left.
    const STOP_SIGNAL: Signal = Signal::INT;

    fn wanted_port(&self) -> Option<u16> {
        self.port
    }

    fn install() -> Result<()> {
        apt::ensure(&[apt::POSTGRESQL])
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let data = data(place);
        if data.join("PG_VERSION").exists() {
            return Ok(());
        }
        fs::create_dir_all(&data)?;
        if geteuid().is_root() {
            output_of(Command::new("chown").arg("postgres:").arg(&data))?;
        }
        // The password goes through a file that only initdb's user can read: it is inside the data directory's parent for a moment.
        let password = place.dir.join("password");
        fs::write(&password, &self.password)?;
        let mut initdb = as_postgres("initdb")?;
        initdb.arg("-D").arg(&data).arg("-U").arg(&self.user);
        initdb.arg(format!("--pwfile={}", password.display()));
        initdb.args(["-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8"]);
        let made = output_of(&mut initdb);
        fs::remove_file(&password)?;
        made.map(drop)
    }

    fn command(&self, place: &Place) -> Result<Command> {
        let mut postgres = as_postgres("postgres")?;
        postgres.arg("-D").arg(data(place)).args(["-p", &place.port.to_string()]);
        // A socket file's path may be too long, and nothing needs one.
        for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories="] {
            postgres.args(["-c", setting]);
        }
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        Ok(postgres)
    }

    fn ready(&self, place: &Place) -> bool {
        asks_for_a_password(place.port, &self.user).unwrap_or(false)
    }

    fn populate(&self, place: &Place) -> Result<()> {
        let name = self.database.replace('"', "\"\"");
        let exists = format!(
            "SELECT 1 FROM pg_database WHERE datname = '{}'",
            self.database.replace('\'', "''")
        );
        if self.psql(place, "postgres", &exists)?.is_empty() {
            self.psql(place, "postgres", &format!("CREATE DATABASE \"{name}\""))?;
        }
        Ok(())
    }
}

impl PostgresOptions {
    fn psql(&self, place: &Place, database: &str, sql: &str) -> Result<String> {
        let psql = apt::find("psql").context("psql is missing: install postgresql-client")?;
        let mut psql = Command::new(psql);
        psql.args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1"]);
        psql.args(["-p", &place.port.to_string(), "-U", &self.user, "-d", database, "-c", sql]);
        psql.env("PGPASSWORD", &self.password).env("PGCLIENTENCODING", "UTF8");
        Ok(output_of(&mut psql)?.trim_end_matches('\n').to_owned())
    }
}

impl Server<PostgresOptions> {
    /// Runs SQL in the database; the rows of the answer are lines, their columns separated by tabs.
    pub fn query(&self, sql: &str) -> Result<String> {
        self.kind.psql(&self.place, &self.kind.database, sql)
    }

    /// `postgresql://user:password@127.0.0.1:port/database`.
    pub fn url(&self) -> String {
        let PostgresOptions { user, password, database, .. } = &self.kind;
        format!("postgresql://{user}:{password}@{}/{database}", self.address())
    }
}

fn data(place: &Place) -> PathBuf {
    place.dir.join("data")
}

/// PostgreSQL refuses to run as root, so root runs it as the user `postgres`, who keeps one of root's rights: to enter
/// directories on the way to its data, such as a temporary one, that are closed to others.
fn as_postgres(program: &str) -> Result<Command> {
    let program = apt::find(program).with_context(|| format!("{program} is missing"))?;
    if !geteuid().is_root() {
        return Ok(Command::new(program));
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    command.args(["--inh-caps=+dac_override", "--ambient-caps=+dac_override", "--"]);
    command.arg(program).current_dir("/");
    Ok(command)
}

/// Sends the first message of a connection: a server that is ready asks for authentication ('R'), one that still recovers
/// answers with an error.
fn asks_for_a_password(port: u16, user: &str) -> std::io::Result<bool> {
    let mut connection = TcpStream::connect(("127.0.0.1", port))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut message = 196_608_u32.to_be_bytes().to_vec();
    message.extend(format!("user\0{user}\0database\0postgres\0\0").as_bytes());
    let length = message.len() as u32 + 4;
    connection.write_all(&[&length.to_be_bytes()[..], &message].concat())?;
    let mut kind = [0];
    connection.read_exact(&mut kind)?;
    Ok(kind == *b"R")
}
