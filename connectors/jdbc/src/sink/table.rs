//! What the target says of a table.

/// How long a text may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At most so many characters.
    Characters(u32),
    /// At most so many bytes.
    Bytes(u32),
}

impl Limit {
    /// Whether a text is not too long.
    pub fn takes(self, text: &str) -> bool {
        match self {
            Self::Characters(most) => {
                text.len() <= most as usize || text.chars().count() <= most as usize
            }
            Self::Bytes(most) => text.len() <= most as usize,
        }
    }
}

/// What a column takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// Whole numbers between these.
    Integer(i128, i128),
    /// Numbers of so many digits, of which so many after the point, or if negative so many zeros before it; none is any
    /// number.
    Decimal(Option<u32>, Option<i32>),
    /// Floating point numbers, of single precision or of double.
    Float {
        /// 32 bits.
        single: bool,
    },
    /// Text of any kind.
    Text(Option<Limit>),
    /// Bytes, at most so many.
    Binary(Option<u32>),
    /// Bits, so many.
    Bit(u32),
    /// Bits, at most so many.
    VarBit(Option<u32>),
    /// Dates.
    Date,
    /// Times of day.
    Time {
        /// Whether it has a zone, and is written in UTC; else what clocks show in `db.timezone`.
        instant: bool,
        /// Digits of the second's fraction.
        digits: u32,
    },
    /// Dates with times.
    DateTime {
        /// Whether it is an instant, written in UTC; else what clocks show in `db.timezone`.
        instant: bool,
        /// Digits of the second's fraction.
        digits: u32,
    },
    /// Years.
    Year,
    /// JSON.
    Json,
    /// Lists.
    Array(Box<Kind>),
    /// UUIDs.
    Uuid,
    /// One of these labels, or several: the database takes the number of a label for the label.
    Labels(Vec<String>),
    /// What the database reads from text of a form in which a number means something else: intervals,
    /// addresses, documents of words.
    Formatted,
    /// Whatever else the database reads from text: enumerations, ranges.
    Other,
}

/// What the database puts into a column that a statement does not write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    /// NULL; an error where that is not allowed.
    #[default]
    Null,
    /// A default that does not depend on other rows.
    Default,
    /// A value that depends on how often, or in which order, rows are written: of a sequence, or the time of the last
    /// change.
    Counted,
    /// As [`Counted`](Self::Counted); a value of one's own needs OVERRIDING SYSTEM VALUE.
    IdentityAlways,
    /// What an expression makes of other columns; it cannot be written.
    Generated,
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Name.
    pub name: String,
    /// What it takes.
    pub kind: Kind,
    /// Type as the database writes it, for messages.
    pub declared: String,
    /// Type as statements cast to it, where they do.
    pub cast: String,
    /// Whether two values of it are the same only if their text is: no collation that folds case or ignores blanks.
    pub exact: bool,
    /// Whether it may be null.
    pub nullable: bool,
    /// What stands in it where it is not written.
    pub fill: Fill,
    /// Up to how many bytes the database certainly takes a text or bytes that were found to fit here; for other types,
    /// whether it takes such a value at all: 0 if not.
    pub certain: usize,
    /// What has to stand behind a new type so that nothing but the type changes, such as a default.
    pub attributes: String,
}

impl Column {
    /// Whether a row needs a value for it.
    fn is_required(&self) -> bool {
        !self.nullable && self.fill == Fill::Null
    }
}

/// What makes rows of a table depend on more than their key, so that one can tell in which order, how often or how many
/// at once they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ties {
    /// The columns of each unique index over whole columns and all rows that is checked at once.
    pub unique: Vec<Vec<String>>,
    /// Whether something else makes rows unique: an index with a condition, over expressions or prefixes, or checked
    /// later; an exclusion constraint.
    pub hidden_unique: bool,
    /// Whether rows refer to another table.
    pub references: bool,
    /// Whether writing a row may do more than write it: triggers, rules, rows that refer to it, a history; or whether that
    /// is not known, as of views.
    pub acts: bool,
    /// Whether the database may refuse a row although each column takes its value: checks, policies, partitions.
    pub checks: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// Whether it is a view, which cannot be altered.
    pub view: bool,
    /// Bytes to which the database cuts the name of a column; none where it refuses longer ones.
    pub name_limit: Option<usize>,
    /// What makes its rows depend on more than their key.
    pub ties: Ties,
}

impl Table {
    /// The column for each of these fields, in their order: that of the same name, else that of the same name in another
    /// case, which no other field has.
    pub fn columns_for<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<Option<&Column>> {
        let names: Vec<&str> = names.map(|name| self.kept(name)).collect();
        let exact = |name: &&str| self.columns.iter().position(|column| column.name == **name);
        let mut found: Vec<Option<usize>> = Vec::with_capacity(names.len());
        for name in &names {
            let at = exact(name);
            // Two long names may be cut to one: the second has no column.
            found.push(at.filter(|at| !found.contains(&Some(*at))));
        }
        for at in 0..names.len() {
            if found[at].is_none() && exact(&names[at]).is_none() {
                let lower = names[at].to_lowercase();
                let mut free = (0..self.columns.len()).filter(|c| !found.contains(&Some(*c)));
                found[at] = free.find(|c| self.columns[*c].name.to_lowercase() == lower);
            }
        }
        found.into_iter().map(|at| at.map(|at| &self.columns[at])).collect()
    }

