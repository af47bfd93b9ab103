//! Scalar functions that a program registers.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use firesteel_common::{Error, ErrorKind, Result, Scalar, SqlType, encoding};
use firesteel_expr::coercion::can_cast;
use firesteel_expr::function::{Datum, EvalContext, FunctionDoc, ScalarFunction, ScalarKernel, Signature};
use parking_lot::Mutex;

use crate::column::{Column, IntoColumns, call};
use crate::session::Session;

type Body = dyn Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync;

/// A registered function; calls it in the API. In SQL it is called by its name.
#[derive(Clone, Debug)]
pub struct Udf(Arc<str>);

impl Udf {
    /// A call.
    pub fn call(&self, args: impl IntoColumns) -> Column {
        call(&self.0, args.into_columns())
    }
}

impl Session {
    /// Registers a function of whole columns, for SQL and the API; a function of that name is replaced.
    ///
    /// Arguments are cast to `args`, and come in the encoding of [`SqlType::arrow`], all of one length; NULLs are passed
    /// on. The result has a value per row, of the type `returns` in any encoding. The function must give equal results
    /// for equal arguments.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// use std::sync::Arc;
    ///
    /// use firesteel::arrow::array::{ArrayRef, AsArray, Int64Array};
    /// use firesteel::arrow::datatypes::Int64Type;
    /// use firesteel::functions::col;
    /// use firesteel::{Session, SqlType};
    ///
    /// let session = Session::builder().threads(1).build()?;
    /// let twice = session.udf_register("twice", [SqlType::BigInt], SqlType::BigInt, |args: &[ArrayRef]| {
    ///     let doubled: Int64Array = args[0].as_primitive::<Int64Type>().unary(|value| value * 2);
    ///     Ok(Arc::new(doubled) as ArrayRef)
    /// });
    /// let df = session.sql("SELECT twice(id) AS a FROM range(3)").await?;
    /// assert_eq!(df.filter(twice.call("a").eq(8))?.count().await?, 1);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn udf_register<F>(&self, name: &str, args: impl IntoIterator<Item = SqlType>, returns: SqlType, body: F) -> Udf
    where
        F: Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
    {
        let name = name.to_lowercase();
        let interned = interned(&name);
        let function = UserFunction {
            doc: FunctionDoc {
                name: interned,
                aliases: &[],
                category: "user",
                syntax: interned,
                description: "A function of the program.",
                examples: &[],
            },
            args: args.into_iter().collect(),
            returns,
            body: Arc::new(body),
        };
        self.update_registry(|registry| registry.register_scalar(Arc::new(function)));
        Udf(Arc::from(name))
    }
}

/// The text for as long as the process lives, which is what documentation is made of. A name is kept once, however
/// often it is registered.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

struct UserFunction {
    doc: FunctionDoc,
    args: Vec<SqlType>,
    returns: SqlType,
    body: Arc<Body>,
}

impl ScalarFunction for UserFunction {
    fn doc(&self) -> &FunctionDoc {
        &self.doc
    }

    fn bind(&self, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
        if args.len() != self.args.len() {
            return Err(firesteel_sql::call::wrong_num_args(self.doc.name, &self.args.len().to_string(), args.len()));
        }
        for (at, (found, wanted)) in args.iter().zip(&self.args).enumerate() {
            if found != wanted && !can_cast(found, wanted, true) {
                let message = format!(
                    "Cannot resolve \"{}\" due to data type mismatch: parameter {} requires the \"{wanted}\" type, however \
                     it has the type \"{found}\".",
                    self.doc.name,
                    at + 1
                );
                let condition = "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE";
                return Err(Error::new(ErrorKind::Type, condition, "42K09", message));
            }
        }
        Ok(Signature { args: self.args.clone(), ty: self.returns.clone(), may_be_null: true })
    }

    fn kernel(
        &self,
        args: &[SqlType],
        ty: &SqlType,
        _: &[Option<Scalar>],
        _: &EvalContext,
    ) -> Result<Box<dyn ScalarKernel>> {
        let (args, ty, body) = (args.to_vec(), ty.clone(), self.body.clone());
        Ok(Box::new(UserKernel { name: self.doc.name, args, ty, body }))
    }

    fn handles_null(&self) -> bool {
        true
    }
}

struct UserKernel {
    name: &'static str,
    args: Vec<SqlType>,
    ty: SqlType,
    body: Arc<Body>,
}

impl ScalarKernel for UserKernel {
    fn eval(&self, args: &[Datum], rows: usize) -> Result<Datum> {
        let canonical = |(arg, ty): (&Datum, &SqlType)| encoding::canonical(&arg.clone().into_array(rows), ty);
        let args = args.iter().zip(&self.args).map(canonical).collect::<Result<Vec<_>>>()?;
        let result = (self.body)(&args)?;
        let failed = |why: String| {
            let message = format!("User defined function (`{}`) failed: {why}", self.name);
            Error::compute("FAILED_EXECUTE_UDF", "39000", message)
        };
        if result.len() != rows {
            return Err(failed(format!("it returned {} values for {rows} rows.", result.len())));
        }
        if !SqlType::from_arrow(result.data_type()).is_ok_and(|found| found == self.ty) {
            return Err(failed(format!("it returned {}, not {}.", result.data_type(), self.ty)));
        }
        Ok(Datum::Array(encoding::canonical(&result, &self.ty)?))
    }
}
