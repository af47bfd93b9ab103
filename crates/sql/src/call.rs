//! Calls, casts and CASE with their types settled. The binder and the `DataFrame` API both build
//! expressions with these, so that the rules are written once.

use std::sync::Arc;

use firesteel_catalog::catalog::edit_distance;
use firesteel_common::{Error, ErrorKind, Result, ResultExt, Scalar, Span, SqlType};
use firesteel_expr::coercion::{can_cast, common_type};
use firesteel_expr::{AggregateCall, Call, Expr, FunctionRegistry, op};

/// Functions that are bound to CASE, so that arguments are evaluated only where they are needed.
pub const LAZY_FUNCTIONS: &[&str] = &["coalesce", "if", "iff", "ifnull", "nullif", "nvl", "nvl2"];

/// A call of a scalar function: arguments are cast to the types that it takes.
///
/// Errors: `UNRESOLVED_ROUTINE`, `WRONG_NUM_ARGS`, `DATATYPE_MISMATCH`.
pub fn bind_call(name: &str, args: Vec<Expr>, span: Span, registry: &FunctionRegistry) -> Result<Expr> {
    let lower = name.to_lowercase();
    if LAZY_FUNCTIONS.contains(&lower.as_str()) {
        return lazy_call(&lower, args, span, registry);
    }
    if lower == "decode" && args.len() > 2 {
        return decode(args, span, registry);
    }
    if lower == "typeof"
        && let [arg] = args.as_slice()
    {
        // The argument is not evaluated, so that it cannot fail.
        return Ok(Expr::Literal(Scalar::string(&arg.ty().to_string().to_lowercase())));
    }
    let Some(function) = registry.scalar(&lower) else { return Err(unresolved_routine(name, span, registry)) };
    let types: Vec<SqlType> = args.iter().map(Expr::ty).collect();
    let literals: Vec<Option<Scalar>> = args.iter().map(|arg| arg.as_literal().cloned()).collect();
    let signature = function.bind(&types, &literals).at(span)?;
    let any_null = args.iter().any(Expr::nullable);
    let args = cast_args(args, &signature.args, span);
    let nullable = signature.may_be_null || (any_null && !function.handles_null());
    let function = Arc::from(function.doc().name);
    Ok(Expr::Call(Call { function, args, ty: signature.ty, nullable, span }))
}

/// A call of an aggregate function; `count(*)` has no arguments.
///
/// Errors: `UNRESOLVED_ROUTINE`, `WRONG_NUM_ARGS`, `DATATYPE_MISMATCH`.
pub fn bind_aggregate(
    name: &str,
    args: Vec<Expr>,
    distinct: bool,
    filter: Option<Expr>,
    span: Span,
    registry: &FunctionRegistry,
) -> Result<AggregateCall> {
    let Some(function) = registry.aggregate(name) else { return Err(unresolved_routine(name, span, registry)) };
    let types: Vec<SqlType> = args.iter().map(Expr::ty).collect();
    let signature = function.bind(&types).at(span)?;
    let args = cast_args(args, &signature.args, span);
    let filter = filter.map(|filter| condition(filter, span)).transpose()?;
    Ok(AggregateCall {
        function: Arc::from(function.doc().name),
        args,
        distinct: distinct && !function.ignores_duplicates(),
        filter,
        ty: signature.ty,
        nullable: signature.nullable,
        span,
    })
}

fn cast_args(args: Vec<Expr>, types: &[SqlType], span: Span) -> Vec<Expr> {
    args.into_iter()
        .enumerate()
        .map(|(i, arg)| match types.get(i) {
            Some(ty) => cast_inner(arg, ty, span),
            None => arg,
        })
        .collect()
}

/// An implicit cast: it has the place of the operation that asks for it, as in Spark.
fn cast_inner(arg: Expr, ty: &SqlType, place: Span) -> Expr {
    if arg.ty() == *ty {
        return arg;
    }
    match arg.cast_to(ty) {
        Expr::Cast { input, to, safe, span } if !span.is_known() => Expr::Cast { input, to, safe, span: place },
        other => other,
    }
}