    /// A name as the database keeps it.
    fn kept<'n>(&self, name: &'n str) -> &'n str {
        let limit = self.name_limit.unwrap_or(usize::MAX).min(name.len());
        // The start of a name is always a boundary.
        &name[..(0..=limit).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0)]
    }

    /// Whether rows of different keys have nothing to do with each other, so that they may be written in any order, and
    /// whether of rows of one key only the last needs to be written if the others would not be refused. `key` names the
    /// columns of the key, `written` all that are written.
    pub fn is_free(&self, key: &[&str], written: &[&str]) -> bool {
        let Ties { unique, hidden_unique, references, acts, .. } = &self.ties;
        let counted = |column: &Column| {
            matches!(column.fill, Fill::Counted | Fill::IdentityAlways)
                && !written.contains(&&*column.name)
        };
        // Rows of different keys differ in every index that holds all of the key.
        let by_key = unique.iter().all(|index| key.iter().all(|k| index.iter().any(|c| c == k)));
        by_key && !hidden_unique && !references && !acts && !self.columns.iter().any(counted)
    }

    /// Whether an index other than that of the key may refuse a row, so that an upsert must not take its conflict for one
    /// of the key.
    pub fn has_other_unique(&self, key: &[&str]) -> bool {
        let is_key = |index: &Vec<String>| key.iter().all(|k| index.iter().any(|c| c == k));
        self.view || self.ties.hidden_unique || !self.ties.unique.iter().all(is_key)
    }

    /// Whether no row is refused for what is not written.
    pub fn takes_without(&self, written: &[&str]) -> bool {
        let lacking = |c: &Column| c.is_required() && !written.contains(&&*c.name);
        !self.ties.checks && !self.columns.iter().any(lacking)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> Table {
        let column = |name: &&str| Column {
            name: (*name).to_owned(),
            kind: Kind::Text(None),
            declared: String::new(),
            cast: String::new(),
            exact: true,
            nullable: true,
            fill: Fill::Null,
            certain: usize::MAX,
            attributes: String::new(),
        };
        Table { columns: names.iter().map(column).collect(), ..Table::default() }
    }

    fn found<'t>(table: &'t Table, names: &[&str]) -> Vec<Option<&'t str>> {
        let columns = table.columns_for(names.iter().copied());
        columns.into_iter().map(|column| column.map(|c| &*c.name)).collect()
    }

    #[test]
    fn each_field_has_a_column_of_its_own() {
        let t = table(&["id", "Name", "É"]);
        assert_eq!(found(&t, &["ID", "name", "é"]), [Some("id"), Some("Name"), Some("É")]);
        assert_eq!(
            found(&t, &["name", "Name"]),
            [None, Some("Name")],
            "the exact name comes first"
        );
        assert_eq!(found(&t, &["iD", "Id"]), [Some("id"), None]);
    }

    #[test]
    fn names_are_compared_as_the_database_keeps_them() {
        let long = "ä".repeat(40);
        let t = Table { name_limit: Some(63), ..table(&[&"ä".repeat(31)]) };
        assert!(found(&t, &[&long])[0].is_some());
        let other = format!("{}x", "ä".repeat(31));
        assert_eq!(found(&t, &[&long, &other])[1], None, "two fields do not share a column");
    }

    #[test]
    fn rows_are_free_of_each_other_only_where_the_definition_shows_it() {
        let unique = |lists: &[&[&str]]| Table {
            ties: Ties {
                unique: lists.iter().map(|l| l.iter().map(|c| (*c).to_owned()).collect()).collect(),
                ..Ties::default()
            },
            ..table(&["id", "tenant", "email"])
        };
        let all = ["id", "tenant", "email"];
        assert!(unique(&[&["id"], &["email", "id"]]).is_free(&["id"], &all));
        assert!(!unique(&[&["id"], &["email"]]).is_free(&["id"], &all));
        assert!(!unique(&[&["id"]]).is_free(&["id", "tenant"], &all));
        let tied = |ties: Ties| Table { ties, ..table(&all) }.is_free(&["id"], &all);
        assert!(tied(Ties { checks: true, ..Ties::default() }));
        assert!(!tied(Ties { acts: true, ..Ties::default() }));
        assert!(!tied(Ties { references: true, ..Ties::default() }));
        assert!(!tied(Ties { hidden_unique: true, ..Ties::default() }));
        let mut counting = table(&all);
        counting.columns[2].fill = Fill::Counted;
        assert!(counting.is_free(&["id"], &all) && !counting.is_free(&["id"], &["id"]));
    }
}
