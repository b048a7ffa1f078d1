//! What a case consists of, drawn from its seed.

use fastrand::Rng;

use crate::database::{Database, Flavour};

/// How a key is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Integer,
    Text { folds: bool },
    Pair,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unique {
    None,
    Plain,
    /// Only of rows with v > 4.
    Partial,
    /// Of u modulo 4.
    Expression,
    /// PostgreSQL's exclusion constraint.
    Exclusion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    None,
    /// Refuses v = 7.
    Refuses,
    /// Adds a row to a table of its own for each row that was written.
    Logs,
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) key: Key,
    pub(crate) unique: Unique,
    /// Position of the table that `p` refers to, and what happens when the row there goes.
    pub(crate) parent: Option<(usize, &'static str)>,
    pub(crate) check: bool,
    pub(crate) required: bool,
    pub(crate) trigger: Trigger,
    pub(crate) default: bool,
}

/// A record: its table, key and fields in order; none deletes.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) table: usize,
    pub(crate) key: Vec<(&'static str, Value)>,
    pub(crate) fields: Option<Vec<(&'static str, Value)>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Number(i64),
    Text(&'static str),
}

impl Value {
    pub(crate) fn sql(&self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Number(n) => n.to_string(),
            Self::Text(text) => format!("'{text}'"),
        }
    }
    pub(crate) fn json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Number(n) => (*n).into(),
            Self::Text(text) => (*text).into(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) tables: Vec<Table>,
    pub(crate) records: Vec<Record>,
    pub(crate) mode: &'static str,
    pub(crate) batch_size: usize,
    pub(crate) poll_size: usize,
    /// Records that are in the topic before the sink starts; then the rest in chunks.
    pub(crate) chunks: Vec<usize>,
    pub(crate) faults: bool,
}

fn chance(rng: &mut Rng, percent: u32) -> bool {
    rng.u32(0..100) < percent
}

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.usize(0..of.len())]
}

/// The case of a seed.
pub(crate) fn case(seed: u64, database: &Database) -> Case {
    let mut rng = Rng::with_seed(seed);
    let rng = &mut rng;
    let mut tables: Vec<Table> = Vec::new();
    for at in 0..rng.usize(1..=3) {
        tables.push(table(
            rng,
            database.flavour,
            at,
            &tables.iter().map(|t| t.key).collect::<Vec<_>>(),
        ));
    }
    let mode = pick(rng, &["upsert", "upsert", "upsert", "upsert", "insert", "update"]);
    let count = rng.usize(1..=60);
    let records: Vec<Record> = (0..count).map(|_| record(rng, &tables)).collect();
    let mut chunks = vec![rng.usize(0..=count)];
    while chunks.iter().sum::<usize>() < count {
        let left = count - chunks.iter().sum::<usize>();
        chunks.push(rng.usize(1..=left));
    }
    Case {
        tables,
        records,
        mode,
        batch_size: pick(rng, &[1, 3, 3000]),
        poll_size: pick(rng, &[1, 5, 500, 500]),
        chunks,
        faults: chance(rng, 15),
    }
}

fn table(rng: &mut Rng, flavour: Flavour, at: usize, before: &[Key]) -> Table {
    let postgres = flavour == Flavour::PostgreSql;
    let key = match rng.u32(0..6) {
        0..=2 => Key::Integer,
        3 => Key::Text { folds: true },
        4 => Key::Text { folds: false },
        _ => Key::Pair,
    };
    let unique = match rng.u32(0..10) {
        0..=3 => Unique::Plain,
        4 if postgres => Unique::Partial,
        5 if flavour != Flavour::MariaDb => Unique::Expression,
        6 if postgres => Unique::Exclusion,
        _ => Unique::None,
    };
    let actions = ["", " ON DELETE CASCADE", " ON DELETE SET NULL"];
    let parents: Vec<usize> = (0..=at)
        .filter(|t| if *t == at { key == Key::Integer } else { before[*t] == Key::Integer })
        .collect();
    let parent = match chance(rng, 45) && !parents.is_empty() {
        true => Some((pick(rng, &parents), pick(rng, &actions))),
        false => None,
    };
    let trigger = match rng.u32(0..8) {
        0 => Trigger::Refuses,
        1 => Trigger::Logs,
        _ => Trigger::None,
    };
    // With a trigger MySQL's own upsert is the plain statement, which a second unique index would make another one.
    let tied = !postgres && trigger != Trigger::None;
    Table {
        key,
        unique: if tied { Unique::None } else { unique },
        parent,
        check: chance(rng, 20),
        required: chance(rng, 25),
        trigger,
        default: postgres && chance(rng, 15),
    }
}

