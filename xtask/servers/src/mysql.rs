//! Genuine MySQL on Debian, which has only MariaDB of its own: Debian unstable's package is unpacked into the cache and run
//! there with its own loader. Nothing is installed into the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::geteuid;

use crate::server::{Kind, Place, Server};
use crate::sql::{SqlOptions, data, greets, init_file};
use crate::{apt, cache, output_of};

/// A MySQL server. Its version is that of Debian unstable.
pub type MySql = Server<MySqlOptions>;

/// What a MySQL server is created with.
pub type MySqlOptions = SqlOptions<MySqlFlavour>;

/// The flavour MySQL.
#[derive(Debug, Clone, Copy)]
pub enum MySqlFlavour {}

impl Kind for MySqlOptions {
    const NAME: &'static str = "MySQL";

    fn wanted_port(&self) -> Option<u16> {
        self.port
    }

    fn install() -> Result<()> {
        unpacked().map(drop)
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let data = data(place);
        if init_file(place).exists() {
            return Ok(());
        }
        if data.exists() {
            fs::remove_dir_all(&data)?;
        }
        output_of(self.mysqld(place)?.arg("--initialize-insecure"))?;
        self.write_init_file(place)
    }

    fn command(&self, place: &Place) -> Result<Command> {
        let mut server = self.mysqld(place)?;
        server.arg(format!("--port={}", place.port)).arg("--bind-address=127.0.0.1");
        // Relative to the data directory: the path of a socket file may not be long.
        server.args(["--socket=mysql.sock", "--pid-file=mysql.pid"]);
        server.arg(format!("--init-file={}", init_file(place).display()));
        server.args(&self.args);
        Ok(server)
    }

    fn ready(&self, place: &Place) -> bool {
        greets(place.port)
    }
}

impl MySqlOptions {
    /// `mysqld` under its own loader, with what initializing and serving have in common.
    fn mysqld(&self, place: &Place) -> Result<Command> {
        let usr = unpacked()?.join("usr");
        let libraries = libraries(&usr)?;
        let mut mysqld = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        mysqld.arg("--library-path").arg(&libraries).arg(usr.join("sbin/mysqld"));
        mysqld.arg("--no-defaults").args(geteuid().is_root().then_some("--user=root"));
        mysqld.arg(format!("--basedir={}", usr.display()));
        mysqld.arg(format!("--lc-messages-dir={}", usr.join("share/mysql").display()));
        mysqld.arg(format!("--datadir={}", data(place).display()));
        mysqld.args(["--mysqlx=OFF", "--performance-schema=OFF", "--skip-log-bin"]);
        mysqld.args(["--innodb-buffer-pool-size=64M", "--innodb-redo-log-capacity=64M"]);
        mysqld.args(["--secure-file-priv=NULL", "--log-error-verbosity=1"]);
        Ok(mysqld)
    }
}

fn libraries(usr: &Path) -> Result<PathBuf> {
    let folder = usr.join("lib/x86_64-linux-gnu");
    if !folder.join("ld-linux-x86-64.so.2").exists() {
        bail!("MySQL can be unpacked for x86-64 only; use MariaDB here");
    }
    Ok(folder)
}

/// The folder with Debian unstable's `mysql-server-core` and its libraries.
fn unpacked() -> Result<PathBuf> {
    let place = cache::once("mysql", |place| {
        apt::ensure(&[apt::MMDEBSTRAP])?;
        let list = place.join("apt.list");
        let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
        fs::write(&list, format!("deb [signed-by={keys}] {} sid main\n", mirror()))?;
        let mut unpack = Command::new("mmdebstrap");
        unpack.args(["--quiet", "--variant=extract", "--include=mysql-server-core"]);
        // Signatures are checked; only the index's date is not, because a mirror that stands still has an old one.
        unpack.args(["--aptopt=Acquire::Check-Valid-Until \"false\"", "sid"]);
        unpack.arg(place.join("rootfs")).arg(&list);
        output_of(&mut unpack).context("Debian unstable must be reachable for the first run")?;
        Ok(())
    })?;
    Ok(place.join("rootfs"))
}

/// The Debian mirror that this machine uses already.
fn mirror() -> String {
    let lists = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    let files = lists.map(|entry| entry.path()).chain([PathBuf::from("/etc/apt/sources.list")]);
    let text: String = files.filter_map(|file| fs::read_to_string(file).ok()).collect();
    let words = text.lines().filter(|l| l.starts_with("URIs:") || l.starts_with("deb "));
    let mut uris = words.flat_map(str::split_whitespace).filter(|word| word.contains("://"));
    let debian = uris.find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    debian.unwrap_or("http://deb.debian.org/debian").to_owned()
}
