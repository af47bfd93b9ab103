//! Tests of whole expressions: compile, run, compare.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Decimal64Array, DictionaryArray, Int32Array, StringViewArray};
use arrow::datatypes::{Decimal64Type, Float64Type, Int32Type};
use firesteel_common::{Span, SqlType};

use super::*;
use crate::expr::{Call, op};
use crate::function::FunctionRegistry;
use crate::kernels::register_operators;

fn context() -> EvalContext {
    let mut registry = FunctionRegistry::new();
    register_operators(&mut registry);
    EvalContext { registry: Arc::new(registry), ansi: true, time_zone: Arc::from("UTC"), now: 0 }
}

fn column(id: u32, ty: SqlType) -> ColumnRef {
    ColumnRef { id: ColumnId(id), name: Arc::from(format!("c{id}")), ty, nullable: true }
}

/// A call as the binder would make it.
fn call(name: &str, args: Vec<Expr>) -> Expr {
    let cx = context();
    let types: Vec<SqlType> = args.iter().map(Expr::ty).collect();
    let literals: Vec<Option<Scalar>> = args.iter().map(|a| a.as_literal().cloned()).collect();
    let signature = cx.registry.expect_scalar(name).unwrap().bind(&types, &literals).unwrap();
    let args = args.into_iter().zip(&signature.args).map(|(arg, ty)| arg.cast_to(ty)).collect();
    Expr::Call(Call { function: Arc::from(name), args, ty: signature.ty, nullable: true, span: Span::new(1, 2) })
}

fn int(value: i32) -> Expr {
    Expr::Literal(Scalar::Int(value))
}

fn constant(expr: &Expr) -> Result<Scalar> {
    evaluate_constant(expr, &context())
}

fn ints(values: Vec<Option<i32>>) -> Batch {
    let rows = values.len();
    Batch::new(vec![Arc::new(Int32Array::from(values))], rows)
}

fn evaluate(expr: Expr, columns: &[ColumnRef], batch: &Batch) -> Result<ArrayRef> {
    let mut evaluator = Evaluator::compile(&[expr], &Layout::new(columns), &context())?;
    Ok(evaluator.evaluate(batch)?.remove(0))
}

#[test]
fn a_later_conjunct_is_not_evaluated_where_an_earlier_one_is_false() {
    let x = column(0, SqlType::Int);
    let batch = ints(vec![Some(0), Some(2), None, Some(-1)]);
    let safe = call(op::NOT_EQ, vec![Expr::Column(x.clone()), int(0)]);
    let quotient = call(op::DIVIDE, vec![int(1), Expr::Column(x.clone())]);
    let positive = call(op::GT, vec![quotient.clone(), Expr::Literal(Scalar::Double(0.0))]);
    let both = Expr::And(vec![safe.clone(), positive.clone()]);
    let result = evaluate(both.clone(), std::slice::from_ref(&x), &batch).unwrap();
    let expected = BooleanArray::from(vec![Some(false), Some(true), None, Some(false)]);
    assert_eq!(result.as_boolean(), &expected);
    let layout = Layout::new(std::slice::from_ref(&x));
    let mut predicate = Predicate::compile(&both, &layout, &context()).unwrap();
    assert_eq!(predicate.select(&batch).unwrap().indices(), &[1]);
    // OR and CASE are lazy, too.
    let either = Expr::Or(vec![Expr::negate(safe.clone()), positive.clone()]);
    let result = evaluate(either, std::slice::from_ref(&x), &batch).unwrap();
    assert_eq!(result.as_boolean(), &BooleanArray::from(vec![Some(true), Some(true), None, Some(false)]));
    let case = Expr::Case { branches: vec![(safe, quotient)], otherwise: Box::new(Expr::Literal(Scalar::Double(9.0))) };
    let result = evaluate(case, std::slice::from_ref(&x), &batch).unwrap();
    assert_eq!(result.as_primitive::<Float64Type>().values(), &[9.0, 0.5, 9.0, -1.0]);
    // Alone it fails, and says where.
    let error = evaluate(positive, &[x], &batch).unwrap_err();
    assert_eq!(error.condition(), "DIVIDE_BY_ZERO");
    assert!(error.span().is_some());
}

