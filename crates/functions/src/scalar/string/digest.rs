//! Digests of bytes, as hexadecimal text.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use firesteel_common::Result;
use firesteel_common::SqlType::{Binary, Int, String as Str};
use md5::Digest;

use crate::scalar::{Args, Function, Sig, function};

const CATEGORY: &str = "hash";

pub(super) const FUNCTIONS: &[Function] = &[
    function(
        CATEGORY,
        ("md5", &[]),
        "md5(expr)",
        "Returns the MD5 digest of a binary as hexadecimal text.",
        &[("SELECT md5('Spark')", "8cde774d6f7333752ed72cacddb05126")],
        Sig::Fixed(&[Binary], 1, &Str),
        |a| digest(a, hex::<md5::Md5>),
    )
    .total(),
    function(
        CATEGORY,
        ("sha1", &["sha"]),
        "sha1(expr)",
        "Returns the SHA-1 digest of a binary as hexadecimal text.",
        &[("SELECT sha1('Spark')", "85f5955f4b27a9a4c2aab6ffe5d7189fc298b92c")],
        Sig::Fixed(&[Binary], 1, &Str),
        |a| digest(a, hex::<sha1::Sha1>),
    )
    .total(),
    function(
        CATEGORY,
        ("sha2", &[]),
        "sha2(expr, bitLength)",
        "Returns the SHA-2 digest of 224, 256, 384 or 512 bits (0 is 256) as hexadecimal text; NULL for another length.",
        &[("SELECT sha2('Spark', 256)", "529bc3b07127ecb7e53a4dcf1991d9152c24537d919178022b2c42657f79a26b")],
        Sig::Fixed(&[Binary, Int], 2, &Str),
        |a| {
            let (bytes, bits) = (a.binaries(0)?, a.ints(1)?);
            a.out_strings(|i| {
                let bytes = bytes.get(i)?;
                Some(match bits.get(i)? {
                    224 => hex::<sha2::Sha224>(bytes),
                    0 | 256 => hex::<sha2::Sha256>(bytes),
                    384 => hex::<sha2::Sha384>(bytes),
                    512 => hex::<sha2::Sha512>(bytes),
                    _ => return None,
                })
            })
        },
    )
    .infallible(),
];

fn digest(a: &Args, of: fn(&[u8]) -> String) -> Result<ArrayRef> {
    let bytes = a.binaries(0)?;
    a.out_strings(|i| bytes.get(i).map(of))
}

fn hex<D: Digest>(bytes: &[u8]) -> String {
    let digest = D::digest(bytes);
    digest.iter().fold(String::with_capacity(2 * digest.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
