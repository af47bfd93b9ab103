//! Window functions: calls, frames, and the nodes that compute them.

use firesteel_common::{Error, Result, Scalar, Span, SqlType};
use firesteel_expr::{Expr, Frame, FrameBound, FrameUnit, SortKey, WindowCall, WindowFunction};
use firesteel_plan::{LogicalOp, LogicalPlan};
use sqlparser::ast::{
    self, Function, Ident, NamedWindowExpr, OrderByExpr, OrderBySort, WindowFrameBound, WindowFrameUnits, WindowSpec,
    WindowType,
};

use crate::binder::expr::ExprCx;
use crate::binder::function::{CallParts, WINDOW_ONLY, invalid_place};
use crate::binder::{Binder, ident_span, names};
use crate::call::wrong_num_args;

/// A window call with its partitioning and order, before nodes are made.
#[derive(Clone, Debug)]
pub(crate) struct PendingWindow {
    pub(crate) call: WindowCall,
    pub(crate) partition_by: Vec<Expr>,
    pub(crate) order_by: Vec<SortKey>,
}

/// A window specification whose named parts are followed.
struct ResolvedSpec<'a> {
    partition_by: &'a [ast::Expr],
    order_by: &'a [OrderByExpr],
    frame: Option<&'a ast::WindowFrame>,
}

impl<'a> Binder<'a> {
    /// Binds a call with OVER: it becomes a column of a window node.
    pub(crate) fn window_call(
        &self,
        function: &'a Function,
        parts: &CallParts<'a>,
        over: &'a WindowType,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<Expr> {
        let span = parts.span;
        if let Some(clause) = cx.no_windows {
            return Err(invalid_place("window functions", clause, &parts.name, span));
        }
        if cx.in_aggregate {
            return Err(invalid_place("window functions", "The argument of an aggregate", &parts.name, span));
        }
        let spec = resolve_spec(over, cx.windows_by_name)?;
        let partition_by = self.exprs(spec.partition_by, cx)?;
        let order_by = spec.order_by.iter().map(|key| self.sort_key(key, cx)).collect::<Result<Vec<_>>>()?;
        let frame = self.frame(spec.frame, &order_by, span)?;
        let (computed, ty, nullable) = self.window_function(function, parts, cx)?;
        check_ordered(&parts.name, &order_by, span)?;
        let same = cx.windows.iter().find(|known| {
            known.call.function == computed
                && known.call.frame == frame
                && known.partition_by == partition_by
                && known.order_by == order_by
        });
        if let Some(known) = same {
            return Ok(Expr::Column(known.call.column.clone()));
        }
        let column = self.column(names::pretty_call(function), ty, nullable);
        let call = WindowCall { column: column.clone(), function: computed, frame, span };
        cx.windows.push(PendingWindow { call, partition_by, order_by });
        Ok(Expr::Column(column))
    }

    /// What the call computes, the type of its result, and whether that may be NULL.
    fn window_function(
        &self,
        function: &'a Function,
        parts: &CallParts<'a>,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<(WindowFunction, SqlType, bool)> {
        if self.cx.registry.aggregate(&parts.name).is_some() && !is_positional(&parts.name) {
            return self.window_aggregate(function, parts, cx);
        }
        let mut args = Vec::new();
        for arg in &parts.args {
            args.push(self.expr(arg, cx)?);
        }
        let found = positional_function(&parts.name, &args, parts.ignore_nulls, parts.span)?;
        found.ok_or_else(|| {
            if self.cx.registry.scalar(&parts.name).is_none() {
                return self.no_such_function(&parts.name, parts.span);
            }
            let message = format!("Expression `{}` is not supported within a window function.", parts.name);
            Error::bind("UNSUPPORTED_EXPR_FOR_WINDOW", "42P20", message).at(parts.span)
        })
    }