#[test]
fn a_row_that_is_not_live_does_not_fail() {
    let x = column(0, SqlType::Int);
    let batch = ints(vec![Some(0), Some(2), Some(4)]).refine(&Selection::new(vec![1, 2]));
    let result =
        evaluate(call(op::DIVIDE, vec![int(1), Expr::Column(x.clone())]), std::slice::from_ref(&x), &batch).unwrap();
    assert_eq!(result.as_primitive::<Float64Type>().values(), &[0.5, 0.25]);
    let four = call(op::EQ, vec![Expr::Column(x.clone()), int(4)]);
    let mut predicate = Predicate::compile(&four, &Layout::new(std::slice::from_ref(&x)), &context()).unwrap();
    assert_eq!(predicate.select(&batch).unwrap().indices(), &[1]);
    let empty = batch.refine(&Selection::new(vec![]));
    assert_eq!(evaluate(call(op::DIVIDE, vec![int(1), int(0)]), &[x], &empty).unwrap().len(), 0);
}

#[test]
fn three_valued_logic() {
    let (a, b) = (column(0, SqlType::Boolean), column(1, SqlType::Boolean));
    let values = [Some(true), Some(false), None];
    let pairs: Vec<_> = values.iter().flat_map(|a| values.iter().map(move |b| (*a, *b))).collect();
    let left: BooleanArray = pairs.iter().map(|p| p.0).collect();
    let right: BooleanArray = pairs.iter().map(|p| p.1).collect();
    let batch = Batch::new(vec![Arc::new(left), Arc::new(right)], 9);
    let both = vec![Expr::Column(a.clone()), Expr::Column(b.clone())];
    let and = evaluate(Expr::And(both.clone()), &[a.clone(), b.clone()], &batch).unwrap();
    let or = evaluate(Expr::Or(both), &[a, b], &batch).unwrap();
    for (i, (x, y)) in pairs.iter().enumerate() {
        let conjunction = if *x == Some(false) || *y == Some(false) { Some(false) } else { x.and(*y) };
        let disjunction = if *x == Some(true) || *y == Some(true) { Some(true) } else { x.and(*y) };
        let value = |array: &ArrayRef| array.is_valid(i).then(|| array.as_boolean().value(i));
        assert_eq!((value(&and), value(&or)), (conjunction, disjunction), "{x:?} {y:?}");
    }
}

#[test]
fn a_common_subexpression_is_one_step() {
    let x = column(0, SqlType::Int);
    let sum = call(op::ADD, vec![Expr::Column(x.clone()), int(1)]);
    let exprs = [call(op::MULTIPLY, vec![sum.clone(), sum.clone()]), sum];
    let mut evaluator = Evaluator::compile(&exprs, &Layout::new(&[x]), &context()).unwrap();
    // The column, the literal, the sum, the product.
    assert_eq!(evaluator.program.steps.len(), 4);
    let results = evaluator.evaluate(&ints(vec![Some(2), None])).unwrap();
    assert_eq!(results[0].as_primitive::<Int32Type>(), &Int32Array::from(vec![Some(9), None]));
    assert_eq!(results[1].as_primitive::<Int32Type>(), &Int32Array::from(vec![Some(3), None]));
}

#[test]
fn integer_overflow_is_an_error_only_for_live_values() {
    let overflow = constant(&call(op::ADD, vec![int(i32::MAX), int(1)])).unwrap_err();
    assert_eq!((overflow.condition(), overflow.sqlstate()), ("ARITHMETIC_OVERFLOW", "22003"));
    assert!(overflow.message().starts_with("overflow. Use 'try_add' to tolerate overflow and return NULL instead."));
    // The value under a NULL does not count.
    let x = column(0, SqlType::Int);
    let hidden = Int32Array::new(vec![i32::MAX, 1].into(), Some(vec![false, true].into()));
    let batch = Batch::new(vec![Arc::new(hidden)], 2);
    let sum = evaluate(call(op::ADD, vec![Expr::Column(x.clone()), int(1)]), &[x], &batch).unwrap();
    assert_eq!(sum.as_primitive::<Int32Type>(), &Int32Array::from(vec![None, Some(2)]));
    assert_eq!(constant(&call(op::MODULO, vec![int(5), int(0)])).unwrap_err().condition(), "REMAINDER_BY_ZERO");
    assert_eq!(constant(&call(op::MODULO, vec![int(-5), int(3)])).unwrap(), Scalar::Int(-2));
    assert_eq!(constant(&call(op::INT_DIVIDE, vec![int(5), int(2)])).unwrap(), Scalar::BigInt(2));
    assert_eq!(constant(&call(op::DIVIDE, vec![int(1), int(2)])).unwrap(), Scalar::Double(0.5));
}

