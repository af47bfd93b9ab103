//! Values of the parameters of a statement.

use firesteel_common::{Result, Scalar};
use firesteel_sql::Parameters;

use crate::dataframe::DataFrame;
use crate::session::Session;

/// Values for `:name` and `?` of a statement: pairs of names and values, or a tuple of values in order.
///
/// ```
/// use firesteel::Params;
///
/// let named = Params::from([("low", 1), ("high", 10)]);
/// let ordered = Params::from((1, "a", 2.5));
/// let mixed = Params::new().named("low", 1).named("name", "a");
/// # let _ = (named, ordered, mixed);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Params(Parameters);

impl Params {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// With a value for `:name`.
    #[must_use]
    pub fn named(mut self, name: &str, value: impl Into<Scalar>) -> Self {
        self.0.named.insert(name.to_owned(), value.into());
        self
    }

    /// With a value for the next `?`.
    #[must_use]
    pub fn positional(mut self, value: impl Into<Scalar>) -> Self {
        self.0.positional.push(value.into());
        self
    }
}

impl<V: Into<Scalar>, const N: usize> From<[(&str, V); N]> for Params {
    fn from(values: [(&str, V); N]) -> Self {
        values.into_iter().fold(Self::new(), |params, (name, value)| params.named(name, value))
    }
}

impl From<Vec<Scalar>> for Params {
    fn from(values: Vec<Scalar>) -> Self {
        Self(Parameters { positional: values, ..Parameters::default() })
    }
}

macro_rules! from_tuples {
    ($(($($name:ident),+))*) => {$(
        impl<$($name: Into<Scalar>),+> From<($($name,)+)> for Params {
            #[allow(non_snake_case, reason = "a variable has the name of its type")]
            fn from(($($name,)+): ($($name,)+)) -> Self {
                Self::new()$(.positional($name))+
            }
        }
    )*};
}

from_tuples! { (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }

impl Session {
    /// As [`Session::sql`], with values for `:name` and `?`. Values are never part of the text, so that nothing in them
    /// is read as SQL.
    ///
    /// Errors: `UNBOUND_SQL_PARAMETER` for a parameter without a value.
    ///
    /// ```
    /// # fn main() -> Result<(), firesteel::Error> {
    /// # futures::executor::block_on(async {
    /// # let session = firesteel::Session::builder().threads(1).build()?;
    /// let df = session.sql_with_params("SELECT id FROM range(10) WHERE id >= :low", [("low", 7)]).await?;
    /// assert_eq!(df.count().await?, 3);
    /// let df = session.sql_with_params("SELECT ? || '!' AS text WHERE ? > 1", ("it's", 2)).await?;
    /// assert_eq!(df.count().await?, 1);
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub async fn sql_with_params(&self, sql: &str, params: impl Into<Params>) -> Result<DataFrame> {
        self.sql_with_parameters(sql, params.into().0).await
    }
}