    /// An aggregate over a window. It is no aggregate of the query: its arguments may hold one.
    fn window_aggregate(
        &self,
        function: &'a Function,
        parts: &CallParts<'a>,
        cx: &mut ExprCx<'_, 'a>,
    ) -> Result<(WindowFunction, SqlType, bool)> {
        if parts.distinct {
            let message = "Distinct window functions are not supported.";
            return Err(Error::bind("DISTINCT_WINDOW_FUNCTION_UNSUPPORTED", "0A000", message).at(parts.span));
        }
        let mut args = Vec::with_capacity(parts.args.len());
        for arg in &parts.args {
            args.push(self.expr(arg, cx)?);
        }
        let filter = function.filter.as_ref().map(|filter| self.predicate(filter, cx)).transpose()?;
        let call = crate::call::bind_aggregate(&parts.name, args, false, filter, parts.span, self.cx.registry)?;
        let (ty, nullable) = (call.ty.clone(), call.nullable);
        Ok((WindowFunction::Aggregate(call), ty, nullable))
    }

    /// A key of an ORDER BY; NULLs are first if ascending, last if descending.
    pub(crate) fn sort_key(&self, key: &'a OrderByExpr, cx: &mut ExprCx<'_, 'a>) -> Result<SortKey> {
        let expr = self.expr(&key.expr, cx)?;
        Ok(sort_key_of(expr, &key.options))
    }

    fn frame(&self, frame: Option<&'a ast::WindowFrame>, order_by: &[SortKey], span: Span) -> Result<Frame> {
        let Some(frame) = frame else {
            return Ok(if order_by.is_empty() { Frame::whole() } else { Frame::running() });
        };
        let unit = match frame.units {
            WindowFrameUnits::Rows => FrameUnit::Rows,
            WindowFrameUnits::Range => FrameUnit::Range,
            WindowFrameUnits::Groups => return Err(Error::unsupported("GROUPS frames are not supported.").at(span)),
        };
        let key = match (unit, order_by) {
            (FrameUnit::Range, [key]) => Some(key.expr.ty()),
            _ => None,
        };
        let start = self.frame_bound(&frame.start_bound, unit, key.as_ref(), true, span)?;
        let end = match &frame.end_bound {
            Some(end) => self.frame_bound(end, unit, key.as_ref(), false, span)?,
            None => FrameBound::CurrentRow,
        };
        if is_backwards(&start, &end) {
            let message = "The lower bound of a window frame must not be above the upper bound.";
            let condition = "DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_WRONG_COMPARISON";
            return Err(Error::bind(condition, "42K09", message).at(span));
        }
        Ok(Frame { unit, start, end })
    }

    fn frame_bound(
        &self,
        bound: &'a WindowFrameBound,
        unit: FrameUnit,
        key: Option<&SqlType>,
        is_start: bool,
        span: Span,
    ) -> Result<FrameBound> {
        let (distance, preceding) = match bound {
            WindowFrameBound::CurrentRow => return Ok(FrameBound::CurrentRow),
            WindowFrameBound::Preceding(None) if is_start => return Ok(FrameBound::Unbounded),
            WindowFrameBound::Following(None) if !is_start => return Ok(FrameBound::Unbounded),
            WindowFrameBound::Preceding(Some(distance)) => (distance, true),
            WindowFrameBound::Following(Some(distance)) => (distance, false),
            _ => {
                let message = "The frame cannot start with UNBOUNDED FOLLOWING or end with UNBOUNDED PRECEDING.";
                return Err(
                    Error::bind("DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_INVALID_BOUND", "42K09", message).at(span)
                );
            }
        };
        let scope = crate::binder::Scope::default();
        let env = crate::binder::Env::new(&scope, None, None);
        let expr = self.expr(distance, &mut ExprCx::plain(&env, "A window frame"))?;
        let value = expr.as_literal().ok_or_else(|| literal_wanted("A bound of a window frame", span))?;
        let value = frame_distance(value, unit, key, span)?;
        Ok(if preceding { FrameBound::Preceding(value) } else { FrameBound::Following(value) })
    }

