//! What MariaDB and MySQL share: accounts, readiness and the client.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Place;
use crate::{apt, output_of};

/// Accounts and database of a MariaDB or MySQL server.
pub(crate) struct Accounts<'a> {
    pub(crate) root_password: &'a str,
    pub(crate) database: &'a str,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
}

impl Accounts<'_> {
    /// Writes the statements that create them, one a line as `--init-file` wants it.
    pub(crate) fn write_init_file(&self, place: &Place) -> Result<PathBuf> {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"));
        let (root, user) = (quoted(self.root_password), quoted(self.user));
        let (password, database) = (quoted(self.password), self.database.replace('`', "``"));
        let lines = [
            format!("ALTER USER 'root'@'localhost' IDENTIFIED BY {root};"),
            format!("CREATE USER IF NOT EXISTS 'root'@'127.0.0.1' IDENTIFIED BY {root};"),
            "GRANT ALL ON *.* TO 'root'@'127.0.0.1' WITH GRANT OPTION;".to_owned(),
            format!("CREATE DATABASE IF NOT EXISTS `{database}`;"),
            format!("CREATE USER IF NOT EXISTS {user}@'%' IDENTIFIED BY {password};"),
            format!("GRANT ALL ON `{database}`.* TO {user}@'%';"),
        ];
        let file = place.dir.join("init.sql");
        fs::write(&file, lines.join("\n") + "\n")?;
        Ok(file)
    }

    /// Runs SQL as the user in the database; the rows of the answer are lines, their columns separated by tabs.
    pub(crate) fn query(&self, place: &Place, sql: &str) -> Result<String> {
        apt::ensure(&[apt::MARIADB_CLIENT])?;
        let client = apt::find("mariadb").context("the client `mariadb` is missing")?;
        let mut client = Command::new(client);
        client.args(["--no-defaults", "--protocol=tcp", "-h", "127.0.0.1", "-N", "-B"]);
        client.args(["--default-character-set=utf8mb4", "-P", &place.port.to_string()]);
        client.args(["-u", self.user, "-D", self.database, "-e", sql]);
        client.env("MYSQL_PWD", self.password);
        Ok(output_of(&mut client)?.trim_end_matches('\n').to_owned())
    }

    /// `mysql://user:password@127.0.0.1:port/database`.
    pub(crate) fn url(&self, place: &Place) -> String {
        let Self { user, password, database, .. } = self;
        format!("mysql://{user}:{password}@127.0.0.1:{}/{database}", place.port)
    }
}

/// A server that takes connections greets first; the port alone is open earlier.
pub(crate) fn greets(port: u16) -> bool {
    let Ok(mut connection) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let timeout = connection.set_read_timeout(Some(Duration::from_secs(5)));
    timeout.is_ok() && connection.read_exact(&mut [0; 5]).is_ok()
}
