use std::sync::Arc;

use async_trait::async_trait;
use connect_core::{
    config::{Properties, parse},
    data::Value,
    record::Record,
    sink::{Retry, TopicPartition},
    transport::{Message, Transport},
};
use connect_core_log::EmbeddedLog;

use super::*;
use crate::{
    config::{ConnectorConfig, QueueConfig, Tolerance},
    errors::Classes,
};

/// What a sink does at each put.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Refuses a batch that holds this number.
    Bad(i64),
    /// Answers for one record less than there are.
    Liar,
    /// Is not available so many times.
    Flaky(u32),
    /// Answers for each record: refuses odd numbers.
    Each,
}

struct Sink {
    manner: Manner,
    puts: usize,
    written: Vec<i64>,
}

fn number(record: &SinkRecord) -> i64 {
    match record.record.value {
        Value::Int64(n) => n,
        ref other => panic!("{other:?}"),
    }
}

#[async_trait]
impl SinkTask for Sink {
    async fn put(&mut self, batch: &SinkBatch) -> Result<Delivered> {
        self.puts += 1;
        let numbers: Vec<i64> = batch.records.iter().map(number).collect();
        match &mut self.manner {
            Manner::Bad(bad) if numbers.contains(bad) => return Err(Error::data("bad record")),
            Manner::Liar => {
                return Ok(Delivered::Each(numbers[1..].iter().map(|_| Ok(())).collect()));
            }
            Manner::Flaky(left) if *left > 0 => {
                *left -= 1;
                return Err(Error::connection("not now"));
            }
            Manner::Each => {
                let answer = |n: &i64| if n % 2 == 0 { Ok(()) } else { Err(Error::data("odd")) };
                self.written.extend(numbers.iter().filter(|n| *n % 2 == 0));
                return Ok(Delivered::Each(numbers.iter().map(answer).collect()));
            }
            _ => {}
        }
        self.written.extend(numbers);
        Ok(Delivered::All)
    }

    fn retry(&self) -> Retry {
        Retry { attempts: Some(3), backoff: Duration::from_secs(60) }
    }
}

/// Delivers the numbers below `count`; the outcome, the sink, and the offsets in the dead letter queue.
async fn run(
    count: i64,
    manner: Manner,
    tolerance: Tolerance,
) -> (Result<bool>, Sink, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path()).unwrap();
    let tolerance = if tolerance == Tolerance::All { "all" } else { "none" };
    let config = [
        ("name", "c"),
        ("connector.class", "C"),
        ("errors.tolerance", tolerance),
        ("errors.deadletterqueue.topic.name", "dlq"),
        ("errors.deadletterqueue.context.headers.enable", "true"),
    ];
    let config = config.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let (common, queue): (ConnectorConfig, QueueConfig) =
        (parse(&config).unwrap(), parse(&config).unwrap());
    let client = Properties::new();
    let class = |name: &str| name.to_owned();
    let classes = Classes {
        key_converter: class("K"),
        value_converter: class("V"),
        header_converter: class("H"),
        task: class("Task"),
    };
    let policy = ErrorPolicy::open(&log, ("c", 0), &common, &queue, classes, &client).await;
    let mut policy = policy.unwrap();
    let origin = TopicPartition { topic: "t".into(), partition: 0 };
    let messages = (0..count)
        .map(|n| (n * 2, Message { key: Some(n.to_string().into()), ..Message::default() }));
    let fetched = vec![Fetched { origin: origin.clone(), messages: messages.collect() }];
    let origin = Arc::new(origin);
    let records = (0..count).map(|n| SinkRecord {
        record: Record { value: Value::Int64(n), ..Record::default() },
        origin: Arc::clone(&origin),
        // Offsets may have gaps.
        offset: n * 2,
    });
    let batch = SinkBatch { records: records.collect() };
    let mut task = Sink { manner, puts: 0, written: Vec::new() };
    let result = deliver(&mut task, batch, &fetched, &mut policy, &CancellationToken::new()).await;
    let letters = log.reader("dlq").await.unwrap().read_to_end().await.unwrap().entries;
    let letters = letters.iter().map(|e| String::from_utf8(e.key.to_vec()).unwrap()).collect();
    (result, task, letters)
}

#[tokio::test(start_paused = true)]
async fn one_bad_record_of_1024_costs_twice_log2_puts_and_is_the_only_dead_letter() {
    let (result, task, letters) = run(1024, Manner::Bad(700), Tolerance::All).await;
    assert!(result.unwrap());
    assert_eq!((task.puts, letters), (21, vec!["700".to_owned()]));
    let others: Vec<i64> = (0..1024).filter(|n| *n != 700).collect();
    assert_eq!(task.written, others, "the others, in order");
}

#[tokio::test(start_paused = true)]
async fn without_tolerance_the_error_names_the_record_and_those_before_it_are_written() {
    let (result, task, letters) = run(8, Manner::Bad(5), Tolerance::None).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("offset=10"), "{error}");
    // As on the JVM, the queue is told of it all the same.
    assert_eq!((task.written, letters), (vec![0, 1, 2, 3, 4], vec!["5".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn success_is_never_inferred_from_absence() {
    let (result, _, _) = run(3, Manner::Liar, Tolerance::All).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Internal);
}

#[tokio::test(start_paused = true)]
async fn each_record_has_an_answer_of_its_own() {
    let (result, task, letters) = run(5, Manner::Each, Tolerance::All).await;
    assert!(result.unwrap());
    assert_eq!((task.written, letters), (vec![0, 2, 4], vec!["1".to_owned(), "3".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_available_is_tried_again_but_not_for_ever() {
    let (result, task, _) = run(4, Manner::Flaky(3), Tolerance::None).await;
    assert!(result.unwrap());
    assert_eq!((task.puts, task.written.len()), (4, 4));
    let (result, task, _) = run(4, Manner::Flaky(4), Tolerance::None).await;
    let error = result.unwrap_err();
    assert!(error.to_string().contains("retries exhausted") && !error.is_retriable(), "{error}");
    assert_eq!((task.puts, task.written.len()), (4, 0));
}
