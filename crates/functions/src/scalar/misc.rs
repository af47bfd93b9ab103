//! Conditions, hashes, checks and values of the session.

use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use firesteel_common::SqlType::{self, BigInt, Boolean, Double, Int, String as Str};
use firesteel_common::{Error, ErrorKind, Result, Scalar};
use firesteel_expr::Signature;
use firesteel_expr::coercion::{common_type, common_type_of};

use super::{Function, Sig, function};
use crate::check;
use crate::hash;

const CONDITIONAL: &str = "conditional";
const MISC: &str = "misc";

pub(super) const TABLES: &[&[Function]] = &[CONDITIONALS, OTHERS];

const CONDITIONALS: &[Function] = &[
    function(
        CONDITIONAL,
        ("coalesce", &["nvl", "ifnull"]),
        "coalesce(expr1, expr2, ...)",
        "Returns the first argument that is not NULL.",
        &[("SELECT coalesce(NULL, 1, NULL)", "1"), ("SELECT nvl(NULL, 2)", "2")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, usize::MAX)?;
            let ty = common(name, args)?;
            Ok(Signature { args: vec![ty.clone(); args.len()], ty, may_be_null: true })
        }),
        |a| {
            let mut value = a.array(0)?;
            for index in 1..a.len() {
                let keep = BooleanArray::from_iter((0..a.rows).map(|row| Some(value.is_valid(row))));
                value = choose(&keep, &value, &a.array(index)?)?;
            }
            Ok(value)
        },
    )
    .infallible()
    .handles_null(),
    function(
        CONDITIONAL,
        ("nullif", &[]),
        "nullif(expr1, expr2)",
        "Returns NULL if the arguments are equal, else the first.",
        &[("SELECT nullif(2, 2)", "NULL"), ("SELECT nullif(1, 2)", "1")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 2, 2)?;
            let ty = common(name, args)?;
            Ok(Signature { args: vec![ty.clone(), ty.clone()], ty, may_be_null: true })
        }),
        |a| {
            let (x, y) = (a.array(0)?, a.array(1)?);
            if *a.ty == SqlType::Void {
                return Ok(x);
            }
            let equal = arrow::compute::kernels::cmp::eq(&x, &y)?;
            Ok(arrow::compute::nullif(&x, &equal)?)
        },
    )
    .infallible()
    .handles_null(),
    function(
        CONDITIONAL,
        ("if", &["iff"]),
        "if(expr1, expr2, expr3)",
        "Returns the second argument if the first is true, else the third.",
        &[("SELECT if(1 < 2, 'a', 'b')", "a")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 3, 3)?;
            let ty = common(name, &args[1..])?;
            Ok(Signature { args: vec![Boolean, ty.clone(), ty.clone()], ty, may_be_null: true })
        }),
        |a| {
            let condition = a.booleans(0)?;
            let pick = BooleanArray::from_iter((0..a.rows).map(|row| Some(condition.get(row).unwrap_or(false))));
            choose(&pick, &a.array(1)?, &a.array(2)?)
        },
    )
    .infallible()
    .handles_null(),
    function(
        CONDITIONAL,
        ("nvl2", &[]),
        "nvl2(expr1, expr2, expr3)",
        "Returns the second argument if the first is not NULL, else the third.",
        &[("SELECT nvl2(NULL, 2, 1)", "1")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 3, 3)?;
            let ty = common(name, &args[1..])?;
            Ok(Signature { args: vec![args[0].clone(), ty.clone(), ty.clone()], ty, may_be_null: true })
        }),
        |a| {
            let first = a.array(0)?;
            let nulls = first.logical_nulls();
            let pick = (0..a.rows).map(|row| Some(nulls.as_ref().is_none_or(|n| n.is_valid(row))));
            choose(&BooleanArray::from_iter(pick), &a.array(1)?, &a.array(2)?)
        },
    )
    .infallible()
    .handles_null(),
    function(
        CONDITIONAL,
        ("nanvl", &[]),
        "nanvl(expr1, expr2)",
        "Returns the first argument if it is a number, else the second.",
        &[("SELECT nanvl(cast('NaN' AS DOUBLE), 123)", "123.0")],
        Sig::Fixed(&[Double, Double], 2, &Double),
        |a| {
            let (x, y) = (a.doubles(0)?, a.doubles(1)?);
            a.out_doubles(|i| {
                let x = x.get(i)?;
                if x.is_nan() { y.get(i) } else { Some(x) }
            })
        },
    )
    .infallible()
    .handles_null(),
    function(
        CONDITIONAL,
        ("nullifzero", &[]),
        "nullifzero(expr)",
        "Returns NULL for 0, else the argument.",
        &[("SELECT nullifzero(0)", "NULL"), ("SELECT nullifzero(2)", "2")],
        Sig::Custom(bind_number),
        |a| {
            let x = a.array(0)?;
            let zero = zero_of(a.ty).to_array(a.rows);
            Ok(arrow::compute::nullif(&x, &arrow::compute::kernels::cmp::eq(&x, &zero)?)?)
        },
    )
    .infallible(),
    function(
        CONDITIONAL,
        ("zeroifnull", &[]),
        "zeroifnull(expr)",
        "Returns 0 for NULL, else the argument.",
        &[("SELECT zeroifnull(NULL)", "0"), ("SELECT zeroifnull(2)", "2")],
        Sig::Custom(bind_number),
        |a| {
            let x = a.array(0)?;
            let keep = BooleanArray::from_iter((0..a.rows).map(|row| Some(x.is_valid(row))));
            choose(&keep, &x, &zero_of(a.ty).to_array(a.rows))
        },
    )
    .total()
    .handles_null(),
    function(
        CONDITIONAL,
        ("equal_null", &[]),
        "equal_null(expr1, expr2)",
        "Returns whether the arguments are equal, where NULL equals NULL.",
        &[("SELECT equal_null(3, 3)", "true"), ("SELECT equal_null(NULL, NULL)", "true")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 2, 2)?;
            let ty = common_type(&args[0], &args[1])
                .ok_or_else(|| check::unexpected_type(name, 1, &args[0].to_string(), &args[1]))?;
            Ok(Signature { args: vec![ty.clone(), ty], ty: Boolean, may_be_null: false })
        }),
        |a| {
            let (x, y) = (a.array(0)?, a.array(1)?);
            if a.types[0] == SqlType::Void {
                return a.constant(&Scalar::Boolean(true));
            }
            Ok(std::sync::Arc::new(arrow::compute::kernels::cmp::not_distinct(&x, &y)?))
        },
    )
    .total()
    .handles_null(),
];