    /// Puts window nodes above `plan`: one per partitioning and order.
    pub(crate) fn apply_windows(&self, mut plan: LogicalPlan, windows: Vec<PendingWindow>) -> LogicalPlan {
        let mut groups: Vec<(Vec<Expr>, Vec<SortKey>, Vec<WindowCall>)> = Vec::new();
        for window in windows {
            let PendingWindow { call, partition_by, order_by } = window;
            match groups.iter_mut().find(|(p, o, _)| *p == partition_by && *o == order_by) {
                Some((_, _, calls)) => calls.push(call),
                None => groups.push((partition_by, order_by, vec![call])),
            }
        }
        for (partition_by, order_by, calls) in groups {
            plan = self.unary(LogicalOp::Window { partition_by, order_by, calls }, plan);
        }
        plan
    }
}

/// Whether a frame ends before it starts.
fn is_backwards(start: &FrameBound, end: &FrameBound) -> bool {
    let above = |a: &Scalar, b: &Scalar| a.as_f64().zip(b.as_f64()).is_some_and(|(a, b)| a > b);
    match (start, end) {
        (FrameBound::Following(_), FrameBound::CurrentRow | FrameBound::Preceding(_))
        | (FrameBound::CurrentRow, FrameBound::Preceding(_)) => true,
        (FrameBound::Following(start), FrameBound::Following(end)) => above(start, end),
        (FrameBound::Preceding(start), FrameBound::Preceding(end)) => above(end, start),
        _ => false,
    }
}

/// Fails for a function that needs an order in a window that has none.
pub(crate) fn check_ordered(name: &str, order_by: &[SortKey], span: Span) -> Result<()> {
    if WINDOW_ONLY.contains(&name) && order_by.is_empty() && name != "nth_value" {
        let message = format!(
            "Cannot evaluate window function {name}() because its window is not ordered: add ORDER BY to the window."
        );
        return Err(Error::bind("WINDOW_FUNCTION_FRAME_NOT_ORDERED", "42601", message).at(span));
    }
    Ok(())
}

/// A window function that is no aggregate: what it computes, the type of its result, and whether that may be NULL.
pub(crate) fn positional_function(
    name: &str,
    args: &[Expr],
    mut ignore_nulls: bool,
    span: Span,
) -> Result<Option<(WindowFunction, SqlType, bool)>> {
    let arity = |range: std::ops::RangeInclusive<usize>| {
        if range.contains(&args.len()) {
            return Ok(());
        }
        let expected = if range.start() == range.end() {
            range.start().to_string()
        } else {
            format!("[{}, {}]", range.start(), range.end())
        };
        Err(wrong_num_args(name, &expected, args.len()).at(span))
    };
    if let Some((ranking, ty)) = ranking(name) {
        arity(0..=0)?;
        return Ok(Some((ranking, ty, false)));
    }
    Ok(Some(match name {
        "ntile" => {
            arity(0..=1)?;
            let n = args.first().map_or(Some(1), integer);
            let n = n.ok_or_else(|| literal_wanted("The number of buckets of ntile", span))?;
            (WindowFunction::Ntile(positive(n, "The number of buckets of ntile", span)?), SqlType::Int, false)
        }
        "lag" | "lead" => {
            arity(1..=3)?;
            let value = args[0].clone();
            let offset = args.get(1).map_or(Some(1), integer);
            let offset = offset.ok_or_else(|| literal_wanted("The offset of lag and lead", span))?;
            let offset = if name == "lag" { offset } else { -offset };
            let ty = value.ty();
            let default = match args.get(2) {
                None => Scalar::Null(ty.clone()),
                Some(arg) => arg
                    .as_literal()
                    .and_then(|value| convert(value, &ty))
                    .ok_or_else(|| literal_wanted("The default of lag and lead", span))?,
            };
            let nullable = value.nullable() || default.is_null();
            (WindowFunction::Shift { value, offset, default, ignore_nulls }, ty, nullable)
        }
        "nth_value" => {
            arity(2..=2)?;
            let n = integer(&args[1]).ok_or_else(|| literal_wanted("The position of nth_value", span))?;
            let n = positive(n, "The position of nth_value", span)?;
            let (value, ty) = (args[0].clone(), args[0].ty());
            (WindowFunction::Nth { value, n, ignore_nulls }, ty, true)
        }
        name if is_positional(name) => {
            arity(1..=2)?;
            if let Some(flag) = args.get(1) {
                match flag.as_literal() {
                    Some(Scalar::Boolean(flag)) => ignore_nulls |= *flag,
                    _ => return Err(literal_wanted("The second argument of first and last", span)),
                }
            }
            let (value, ty) = (args[0].clone(), args[0].ty());
            if name.starts_with("last") {
                (WindowFunction::Last { value, ignore_nulls }, ty, true)
            } else {
                (WindowFunction::Nth { value, n: 1, ignore_nulls }, ty, true)
            }
        }
        _ => return Ok(None),
    }))
}

