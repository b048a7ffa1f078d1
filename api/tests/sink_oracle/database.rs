//! The servers, and plain statements on them.

use mysql_async::prelude::Queryable;
use tokio::sync::Mutex;
use xtask_servers::{MariaDb, MariaDbOptions, MySql, MySqlOptions, Postgres, PostgresOptions};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    PostgreSql,
    MariaDb,
    MySql,
}

/// Kept for as long as it is used: its end ends the server.
#[expect(dead_code, reason = "held, not read")]
enum Server {
    PostgreSql(Postgres),
    MariaDb(MariaDb),
    MySql(MySql),
}

enum Client {
    PostgreSql(tokio_postgres::Client),
    MySql(Box<Mutex<mysql_async::Conn>>),
}

pub(crate) struct Database {
    pub(crate) flavour: Flavour,
    pub(crate) port: u16,
    client: Client,
    _server: Server,
}

/// What a statement did: rows that it found, or the server's refusal.
pub(crate) type Outcome = Result<u64, String>;

impl Database {
    /// A new server; none where this machine cannot have it.
    pub(crate) async fn start(flavour: Flavour) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap().keep();
        let (server, port) = tokio::task::spawn_blocking(move || match flavour {
            Flavour::PostgreSql => {
                let server = Postgres::start(&dir, PostgresOptions::default()).unwrap();
                let port = server.port();
                Some((Server::PostgreSql(server), port))
            }
            Flavour::MariaDb => {
                let server = MariaDb::start(&dir, MariaDbOptions::default()).unwrap();
                let port = server.port();
                Some((Server::MariaDb(server), port))
            }
            Flavour::MySql => {
                let server = MySql::start(&dir, MySqlOptions::default()).ok()?;
                let port = server.port();
                Some((Server::MySql(server), port))
            }
        })
        .await
        .unwrap()?;
        let client = match flavour {
            Flavour::PostgreSql => {
                let PostgresOptions { user, password, database, .. } = PostgresOptions::default();
                let mut config = tokio_postgres::Config::new();
                config.host("127.0.0.1").port(port).user(user).password(password).dbname(database);
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                Client::PostgreSql(client)
            }
            _ => {
                let MariaDbOptions { user, password, database, .. } = MariaDbOptions::default();
                let options = mysql_async::OptsBuilder::default()
                    .ip_or_hostname("127.0.0.1")
                    .tcp_port(port)
                    .user(Some(user))
                    .pass(Some(password))
                    .db_name(Some(database))
                    .prefer_socket(false)
                    .ssl_opts((flavour == Flavour::MySql).then(|| {
                        mysql_async::SslOpts::default().with_danger_accept_invalid_certs(true)
                    }))
                    // Rows that an UPDATE finds count, also where it changes nothing.
                    .client_found_rows(true);
                let mut conn = mysql_async::Conn::new(options).await.unwrap();
                let mode =
                    "SET sql_mode=CONCAT(@@sql_mode,',STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO')";
                conn.query_drop(mode).await.unwrap();
                Client::MySql(Box::new(Mutex::new(conn)))
            }
        };
        Some(Self { flavour, port, client, _server: server })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.flavour == Flavour::PostgreSql
    }

    /// Runs one statement, by itself.
    pub(crate) async fn run(&self, sql: &str) -> Outcome {
        match &self.client {
            Client::PostgreSql(client) => {
                let done = client.execute_typed(sql, &[]).await;
                done.map_err(|e| e.as_db_error().map_or(e.to_string(), |e| e.message().to_owned()))
            }
            Client::MySql(conn) => {
                let mut conn = conn.lock().await;
                let done = conn.query_drop(sql).await;
                done.map(|()| conn.affected_rows()).map_err(|e| e.to_string())
            }
        }
    }

    /// Runs a statement that must work.
    pub(crate) async fn must(&self, sql: &str) {
        if let Err(error) = self.run(sql).await {
            panic!("{sql}: {error}");
        }
    }

    /// The rows of a query of one column of text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        match &self.client {
            Client::PostgreSql(client) => {
                let rows = client.query(sql, &[]).await.unwrap_or_else(|e| panic!("{sql}: {e:?}"));
                rows.iter().map(|row| row.get(0)).collect()
            }
            Client::MySql(conn) => {
                let rows = conn.lock().await.query(sql).await;
                rows.unwrap_or_else(|e| panic!("{sql}: {e:?}"))
            }
        }
    }

    /// Ends the connections of others, in the middle of whatever they do.
    pub(crate) async fn kill_others(&self) {
        match &self.client {
            Client::PostgreSql(_) => {
                let sql = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
                           WHERE datname = current_database() AND pid <> pg_backend_pid()";
                self.texts(sql).await;
            }
            Client::MySql(_) => {
                let sql = "SELECT CAST(id AS CHAR) FROM information_schema.processlist \
                           WHERE id <> CONNECTION_ID() AND user = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)";
                for id in self.texts(sql).await {
                    // It may have ended by itself.
                    drop(self.run(&format!("KILL {id}")).await);
                }
            }
        }
    }
}
