//! Every aggregate must give the same result from raw rows and from merged states; the rest are the
//! cases that are easy to get wrong.

use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;
use firesteel_common::{Result, Scalar, SqlType};
use firesteel_expr::{EvalContext, GroupAccumulator};

use crate::builtin_registry;

fn context(ansi: bool) -> EvalContext {
    EvalContext { registry: builtin_registry(), ansi, time_zone: Arc::from("UTC"), now: 0 }
}

fn make(name: &str, types: &[SqlType]) -> (Box<dyn GroupAccumulator>, SqlType) {
    let function = builtin_registry().aggregate(name).unwrap().clone();
    let signature = function.bind(types).unwrap();
    let accumulator = function.accumulator(&signature.args, &signature.ty, &context(true)).unwrap();
    (accumulator, signature.ty)
}

/// The results of two groups, rows belonging to group `row % 2`.
fn two_groups(name: &str, types: &[SqlType], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<Scalar>> {
    let (mut accumulator, ty) = make(name, types);
    let groups: Vec<u32> = (0..args[0].len() as u32).map(|row| row % 2).collect();
    accumulator.resize(2);
    accumulator.update(&groups, args, filter)?;
    let direct = results(accumulator.as_mut(), 2, &ty)?;
    // The same rows in parts, whose states are merged in the order of the rows.
    let (mut merged, _) = make(name, types);
    merged.resize(2);
    for start in (0..groups.len()).step_by(3) {
        let rows = 3.min(groups.len() - start);
        let (mut part, _) = make(name, types);
        part.resize(2);
        let slices: Vec<ArrayRef> = args.iter().map(|a| a.slice(start, rows)).collect();
        part.update(&groups[start..start + rows], &slices, filter.map(|f| f.slice(start, rows)).as_ref())?;
        let states = part.states(0, 2)?;
        merged.merge(&[0, 1], &states)?;
    }
    assert_eq!(format!("{:?}", results(merged.as_mut(), 2, &ty)?), format!("{direct:?}"), "{name}");
    assert!(merged.memory() > 0);
    Ok(direct)
}

fn results(accumulator: &mut dyn GroupAccumulator, groups: usize, ty: &SqlType) -> Result<Vec<Scalar>> {
    let array = accumulator.finish(0, groups)?;
    assert_eq!(array.data_type(), &ty.arrow());
    (0..groups).map(|row| Scalar::from_array(&array, row, ty)).collect()
}

/// The result of one group of all rows.
fn single(name: &str, types: &[SqlType], args: &[ArrayRef]) -> Result<Scalar> {
    let (mut accumulator, ty) = make(name, types);
    accumulator.resize(1);
    accumulator.update(&vec![0; args[0].len()], args, None)?;
    Ok(results(accumulator.as_mut(), 1, &ty)?.remove(0))
}

fn ints(values: Vec<Option<i32>>) -> ArrayRef {
    Arc::new(Int32Array::from(values))
}

fn decimals(values: Vec<i64>, p: u8, s: i8) -> ArrayRef {
    Arc::new(Decimal64Array::from(values).with_precision_and_scale(p, s).unwrap())
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringViewArray::from(values.to_vec()))
}

const VALUES: [Option<i32>; 8] = [Some(1), Some(2), None, Some(4), Some(5), None, Some(-7), Some(8)];

#[test]
fn nulls_and_filters_do_not_count() {
    let args = [ints(VALUES.to_vec())];
    let t = [SqlType::Int];
    let long = |a, b| vec![Scalar::BigInt(a), Scalar::BigInt(b)];
    assert_eq!(two_groups("sum", &t, &args, None).unwrap(), long(-1, 14));
    assert_eq!(two_groups("count", &t, &args, None).unwrap(), long(3, 3));
    assert_eq!(two_groups("min", &t, &args, None).unwrap(), vec![Scalar::Int(-7), Scalar::Int(2)]);
    assert_eq!(two_groups("max", &t, &args, None).unwrap(), vec![Scalar::Int(5), Scalar::Int(8)]);
    let filter =
        BooleanArray::from(vec![Some(true), None, Some(true), Some(false), Some(true), Some(true), None, Some(false)]);
    assert_eq!(two_groups("count", &t, &args, Some(&filter)).unwrap(), long(2, 0));
    let sums = two_groups("sum", &t, &args, Some(&filter)).unwrap();
    assert_eq!(sums, vec![Scalar::BigInt(6), Scalar::Null(SqlType::BigInt)]);
    let averages = two_groups("avg", &t, &args, Some(&filter)).unwrap();
    assert_eq!(averages, vec![Scalar::Double(3.0), Scalar::Null(SqlType::Double)]);
    assert!(two_groups("max", &t, &args, Some(&filter)).unwrap()[1].is_null());
}

