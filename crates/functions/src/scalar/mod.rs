//! Scalar functions.
//!
//! A function is a [`Function`]: documentation, a [`Sig`] that settles types, and a `run` that computes
//! a whole batch through the typed readers and writers of [`Args`]. The driver here does what all of
//! them need: constants are computed once, and a single dictionary argument is computed once per entry.

mod args;
mod attempt;
mod datetime;
mod math;
mod misc;
mod random;
mod string;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type};
use firesteel_common::{Result, Scalar, SqlType};
use firesteel_expr::{Datum, EvalContext, FunctionDoc, FunctionRegistry, ScalarFunction, ScalarKernel, Signature};

pub(crate) use args::Args;

use crate::check;

/// A scalar function as a row of a table.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    doc: FunctionDoc,
    sig: Sig,
    run: fn(&Args) -> Result<ArrayRef>,
    handles_null: bool,
    deterministic: bool,
    fallible: bool,
    may_be_null: bool,
}

/// Settles types by a rule of its own: name, argument types, literals.
pub(crate) type Bind = fn(&'static str, &[SqlType], &[Option<Scalar>]) -> Result<Signature>;

/// How the types of a call are settled.
#[derive(Clone, Copy)]
pub(crate) enum Sig {
    /// Types of the parameters, of which at least the given number are there; type of the result.
    Fixed(&'static [SqlType], usize, SqlTypeRef),
    /// A rule of its own.
    Custom(Bind),
}

/// A type in a constant table.
pub(crate) type SqlTypeRef = &'static SqlType;

/// A function that may fail on a value or give NULL for values: the safe assumptions, which
/// [`Function::total`] and [`Function::infallible`] relax.
pub(crate) const fn function(
    category: &'static str,
    names: (&'static str, &'static [&'static str]),
    syntax: &'static str,
    description: &'static str,
    examples: &'static [(&'static str, &'static str)],
    sig: Sig,
    run: fn(&Args) -> Result<ArrayRef>,
) -> Function {
    let doc = FunctionDoc { name: names.0, aliases: names.1, category, syntax, description, examples };
    Function { doc, sig, run, handles_null: false, deterministic: true, fallible: true, may_be_null: true }
}

impl Function {
    /// Never fails, but may give NULL.
    pub(crate) const fn infallible(mut self) -> Self {
        self.fallible = false;
        self
    }

    /// Never fails, and gives a value for values.
    pub(crate) const fn total(mut self) -> Self {
        self.fallible = false;
        self.may_be_null = false;
        self
    }

    /// Gives a value for values, or fails.
    pub(crate) const fn not_null(mut self) -> Self {
        self.may_be_null = false;
        self
    }

    /// May give a value for NULLs.
    pub(crate) const fn handles_null(mut self) -> Self {
        self.handles_null = true;
        self
    }

    /// Differs from row to row.
    pub(crate) const fn volatile(mut self) -> Self {
        self.deterministic = false;
        self
    }
}

/// Whether an argument of type `from` is cast to `to` without being asked.
fn implicit(from: &SqlType, to: &SqlType) -> bool {
    let from_string = from.is_string();
    match to {
        _ if from == to || *from == SqlType::Void => true,
        SqlType::String => true,
        SqlType::Binary | SqlType::Boolean => from_string,
        to if to.is_integer() => from.is_integer() || from_string,
        to if to.is_numeric() => from.is_numeric() || from_string,
        to if to.is_datetime() => from.is_datetime() || from_string,
        _ => false,
    }
}

/// Settles parameters of fixed types.
pub(crate) fn fixed(
    name: &'static str,
    args: &[SqlType],
    params: &[SqlType],
    min: usize,
    ty: &SqlType,
) -> Result<Signature> {
    check::arity(name, args.len(), min, params.len())?;
    for (index, (from, to)) in args.iter().zip(params).enumerate() {
        if !implicit(from, to) {
            return Err(check::unexpected_type(name, index, &to.to_string(), from));
        }
    }
    Ok(Signature { args: params[..args.len()].to_vec(), ty: ty.clone(), may_be_null: true })
}

impl ScalarFunction for Function {
    fn doc(&self) -> &FunctionDoc {
        &self.doc
    }

    fn bind(&self, args: &[SqlType], literals: &[Option<Scalar>]) -> Result<Signature> {
        let signature = match self.sig {
            Sig::Fixed(params, min, ty) => fixed(self.doc.name, args, params, min, ty)?,
            Sig::Custom(bind) => bind(self.doc.name, args, literals)?,
        };
        Ok(Signature { may_be_null: self.may_be_null, ..signature })
    }

    fn kernel(
        &self,
        args: &[SqlType],
        ty: &SqlType,
        literals: &[Option<Scalar>],
        cx: &EvalContext,
    ) -> Result<Box<dyn ScalarKernel>> {
        let constants = literals.iter().zip(args).map(|(literal, ty)| literal.clone().filter(|l| l.ty() == *ty));
        Ok(Box::new(Kernel {
            function: *self,
            types: args.to_vec(),
            ty: ty.clone(),
            constants: constants.collect(),
            cx: cx.clone(),
        }))
    }

    fn is_deterministic(&self) -> bool {
        self.deterministic
    }

    fn handles_null(&self) -> bool {
        self.handles_null
    }

    fn is_fallible(&self) -> bool {
        self.fallible
    }
}

struct Kernel {
    function: Function,
    types: Vec<SqlType>,
    ty: SqlType,
    /// Arguments that are literals: constants even if the caller makes arrays of them.
    constants: Vec<Option<Scalar>>,
    cx: EvalContext,
}

impl Kernel {
    fn run(&self, data: &[Datum], rows: usize) -> Result<ArrayRef> {
        let args = Args { data, types: &self.types, ty: &self.ty, rows, cx: &self.cx };
        (self.function.run)(&args)
    }

    /// The only argument that is no constant, if it is a dictionary that may be computed by entry.
    fn dictionary<'a>(&self, data: &'a [Datum]) -> Option<(usize, &'a DictionaryArray<Int32Type>)> {
        if self.function.handles_null || self.function.fallible || !self.function.deterministic {
            return None;
        }
        let mut arrays = data.iter().enumerate().filter_map(|(index, datum)| match datum {
            Datum::Array(array) => Some((index, array)),
            Datum::Scalar(_) => None,
        });
        let (index, array) = arrays.next()?;
        let dictionary = array.as_dictionary_opt::<Int32Type>()?;
        let pays = dictionary.values().len() < array.len();
        (arrays.next().is_none() && pays).then_some((index, dictionary))
    }
}

impl ScalarKernel for Kernel {
    fn eval(&self, data: &[Datum], rows: usize) -> Result<Datum> {
        let own: Vec<Datum>;
        let spread =
            |(datum, constant): (&Datum, &Option<Scalar>)| matches!(datum, Datum::Array(_)) && constant.is_some();
        let data = if data.iter().zip(&self.constants).any(spread) {
            let constant = |(index, datum): (usize, &Datum)| match self.constants.get(index) {
                Some(Some(value)) => Datum::Scalar(value.clone()),
                _ => datum.clone(),
            };
            own = data.iter().enumerate().map(constant).collect();
            &own
        } else {
            data
        };
        if self.function.deterministic && data.iter().all(|datum| matches!(datum, Datum::Scalar(_))) {
            let one = self.run(data, 1)?;
            return Ok(Datum::Scalar(Scalar::from_array(&one, 0, &self.ty)?));
        }
        if let Some((index, dictionary)) = self.dictionary(data) {
            let mut entries = data.to_vec();
            entries[index] = Datum::Array(dictionary.values().clone());
            let results = self.run(&entries, dictionary.values().len())?;
            if matches!(results.data_type(), DataType::Utf8View) {
                let results = DictionaryArray::try_new(dictionary.keys().clone(), results)?;
                return Ok(Datum::Array(Arc::new(results)));
            }
            return Ok(Datum::Array(take(&results, dictionary.keys(), None)?));
        }
        Ok(Datum::Array(self.run(data, rows)?))
    }
}

/// Whether a text names a time zone.
pub(crate) fn is_time_zone(name: &str) -> bool {
    datetime::is_time_zone(name)
}

/// Registers all scalar functions.
pub fn register(registry: &mut FunctionRegistry) {
    let groups = [string::TABLES, math::TABLES, datetime::TABLES, misc::TABLES];
    for function in groups.into_iter().flatten().copied().flatten() {
        registry.register_scalar(Arc::new(*function));
    }
    attempt::register(registry);
    random::register(registry);
}