/// A distance of a frame as a value of the type that the frame counts in.
pub(crate) fn frame_distance(value: &Scalar, unit: FrameUnit, key: Option<&SqlType>, span: Span) -> Result<Scalar> {
    let wanted = || literal_wanted("A bound of a window frame", span);
    let value = match (unit, key) {
        (FrameUnit::Rows, _) => Scalar::BigInt(value.as_i64().ok_or_else(wanted)?),
        (FrameUnit::Range, Some(key)) if key.is_numeric() => convert(value, key).ok_or_else(wanted)?,
        (FrameUnit::Range, Some(key)) if key.is_datetime() => match value {
            Scalar::IntervalDayTime(_) | Scalar::IntervalYearMonth(_) => value.clone(),
            days if days.as_i64().is_some() && *key == SqlType::Date => {
                let micros = days.as_i64().and_then(|days| days.checked_mul(86_400_000_000));
                Scalar::IntervalDayTime(micros.ok_or_else(wanted)?)
            }
            _ => return Err(wanted()),
        },
        _ => {
            let message = "A range window frame with value boundaries needs exactly one ORDER BY expression, \
                           a number or a date.";
            let condition = match key {
                Some(_) => "DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_UNACCEPTED_TYPE",
                None => "DATATYPE_MISMATCH.RANGE_FRAME_MULTI_ORDER",
            };
            return Err(Error::bind(condition, "42K09", message).at(span));
        }
    };
    let negative = value.as_f64().is_some_and(|value| value < 0.0);
    if negative {
        return Err(Error::unsupported("Negative bounds of window frames are not supported.").at(span));
    }
    Ok(value)
}

/// A sort key with Spark's defaults.
pub(crate) fn sort_key_of(expr: Expr, options: &ast::OrderByOptions) -> SortKey {
    let ascending = !matches!(options.sort, Some(OrderBySort::Desc));
    SortKey { expr, ascending, nulls_first: options.nulls_first.unwrap_or(ascending) }
}

/// Functions without arguments that number the rows, with the type of the number.
fn ranking(name: &str) -> Option<(WindowFunction, SqlType)> {
    Some(match name {
        "row_number" => (WindowFunction::RowNumber, SqlType::Int),
        "rank" => (WindowFunction::Rank, SqlType::Int),
        "dense_rank" => (WindowFunction::DenseRank, SqlType::Int),
        "percent_rank" => (WindowFunction::PercentRank, SqlType::Double),
        "cume_dist" => (WindowFunction::CumeDist, SqlType::Double),
        _ => return None,
    })
}

fn is_positional(name: &str) -> bool {
    matches!(name, "first" | "first_value" | "any_value" | "last" | "last_value")
}

fn literal_wanted(what: &str, span: Span) -> Error {
    Error::bind("DATATYPE_MISMATCH.NON_FOLDABLE_INPUT", "42K09", format!("{what} must be a literal that fits."))
        .at(span)
}

