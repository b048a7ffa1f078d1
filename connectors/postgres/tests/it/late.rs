//! Rows that are committed behind what was read, as far as it can be known.

use connect_core::{plugin::DynSourceTask, source::Polled};
use serde_json::json;

use crate::{
    commit_order::client,
    modes::{ids, open, read, read_next},
    sql,
};

fn incrementing(table: &str) -> [(&str, &str); 3] {
    [("table.whitelist", table), ("mode", "incrementing"), ("incrementing.column.name", "id")]
}

fn timestamp(table: &str) -> [(&str, &str); 3] {
    [("table.whitelist", table), ("mode", "timestamp"), ("timestamp.column.name", "ts")]
}

/// Polls until so many ids have come.
async fn read_all(task: &mut dyn DynSourceTask, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    while found.len() < count {
        found.extend(ids(&read_next(task).await));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_a_session_has_taken_in_advance_are_read_also_after_a_restart() {
    sql("CREATE SEQUENCE l_cached_ids CACHE 20; \
         CREATE TABLE l_cached (id int PRIMARY KEY DEFAULT nextval('l_cached_ids'), v text)");
    let (a, b) = (client().await, client().await);
    let insert = "INSERT INTO l_cached (v) VALUES ('x')";
    a.batch_execute(insert).await.unwrap();
    b.batch_execute(insert).await.unwrap();
    let pairs = incrementing("l_cached");
    let mut task = open(&pairs, None).await.unwrap();
    let batches = read(&mut *task).await.unwrap();
    assert_eq!(ids(&batches), ["1", "21"]);
    let offset = json!({"incrementing": 21, "ferrovia.gaps": "0,2-20"});
    assert_eq!(batches[0].offset, Some(offset.clone()));
    a.batch_execute(insert).await.unwrap();
    assert_eq!(ids(&read_next(&mut *task).await), ["2"]);
    // From the offset before: once more, and no more than once.
    let mut again = open(&pairs, Some(offset)).await.unwrap();
    let batches = read(&mut *again).await.unwrap();
    assert_eq!(ids(&batches), ["2"]);
    let offset = json!({"incrementing": 21, "ferrovia.gaps": "0,3-20"});
    assert_eq!(batches[0].offset, Some(offset));
    b.batch_execute(insert).await.unwrap();
    a.batch_execute(insert).await.unwrap();
    assert_eq!(ids(&read_next(&mut *again).await), ["3", "22"]);
    assert_eq!(ids(&read(&mut *again).await.unwrap()), [""; 0]);
    let careless = [pairs.as_slice(), &[("incrementing.lag.ms", "0")]].concat();
    let mut careless = open(&careless, Some(json!({"incrementing": 21}))).await.unwrap();
    assert_eq!(ids(&read(&mut *careless).await.unwrap()), ["22"], "the JVM's way has lost 2 and 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_clients_take_before_they_insert_are_read_where_that_is_asked_for() {
    sql("CREATE TABLE l_early (id int PRIMARY KEY); INSERT INTO l_early VALUES (3), (9)");
    let pairs = [
        incrementing("l_early").as_slice(),
        &[("incrementing.lag.ms", "-1"), ("incrementing.lag.gaps", "2")],
    ]
    .concat();
    let mut task = open(&pairs, None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["3", "9"]);
    sql("INSERT INTO l_early VALUES (5), (12)");
    assert_eq!(ids(&read_next(&mut *task).await), ["5", "12"]);
    // Of three gaps the two highest are kept.
    sql("INSERT INTO l_early VALUES (1), (7), (11)");
    assert_eq!(ids(&read_next(&mut *task).await), ["7", "11"]);
}

/// A transaction begins with reading and writes when it is no longer waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_writes_after_all_is_read_by_its_start() {
    sql("CREATE TABLE l_reader (id int PRIMARY KEY, ts timestamptz NOT NULL DEFAULT now())");
    let mut task = open(&timestamp("l_reader"), None).await.unwrap();
    let slow = client().await;
    slow.batch_execute("BEGIN; SELECT 1").await.unwrap();
    sql("INSERT INTO l_reader VALUES (1)");
    let batches = read_next(&mut *task).await;
    assert_eq!(ids(&batches), ["1"], "an idle reader holds nothing back for long");
    let offset = batches[0].offset.clone();
    assert!(offset.as_ref().unwrap()["ferrovia.open"].is_string(), "{offset:?}");
    slow.batch_execute("INSERT INTO l_reader VALUES (2); COMMIT").await.unwrap();
    assert_eq!(read_all(&mut *task, 1).await, ["2"]);
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0], "once");
    let mut again = open(&timestamp("l_reader"), offset).await.unwrap();
    assert_eq!(read_all(&mut *again, 1).await, ["2"], "a restart in between makes no difference");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_emptied_or_made_anew_is_read_from_its_start() {
    sql(
        "CREATE TABLE l_anew (id serial PRIMARY KEY, v int); INSERT INTO l_anew (v) VALUES (1), (1), (1)",
    );
    let pairs = incrementing("l_anew");
    let mut task = open(&pairs, None).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), ["1", "2", "3"]);
    let insert = "INSERT INTO l_anew (v) VALUES (2), (2)";
    for (change, expected) in [
        // Seen while it was empty, or not.
        (vec!["TRUNCATE l_anew RESTART IDENTITY".to_owned(), insert.to_owned()], vec!["1", "2"]),
        (vec![format!("TRUNCATE l_anew RESTART IDENTITY; {insert}")], vec!["1", "2"]),
        // Filled beyond the offset at once.
        (
            vec![format!("TRUNCATE l_anew RESTART IDENTITY; {insert}; {insert}")],
            vec!["1", "2", "3", "4"],
        ),
        (
            vec![format!(
                "DROP TABLE l_anew; CREATE TABLE l_anew (id serial PRIMARY KEY, v int); {insert}; {insert}; {insert}"
            )],
            vec!["1", "2", "3", "4", "5", "6"],
        ),
    ] {
        for step in &change {
            sql(step);
            let _ = task.poll().await.unwrap();
        }
        let mut found = Vec::new();
        while found.len() < expected.len() {
            found.extend(ids(&read_next(&mut *task).await));
        }
        assert_eq!(found, expected, "{change:?}");
    }
    // What only looks like it.
    sql("VACUUM FULL l_anew");
    sql("DELETE FROM l_anew WHERE id > 4");
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    // While nobody read.
    sql(&format!("TRUNCATE l_anew RESTART IDENTITY; {insert}"));
    let mut task = open(&pairs, Some(json!({"incrementing": 6}))).await.unwrap();
    assert_eq!(read_all(&mut *task, 2).await, ["1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_any_precision_and_of_any_clock_are_read_once_they_are_over() {
    // The database's zone, that of the configuration and that of whoever reads are three.
    for (n, (column, insert)) in [
        ("timestamp(0)", "now()"),
        ("timestamp(3)", "now()"),
        ("timestamp", "date_trunc('second', now())"),
        ("timestamptz(0)", "now()"),
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("l_step_{n}");
        sql(&format!("CREATE TABLE {table} (id serial PRIMARY KEY, ts {column} NOT NULL)"));
        let pairs =
            [timestamp(&table).as_slice(), &[("db.timezone", "America/Sao_Paulo")]].concat();
        let mut task = open(&pairs, None).await.unwrap();
        let (mut written, mut found) = (0, Vec::new());
        // Over the end of two seconds, whatever the moment.
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 2200 {
            sql(&format!(
                "SET timezone = 'Asia/Tokyo'; INSERT INTO {table} (ts) VALUES ({insert})"
            ));
            written += 1;
            if let Polled::Batch(batch) = task.poll().await.unwrap() {
                found.extend(ids(&[batch]));
            }
        }
        let reading = async {
            while found.len() < written {
                found.extend(ids(&read_next(&mut *task).await));
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), reading)
            .await
            .expect("all of them");
        found.sort_by_key(|id| id.parse::<usize>().unwrap());
        let all: Vec<String> = (1..=written).map(|id| id.to_string()).collect();
        assert_eq!(found, all, "{column}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hours_that_a_zone_skips_or_has_twice_lose_nothing() {
    sql(
        "CREATE TABLE l_hours (id int PRIMARY KEY, ts timestamp NOT NULL); INSERT INTO l_hours VALUES \
         (1, '2021-03-28 01:50'), (2, '2021-03-28 02:10'), (3, '2021-03-28 02:30'), (4, '2021-03-28 02:50'), \
         (5, '2021-03-28 03:05'), (6, '2021-03-28 03:40'), (7, '2021-10-31 02:20'), (8, '2021-10-31 02:40'), \
         (9, '2021-10-31 03:10')",
    );
    for mode in ["timestamp", "timestamp+incrementing"] {
        let pairs = [
            ("table.whitelist", "l_hours"),
            ("mode", mode),
            ("timestamp.column.name", "ts"),
            ("incrementing.column.name", "id"),
            ("db.timezone", "Europe/Berlin"),
            ("batch.max.rows", "1"),
        ];
        let mut task = open(&pairs, None).await.unwrap();
        let batches = read(&mut *task).await.unwrap();
        let all: Vec<String> = (1..=9).map(|id| id.to_string()).collect();
        assert_eq!(ids(&batches), all, "{mode}");
        assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0], "{mode}: once");
        // A restart after each row: nothing is missing, and of what is skipped some comes twice.
        for (at, batch) in batches.iter().enumerate() {
            let Some(offset) = batch.offset.clone() else { continue };
            let mut task = open(&pairs, Some(offset)).await.unwrap();
            let rest = ids(&read(&mut *task).await.unwrap());
            let left = &all[at + 1..];
            assert!(left.iter().all(|id| rest.contains(id)), "{mode} after {}: {rest:?}", at + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_read_is_said() {
    sql(
        "CREATE TABLE l_below (id int, ts timestamp); INSERT INTO l_below VALUES (-5, '1960-01-01'), (NULL, NULL), (7, '2020-01-01')",
    );
    let null = ("validate.non.null", "false");
    for (pairs, words) in [
        (incrementing("l_below"), ["up to -1", "is null"]),
        (timestamp("l_below"), ["timestamp.initial", "is null"]),
    ] {
        let pairs = [pairs.as_slice(), &[null]].concat();
        let mut task = open(&pairs, None).await.unwrap();
        assert_eq!(read(&mut *task).await.unwrap().len(), 1);
        let notice = task.notice().expect("a notice");
        assert!(
            words.iter().all(|word| notice.contains(word)) && notice.contains("l_below"),
            "{notice}"
        );
    }
    sql("CREATE TABLE l_behind (id int PRIMARY KEY); INSERT INTO l_behind VALUES (1), (2)");
    let mut task = open(&incrementing("l_behind"), Some(json!({"incrementing": 9}))).await.unwrap();
    assert_eq!(ids(&read(&mut *task).await.unwrap()), [""; 0]);
    let notice = task.notice().expect("a notice");
    assert!(notice.contains("public.l_behind") && notice.contains("offset 9"), "{notice}");
    sql("INSERT INTO l_behind VALUES (10)");
    assert_eq!(read_all(&mut *task, 1).await, ["10"]);
    assert_eq!(task.notice(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_run_as_they_are_written() {
    sql(
        "CREATE TABLE l_query (id int PRIMARY KEY, v int, active bool, ip inet); CREATE SEQUENCE l_query_n; \
         INSERT INTO l_query VALUES (1, 30, true, '10.0.0.1'), (2, 10, false, '10.0.0.2/8'), (3, 20, true, NULL)",
    );
    for (query, suffix, expected) in [
        ("SELECT * FROM l_query ORDER BY v -- all of them", "", vec!["2", "3", "1"]),
        ("SELECT id FROM l_query ORDER BY v DESC; /* ; */ -- done", "", vec!["1", "3", "2"]),
        (
            "SELECT id, nextval('l_query_n') FROM l_query ORDER BY id FOR UPDATE",
            "",
            vec!["1", "2", "3"],
        ),
        (
            "SELECT l_query.id, ip FROM l_query",
            "WHERE l_query.active ORDER BY id -- active",
            vec!["1", "3"],
        ),
    ] {
        let pairs = [("query", query), ("query.suffix", suffix), ("mode", "bulk")];
        let mut task = open(&pairs, None).await.unwrap();
        assert_eq!(ids(&read_next(&mut *task).await), expected, "{query}");
    }
    let numbers = sql("SELECT last_value FROM l_query_n");
    assert_eq!(numbers.trim(), "3", "evaluated once a row, and not by the checks");
    let query = ("query", "SELECT * FROM l_query -- all of them");
    let pairs = [
        query,
        ("mode", "incrementing"),
        ("incrementing.column.name", "id"),
        ("query.suffix", "LIMIT 2 -- two"),
    ];
    assert_eq!(ids(&read_next(&mut *open(&pairs, None).await.unwrap()).await), ["1", "2"]);
    for suffix in
        ["WHERE l_query.active", "WHERE \"public\".\"l_query\".\"active\" ORDER BY id FOR SHARE"]
    {
        let pairs = [("table.whitelist", "l_query"), ("query.suffix", suffix), ("mode", "bulk")];
        assert_eq!(ids(&read_next(&mut *open(&pairs, None).await.unwrap()).await), ["1", "3"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_cannot_be_run_is_refused_when_it_is_submitted() {
    sql("CREATE TABLE l_refused (id int, v text)");
    for (query, mode, key) in [
        ("SELECT * FROM l_refused WHERE", "bulk", "query"),
        ("SELECT * FROM l_refused; SELECT 1", "bulk", "query"),
        ("SELECT nothing FROM l_refused", "bulk", "query"),
        ("SELECT v FROM l_refused", "incrementing", "incrementing.column.name"),
    ] {
        let pairs = [("query", query), ("mode", mode), ("incrementing.column.name", "id")];
        let invalid = crate::modes::validate(&pairs).await;
        assert_eq!(
            invalid.first().map(|(found, _)| found.as_str()),
            Some(key),
            "{query}: {invalid:?}"
        );
    }
    let fine: Vec<(String, String)> =
        crate::modes::validate(&[("query", "SELECT * FROM l_refused -- all"), ("mode", "bulk")])
            .await;
    assert_eq!(fine, []);
}