#[test]
fn one_group_agrees_with_many() {
    let args = [ints((0..1000).map(Some).collect())];
    assert_eq!(single("sum", &[SqlType::Int], &args).unwrap(), Scalar::BigInt(499_500));
    assert_eq!(single("avg", &[SqlType::Int], &args).unwrap(), Scalar::Double(499.5));
    assert_eq!(single("max", &[SqlType::Int], &args).unwrap(), Scalar::Int(999));
    assert_eq!(single("count", &[SqlType::Int], &args).unwrap(), Scalar::BigInt(1000));
    let empty = [ints(vec![])];
    assert!(single("sum", &[SqlType::Int], &empty).unwrap().is_null());
    assert_eq!(single("count", &[SqlType::Int], &empty).unwrap(), Scalar::BigInt(0));
}

#[test]
fn integer_sums_overflow() {
    let args: [ArrayRef; 1] = [Arc::new(Int64Array::from(vec![i64::MAX, 1, 1, 2]))];
    let error = single("sum", &[SqlType::BigInt], &args).unwrap_err();
    assert_eq!((error.condition(), error.sqlstate()), ("ARITHMETIC_OVERFLOW", "22003"));
    assert!(two_groups("sum", &[SqlType::BigInt], &args, None).is_err());
    assert!(single("try_sum", &[SqlType::BigInt], &args).unwrap().is_null());
    let results = two_groups("try_sum", &[SqlType::BigInt], &args, None).unwrap();
    assert_eq!(results, vec![Scalar::Null(SqlType::BigInt), Scalar::BigInt(3)]);
}

#[test]
fn decimals_in_either_width() {
    let ty = SqlType::Decimal(20, 2);
    let wide: ArrayRef = Arc::new(Decimal128Array::from(vec![150, 250, 1, 2]).with_precision_and_scale(20, 2).unwrap());
    for array in [decimals(vec![150, 250, 1, 2], 18, 2), wide] {
        let sums = two_groups("sum", std::slice::from_ref(&ty), std::slice::from_ref(&array), None).unwrap();
        assert_eq!(sums, vec![Scalar::Decimal(151, 30, 2), Scalar::Decimal(252, 30, 2)]);
        let largest = two_groups("max", std::slice::from_ref(&ty), &[array], None).unwrap();
        assert_eq!(largest, vec![Scalar::Decimal(150, 20, 2), Scalar::Decimal(250, 20, 2)]);
    }
    let most = 10i128.pow(38) - 1;
    let array: ArrayRef = Arc::new(Decimal128Array::from(vec![most, most]).with_precision_and_scale(38, 0).unwrap());
    let error = single("sum", &[SqlType::Decimal(38, 0)], &[array]).unwrap_err();
    assert_eq!((error.condition(), error.sqlstate()), ("NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION", "22003"));
}

#[test]
fn averages_of_decimals_round_half_up() {
    let average = |values: Vec<i64>| {
        let args = [decimals(values, 10, 2)];
        single("avg", &[SqlType::Decimal(10, 2)], &args).unwrap()
    };
    assert_eq!(average(vec![100, 100, 200]), Scalar::Decimal(1_333_333, 14, 6));
    assert_eq!(average(vec![200, 200, 100]), Scalar::Decimal(1_666_667, 14, 6));
    assert_eq!(average(vec![-200, -200, -100]), Scalar::Decimal(-1_666_667, 14, 6));
    // 0.01 / 32 = 0.0003125 has seven places; the last is rounded away from zero.
    let mut values = vec![0; 31];
    values.push(1);
    assert_eq!(average(values.clone()), Scalar::Decimal(313, 14, 6));
    values[31] = -1;
    assert_eq!(average(values), Scalar::Decimal(-313, 14, 6));
}

