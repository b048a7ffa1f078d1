//! MariaDB from Debian's packages.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::geteuid;

use crate::server::{Kind, Place, Server};
use crate::sql::{Accounts, greets};
use crate::{apt, output_of};

/// A MariaDB server.
pub type MariaDb = Server<MariaDbOptions>;

/// What a MariaDB server is created with. The defaults are those of the user's compose file.
#[derive(Debug, Clone)]
pub struct MariaDbOptions {
    /// Port; any free one when `None`.
    pub port: Option<u16>,
    /// Password of root.
    pub root_password: String,
    /// Database to create.
    pub database: String,
    /// User to create, who may do everything in that database.
    pub user: String,
    /// Its password.
    pub password: String,
    /// Further arguments of `mariadbd`.
    pub args: Vec<String>,
}

impl Default for MariaDbOptions {
    fn default() -> Self {
        Self {
            port: None,
            root_password: "123".into(),
            database: "mysql-db-sync".into(),
            user: "user".into(),
            password: "123".into(),
            args: Vec::new(),
        }
    }
}

impl Kind for MariaDbOptions {
    const NAME: &'static str = "MariaDB";

    fn wanted_port(&self) -> Option<u16> {
        self.port
    }

    fn install() -> Result<()> {
        apt::ensure(&[apt::MARIADB])
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let data = data(place);
        if data.join("mysql").exists() {
            return Ok(());
        }
        let install = apt::find("mariadb-install-db").context("mariadb-install-db is missing")?;
        let mut install = Command::new(install);
        install.arg("--no-defaults").arg(format!("--datadir={}", data.display()));
        install.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.args(as_root());
        output_of(&mut install)?;
        self.accounts().write_init_file(place)?;
        Ok(())
    }

    fn command(&self, place: &Place) -> Result<Command> {
        let mut server = Command::new(apt::find("mariadbd").context("mariadbd is missing")?);
        server.arg("--no-defaults").args(as_root());
        server.arg(format!("--datadir={}", data(place).display()));
        server.arg(format!("--port={}", place.port)).arg("--bind-address=127.0.0.1");
        // Relative to the data directory: the path of a socket file may not be long.
        server.args(["--socket=mariadb.sock", "--pid-file=mariadb.pid", "--skip-name-resolve"]);
        server.args(["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=64M"]);
        server.arg(format!("--init-file={}", place.dir.join("init.sql").display()));
        server.args(&self.args);
        Ok(server)
    }

    fn ready(&self, place: &Place) -> bool {
        greets(place.port)
    }
}

impl MariaDbOptions {
    fn accounts(&self) -> Accounts<'_> {
        Accounts {
            root_password: &self.root_password,
            database: &self.database,
            user: &self.user,
            password: &self.password,
        }
    }
}

impl Server<MariaDbOptions> {
    /// Runs SQL as the user in the database; the rows of the answer are lines, their columns separated by tabs.
    pub fn query(&self, sql: &str) -> Result<String> {
        self.kind.accounts().query(&self.place, sql)
    }

    /// `mysql://user:password@127.0.0.1:port/database`.
    pub fn url(&self) -> String {
        self.kind.accounts().url(&self.place)
    }
}

fn data(place: &Place) -> PathBuf {
    place.dir.join("data")
}

/// MariaDB runs as root only when told to.
fn as_root() -> Option<&'static str> {
    geteuid().is_root().then_some("--user=root")
}
