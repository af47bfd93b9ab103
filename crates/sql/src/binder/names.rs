//! Names of result columns that have no alias: the expression, as Spark prints it.

use std::fmt::Write as _;

use sqlparser::ast::{
    BinaryOperator, CastKind, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, NullTreatment, OrderByExpr, OrderBySort, UnaryOperator, Value, WindowFrameBound, WindowSpec,
    WindowType,
};

/// The name of a result column.
pub(crate) fn column_name(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        Expr::Nested(inner) => column_name(inner),
        other => pretty(other),
    }
}

fn list(exprs: &[Expr]) -> String {
    exprs.iter().map(pretty).collect::<Vec<_>>().join(", ")
}

fn not(negated: bool, text: String) -> String {
    if negated { format!("(NOT {text})") } else { text }
}

/// The text of an expression.
pub(crate) fn pretty(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(_) => column_name(expr),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        Expr::Nested(inner) => pretty(inner),
        Expr::Value(value) => literal(&value.value),
        Expr::TypedString(typed) => {
            format!("{} '{}'", typed.data_type.to_string().to_uppercase(), literal(&typed.value.value))
        }
        Expr::BinaryOp { left, op, right } => binary(left, op, right),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
            Expr::Value(value) => format!("-{}", literal(&value.value)),
            other => format!("(- {})", pretty(other)),
        },
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => format!("(+ {})", pretty(expr)),
        Expr::UnaryOp { op: UnaryOperator::Not | UnaryOperator::BangNot, expr } => format!("(NOT {})", pretty(expr)),
        Expr::UnaryOp { op: UnaryOperator::BitwiseNot, expr } => format!("~{}", pretty(expr)),
        Expr::IsNull(expr) => format!("({} IS NULL)", pretty(expr)),
        Expr::IsNotNull(expr) => format!("({} IS NOT NULL)", pretty(expr)),
        Expr::IsTrue(expr) => format!("({} IS TRUE)", pretty(expr)),
        Expr::IsNotTrue(expr) => format!("(NOT ({} IS TRUE))", pretty(expr)),
        Expr::IsFalse(expr) => format!("({} IS FALSE)", pretty(expr)),
        Expr::IsNotFalse(expr) => format!("(NOT ({} IS FALSE))", pretty(expr)),
        Expr::IsDistinctFrom(left, right) => format!("(NOT ({} <=> {}))", pretty(left), pretty(right)),
        Expr::IsNotDistinctFrom(left, right) => format!("({} <=> {})", pretty(left), pretty(right)),
        Expr::InList { expr, list: items, negated } => {
            not(*negated, format!("({} IN ({}))", pretty(expr), list(items)))
        }
        Expr::InSubquery { expr, negated, .. } => not(*negated, format!("({} IN (listquery()))", pretty(expr))),
        Expr::Between { expr, negated, low, high } => {
            not(*negated, format!("between({}, {}, {})", pretty(expr), pretty(low), pretty(high)))
        }
        Expr::Like { negated, expr, pattern, .. } => {
            not(*negated, format!("{} LIKE {}", pretty(expr), pretty(pattern)))
        }
        Expr::ILike { negated, expr, pattern, .. } => {
            not(*negated, format!("ilike({}, {})", pretty(expr), pretty(pattern)))
        }
        Expr::RLike { negated, expr, pattern, .. } => {
            not(*negated, format!("RLIKE({}, {})", pretty(expr), pretty(pattern)))
        }
        Expr::Cast { kind, expr, data_type, .. } => {
            let name = if *kind == CastKind::TryCast { "TRY_CAST" } else { "CAST" };
            let ty = crate::types::sql_type(data_type).map_or_else(|_| data_type.to_string(), |ty| ty.to_string());
            format!("{name}({} AS {ty})", pretty(expr))
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut text = "CASE".to_owned();
            for when in conditions {
                let condition = match operand {
                    Some(operand) => format!("({} = {})", pretty(operand), pretty(&when.condition)),
                    None => pretty(&when.condition),
                };
                let _ = write!(text, " WHEN {condition} THEN {}", pretty(&when.result));
            }
            if let Some(otherwise) = else_result {
                let _ = write!(text, " ELSE {}", pretty(otherwise));
            }
            text + " END"
        }
        Expr::Extract { field, expr, .. } => format!("extract({} FROM {})", field_name(field), pretty(expr)),
        Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
            let name = if *shorthand { "substr" } else { "substring" };
            let from = substring_from.as_deref().map_or("1".to_owned(), pretty);
            let length = substring_for.as_deref().map_or("2147483647".to_owned(), pretty);
            format!("{name}({}, {from}, {length})", pretty(expr))
        }
        Expr::Ceil { expr, .. } => format!("CEIL({})", pretty(expr)),
        Expr::Floor { expr, .. } => format!("FLOOR({})", pretty(expr)),
        Expr::Position { expr, r#in } => format!("locate({}, {}, 1)", pretty(expr), pretty(r#in)),
        Expr::Trim { expr, trim_what: None, .. } => format!("trim({})", pretty(expr)),
        Expr::Trim { expr, trim_what: Some(what), .. } => format!("TRIM(BOTH {} FROM {})", pretty(what), pretty(expr)),
        Expr::Function(function) => call(function),
        Expr::Exists { negated, .. } => not(*negated, "exists()".to_owned()),
        Expr::Subquery(_) => "scalarsubquery()".to_owned(),
        Expr::Tuple(items) => format!("({})", list(items)),
        other => other.to_string(),
    }
}