#[test]
fn strings_in_any_encoding() {
    let values = [Some("b"), Some("zz"), None, Some("a longer string than twelve"), Some("a"), None];
    let dictionary: DictionaryArray<Int32Type> = values.into_iter().collect();
    for array in [text(&values), Arc::new(dictionary) as ArrayRef] {
        let t = [SqlType::String];
        let least = two_groups("min", &t, std::slice::from_ref(&array), None).unwrap();
        assert_eq!(least, vec![Scalar::string("a"), Scalar::string("a longer string than twelve")]);
        let greatest = two_groups("max", &t, std::slice::from_ref(&array), None).unwrap();
        assert_eq!(greatest, vec![Scalar::string("b"), Scalar::string("zz")]);
        let first = two_groups("first", &t, std::slice::from_ref(&array), None).unwrap();
        assert_eq!(first, vec![Scalar::string("b"), Scalar::string("zz")]);
        let last = two_groups("last", &t, std::slice::from_ref(&array), None).unwrap();
        assert_eq!(last, vec![Scalar::string("a"), Scalar::Null(SqlType::String)]);
        let count = two_groups("approx_count_distinct", &t, &[array], None).unwrap();
        assert_eq!(count, vec![Scalar::BigInt(2), Scalar::BigInt(2)]);
    }
}

#[test]
fn last_can_ignore_nulls() {
    let args = [ints(VALUES.to_vec()), Arc::new(BooleanArray::from(vec![true; 8])) as ArrayRef];
    let last = two_groups("last", &[SqlType::Int, SqlType::Boolean], &args, None).unwrap();
    assert_eq!(last, vec![Scalar::Int(-7), Scalar::Int(8)]);
}

#[test]
fn nan_is_greatest() {
    let args: [ArrayRef; 1] = [Arc::new(Float64Array::from(vec![f64::NAN, 1.0, 2.0, f64::NAN, -1.0, 3.0]))];
    let t = [SqlType::Double];
    assert_eq!(two_groups("min", &t, &args, None).unwrap(), vec![Scalar::Double(-1.0), Scalar::Double(1.0)]);
    let greatest = two_groups("max", &t, &args, None).unwrap();
    assert!(greatest.iter().all(|v| matches!(v, Scalar::Double(v) if v.is_nan())));
}

#[test]
fn moments_and_order() {
    let x: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 10.0, 100.0, 10.0, 1.0]));
    let near = |name: &str, args: &[ArrayRef], expected: f64| {
        let types = vec![SqlType::Double; args.len()];
        let Scalar::Double(v) = single(name, &types, args).unwrap() else { panic!("{name} is NULL") };
        assert!((v - expected).abs() < 1e-9, "{name}: {v}");
    };
    let one = std::slice::from_ref(&x);
    near("kurtosis", one, 0.194_323_231_916_990_75);
    near("stddev_pop", one, 38.013_681_747_497_17);
    near("variance", one, 1806.3);
    let y: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 20.0, 200.0, 20.0, 2.0]));
    near("corr", &[x.clone(), y.clone()], 1.0);
    near("covar_samp", &[x.clone(), y], 3612.6);
    near("median", one, 10.0);
    let few: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
    assert!(single("stddev", &[SqlType::Double], &[few]).unwrap().is_null());
    let names = text(&[Some("a"), Some("b"), Some("c"), Some("d"), Some("e")]);
    let best = single("max_by", &[SqlType::String, SqlType::Double], &[names, x]).unwrap();
    assert_eq!(best, Scalar::string("c"));
}

#[test]
fn distinct_estimates_are_close() {
    let array: ArrayRef = Arc::new(Int64Array::from_iter_values((0..200_000).map(|v| v % 50_000)));
    let Scalar::BigInt(n) = single("approx_count_distinct", &[SqlType::BigInt], &[array]).unwrap() else { panic!() };
    assert!((46_000..54_000).contains(&n), "{n}");
}

#[test]
fn booleans() {
    let args: [ArrayRef; 1] =
        [Arc::new(BooleanArray::from(vec![Some(true), Some(false), Some(true), None, Some(true), Some(false)]))];
    let t = [SqlType::Boolean];
    assert_eq!(two_groups("every", &t, &args, None).unwrap(), vec![Scalar::Boolean(true), Scalar::Boolean(false)]);
    assert_eq!(two_groups("some", &t, &args, None).unwrap(), vec![Scalar::Boolean(true), Scalar::Boolean(false)]);
    assert_eq!(two_groups("count_if", &t, &args, None).unwrap(), vec![Scalar::BigInt(3), Scalar::BigInt(0)]);
}

#[test]
fn wrong_calls_are_refused() {
    let registry = builtin_registry();
    let sum = registry.aggregate("sum").unwrap();
    assert_eq!(sum.bind(&[]).unwrap_err().sqlstate(), "42605");
    assert_eq!(sum.bind(&[SqlType::Boolean]).unwrap_err().condition(), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE");
}
