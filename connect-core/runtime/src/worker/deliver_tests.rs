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
    /// Refuses a batch that holds a number from here on, without saying whether the record is at fault.
    Rejects(i64),
    /// Has no room for the first number, ever.
    Full(i64),
    /// Takes the first number only after the second.
    Needs(i64, i64),
}

struct Sink {
    manner: Manner,
    puts: usize,
    written: Vec<i64>,
    /// What a restart would not deliver again, if nothing but the outcome of `deliver` counted.
    done: Offsets,
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
            Manner::Rejects(from) if numbers.iter().any(|n| n >= from) => {
                return Err(Error::new(ErrorKind::Rejected, "permission denied"));
            }
            Manner::Full(at) if numbers.contains(at) => {
                return Err(Error::new(ErrorKind::Busy, "disk full"));
            }
            Manner::Needs(child, parent) if numbers.contains(child) => {
                let before = numbers.iter().take_while(|n| *n != child);
                if !self.written.iter().chain(before).any(|n| n == parent) {
                    return Err(Error::new(ErrorKind::Conflict, "no parent"));
                }
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

/// Delivers the numbers below `count`; the outcome, the sink, and the numbers in the dead letter queue.
async fn run(
    count: i64,
    manner: Manner,
    tolerance: Tolerance,
) -> (Result<bool>, Sink, Vec<String>) {
    run_with(&[&(0..count).collect::<Vec<_>>()], manner, tolerance).await
}

/// Delivers numbers in as many partitions as there are lists, one partition after the other.
async fn run_with(
    partitions: &[&[i64]],
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
    let (mut fetched, mut records) = (Vec::new(), Vec::new());
    for (partition, numbers) in (0..).zip(partitions) {
        let origin = TopicPartition { topic: "t".into(), partition };
        // Offsets may have gaps.
        let messages = (0..).zip(*numbers).map(|(at, n)| {
            (at * 2, Message { key: Some(n.to_string().into()), ..Message::default() })
        });
        fetched.push(Fetched { origin: origin.clone(), messages: messages.collect() });
        let origin = Arc::new(origin);
        records.extend((0..).zip(*numbers).map(|(at, n)| SinkRecord {
            record: Record { value: Value::Int64(*n), ..Record::default() },
            origin: Arc::clone(&origin),
            offset: at * 2,
        }));
    }
    let batch = SinkBatch { records };
    let mut task = Sink { manner, puts: 0, written: Vec::new(), done: Offsets::new() };
    let (stop, mut done) = (CancellationToken::new(), Offsets::new());
    let result = deliver(&mut task, batch, &fetched, &mut policy, &stop, &mut done).await;
    task.done = done;
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
    let done: Vec<i64> = task.done.into_values().collect();
    assert_eq!(done, [9], "what is written is not delivered again");
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

#[tokio::test(start_paused = true)]
async fn what_some_records_meet_is_their_fault_and_what_all_meet_is_the_tasks() {
    let (result, task, letters) = run(6, Manner::Rejects(4), Tolerance::All).await;
    assert!(result.unwrap());
    assert_eq!((task.written, letters), (vec![0, 1, 2, 3], vec!["4".to_owned(), "5".to_owned()]));
    let (result, task, letters) = run(6, Manner::Rejects(0), Tolerance::All).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!((task.written, letters), (vec![], vec![]));
    let (result, task, letters) = run(6, Manner::Rejects(4), Tolerance::None).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Rejected);
    assert_eq!((task.written, letters), (vec![], vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_waited_for_before_a_record_is_blamed() {
    let (result, task, letters) = run(4, Manner::Full(2), Tolerance::All).await;
    assert!(result.unwrap());
    assert_eq!((task.written, letters), (vec![0, 1, 3], vec!["2".to_owned()]));
    assert!(
        task.puts > 4,
        "{} puts: the whole batch three times more before it is halved",
        task.puts
    );
    let (result, task, letters) = run(1, Manner::Full(0), Tolerance::All).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Busy);
    assert_eq!((task.written, letters, task.done.len()), (vec![], vec![], 0));
    let (result, _, letters) = run(4, Manner::Full(2), Tolerance::None).await;
    assert!(result.unwrap_err().to_string().contains("retries exhausted"));
    assert_eq!(letters, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_conflict_lets_other_partitions_go_first_and_is_tried_again_before_it_is_passed_over() {
    // The parent is in the other partition, behind the child in the batch.
    for tolerance in [Tolerance::All, Tolerance::None] {
        let lists: &[&[i64]] = &[&[1, 2, 3], &[10, 11]];
        let (result, task, letters) = run_with(lists, Manner::Needs(2, 11), tolerance).await;
        assert!(result.unwrap());
        assert_eq!((task.written, letters), (vec![1, 10, 11, 2, 3], vec![]));
    }
    // It is behind the child in its own partition: the order of the log is kept, and the child is at fault.
    let (result, task, letters) = run(4, Manner::Needs(1, 3), Tolerance::All).await;
    assert!(result.unwrap());
    assert_eq!((task.written, letters), (vec![0, 2, 3], vec!["1".to_owned()]));
    assert_eq!(task.puts, 8, "halved twice, tried three times more, then the rest");
}
