//! Statistics of one and of two variables: variance, deviation, skewness, kurtosis, covariance,
//! correlation.
//!
//! States are the count, the means and the central moments, updated as Welford does and merged as
//! Chan does, which is stable where a difference of large sums is not.

use arrow::array::{ArrayRef, BooleanArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::Float64Type;
use firesteel_common::{Result, SqlType};
use firesteel_expr::{AggregateSignature, GroupAccumulator};

use super::rows::{arg, array_of, doubles, for_each_row, live, nulls_of, primitive};
use super::{Aggregate, doc};
use crate::check;

macro_rules! of_one {
    ($name:literal, $aliases:expr, $description:literal, $examples:expr, $result:expr) => {
        Aggregate {
            doc: doc($name, $aliases, concat!($name, "(expr)"), $description, $examples),
            bind: |name, args| bind(name, args, 1, 5),
            make: |_, _, _| Ok(Box::new(Moments { groups: Vec::new(), result: $result })),
            ignores_duplicates: false,
        }
    };
}

macro_rules! of_two {
    ($name:literal, $description:literal, $examples:expr, $result:expr) => {
        Aggregate {
            doc: doc($name, &[], concat!($name, "(expr1, expr2)"), $description, $examples),
            bind: |name, args| bind(name, args, 2, 6),
            make: |_, _, _| Ok(Box::new(CoMoments { groups: Vec::new(), result: $result })),
            ignores_duplicates: false,
        }
    };
}

/// Functions of the regression of y, the first argument, by x, the second. (In [`CoMoment`] the first is x.)
macro_rules! regression {
    ($name:literal, $description:literal, $example:literal, $result:expr) => {
        of_two!(
            $name,
            $description,
            &[(concat!("SELECT ", $name, "(y, x) FROM VALUES (1, 2), (2, 2), (2, 3), (2, 4) AS tab(y, x)"), $example)],
            $result
        )
    };
}

pub(super) const FUNCTIONS: &[Aggregate] = &[
    of_one!(
        "stddev",
        &["stddev_samp", "std"],
        "Returns the sample standard deviation calculated from values of a group.",
        &[("SELECT stddev(col) FROM VALUES (1), (2), (3) AS tab(col)", "1.0")],
        |m| (m.n > 1.0).then(|| (m.m2 / (m.n - 1.0)).sqrt())
    ),
    of_one!(
        "stddev_pop",
        &[],
        "Returns the population standard deviation calculated from values of a group.",
        &[("SELECT stddev_pop(col) FROM VALUES (1), (2), (3) AS tab(col)", "0.816496580927726")],
        |m| (m.n > 0.0).then(|| (m.m2 / m.n).sqrt())
    ),
    of_one!(
        "variance",
        &["var_samp"],
        "Returns the sample variance calculated from values of a group.",
        &[("SELECT variance(col) FROM VALUES (1), (2), (3) AS tab(col)", "1.0")],
        |m| (m.n > 1.0).then(|| m.m2 / (m.n - 1.0))
    ),
    of_one!(
        "var_pop",
        &[],
        "Returns the population variance calculated from values of a group.",
        &[("SELECT var_pop(col) FROM VALUES (1), (2), (3) AS tab(col)", "0.6666666666666666")],
        |m| (m.n > 0.0).then(|| m.m2 / m.n)
    ),
    of_one!(
        "skewness",
        &[],
        "Returns the skewness value calculated from values of a group.",
        &[("SELECT skewness(col) FROM VALUES (-10), (-20), (100), (1000) AS tab(col)", "1.1135657469022013")],
        |m| (m.n > 0.0 && m.m2 != 0.0).then(|| m.n.sqrt() * m.m3 / (m.m2 * m.m2 * m.m2).sqrt())
    ),
    of_one!(
        "kurtosis",
        &[],
        "Returns the kurtosis value calculated from values of a group.",
        &[("SELECT kurtosis(col) FROM VALUES (1), (10), (100), (10), (1) AS tab(col)", "0.19432323191699075")],
        |m| (m.n > 0.0 && m.m2 != 0.0).then(|| m.n * m.m4 / (m.m2 * m.m2) - 3.0)
    ),
    of_two!(
        "covar_pop",
        "Returns the population covariance of a set of number pairs.",
        &[("SELECT covar_pop(c1, c2) FROM VALUES (1,1), (2,2), (3,3) AS tab(c1, c2)", "0.6666666666666666")],
        |m| (m.n > 0.0).then(|| m.ck / m.n)
    ),
    of_two!(
        "covar_samp",
        "Returns the sample covariance of a set of number pairs.",
        &[("SELECT covar_samp(c1, c2) FROM VALUES (1,1), (2,2), (3,3) AS tab(c1, c2)", "1.0")],
        |m| (m.n > 1.0).then(|| m.ck / (m.n - 1.0))
    ),
    of_two!(
        "corr",
        "Returns the Pearson coefficient of correlation between a set of number pairs.",
        &[("SELECT corr(c1, c2) FROM VALUES (3, 2), (3, 3), (6, 4) AS tab(c1, c2)", "0.8660254037844387")],
        |m| (m.n > 1.0).then(|| m.ck / (m.xm * m.ym).sqrt())
    ),
    regression!(
        "regr_avgx",
        "Returns the average of the independent variable x, over the pairs without NULL.",
        "2.75",
        |m| (m.n > 0.0).then_some(m.y)
    ),
    regression!(
        "regr_avgy",
        "Returns the average of the dependent variable y, over the pairs without NULL.",
        "1.75",
        |m| (m.n > 0.0).then_some(m.x)
    ),
    regression!(
        "regr_sxx",
        "Returns the sum of the squared deviations of x, over the pairs without NULL.",
        "2.75",
        |m| (m.n > 0.0).then_some(m.ym)
    ),
    regression!(
        "regr_syy",
        "Returns the sum of the squared deviations of y, over the pairs without NULL.",
        "0.75",
        |m| (m.n > 0.0).then_some(m.xm)
    ),
    regression!(
        "regr_sxy",
        "Returns the sum of the products of the deviations of x and y, over the pairs without NULL.",
        "0.7499999999999998",
        |m| (m.n > 0.0).then_some(m.ck)
    ),
    regression!("regr_slope", "Returns the slope of the line that fits the pairs best.", "0.2727272727272727", |m| (m
        .ym
        > 0.0)
        .then(|| m.ck / m.ym)),
    regression!("regr_intercept", "Returns where the line that fits the pairs best crosses x = 0.", "1.0", |m| (m.ym
        > 0.0)
        .then(|| m.x - m.ck / m.ym * m.y)),
    regression!("regr_r2", "Returns the coefficient of determination of the pairs.", "0.2727272727272726", |m| (m.ym
        > 0.0)
        .then(|| if m.xm == 0.0 { 1.0 } else { m.ck * m.ck / m.xm / m.ym })),
];

fn bind(name: &'static str, args: &[SqlType], arity: usize, state: usize) -> Result<AggregateSignature> {
    check::arity(name, args.len(), arity, arity)?;
    for (index, ty) in args.iter().enumerate() {
        if !(ty.is_numeric() || ty.is_string() || *ty == SqlType::Void) {
            return Err(check::unexpected_type(name, index, "DOUBLE", ty));
        }
    }
    let (args, state) = (vec![SqlType::Double; arity], vec![SqlType::Double; state]);
    Ok(AggregateSignature { args, ty: SqlType::Double, nullable: true, state })
}

/// Count, mean and central moments of one group.
#[derive(Clone, Copy, Default)]
struct Moment {
    n: f64,
    mean: f64,
    m2: f64,
    m3: f64,
    m4: f64,
}

impl Moment {
    #[inline(always)]
    fn add(&mut self, x: f64) {
        self.n += 1.0;
        let delta = x - self.mean;
        let delta_n = delta / self.n;
        let (d2, dn2) = (delta * delta, delta_n * delta_n);
        self.mean += delta_n;
        self.m2 += delta * (delta - delta_n);
        self.m3 += delta * (d2 - dn2) - 3.0 * delta_n * self.m2;
        self.m4 += delta * (delta * d2 - delta_n * dn2) - 4.0 * delta_n * self.m3 - 6.0 * dn2 * self.m2;
    }

    fn merge(&mut self, other: &Moment) {
        if other.n == 0.0 {
            return;
        }
        let (n1, n2) = (self.n, other.n);
        let n = n1 + n2;
        let delta = other.mean - self.mean;
        let delta_n = delta / n;
        let m4 = self.m4
            + other.m4
            + delta_n * delta_n * delta_n * delta * n1 * n2 * (n1 * n1 - n1 * n2 + n2 * n2)
            + 6.0 * delta_n * delta_n * (n1 * n1 * other.m2 + n2 * n2 * self.m2)
            + 4.0 * delta_n * (n1 * other.m3 - n2 * self.m3);
        let m3 = self.m3
            + other.m3
            + delta_n * delta_n * delta * n1 * n2 * (n1 - n2)
            + 3.0 * delta_n * (n1 * other.m2 - n2 * self.m2);
        self.m2 += other.m2 + delta * delta_n * n1 * n2;
        self.mean += delta_n * n2;
        (self.n, self.m3, self.m4) = (n, m3, m4);
    }
}

struct Moments {
    groups: Vec<Moment>,
    result: fn(&Moment) -> Option<f64>,
}

/// The columns of states, each made by one function.
fn columns<T>(states: &[T], fields: &[fn(&T) -> f64]) -> Vec<ArrayRef> {
    let column =
        |field: &fn(&T) -> f64| array_of::<Float64Type>(states.iter().map(field).collect(), None, &SqlType::Double);
    fields.iter().map(column).collect()
}

/// The column of results.
fn results<T>(states: &[T], result: fn(&T) -> Option<f64>) -> ArrayRef {
    let results: Vec<Option<f64>> = states.iter().map(result).collect();
    let seen: Vec<bool> = results.iter().map(Option::is_some).collect();
    let values = results.into_iter().map(Option::unwrap_or_default).collect();
    array_of::<Float64Type>(values, nulls_of(&seen), &SqlType::Double)
}

impl GroupAccumulator for Moments {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Moment::default());
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let live = live(Some(arg(args, 0)?), filter);
        let values = primitive::<Float64Type>(args, 0)?.values();
        for_each_row(groups, live.as_ref(), |group, row| self.groups[group].add(values[row]));
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let (n, mean) = (doubles(states, 0)?, doubles(states, 1)?);
        let (m2, m3, m4) = (doubles(states, 2)?, doubles(states, 3)?, doubles(states, 4)?);
        for_each_row(groups, None, |group, row| {
            let other = Moment { n: n[row], mean: mean[row], m2: m2[row], m3: m3[row], m4: m4[row] };
            self.groups[group].merge(&other);
        });
        Ok(())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        Ok(columns(&self.groups[offset..offset + rows], &[|m| m.n, |m| m.mean, |m| m.m2, |m| m.m3, |m| m.m4]))
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        Ok(results(&self.groups[offset..offset + rows], self.result))
    }

    fn memory(&self) -> usize {
        self.groups.capacity() * size_of::<Moment>()
    }
}