/// `CAST(input AS to)`, or `TRY_CAST`.
///
/// Errors: `DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION`.
pub fn bind_cast(input: Expr, to: &SqlType, safe: bool, span: Span, ansi: bool) -> Result<Expr> {
    let from = input.ty();
    if from == *to || (from.is_string() && *to == SqlType::String) {
        return Ok(input);
    }
    if !can_cast(&from, to, ansi) {
        let name = if safe { "TRY_CAST" } else { "CAST" };
        let instead = match (&from, to) {
            (from, SqlType::Date) if from.is_numeric() => Some("date_from_unix_date"),
            (SqlType::Date, to) if to.is_numeric() => Some("unix_date"),
            _ => None,
        };
        let error = Error::new(
            ErrorKind::Type,
            if instead.is_some() {
                "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION"
            } else {
                "DATATYPE_MISMATCH.CAST_WITHOUT_SUGGESTION"
            },
            "42K09",
            format!(
                "Cannot resolve \"{name}({input} AS {to})\" due to data type mismatch: cannot cast \"{from}\" to \"{to}\"."
            ),
        )
        .at(span);
        return Err(match instead {
            Some(function) => error.with_hint(format!("use `{function}` instead")),
            None => error,
        });
    }
    if let Expr::Literal(Scalar::Null(_)) = input {
        return Ok(Expr::null(to.clone()));
    }
    Ok(Expr::Cast { input: Box::new(input), to: to.clone(), safe, span })
}

/// A predicate: BOOLEAN, or NULL, or a string that is cast.
///
/// Errors: `DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE`.
pub fn condition(expr: Expr, span: Span) -> Result<Expr> {
    match expr.ty() {
        SqlType::Boolean => Ok(expr),
        SqlType::Void => Ok(expr.cast_to(&SqlType::Boolean)),
        ty => Err(Error::new(
            ErrorKind::Type,
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            "42K09",
            format!("Cannot resolve \"{expr}\" due to data type mismatch: a \"BOOLEAN\" is required, however it has the type \"{ty}\"."),
        )
        .at(span)),
    }
}

/// Casts expressions to their common type.
///
/// Errors: `DATATYPE_MISMATCH.DATA_DIFF_TYPES`.
pub fn to_common_type(what: &str, exprs: Vec<Expr>, span: Span) -> Result<Vec<Expr>> {
    let mut types = exprs.iter().map(Expr::ty);
    let first = types.next().unwrap_or(SqlType::Void);
    let common = types.try_fold(first, |a, b| common_type(&a, &b));
    let Some(common) = common else {
        let types: Vec<String> = exprs.iter().map(|e| format!("\"{}\"", e.ty())).collect();
        return Err(Error::new(
            ErrorKind::Type,
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            "42K09",
            format!(
                "Cannot resolve \"{what}\" due to data type mismatch: Input to `{what}` should all be the same type, but it's ({}).",
                types.join(", ")
            ),
        )
        .at(span));
    };
    Ok(exprs.into_iter().map(|expr| expr.cast_to(&common)).collect())
}

/// `CASE WHEN … THEN … [ELSE …] END`; results are brought to a common type.
///
/// Errors: `DATATYPE_MISMATCH`.
pub fn bind_case(branches: Vec<(Expr, Expr)>, otherwise: Option<Expr>, span: Span) -> Result<Expr> {
    let (conditions, mut results): (Vec<Expr>, Vec<Expr>) = branches.into_iter().unzip();
    results.push(otherwise.unwrap_or(Expr::null(SqlType::Void)));
    let mut results = to_common_type("casewhen", results, span)?;
    let otherwise = results.pop().unwrap_or(Expr::null(SqlType::Void));
    let conditions = conditions.into_iter().map(|c| condition(c, span)).collect::<Result<Vec<_>>>()?;
    let branches = conditions.into_iter().zip(results).collect();
    Ok(Expr::Case { branches, otherwise: Box::new(otherwise) })
}

