//! What a scalar function is, and the registry that names are looked up in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use firesteel_common::{Error, Result, Scalar, SqlType};

use crate::aggregate::AggregateFunction;

/// A value per row, or one for all rows.
#[derive(Clone, Debug)]
pub enum Datum {
    /// One value for all rows.
    Scalar(Scalar),
    /// A value per row.
    Array(ArrayRef),
}

impl Datum {
    /// A value for each of `rows` rows.
    pub fn into_array(self, rows: usize) -> ArrayRef {
        match self {
            Datum::Scalar(value) => value.to_array(rows),
            Datum::Array(array) => array,
        }
    }
}

/// What an evaluation depends on besides its inputs: settled once per query.
#[derive(Clone, Debug)]
pub struct EvalContext {
    /// Functions by name.
    pub registry: Arc<FunctionRegistry>,
    /// ANSI mode: overflows and bad casts are errors.
    pub ansi: bool,
    /// Session time zone, an IANA name or an offset.
    pub time_zone: Arc<str>,
    /// Start of the query, microseconds since the epoch, UTC.
    pub now: i64,
}

/// Documentation of a function, from which `docs/functions.md` and tests are made.
#[derive(Clone, Copy, Debug)]
pub struct FunctionDoc {
    /// Name in lower case.
    pub name: &'static str,
    /// Other names.
    pub aliases: &'static [&'static str],
    /// Group in the documentation: `string`, `math`, `datetime`, …
    pub category: &'static str,
    /// Call syntax, such as `substring(str, pos[, len])`.
    pub syntax: &'static str,
    /// One or two sentences.
    pub description: &'static str,
    /// SQL expressions with their results as text.
    pub examples: &'static [(&'static str, &'static str)],
}

/// A type settled for a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    /// Types that the arguments are cast to, one per argument.
    pub args: Vec<SqlType>,
    /// Type of the result.
    pub ty: SqlType,
    /// Whether the result may be NULL although no argument is. (It may be NULL if an argument may.)
    pub may_be_null: bool,
}

/// A scalar function.
pub trait ScalarFunction: Send + Sync {
    /// Name, syntax, description and examples.
    fn doc(&self) -> &FunctionDoc;

    /// Settles the types of a call. `literals` has the value of each argument that is a literal.
    ///
    /// Errors: `WRONG_NUM_ARGS`, `DATATYPE_MISMATCH`.
    fn bind(&self, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature>;

    /// The kernel for settled types: made once per query and task, so it may prepare literals.
    fn kernel(
        &self,
        args: &[SqlType],
        ty: &SqlType,
        literals: &[Option<Scalar>],
        cx: &EvalContext,
    ) -> Result<Box<dyn ScalarKernel>>;

    /// Whether equal arguments give equal results in one query, so that literals fold.
    fn is_deterministic(&self) -> bool {
        true
    }

    /// Whether a NULL argument may give a result that is not NULL (`coalesce`, `concat_ws`, `isnull`).
    fn handles_null(&self) -> bool {
        false
    }

    /// Whether it may fail on some values; such a call is never evaluated on rows that are not live.
    fn is_fallible(&self) -> bool {
        true
    }

    /// [`ScalarFunction::is_fallible`] for settled types: `+` cannot fail on DOUBLE.
    fn may_fail(&self, args: &[SqlType], ty: &SqlType) -> bool {
        let _ = (args, ty);
        self.is_fallible()
    }
}

/// Computes a function over batches.
pub trait ScalarKernel: Send + Sync {
    /// The results of `rows` rows. Array arguments have `rows` rows and the settled types, possibly
    /// in an alternative encoding. The result has the settled type.
    fn eval(&self, args: &[Datum], rows: usize) -> Result<Datum>;
}

/// Functions by lower-case name. Built once; a session that registers its own gets a copy.
#[derive(Clone, Default)]
pub struct FunctionRegistry {
    scalars: BTreeMap<String, Arc<dyn ScalarFunction>>,
    aggregates: BTreeMap<String, Arc<dyn AggregateFunction>>,
}

impl FunctionRegistry {
    /// A registry without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a scalar function under its names.
    pub fn register_scalar(&mut self, function: Arc<dyn ScalarFunction>) {
        let doc = *function.doc();
        for name in std::iter::once(&doc.name).chain(doc.aliases) {
            self.scalars.insert(name.to_lowercase(), function.clone());
        }
    }

    /// Adds or replaces an aggregate function under its names.
    pub fn register_aggregate(&mut self, function: Arc<dyn AggregateFunction>) {
        let doc = *function.doc();
        for name in std::iter::once(&doc.name).chain(doc.aliases) {
            self.aggregates.insert(name.to_lowercase(), function.clone());
        }
    }

    /// The scalar function of a name.
    pub fn scalar(&self, name: &str) -> Option<&Arc<dyn ScalarFunction>> {
        self.scalars.get(name).or_else(|| self.scalars.get(&name.to_lowercase()))
    }

    /// The aggregate function of a name.
    pub fn aggregate(&self, name: &str) -> Option<&Arc<dyn AggregateFunction>> {
        self.aggregates.get(name).or_else(|| self.aggregates.get(&name.to_lowercase()))
    }

    /// The scalar function of a name that a bound plan uses.
    pub fn expect_scalar(&self, name: &str) -> Result<&Arc<dyn ScalarFunction>> {
        self.scalar(name).ok_or_else(|| Error::internal(format!("function `{name}` is not registered here")))
    }

    /// The aggregate function of a name that a bound plan uses.
    pub fn expect_aggregate(&self, name: &str) -> Result<&Arc<dyn AggregateFunction>> {
        self.aggregate(name).ok_or_else(|| Error::internal(format!("aggregate `{name}` is not registered here")))
    }

    /// All names, aggregates included, sorted.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.scalars.keys().chain(self.aggregates.keys()).map(String::as_str).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Documentation of all functions, each once.
    pub fn docs(&self) -> Vec<FunctionDoc> {
        let scalars = self.scalars.iter().map(|(name, f)| (name, *f.doc()));
        let aggregates = self.aggregates.iter().map(|(name, f)| (name, *f.doc()));
        scalars.chain(aggregates).filter(|(name, doc)| *name == doc.name).map(|(_, doc)| doc).collect()
    }
}

impl fmt::Debug for FunctionRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionRegistry({} functions)", self.names().len())
    }
}
