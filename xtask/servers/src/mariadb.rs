//! MariaDB from Debian's packages.

use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::geteuid;

use crate::server::{Kind, Place, Server};
use crate::sql::{SqlOptions, data, greets, init_file};
use crate::{apt, output_of};

/// A MariaDB server.
pub type MariaDb = Server<MariaDbOptions>;

/// What a MariaDB server is created with.
pub type MariaDbOptions = SqlOptions<MariaDbFlavour>;

/// The flavour MariaDB.
#[derive(Debug, Clone, Copy)]
pub enum MariaDbFlavour {}

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
        // As below: it runs a server too.
        install.env("TMPDIR", &place.dir);
        output_of(&mut install)?;
        self.write_init_file(place)
    }

    fn command(&self, place: &Place) -> Result<Command> {
        let mut server = Command::new(apt::find("mariadbd").context("mariadbd is missing")?);
        server.arg("--no-defaults").args(as_root());
        server.arg(format!("--datadir={}", data(place).display()));
        // Not /tmp: a server that starts takes away the temporary tables that it finds there, those of its running
        // neighbours too, and they crash of that (in `ha_maria::drop_table`).
        server.arg(format!("--tmpdir={}", data(place).display()));
        server.arg(format!("--port={}", place.port)).arg("--bind-address=127.0.0.1");
        // Relative to the data directory: the path of a socket file may not be long.
        server.args(["--socket=mariadb.sock", "--pid-file=mariadb.pid", "--skip-name-resolve"]);
        server.args(["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=64M"]);
        server.arg(format!("--init-file={}", init_file(place).display()));
        server.args(&self.args);
        Ok(server)
    }

    fn ready(&self, place: &Place) -> bool {
        greets(place.port)
    }
}

/// MariaDB runs as root only when told to.
fn as_root() -> Option<&'static str> {
    geteuid().is_root().then_some("--user=root")
}
