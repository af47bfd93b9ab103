//! `min`, `max`, and over booleans `bool_and` (the least) and `bool_or` (the greatest).
//!
//! Fixed-width values are kept natively, starting from the worst value of the type; strings and
//! binaries as boxed bytes, which are replaced only when a better value comes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryViewArray, BooleanArray, StringViewBuilder};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::*;
use firesteel_common::{Error, Result, SqlType, encoding};
use firesteel_expr::{AggregateSignature, EvalContext, GroupAccumulator};

use super::first::First;
use super::rows::{arg, array_of, decimals, for_each, for_each_row, live, nulls_of};
use super::{Aggregate, doc};
use crate::check;

pub(super) const FUNCTIONS: &[Aggregate] = &[
    Aggregate {
        doc: doc(
            "min",
            &[],
            "min(expr)",
            "Returns the minimum value of the expression.",
            &[("SELECT min(col) FROM VALUES (10), (-1), (20) AS tab(col)", "-1")],
        ),
        bind,
        make: |args, ty, cx| make::<false>(args, ty, cx),
        ignores_duplicates: true,
    },
    Aggregate {
        doc: doc(
            "max",
            &[],
            "max(expr)",
            "Returns the maximum value of the expression.",
            &[("SELECT max(col) FROM VALUES (10), (50), (20) AS tab(col)", "50")],
        ),
        bind,
        make: |args, ty, cx| make::<true>(args, ty, cx),
        ignores_duplicates: true,
    },
    Aggregate {
        doc: doc(
            "bool_and",
            &["every"],
            "bool_and(expr)",
            "Returns true if all values of the expression are true.",
            &[
                ("SELECT bool_and(col) FROM VALUES (true), (true), (true) AS tab(col)", "true"),
                ("SELECT every(col) FROM VALUES (NULL), (true), (true) AS tab(col)", "true"),
                ("SELECT bool_and(col) FROM VALUES (true), (false), (true) AS tab(col)", "false"),
            ],
        ),
        bind: bind_boolean,
        make: |args, ty, cx| make::<false>(args, ty, cx),
        ignores_duplicates: true,
    },
    Aggregate {
        doc: doc(
            "bool_or",
            &["some", "any"],
            "bool_or(expr)",
            "Returns true if at least one value of the expression is true.",
            &[
                ("SELECT bool_or(col) FROM VALUES (true), (false), (false) AS tab(col)", "true"),
                ("SELECT some(col) FROM VALUES (false), (false), (NULL) AS tab(col)", "false"),
            ],
        ),
        bind: bind_boolean,
        make: |args, ty, cx| make::<true>(args, ty, cx),
        ignores_duplicates: true,
    },
];

fn bind(name: &'static str, args: &[SqlType]) -> Result<AggregateSignature> {
    check::arity(name, args.len(), 1, 1)?;
    let ty = args[0].clone();
    Ok(AggregateSignature { args: args.to_vec(), ty: ty.clone(), nullable: true, state: vec![ty] })
}

fn bind_boolean(name: &'static str, args: &[SqlType]) -> Result<AggregateSignature> {
    check::arity(name, args.len(), 1, 1)?;
    match &args[0] {
        SqlType::Boolean | SqlType::Void => bind(name, &[SqlType::Boolean]),
        ty if ty.is_string() => bind(name, &[SqlType::Boolean]),
        other => Err(check::unexpected_type(name, 0, "BOOLEAN", other)),
    }
}

fn make<const MAX: bool>(_: &[SqlType], ty: &SqlType, _: &EvalContext) -> Result<Box<dyn GroupAccumulator>> {
    macro_rules! of {
        ($arrow:ty) => {
            Box::new(Extreme::<$arrow, MAX> { ty: ty.clone(), values: Vec::new(), seen: Vec::new() })
        };
    }
    Ok(match ty {
        SqlType::Void => Box::new(First::new(ty, true, false)),
        SqlType::Boolean => Box::new(Extreme::<Boolean, MAX> { ty: ty.clone(), values: Vec::new(), seen: Vec::new() }),
        SqlType::TinyInt => of!(Int8Type),
        SqlType::SmallInt => of!(Int16Type),
        SqlType::Int => of!(Int32Type),
        SqlType::BigInt => of!(Int64Type),
        SqlType::Float => of!(Float32Type),
        SqlType::Double => of!(Float64Type),
        SqlType::Decimal(p, _) if *p <= 18 => of!(Decimal64Type),
        SqlType::Decimal(..) => of!(Decimal128Type),
        SqlType::Date => of!(Date32Type),
        SqlType::Timestamp | SqlType::TimestampNtz => of!(TimestampMicrosecondType),
        SqlType::IntervalYearMonth => of!(IntervalYearMonthType),
        SqlType::IntervalDayTime => of!(DurationMicrosecondType),
        SqlType::String | SqlType::Char(_) | SqlType::Varchar(_) | SqlType::Binary => {
            Box::new(ExtremeBytes::<MAX> { ty: ty.clone(), values: Vec::new(), bytes: 0 })
        }
    })
}