fn binary(left: &Expr, op: &BinaryOperator, right: &Expr) -> String {
    let (left, right) = (pretty(left), pretty(right));
    match op {
        BinaryOperator::NotEq => format!("(NOT ({left} = {right}))"),
        BinaryOperator::StringConcat => format!("concat({left}, {right})"),
        BinaryOperator::MyIntegerDivide => format!("({left} div {right})"),
        BinaryOperator::Spaceship => format!("({left} <=> {right})"),
        BinaryOperator::PGBitwiseShiftLeft => format!("({left} << {right})"),
        BinaryOperator::PGBitwiseShiftRight => format!("({left} >> {right})"),
        other => format!("({left} {other} {right})"),
    }
}

/// A field of EXTRACT as it was written.
pub(crate) fn field_name(field: &DateTimeField) -> String {
    match field {
        DateTimeField::Custom(ident) => ident.value.clone(),
        other => other.to_string().to_lowercase(),
    }
}

fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::SingleQuotedString(text) => text.clone(),
        Value::HexStringLiteral(digits) => format!("X'{}'", digits.to_uppercase()),
        Value::Placeholder(name) => name.clone(),
        Value::Number(text, _) => match crate::literal::number(text) {
            Ok(value) => value.to_string(),
            Err(_) => text.clone(),
        },
        other => other.to_string(),
    }
}

fn call(function: &Function) -> String {
    let name = function.name.0.last().map(|part| part.to_string().trim_matches('`').to_lowercase()).unwrap_or_default();
    let mut text = match &function.args {
        FunctionArguments::List(args) => {
            let distinct =
                if args.duplicate_treatment == Some(DuplicateTreatment::Distinct) { "DISTINCT " } else { "" };
            let mut items: Vec<String> = args.args.iter().map(|arg| argument(arg, &name)).collect();
            // Spark shows the values of parameters that were left out.
            match (name.as_str(), items.len()) {
                ("lag" | "lead", 1) => items.extend(["1".to_owned(), "NULL".to_owned()]),
                ("lag" | "lead", 2) => items.push("NULL".to_owned()),
                ("substr" | "substring", 2) => items.push("2147483647".to_owned()),
                _ => {}
            }
            let items = items.join(", ");
            match name.as_str() {
                "rank" | "dense_rank" | "percent_rank" => format!("{}({items})", name.to_uppercase()),
                "if" => format!("(IF({items}))"),
                _ => format!("{name}({distinct}{items})"),
            }
        }
        _ => format!("{name}()"),
    };
    if let Some(filter) = &function.filter {
        let _ = write!(text, " FILTER (WHERE {})", pretty(filter));
    }
    if function.null_treatment == Some(NullTreatment::IgnoreNulls) {
        text.push_str(" IGNORE NULLS");
    }
    match &function.over {
        Some(WindowType::WindowSpec(spec)) => format!("{text} OVER ({})", window(spec, &name)),
        Some(WindowType::NamedWindow(name)) => format!("{text} OVER {}", name.value),
        None => text,
    }
}

fn argument(arg: &FunctionArg, function: &str) -> String {
    let value = match arg {
        FunctionArg::Named { arg, .. } | FunctionArg::ExprNamed { arg, .. } | FunctionArg::Unnamed(arg) => arg,
    };
    match value {
        FunctionArgExpr::Expr(expr) => pretty(expr),
        _ if function == "count" => "1".to_owned(),
        _ => "*".to_owned(),
    }
}

fn window(spec: &WindowSpec, function: &str) -> String {
    const ROWS: &[&str] = &["row_number", "rank", "dense_rank", "percent_rank", "cume_dist", "ntile", "lag", "lead"];
    let mut parts = Vec::new();
    if !spec.partition_by.is_empty() {
        parts.push(format!("PARTITION BY {}", list(&spec.partition_by)));
    }
    if !spec.order_by.is_empty() {
        let keys: Vec<String> = spec.order_by.iter().map(sort_key).collect();
        parts.push(format!("ORDER BY {}", keys.join(", ")));
    }
    parts.push(match &spec.window_frame {
        Some(frame) => {
            let end = frame.end_bound.as_ref().map_or("CURRENT ROW".to_owned(), bound);
            format!("{} BETWEEN {} AND {end}", frame.units, bound(&frame.start_bound))
        }
        None if matches!(function, "lag" | "lead") => {
            let offset = if function == "lag" { -1 } else { 1 };
            format!("ROWS BETWEEN {offset} FOLLOWING AND {offset} FOLLOWING")
        }
        None if ROWS.contains(&function) => "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
        None if spec.order_by.is_empty() => "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".to_owned(),
        None => "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_owned(),
    });
    parts.join(" ")
}

fn sort_key(key: &OrderByExpr) -> String {
    let ascending = !matches!(key.options.sort, Some(OrderBySort::Desc));
    let nulls_first = key.options.nulls_first.unwrap_or(ascending);
    let direction = if ascending { "ASC" } else { "DESC" };
    format!("{} {direction} NULLS {}", pretty(&key.expr), if nulls_first { "FIRST" } else { "LAST" })
}

fn bound(bound: &WindowFrameBound) -> String {
    match bound {
        WindowFrameBound::CurrentRow => "CURRENT ROW".to_owned(),
        WindowFrameBound::Preceding(None) => "UNBOUNDED PRECEDING".to_owned(),
        WindowFrameBound::Following(None) => "UNBOUNDED FOLLOWING".to_owned(),
        WindowFrameBound::Preceding(Some(n)) => format!("{} PRECEDING", pretty(n)),
        WindowFrameBound::Following(Some(n)) => format!("{} FOLLOWING", pretty(n)),
    }
}

/// The text of a call without its OVER clause, for the column of an aggregate.
pub(crate) fn pretty_call(function: &Function) -> String {
    let mut bare = function.clone();
    bare.over = None;
    call(&bare)
}
