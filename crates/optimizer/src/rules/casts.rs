//! Comparisons of a converted column with a literal, made on the column itself.
//!
//! `CAST(i AS BIGINT) = 5L` is `i = 5`: statistics, filters of scans and dictionaries then apply. Only
//! conversions that lose nothing are taken away, and only if the literal is a value of the narrow type.

use firesteel_common::{Scalar, SqlType};
use firesteel_expr::{Call, Expr, op};

/// The comparison without the conversion, or as it was.
pub(crate) fn unwrap_cast(expr: Expr) -> Expr {
    let Expr::Call(call) = &expr else { return expr };
    let compares = matches!(
        &*call.function,
        op::EQ | op::NOT_EQ | op::LT | op::LT_EQ | op::GT | op::GT_EQ | op::NULL_SAFE_EQ | op::IN
    );
    let Some((Expr::Cast { input, to, .. }, literals)) = call.args.split_first() else { return expr };
    if !compares || literals.is_empty() || !is_lossless(&input.ty(), to) {
        return expr;
    }
    let narrow = |e: &Expr| e.as_literal().and_then(|v| narrowed(v, &input.ty())).map(Expr::Literal);
    let Some(mut args) = literals.iter().map(narrow).collect::<Option<Vec<Expr>>>() else { return expr };
    args.insert(0, (**input).clone());
    Expr::Call(Call { args, ..call.clone() })
}

/// Whether every value keeps its identity and order.
fn is_lossless(from: &SqlType, to: &SqlType) -> bool {
    match (from.integer_as_decimal(), to.integer_as_decimal()) {
        (Some((p, s)), Some((q, t))) => t >= s && q - t >= p - s,
        _ => false,
    }
}

/// The literal as a value of `ty`, if it is one.
fn narrowed(value: &Scalar, ty: &SqlType) -> Option<Scalar> {
    let (unscaled, scale) = match value {
        Scalar::Decimal(v, _, s) => (*v, u32::from(*s)),
        other => (i128::from(other.as_i64()?), 0),
    };
    match ty {
        SqlType::Decimal(p, s) => {
            let target = u32::from(*s);
            let rescaled = if target >= scale {
                unscaled.checked_mul(10i128.checked_pow(target - scale)?)?
            } else {
                let divisor = 10i128.checked_pow(scale - target)?;
                (unscaled % divisor == 0).then(|| unscaled / divisor)?
            };
            (rescaled.unsigned_abs() < 10u128.checked_pow(u32::from(*p))?).then_some(Scalar::Decimal(rescaled, *p, *s))
        }
        ty => {
            let divisor = 10i128.checked_pow(scale)?;
            let whole = (unscaled % divisor == 0).then(|| unscaled / divisor)?;
            Some(match ty {
                SqlType::TinyInt => Scalar::TinyInt(whole.try_into().ok()?),
                SqlType::SmallInt => Scalar::SmallInt(whole.try_into().ok()?),
                SqlType::Int => Scalar::Int(whole.try_into().ok()?),
                SqlType::BigInt => Scalar::BigInt(whole.try_into().ok()?),
                _ => return None,
            })
        }
    }
}