fn record(rng: &mut Rng, tables: &[Table]) -> Record {
    let at = rng.usize(0..tables.len());
    let table = &tables[at];
    let id = rng.i64(0..5);
    let key = match table.key {
        Key::Integer => vec![("id", Value::Number(id))],
        Key::Text { .. } => {
            let texts = ["a", "A", "b", "b ", "c"];
            vec![("id", Value::Text(texts[id as usize]))]
        }
        Key::Pair => vec![("a", Value::Number(id % 3)), ("b", Value::Number(id / 3))],
    };
    if chance(rng, 20) {
        return Record { table: at, key, fields: None };
    }
    let number = |rng: &mut Rng, nulls: u32, most: i64| match chance(rng, nulls) {
        true => Value::Null,
        false => Value::Number(rng.i64(0..most)),
    };
    let mut fields = vec![("u", number(rng, 20, 6)), ("v", number(rng, 8, 10))];
    if table.parent.is_some() {
        fields.push(("p", number(rng, 40, 6)));
    }
    let text = if chance(rng, 7) { "too long" } else { pick(rng, &["x", "yy", "zzz"]) };
    fields.push(("t", Value::Text(text)));
    // Records of another shape, which leave a column as it is.
    if chance(rng, 20) {
        let gone = pick(rng, &["u", "t", "p"]);
        fields.retain(|(name, _)| *name != gone);
    }
    Record { table: at, key, fields: Some(fields) }
}

impl Table {
    /// The statements that make the table under a name; `names` are those of all tables of the case.
    pub(crate) fn definitions(
        &self,
        database: &Database,
        names: &[String],
        at: usize,
    ) -> Vec<String> {
        let (name, postgres) = (&names[at], database.is_postgres());
        let collate = |folds: bool| match (postgres, folds, database.flavour) {
            (true, ..) => "text".to_owned(),
            (false, true, _) => {
                "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci".to_owned()
            }
            (_, _, Flavour::MySql) => {
                "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin".to_owned()
            }
            _ => "varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin".to_owned(),
        };
        let mut lines = match self.key {
            Key::Integer => vec!["id int PRIMARY KEY".to_owned()],
            Key::Text { folds } => vec![format!("id {} PRIMARY KEY", collate(folds))],
            Key::Pair => vec!["a int, b int, PRIMARY KEY (a, b)".to_owned()],
        };
        lines.push("u int".to_owned());
        lines.push(format!("v int{}", if self.required { " NOT NULL" } else { "" }));
        lines.push("t varchar(5)".to_owned());
        if self.default {
            lines.push("s serial".to_owned());
        }
        if self.check {
            lines.push("CHECK (v < 9)".to_owned());
        }
        if self.unique == Unique::Plain {
            lines.push("UNIQUE (u)".to_owned());
        }
        if self.unique == Unique::Exclusion {
            lines.push("EXCLUDE (u WITH =)".to_owned());
        }
        if let Some((parent, action)) = self.parent {
            lines.push(format!("p int, FOREIGN KEY (p) REFERENCES {}(id){action}", names[parent]));
        }
        let mut all = vec![format!("CREATE TABLE {name} ({})", lines.join(", "))];
        match self.unique {
            Unique::Partial => all.push(format!("CREATE UNIQUE INDEX ON {name} (u) WHERE v > 4")),
            Unique::Expression if postgres => {
                all.push(format!("CREATE UNIQUE INDEX ON {name} ((u % 4))"));
            }
            Unique::Expression => all.push(format!("CREATE UNIQUE INDEX i ON {name} ((u % 4))")),
            _ => {}
        }
        all.extend(self.triggers(postgres, name));
        all
    }

    fn triggers(&self, postgres: bool, name: &str) -> Vec<String> {
        match (self.trigger, postgres) {
            (Trigger::None, _) => Vec::new(),
            (Trigger::Refuses, true) => vec![
                format!(
                    "CREATE FUNCTION f_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                     IF new.v = 7 THEN RAISE EXCEPTION 'no sevens'; END IF; RETURN new; END $$"
                ),
                format!(
                    "CREATE TRIGGER g BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION f_{name}()"
                ),
            ],
            (Trigger::Refuses, false) => ["INSERT", "UPDATE"]
                .map(|event| {
                    format!(
                        "CREATE TRIGGER g_{event}_{name} BEFORE {event} ON {name} FOR EACH ROW BEGIN IF new.v = 7 THEN \
                         SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no sevens'; END IF; END"
                    )
                })
                .to_vec(),
            (Trigger::Logs, true) => vec![
                format!("CREATE TABLE {name}_log (n serial, v int, others int)"),
                format!(
                    "CREATE FUNCTION f_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                     INSERT INTO {name}_log (v, others) SELECT new.v, count(*) FROM {name}; RETURN new; END $$"
                ),
                format!(
                    "CREATE TRIGGER g AFTER INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION f_{name}()"
                ),
            ],
            (Trigger::Logs, false) => std::iter::once(format!(
                "CREATE TABLE {name}_log (n int AUTO_INCREMENT PRIMARY KEY, v int, others int)"
            ))
            .chain(["INSERT", "UPDATE"].map(|event| {
                format!(
                    "CREATE TRIGGER g_{event}_{name} AFTER {event} ON {name} FOR EACH ROW \
                     INSERT INTO {name}_log (v, others) SELECT new.v, COUNT(*) FROM {name}"
                )
            }))
            .collect(),
        }
    }
}