fn positive(n: i64, what: &str, span: Span) -> Result<u64> {
    u64::try_from(n).ok().filter(|n| *n > 0).ok_or_else(|| {
        let message = format!("{what} must be greater than 0, but it is {n}.");
        Error::bind("DATATYPE_MISMATCH.VALUE_OUT_OF_RANGE", "42K09", message).at(span)
    })
}

fn integer(expr: &Expr) -> Option<i64> {
    expr.as_literal().and_then(Scalar::as_i64)
}

/// A literal as a value of another type, where nothing is lost.
fn convert(value: &Scalar, ty: &SqlType) -> Option<Scalar> {
    if value.ty() == *ty || (value.ty().is_string() && ty.is_string()) {
        return Some(value.clone());
    }
    if value.is_null() {
        return Some(Scalar::Null(ty.clone()));
    }
    let integer = value.as_i64();
    match ty {
        SqlType::TinyInt => integer?.try_into().ok().map(Scalar::TinyInt),
        SqlType::SmallInt => integer?.try_into().ok().map(Scalar::SmallInt),
        SqlType::Int => integer?.try_into().ok().map(Scalar::Int),
        SqlType::BigInt => integer.map(Scalar::BigInt),
        SqlType::Float => value.as_f64().map(|value| Scalar::Float(value as f32)),
        SqlType::Double => value.as_f64().map(Scalar::Double),
        SqlType::Decimal(precision, scale) => {
            let (unscaled, from) = match value {
                Scalar::Decimal(unscaled, _, from) => (*unscaled, *from),
                _ => (i128::from(integer?), 0),
            };
            let factor = 10i128.checked_pow(u32::from(scale.checked_sub(from)?))?;
            let unscaled = unscaled.checked_mul(factor)?;
            let fits = unscaled.unsigned_abs() < 10u128.pow(u32::from(*precision));
            fits.then_some(Scalar::Decimal(unscaled, *precision, *scale))
        }
        _ => None,
    }
}

/// Follows the names of windows: `OVER w`, `OVER (w ORDER BY …)`, `WINDOW a AS b`.
fn resolve_spec<'a>(over: &'a WindowType, named: &'a [ast::NamedWindowDefinition]) -> Result<ResolvedSpec<'a>> {
    match over {
        WindowType::NamedWindow(name) => resolve_named(name, named, 0),
        WindowType::WindowSpec(spec) => resolve_inline(spec, named, 0),
    }
}

fn resolve_inline<'a>(
    spec: &'a WindowSpec,
    named: &'a [ast::NamedWindowDefinition],
    depth: usize,
) -> Result<ResolvedSpec<'a>> {
    let own =
        ResolvedSpec { partition_by: &spec.partition_by, order_by: &spec.order_by, frame: spec.window_frame.as_ref() };
    let Some(base) = &spec.window_name else { return Ok(own) };
    let base = resolve_named(base, named, depth)?;
    Ok(ResolvedSpec {
        partition_by: if own.partition_by.is_empty() { base.partition_by } else { own.partition_by },
        order_by: if own.order_by.is_empty() { base.order_by } else { own.order_by },
        frame: own.frame.or(base.frame),
    })
}

fn resolve_named<'a>(
    name: &'a Ident,
    named: &'a [ast::NamedWindowDefinition],
    depth: usize,
) -> Result<ResolvedSpec<'a>> {
    let found = named.iter().find(|definition| definition.0.value.eq_ignore_ascii_case(&name.value));
    match found {
        Some(definition) if depth <= named.len() => match &definition.1 {
            NamedWindowExpr::NamedWindow(other) => resolve_named(other, named, depth + 1),
            NamedWindowExpr::WindowSpec(spec) => resolve_inline(spec, named, depth + 1),
        },
        _ => {
            let message = format!("Window specification {} is not defined in the WINDOW clause.", name.value);
            Err(Error::bind("MISSING_WINDOW_SPECIFICATION", "42P20", message).at(ident_span(name)))
        }
    }
}
