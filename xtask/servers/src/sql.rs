//! What MariaDB and MySQL share: options, accounts, readiness and the client.

use std::fs;
use std::io::Read;
use std::marker::PhantomData;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::{Kind, Place, Server};
use crate::{apt, output_of};

/// What a MariaDB or MySQL server is created with. The defaults are those of the user's compose file.
#[derive(Debug, Clone)]
pub struct SqlOptions<Flavour> {
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
    /// Further arguments of the server.
    pub args: Vec<String>,
    /// Which of the two it is.
    pub flavour: PhantomData<Flavour>,
}

impl<Flavour> Default for SqlOptions<Flavour> {
    fn default() -> Self {
        Self {
            port: None,
            root_password: "123".into(),
            database: "mysql-db-sync".into(),
            user: "user".into(),
            password: "123".into(),
            args: Vec::new(),
            flavour: PhantomData,
        }
    }
}

impl<Flavour> SqlOptions<Flavour> {
    /// Writes the statements that create accounts and database, one a line as `--init-file` wants it.
    pub(crate) fn write_init_file(&self, place: &Place) -> Result<()> {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        let (root, user) = (quoted(&self.root_password), quoted(&self.user));
        let (password, database) = (quoted(&self.password), self.database.replace('`', "``"));
        let lines = [
            format!("ALTER USER 'root'@'localhost' IDENTIFIED BY {root};"),
            format!("CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY {root};"),
            "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;".to_owned(),
            format!("CREATE DATABASE IF NOT EXISTS `{database}`;"),
            format!("CREATE USER IF NOT EXISTS {user}@'%' IDENTIFIED BY {password};"),
            format!("GRANT ALL ON `{database}`.* TO {user}@'%';"),
        ];
        Ok(fs::write(init_file(place), lines.join("\n") + "\n")?)
    }
}

impl<Flavour> Server<SqlOptions<Flavour>>
where
    SqlOptions<Flavour>: Kind,
{
    /// Runs SQL as the user in the database; the rows of the answer are lines, their columns separated by tabs.
    pub fn query(&self, sql: &str) -> Result<String> {
        let SqlOptions { user, password, database, .. } = &self.kind;
        apt::ensure(&[apt::MARIADB_CLIENT])?;
        let client = apt::find("mariadb").context("the client `mariadb` is missing")?;
        let mut client = Command::new(client);
        client.args(["--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-N", "-B"]);
        client.args(["--default-character-set=utf8mb4", "-P", &self.port().to_string()]);
        client.args(["-u", user, "-D", database, "-e", sql]);
        client.env("MYSQL_PWD", password);
        Ok(output_of(&mut client)?.trim_end_matches('\n').to_owned())
    }

    /// `mysql://user:password@127.0.0.1:port/database`.
    pub fn url(&self) -> String {
        let SqlOptions { user, password, database, .. } = &self.kind;
        format!("mysql://{user}:{password}@{}/{database}", self.address())
    }
}

/// The data directory.
pub(crate) fn data(place: &Place) -> PathBuf {
    place.dir.join("data")
}

/// The statements that the server runs whenever it starts.
pub(crate) fn init_file(place: &Place) -> PathBuf {
    place.dir.join("init.sql")
}

/// A server that takes connections greets first; the port alone is open earlier.
pub(crate) fn greets(port: u16) -> bool {
    let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let timeout = connection.set_read_timeout(Some(Duration::from_secs(5)));
    timeout.is_ok() && connection.read_exact(&mut [0; 5]).is_ok()
}
