//! What the target says of a table.

/// What a column takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// True or false.
    Boolean,
    /// Whole numbers between these.
    Integer(i128, i128),
    /// Numbers of so many digits, of which so many after the point; none is any number.
    Decimal(Option<u32>, Option<u32>),
    /// Floating point numbers, of single precision or of double.
    Float {
        /// 32 bits.
        single: bool,
    },
    /// Text of any kind; at most so many characters.
    Text(Option<u32>),
    /// Bytes, at most so many.
    Binary(Option<u32>),
    /// Bits, so many.
    Bit(u32),
    /// Dates.
    Date,
    /// Times of day, with so many digits of the second's fraction.
    Time(u32),
    /// Dates with times, with so many digits of the second's fraction.
    DateTime {
        /// Whether it is an instant, written in UTC; else what clocks show in `db.timezone`.
        instant: bool,
        /// Digits.
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
    /// Whatever the database reads from text: enumerations, addresses, ranges.
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
