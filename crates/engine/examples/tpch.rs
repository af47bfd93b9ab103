//! TPC-H query 1 in the query API, over a folder with a folder of Parquet files per table.
//!
//! `cargo run --release -p firesteel --example tpch -- /path/to/tpch`

use firesteel::functions::{avg, col, count, lit, sum};
use firesteel::{Error, ExplainMode, Result, Session};

fn main() -> Result<()> {
    futures::executor::block_on(async {
        let folder = std::env::args().nth(1);
        let folder = folder.ok_or_else(|| Error::unsupported("Give the folder with the tables as an argument."))?;
        let session = Session::builder().build()?;
        let lineitem = session.read().parquet(format!("{folder}/lineitem")).await?;

        let discounted = col("l_extendedprice") * (lit(1) - col("l_discount"));
        let pricing = lineitem
            .filter("l_shipdate <= DATE '1998-12-01' - INTERVAL '90' DAY")?
            .group_by(["l_returnflag", "l_linestatus"])
            .agg([
                sum("l_quantity").alias("sum_qty"),
                sum("l_extendedprice").alias("sum_base_price"),
                sum(discounted.clone()).alias("sum_disc_price"),
                sum(discounted * (lit(1) + col("l_tax"))).alias("sum_charge"),
                avg("l_quantity").alias("avg_qty"),
                avg("l_extendedprice").alias("avg_price"),
                avg("l_discount").alias("avg_disc"),
                count("*").alias("count_order"),
            ])?
            .sort(["l_returnflag", "l_linestatus"])?;

        pricing.show(20).await?;
        use std::io::Write;
        writeln!(std::io::stdout(), "{}", pricing.explain(ExplainMode::Analyze).await?)?;
        Ok(())
    })
}