const OTHERS: &[Function] = &[
    function(
        MISC,
        ("typeof", &[]),
        "typeof(expr)",
        "Returns the name of the type of the argument.",
        &[("SELECT typeof(1)", "int"), ("SELECT typeof(1.5)", "decimal(2,1)")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, 1)?;
            Ok(Signature { args: args.to_vec(), ty: Str, may_be_null: false })
        }),
        |a| a.constant(&Scalar::string(&a.types[0].to_string().to_lowercase())),
    )
    .total()
    .handles_null(),
    function(
        "hash",
        ("hash", &[]),
        "hash(expr1, expr2, ...)",
        "Returns a 32-bit hash (Murmur3, seed 42) of the arguments.",
        &[],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, usize::MAX)?;
            Ok(Signature { args: args.to_vec(), ty: Int, may_be_null: false })
        }),
        |a| {
            let mut hashes = vec![42; a.rows];
            for index in 0..a.len() {
                hash::murmur3(&a.array(index)?, &a.types[index], &mut hashes)?;
            }
            a.out_ints(|i| Some(hashes[i]))
        },
    )
    .total()
    .handles_null(),
    function(
        "hash",
        ("xxhash64", &[]),
        "xxhash64(expr1, expr2, ...)",
        "Returns a 64-bit hash (xxHash, seed 42) of the arguments.",
        &[],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, usize::MAX)?;
            Ok(Signature { args: args.to_vec(), ty: BigInt, may_be_null: false })
        }),
        |a| {
            let mut hashes = vec![42; a.rows];
            for index in 0..a.len() {
                hash::xxhash64(&a.array(index)?, &a.types[index], &mut hashes)?;
            }
            a.out_longs(|i| Some(hashes[i]))
        },
    )
    .total()
    .handles_null(),
    function(
        MISC,
        ("version", &[]),
        "version()",
        "Returns the version of the engine.",
        &[],
        Sig::Fixed(&[], 0, &Str),
        |a| a.constant(&Scalar::string(env!("CARGO_PKG_VERSION"))),
    )
    .total(),
    function(
        MISC,
        ("current_user", &["user", "session_user"]),
        "current_user()",
        "Returns the name of the user of the process.",
        &[],
        Sig::Fixed(&[], 0, &Str),
        |a| {
            let name = std::env::var("USER").or_else(|_| std::env::var("USERNAME"));
            a.constant(&Scalar::string(name.as_deref().unwrap_or("anonymous")))
        },
    )
    .total(),
    function(
        MISC,
        ("current_catalog", &[]),
        "current_catalog()",
        "Returns the name of the catalog.",
        &[("SELECT current_catalog()", "spark_catalog")],
        Sig::Fixed(&[], 0, &Str),
        |a| a.constant(&Scalar::string("spark_catalog")),
    )
    .total(),
    function(
        MISC,
        ("current_database", &["current_schema"]),
        "current_database()",
        "Returns the name of the schema.",
        &[("SELECT current_database()", "default")],
        Sig::Fixed(&[], 0, &Str),
        |a| a.constant(&Scalar::string("default")),
    )
    .total(),
    function(MISC, ("uuid", &[]), "uuid()", "Returns a random UUID.", &[], Sig::Fixed(&[], 0, &Str), |a| {
        let mut random = Random::new();
        a.out_strings(|_| {
            let bits = u128::from(random.next()) << 64 | u128::from(random.next());
            let bits = bits & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
            let hex = format!("{bits:032x}");
            Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
        })
    })
    .total()
    .volatile(),
    function(
        MISC,
        ("assert_true", &[]),
        "assert_true(expr[, message])",
        "Fails if the argument is not true, else returns NULL.",
        &[("SELECT assert_true(0 < 1)", "NULL")],
        Sig::Custom(|name, args, _| {
            check::arity(name, args.len(), 1, 2)?;
            let types = [Boolean, Str][..args.len()].to_vec();
            Ok(Signature { args: types, ty: SqlType::Void, may_be_null: true })
        }),
        |a| {
            let condition = a.booleans(0)?;
            let message = if a.len() > 1 { Some(a.strings(1)?) } else { None };
            for row in 0..a.rows {
                if condition.get(row) != Some(true) {
                    let text = message.as_ref().map_or(Some("the condition is not true!"), |m| m.get(row));
                    return Err(raised(text.unwrap_or("null")));
                }
            }
            Ok(new_null_array(&DataType::Null, a.rows))
        },
    )
    .handles_null()
    .volatile(),
    function(
        MISC,
        ("raise_error", &[]),
        "raise_error(message)",
        "Fails with a message.",
        &[],
        Sig::Fixed(&[Str], 1, &SqlType::Void),
        |a| {
            let message = a.strings(0)?;
            match a.rows {
                0 => Ok(new_null_array(&DataType::Null, 0)),
                _ => Err(raised(message.get(0).unwrap_or("null"))),
            }
        },
    )
    .handles_null()
    .volatile(),
];