/// Count, means, co-moment and second moments of the pairs of one group.
#[derive(Clone, Copy, Default)]
struct CoMoment {
    n: f64,
    x: f64,
    y: f64,
    ck: f64,
    xm: f64,
    ym: f64,
}

impl CoMoment {
    #[inline(always)]
    fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        let (dx, dy) = (x - self.x, y - self.y);
        self.x += dx / self.n;
        self.y += dy / self.n;
        self.ck += dx * (y - self.y);
        self.xm += dx * (x - self.x);
        self.ym += dy * (y - self.y);
    }

    fn merge(&mut self, other: &CoMoment) {
        if other.n == 0.0 {
            return;
        }
        let n = self.n + other.n;
        let (dx, dy) = (other.x - self.x, other.y - self.y);
        let weight = self.n * (other.n / n);
        self.ck += other.ck + dx * dy * weight;
        self.xm += other.xm + dx * dx * weight;
        self.ym += other.ym + dy * dy * weight;
        self.x += dx * other.n / n;
        self.y += dy * other.n / n;
        self.n = n;
    }
}

struct CoMoments {
    groups: Vec<CoMoment>,
    result: fn(&CoMoment) -> Option<f64>,
}

impl GroupAccumulator for CoMoments {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, CoMoment::default());
    }

    /// A pair counts if neither value is NULL.
    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let (first, second) = (live(Some(arg(args, 0)?), filter), live(Some(arg(args, 1)?), None));
        let both: Option<BooleanBuffer> = match (first, second) {
            (Some(a), Some(b)) => Some(&a & &b),
            (a, b) => a.or(b),
        };
        let (x, y) = (doubles(args, 0)?, doubles(args, 1)?);
        for_each_row(groups, both.as_ref(), |group, row| self.groups[group].add(x[row], y[row]));
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        let (n, x, y) = (doubles(states, 0)?, doubles(states, 1)?, doubles(states, 2)?);
        let (ck, xm, ym) = (doubles(states, 3)?, doubles(states, 4)?, doubles(states, 5)?);
        for_each_row(groups, None, |group, row| {
            let other = CoMoment { n: n[row], x: x[row], y: y[row], ck: ck[row], xm: xm[row], ym: ym[row] };
            self.groups[group].merge(&other);
        });
        Ok(())
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        let fields: [fn(&CoMoment) -> f64; 6] = [|m| m.n, |m| m.x, |m| m.y, |m| m.ck, |m| m.xm, |m| m.ym];
        Ok(columns(&self.groups[offset..offset + rows], &fields))
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        Ok(results(&self.groups[offset..offset + rows], self.result))
    }

    fn memory(&self) -> usize {
        self.groups.capacity() * size_of::<CoMoment>()
    }
}
