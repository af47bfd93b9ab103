//! A scalar function of the program, in SQL and in the query API.
//!
//! `cargo run -p firesteel --example udf`

use std::sync::Arc;

use firesteel::arrow::array::{ArrayRef, AsArray, StringArray};
use firesteel::{Result, Session, SqlType};

/// Each text with its letters shifted by 13.
fn rot13(args: &[ArrayRef]) -> Result<ArrayRef> {
    let shift = |c: char| match c {
        'a'..='m' | 'A'..='M' => char::from(c as u8 + 13),
        'n'..='z' | 'N'..='Z' => char::from(c as u8 - 13),
        other => other,
    };
    let texts = args[0].as_string_view().iter();
    Ok(Arc::new(
        texts.map(|text| text.map(|text| text.chars().map(shift).collect::<String>())).collect::<StringArray>(),
    ))
}

fn main() -> Result<()> {
    futures::executor::block_on(async {
        let session = Session::builder().build()?;
        let rot13 = session.udf_register("rot13", [SqlType::String], SqlType::String, rot13);

        session.sql("SELECT rot13('Uryyb') AS greeting").await?.show(1).await?;

        let names = session.sql("SELECT * FROM VALUES ('Ann'), (NULL), ('Bob') AS t(name)").await?;
        names.with_column("hidden", rot13.call("name"))?.show(20).await
    })
}
