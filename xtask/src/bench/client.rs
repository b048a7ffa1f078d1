//! The databases' own clients: one process for many statements, so that looking costs next to nothing.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use xtask_servers::{MariaDb, Postgres, apt};

/// A database's own client, which answers each statement with one line.
pub(super) struct Client {
    child: Child,
    statements: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Client {
    pub(super) fn psql(postgres: &Postgres) -> Result<Self> {
        let mut psql = Command::new(apt::find("psql").context("psql is missing")?);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", &postgres.url()]);
        Self::spawn(&mut psql)
    }

    pub(super) fn mariadb(mariadb: &MariaDb) -> Result<Self> {
        let mut client = Command::new(apt::find("mariadb").context("mariadb is missing")?);
        client.args([
            "--no-defaults",
            "--protocol=tcp",
            "-h",
            "127.0.0.1",
            "-N",
            "-B",
            "--unbuffered",
        ]);
        client.args(["-P", &mariadb.port().to_string(), "-u", "user", "-p123", "mysql-db-sync"]);
        Self::spawn(&mut client)
    }

    fn spawn(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let statements = child.stdin.take().context("a client without input")?;
        let answers = BufReader::new(child.stdout.take().context("a client without output")?);
        Ok(Self { child, statements, answers })
    }

    /// The line that answers a statement.
    pub(super) fn ask(&mut self, statement: &str) -> Result<String> {
        writeln!(self.statements, "{statement}")?;
        self.statements.flush()?;
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "the client ended: {statement}");
        Ok(line.trim().to_owned())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