fn raised(message: &str) -> Error {
    Error::compute("USER_RAISED_EXCEPTION", "P0001", message)
}

/// The common type of arguments that must have one.
fn common(name: &str, args: &[SqlType]) -> Result<SqlType> {
    common_type_of(args).ok_or_else(|| {
        let types: Vec<String> = args.iter().map(|t| format!("\"{t}\"")).collect();
        Error::new(
            ErrorKind::Type,
            "DATATYPE_MISMATCH.DATA_DIFF_TYPES",
            "42K09",
            format!(
                "Cannot resolve \"{name}\" due to data type mismatch: Input to `{name}` should all be the same type, \
                 but it's ({}).",
                types.join(" or ")
            ),
        )
    })
}

fn choose(pick: &BooleanArray, yes: &ArrayRef, no: &ArrayRef) -> Result<ArrayRef> {
    if *yes.data_type() == DataType::Null {
        return Ok(no.clone());
    }
    Ok(zip(pick, yes, no)?)
}

fn bind_number(name: &'static str, args: &[SqlType], _: &[Option<Scalar>]) -> Result<Signature> {
    check::arity(name, args.len(), 1, 1)?;
    let ty = match &args[0] {
        ty if ty.is_numeric() => ty.clone(),
        SqlType::Void => Int,
        ty if ty.is_string() => BigInt,
        other => return Err(check::unexpected_type(name, 0, "NUMERIC", other)),
    };
    Ok(Signature { args: vec![ty.clone()], ty, may_be_null: true })
}

fn zero_of(ty: &SqlType) -> Scalar {
    match ty {
        SqlType::TinyInt => Scalar::TinyInt(0),
        SqlType::SmallInt => Scalar::SmallInt(0),
        BigInt => Scalar::BigInt(0),
        SqlType::Float => Scalar::Float(0.0),
        Double => Scalar::Double(0.0),
        SqlType::Decimal(p, s) => Scalar::Decimal(0, *p, *s),
        _ => Scalar::Int(0),
    }
}

/// SplitMix64, seeded by the operating system's randomness.
struct Random(u64);

impl Random {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0u8))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }
}