/// The layout of a fixed-width type and the order of its values.
trait Layout: Send + 'static {
    type Value: Copy + Send + 'static;
    /// The value that every value is at least as good as.
    fn worst(max: bool) -> Self::Value;
    fn is_less(a: Self::Value, b: Self::Value) -> bool;
    fn with<R>(array: &ArrayRef, f: impl FnOnce(&[Self::Value]) -> R) -> Result<R>;
    fn array(values: &[Self::Value], seen: &[bool], ty: &SqlType) -> ArrayRef;
}

fn unexpected(array: &ArrayRef) -> Error {
    Error::internal(format!("min or max of an unexpected {}", array.data_type()))
}

macro_rules! layouts {
    ($($arrow:ty),*) => {$(
        impl Layout for $arrow {
            type Value = <$arrow as ArrowPrimitiveType>::Native;
            fn worst(max: bool) -> Self::Value {
                if max { Self::Value::MIN } else { Self::Value::MAX }
            }
            #[inline(always)]
            fn is_less(a: Self::Value, b: Self::Value) -> bool {
                a < b
            }
            fn with<R>(array: &ArrayRef, f: impl FnOnce(&[Self::Value]) -> R) -> Result<R> {
                Ok(f(array.as_primitive_opt::<$arrow>().ok_or_else(|| unexpected(array))?.values()))
            }
            fn array(values: &[Self::Value], seen: &[bool], ty: &SqlType) -> ArrayRef {
                array_of::<$arrow>(values.to_vec(), nulls_of(seen), ty)
            }
        }
    )*};
}

layouts!(
    Int8Type,
    Int16Type,
    Int32Type,
    Int64Type,
    Decimal64Type,
    Date32Type,
    TimestampMicrosecondType,
    IntervalYearMonthType,
    DurationMicrosecondType
);

macro_rules! float_layouts {
    ($($arrow:ty),*) => {$(
        impl Layout for $arrow {
            type Value = <$arrow as ArrowPrimitiveType>::Native;
            fn worst(max: bool) -> Self::Value {
                if max { Self::Value::NEG_INFINITY } else { Self::Value::NAN }
            }
            /// NaN is the greatest.
            #[inline(always)]
            fn is_less(a: Self::Value, b: Self::Value) -> bool {
                a < b || (b.is_nan() && !a.is_nan())
            }
            fn with<R>(array: &ArrayRef, f: impl FnOnce(&[Self::Value]) -> R) -> Result<R> {
                Ok(f(array.as_primitive_opt::<$arrow>().ok_or_else(|| unexpected(array))?.values()))
            }
            fn array(values: &[Self::Value], seen: &[bool], ty: &SqlType) -> ArrayRef {
                array_of::<$arrow>(values.to_vec(), nulls_of(seen), ty)
            }
        }
    )*};
}

float_layouts!(Float32Type, Float64Type);

impl Layout for Decimal128Type {
    type Value = i128;

    fn worst(max: bool) -> i128 {
        if max { i128::MIN } else { i128::MAX }
    }

    #[inline(always)]
    fn is_less(a: i128, b: i128) -> bool {
        a < b
    }

    /// A wide DECIMAL may come in 64 bits.
    fn with<R>(array: &ArrayRef, f: impl FnOnce(&[i128]) -> R) -> Result<R> {
        if let Some(narrow) = array.as_primitive_opt::<Decimal64Type>() {
            let wide: Vec<i128> = narrow.values().iter().map(|v| i128::from(*v)).collect();
            return Ok(f(&wide));
        }
        Ok(f(array.as_primitive_opt::<Decimal128Type>().ok_or_else(|| unexpected(array))?.values()))
    }

    fn array(values: &[i128], seen: &[bool], ty: &SqlType) -> ArrayRef {
        decimals(values.to_vec(), nulls_of(seen), ty)
    }
}

/// The layout of BOOLEAN.
struct Boolean;

impl Layout for Boolean {
    type Value = bool;

    fn worst(max: bool) -> bool {
        !max
    }