#[test]
fn small_decimals_are_computed_in_64_bits() {
    let price = column(0, SqlType::Decimal(15, 2));
    let discount = column(1, SqlType::Decimal(15, 2));
    let label = SqlType::Decimal(15, 2).arrow();
    let column_of = |values: Vec<i64>| Arc::new(Decimal64Array::from(values).with_data_type(label.clone())) as ArrayRef;
    let batch = Batch::new(vec![column_of(vec![10_000, 333]), column_of(vec![4, 10])], 2);
    let rest = call(op::SUBTRACT, vec![int(1), Expr::Column(discount.clone())]);
    assert_eq!(rest.ty(), SqlType::Decimal(16, 2));
    let product = call(op::MULTIPLY, vec![Expr::Column(price.clone()), rest]);
    assert_eq!(product.ty(), SqlType::Decimal(32, 4));
    let layout = [price.clone(), discount.clone()];
    let result = evaluate(product.clone(), &layout, &batch).unwrap();
    assert_eq!(result.as_primitive::<Decimal64Type>().values(), &[960_000, 29_970]);
    // A CASE between it and a literal stays narrow.
    let cheap = call(op::LT, vec![Expr::Column(price.clone()), int(50)]);
    let zero = Expr::Literal(Scalar::Decimal(0, 32, 4));
    let case = Expr::Case { branches: vec![(cheap, product)], otherwise: Box::new(zero) };
    let result = evaluate(case, &layout, &batch).unwrap();
    assert_eq!(result.as_primitive::<Decimal64Type>().values(), &[0, 29_970]);
}

#[test]
fn wide_decimals_are_exact_and_checked() {
    let nines = |scale| Expr::Literal(Scalar::Decimal(10i128.pow(38) - 1, 38, scale));
    let error = constant(&call(op::ADD, vec![nines(0), int(1)])).unwrap_err();
    assert_eq!(error.condition(), "NUMERIC_VALUE_OUT_OF_RANGE.WITH_SUGGESTION");
    assert!(
        error.message().starts_with("100000000000000000000000000000000000000 cannot be represented as Decimal(38, 0)")
    );
    let dec = |v, p, s| Expr::Literal(Scalar::Decimal(v, p, s));
    // 38-digit operands lose fraction digits, rounded half up.
    let product =
        constant(&call(op::MULTIPLY, vec![dec(12_345_678_905, 38, 10), dec(10_000_000_000, 38, 10)])).unwrap();
    assert_eq!(product, Scalar::Decimal(1_234_568, 38, 6));
    let third = constant(&call(op::DIVIDE, vec![dec(10, 2, 1), int(3)])).unwrap();
    assert_eq!(third, Scalar::Decimal(333_333, 7, 6));
    let thirds = constant(&call(op::DIVIDE, vec![dec(200, 12, 2), dec(300, 12, 2)])).unwrap();
    assert_eq!(thirds, Scalar::Decimal(666_666_666_666_667, 27, 15));
    let by_zero = constant(&call(op::DIVIDE, vec![dec(15, 2, 1), int(0)])).unwrap_err();
    assert_eq!(by_zero.condition(), "DIVIDE_BY_ZERO");
    assert_eq!(constant(&call(op::MODULO, vec![dec(-75, 2, 1), int(2)])).unwrap(), Scalar::Decimal(-15, 2, 1));
    assert_eq!(constant(&call(op::INT_DIVIDE, vec![dec(75, 2, 1), int(2)])).unwrap(), Scalar::BigInt(3));
}

#[test]
fn comparisons_of_floats_know_nan_and_zero() {
    let double = |v| Expr::Literal(Scalar::Double(v));
    let check = |name, a, b, expected| {
        assert_eq!(
            constant(&call(name, vec![double(a), double(b)])).unwrap(),
            Scalar::Boolean(expected),
            "{a} {name} {b}"
        );
    };
    check(op::EQ, f64::NAN, f64::NAN, true);
    check(op::GT, f64::NAN, f64::INFINITY, true);
    check(op::LT, f64::NAN, 1.0, false);
    check(op::GT_EQ, f64::NAN, f64::NAN, true);
    check(op::EQ, 0.0, -0.0, true);
    check(op::LT, -0.0, 0.0, false);
    check(op::LT_EQ, 1.0, f64::NAN, true);
}

