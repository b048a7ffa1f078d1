//! Every server, for real: what it acknowledged is there after a `kill -9`.

use xtask_servers::{
    Cassandra, CassandraOptions, Kafka, KafkaOptions, Kind, MariaDb, MariaDbOptions, MySql,
    MySqlOptions, Postgres, PostgresOptions, Server,
};

const ROW: &str = "1237\tTeste de integração";

/// Kills and restarts a server, which must come back at the same port as another process.
fn crash<K: Kind>(server: &mut Server<K>) -> anyhow::Result<()> {
    let (port, pid) = (server.port(), server.pid());
    server.kill9()?;
    assert_eq!(server.pid(), None);
    server.restart()?;
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    Ok(())
}

#[test]
fn postgres_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut postgres = Postgres::start(dir.path(), PostgresOptions::default()).unwrap();
    postgres.query("CREATE TABLE tabela (id text PRIMARY KEY, valor text)").unwrap();
    postgres.query("INSERT INTO tabela VALUES ('1237', 'Teste de integração')").unwrap();
    crash(&mut postgres).unwrap();
    assert_eq!(postgres.query("SELECT * FROM tabela").unwrap(), ROW);
    assert!(postgres.query("SELECT * FROM missing").unwrap_err().to_string().contains("missing"));
    postgres.stop().unwrap();
}

#[test]
fn mariadb_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut mariadb = MariaDb::start(dir.path(), MariaDbOptions::default()).unwrap();
    mariadb.query("CREATE TABLE tabela (id varchar(20), valor text)").unwrap();
    mariadb.query("INSERT INTO tabela VALUES ('1237', 'Teste de integração')").unwrap();
    crash(&mut mariadb).unwrap();
    assert_eq!(mariadb.query("SELECT * FROM tabela").unwrap(), ROW);
    mariadb.stop().unwrap();
}

#[test]
fn mysql_keeps_its_rows() {
    if let Err(error) = MySqlOptions::install() {
        eprintln!("MySQL itself cannot be had here: {error:#}");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut mysql = MySql::start(dir.path(), MySqlOptions::default()).unwrap();
    mysql.query("CREATE TABLE tabela (id varchar(20), valor text)").unwrap();
    mysql.query("INSERT INTO tabela VALUES ('1237', 'Teste de integração')").unwrap();
    crash(&mut mysql).unwrap();
    assert_eq!(mysql.query("SELECT * FROM tabela").unwrap(), ROW);
    assert!(!mysql.query("SELECT version()").unwrap().contains("MariaDB"));
    mysql.stop().unwrap();
}

#[test]
fn kafka_keeps_its_topics() {
    let dir = tempfile::tempdir().unwrap();
    let mut kafka = Kafka::start(dir.path(), KafkaOptions::default()).unwrap();
    let topics = |kafka: &Kafka, action: &[&str]| {
        let server = kafka.address();
        let args = [&["--bootstrap-server", &server], action].concat();
        kafka.tool("org.apache.kafka.tools.TopicCommand", &args).unwrap()
    };
    topics(&kafka, &["--create", "--topic", "carga_topic"]);
    crash(&mut kafka).unwrap();
    assert!(topics(&kafka, &["--list"]).contains("carga_topic"));
    kafka.stop().unwrap();
}

#[test]
fn cassandra_keeps_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let mut cassandra = Cassandra::start(dir.path(), CassandraOptions::default()).unwrap();
    let simple = "{'class': 'SimpleStrategy', 'replication_factor': 1}";
    for statement in [
        &format!("CREATE KEYSPACE k WITH replication = {simple}"),
        "CREATE TABLE k.tabela (id text PRIMARY KEY, valor text)",
        "INSERT INTO k.tabela (id, valor) VALUES ('1237', 'Teste de integração')",
    ] {
        cassandra.query(statement).unwrap();
    }
    crash(&mut cassandra).unwrap();
    let rows = cassandra.query("SELECT id, valor FROM k.tabela").unwrap();
    assert_eq!(rows, [[Some("1237".to_owned()), Some("Teste de integração".to_owned())]]);
    assert!(cassandra.query("SELECT x FROM k.tabela").unwrap_err().to_string().contains("refused"));
    cassandra.stop().unwrap();
}