    #[inline(always)]
    fn is_less(a: bool, b: bool) -> bool {
        !a & b
    }

    fn with<R>(array: &ArrayRef, f: impl FnOnce(&[bool]) -> R) -> Result<R> {
        let values: Vec<bool> = array.as_boolean_opt().ok_or_else(|| unexpected(array))?.values().iter().collect();
        Ok(f(&values))
    }

    fn array(values: &[bool], seen: &[bool], _: &SqlType) -> ArrayRef {
        Arc::new(BooleanArray::new(BooleanBuffer::from(values), nulls_of(seen)))
    }
}

struct Extreme<L: Layout, const MAX: bool> {
    ty: SqlType,
    values: Vec<L::Value>,
    seen: Vec<bool>,
}

impl<L: Layout, const MAX: bool> Extreme<L, MAX> {
    #[inline(always)]
    fn better(new: L::Value, old: L::Value) -> bool {
        if MAX { L::is_less(old, new) } else { L::is_less(new, old) }
    }

    fn add(&mut self, groups: &[u32], values: &[L::Value], live: Option<&BooleanBuffer>) {
        if let ([best], [seen], None) = (&mut self.values[..], &mut self.seen[..], live) {
            let pick = |old: L::Value, new: &L::Value| if Self::better(*new, old) { *new } else { old };
            *best = values.iter().fold(*best, pick);
            *seen |= !values.is_empty();
            return;
        }
        let (bests, seen) = (self.values.as_mut_slice(), self.seen.as_mut_slice());
        for_each(groups, values, live, |group, value| {
            if Self::better(value, bests[group]) {
                bests[group] = value;
            }
            seen[group] = true;
        });
    }
}

impl<L: Layout, const MAX: bool> GroupAccumulator for Extreme<L, MAX> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, L::worst(MAX));
        self.seen.resize(groups, false);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let array = arg(args, 0)?;
        let live = live(Some(array), filter);
        L::with(array, |values| self.add(groups, values, live.as_ref()))
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        self.update(groups, states, None)
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(offset, rows)?])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let range = offset..offset + rows;
        Ok(L::array(&self.values[range.clone()], &self.seen[range], &self.ty))
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<L::Value>() + self.seen.capacity()
    }
}

/// Strings and binaries, compared by bytes.
struct ExtremeBytes<const MAX: bool> {
    ty: SqlType,
    values: Vec<Option<Box<[u8]>>>,
    /// Bytes in the boxes.
    bytes: usize,
}

impl<const MAX: bool> ExtremeBytes<MAX> {
    fn offer(&mut self, group: usize, value: &[u8]) {
        let slot = &mut self.values[group];
        match slot {
            Some(old) if (if MAX { value <= &**old } else { value >= &**old }) => {}
            _ => {
                self.bytes += value.len();
                self.bytes -= slot.as_ref().map_or(0, |old| old.len());
                *slot = Some(Box::from(value));
            }
        }
    }
}

impl<const MAX: bool> GroupAccumulator for ExtremeBytes<MAX> {
    fn resize(&mut self, groups: usize) {
        self.values.resize(groups, None);
    }

    fn update(&mut self, groups: &[u32], args: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<()> {
        let array = encoding::canonical(arg(args, 0)?, &self.ty)?;
        let live = live(Some(&array), filter);
        if let Some(strings) = array.as_string_view_opt() {
            for_each_row(groups, live.as_ref(), |group, row| self.offer(group, strings.value(row).as_bytes()));
        } else {
            let binaries = array.as_binary_view_opt().ok_or_else(|| unexpected(&array))?;
            for_each_row(groups, live.as_ref(), |group, row| self.offer(group, binaries.value(row)));
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], states: &[ArrayRef]) -> Result<()> {
        self.update(groups, states, None)
    }

    fn states(&mut self, offset: usize, rows: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.finish(offset, rows)?])
    }

    fn finish(&mut self, offset: usize, rows: usize) -> Result<ArrayRef> {
        let values = &self.values[offset..offset + rows];
        if self.ty == SqlType::Binary {
            return Ok(Arc::new(values.iter().map(Option::as_deref).collect::<BinaryViewArray>()));
        }
        let mut builder = StringViewBuilder::with_capacity(rows);
        for value in values {
            match value {
                Some(bytes) => builder.append_value(
                    std::str::from_utf8(bytes).map_err(|_| Error::internal("a string state is not UTF-8"))?,
                ),
                None => builder.append_null(),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    fn memory(&self) -> usize {
        self.values.capacity() * size_of::<Option<Box<[u8]>>>() + self.bytes
    }
}