fn lazy_call(name: &str, args: Vec<Expr>, span: Span, registry: &FunctionRegistry) -> Result<Expr> {
    let expected = match name {
        "if" | "iff" | "nvl2" => Some(3),
        "nullif" | "nvl" | "ifnull" => Some(2),
        _ => None,
    };
    if expected.map_or(args.is_empty(), |n| n != args.len()) {
        let expected = expected.map_or("> 0".to_owned(), |n: usize| n.to_string());
        return Err(wrong_num_args(name, &expected, args.len()).at(span));
    }
    let mut args = args;
    match name {
        "if" | "iff" => {
            let otherwise = args.pop();
            match (args.pop(), args.pop()) {
                (Some(then), Some(test)) => bind_case(vec![(test, then)], otherwise, span),
                _ => Err(Error::internal("`if` without arguments")),
            }
        }
        "nvl2" => {
            let otherwise = args.pop();
            match (args.pop(), args.pop()) {
                (Some(then), Some(test)) => {
                    let test = bind_call(op::IS_NOT_NULL, vec![test], span, registry)?;
                    bind_case(vec![(test, then)], otherwise, span)
                }
                _ => Err(Error::internal("`nvl2` without arguments")),
            }
        }
        "nullif" => {
            let test = bind_call(op::EQ, args.clone(), span, registry)?;
            let value = args.swap_remove(0);
            bind_case(vec![(test, Expr::null(value.ty()))], Some(value), span)
        }
        _ => {
            let mut args = to_common_type(name, args, span)?;
            let last = args.pop();
            if args.is_empty() {
                return last.ok_or_else(|| Error::internal("`coalesce` without arguments"));
            }
            let branches = args
                .into_iter()
                .map(|arg| Ok((bind_call(op::IS_NOT_NULL, vec![arg.clone()], span, registry)?, arg)))
                .collect::<Result<Vec<_>>>()?;
            bind_case(branches, last, span)
        }
    }
}

/// `decode(value, search1, result1, …[, default])`: the result of the first search that equals the value, where
/// NULL equals NULL.
fn decode(args: Vec<Expr>, span: Span, registry: &FunctionRegistry) -> Result<Expr> {
    let mut args = args.into_iter();
    let value = args.next().ok_or_else(|| wrong_num_args("decode", "> 1", 0).at(span))?;
    let mut branches = Vec::new();
    while let Some(search) = args.next() {
        let Some(result) = args.next() else { return bind_case(branches, Some(search), span) };
        branches.push((bind_call(op::NULL_SAFE_EQ, vec![value.clone(), search], span, registry)?, result));
    }
    bind_case(branches, None, span)
}

/// The error for a wrong number of arguments.
pub fn wrong_num_args(name: &str, expected: &str, actual: usize) -> Error {
    Error::bind(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        "42605",
        format!("The `{name}` requires {expected} parameters but the actual number is {actual}."),
    )
}

/// The error for a name that no function has, with names like it as a hint; for a function of Spark's that is not
/// there yet, one that says so.
pub fn unresolved_routine(name: &str, span: Span, registry: &FunctionRegistry) -> Error {
    let lower = name.to_lowercase();
    if crate::missing::FUNCTIONS.contains(&lower.as_str()) {
        return Error::unsupported(format!("The function `{lower}` is not supported yet.")).at(span);
    }
    let mut near: Vec<(usize, &str)> = registry
        .names()
        .into_iter()
        .map(|known| (edit_distance(&lower, known), known))
        .filter(|(distance, _)| *distance <= lower.len().div_ceil(3).min(3))
        .collect();
    near.sort_unstable();
    let error = Error::bind(
        "UNRESOLVED_ROUTINE",
        "42883",
        format!("Cannot resolve routine `{name}` on search path [`system`.`builtin`, `system`.`session`, `spark_catalog`.`default`]."),
    )
    .at(span);
    if near.is_empty() {
        return error;
    }
    let names: Vec<String> = near.iter().take(3).map(|(_, known)| format!("`{known}`")).collect();
    error.with_hint(format!("did you mean {}?", names.join(", ")))
}
