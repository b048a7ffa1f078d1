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
    /// Whether two values of it are the same only if their text is: no collation that folds case.
    pub exact: bool,
    /// Whether it may be null.
    pub nullable: bool,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    /// Its columns, in order.
    pub columns: Vec<Column>,
    /// Whether it is a view, which cannot be altered.
    pub view: bool,
}

impl Table {
    /// A column by name, in any case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        let exact = self.columns.iter().find(|column| column.name == name);
        exact.or_else(|| self.columns.iter().find(|c| c.name.eq_ignore_ascii_case(name)))
    }
}