#[test]
fn null_safe_equality_and_in() {
    let null = || Expr::null(SqlType::Int);
    assert_eq!(constant(&call(op::NULL_SAFE_EQ, vec![null(), null()])).unwrap(), Scalar::Boolean(true));
    assert_eq!(constant(&call(op::NULL_SAFE_EQ, vec![null(), int(1)])).unwrap(), Scalar::Boolean(false));
    assert_eq!(constant(&call(op::IN, vec![int(1), int(1), null()])).unwrap(), Scalar::Boolean(true));
    assert!(constant(&call(op::IN, vec![int(3), int(1), null()])).unwrap().is_null());
    assert!(constant(&call(op::IN, vec![null(), int(1)])).unwrap().is_null());
    let x = column(0, SqlType::Int);
    let list = call(op::IN, vec![Expr::Column(x.clone()), int(1), int(5)]);
    let result = evaluate(list, &[x], &ints(vec![Some(1), Some(2), None, Some(5)])).unwrap();
    assert_eq!(result.as_boolean(), &BooleanArray::from(vec![Some(true), Some(false), None, Some(true)]));
}

#[test]
fn dictionaries_are_tested_by_entry() {
    let s = column(0, SqlType::String);
    let values: ArrayRef = Arc::new(StringViewArray::from(vec![Some("AIR"), Some("MAIL"), Some("SHIP")]));
    let keys = Int32Array::from(vec![Some(2), Some(0), None, Some(1), Some(0)]);
    let batch = Batch::new(vec![Arc::new(DictionaryArray::new(keys, values))], 5);
    let text = |v| Expr::Literal(Scalar::string(v));
    let run = |expr| evaluate(expr, std::slice::from_ref(&s), &batch).unwrap();
    let expected = BooleanArray::from(vec![Some(false), Some(true), None, Some(false), Some(true)]);
    assert_eq!(run(call(op::EQ, vec![Expr::Column(s.clone()), text("AIR")])).as_boolean(), &expected);
    assert_eq!(run(call(op::LIKE, vec![Expr::Column(s.clone()), text("A%")])).as_boolean(), &expected);
    let either = run(call(op::IN, vec![Expr::Column(s.clone()), text("AIR"), text("SHIP")]));
    let expected = BooleanArray::from(vec![Some(true), Some(true), None, Some(false), Some(true)]);
    assert_eq!(either.as_boolean(), &expected);
    let safe = run(call(op::NULL_SAFE_EQ, vec![Expr::Column(s.clone()), text("MAIL")]));
    assert_eq!(safe.as_boolean(), &BooleanArray::from(vec![false, false, false, true, false]));
}

#[test]
fn dates_and_intervals() {
    let day = |text: &str| {
        let cast = Expr::Cast {
            input: Box::new(Expr::Literal(Scalar::string(text))),
            to: SqlType::Date,
            safe: false,
            span: Span::NONE,
        };
        Expr::Literal(constant(&cast).unwrap())
    };
    let month = Expr::Literal(Scalar::IntervalYearMonth(1));
    let days = |n: i64| Expr::Literal(Scalar::IntervalDayTime(n * 86_400_000_000));
    let is = |expr: Expr, expected: &str| assert_eq!(Expr::Literal(constant(&expr).unwrap()), day(expected), "{expr}");
    is(call(op::ADD, vec![day("2020-01-31"), month.clone()]), "2020-02-29");
    is(call(op::SUBTRACT, vec![day("2020-03-31"), month]), "2020-02-29");
    is(call(op::SUBTRACT, vec![day("1998-12-01"), days(90)]), "1998-09-02");
    is(call(op::ADD, vec![int(1), day("2020-01-31")]), "2020-02-01");
    let difference = call(op::SUBTRACT, vec![day("2020-01-03"), day("2020-01-01")]);
    assert_eq!(constant(&difference).unwrap(), Scalar::IntervalDayTime(2 * 86_400_000_000));
    let half = call(op::MULTIPLY, vec![days(1), Expr::Literal(Scalar::Decimal(15, 2, 1))]);
    assert_eq!(constant(&half).unwrap(), Scalar::IntervalDayTime(129_600_000_000));
    let error = constant(&call(op::DIVIDE, vec![days(1), int(0)])).unwrap_err();
    assert_eq!(error.condition(), "INTERVAL_DIVIDED_BY_ZERO");
}
