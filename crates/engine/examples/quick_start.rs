//! SQL and the query API over rows in memory.
//!
//! `cargo run -p firesteel --example quick_start`

use firesteel::functions::{avg, col, count, desc};
use firesteel::{JoinType, Result, Session, Window, functions};

fn main() -> Result<()> {
    futures::executor::block_on(async {
        let session = Session::builder().config("spark.sql.session.timeZone", "UTC").build()?;

        let orders = session
            .sql("SELECT * FROM VALUES (1, 10, 20.00), (2, 10, 5.50), (3, 11, 7.25) AS t(id, customer, price)")
            .await?;
        let customers = session.sql("SELECT * FROM VALUES (10, 'Ann'), (11, 'Bob') AS t(customer, name)").await?;

        orders
            .join(&customers, "customer", JoinType::Inner)?
            .group_by("name")
            .agg([count("*").alias("orders"), avg("price").alias("mean")])?
            .sort(desc("orders"))?
            .show(20)
            .await?;

        let by_price = Window::partition_by("customer").order_by(col("price").desc());
        orders.with_column("place", functions::row_number().over(by_price))?.show(20).await?;

        orders.create_or_replace_temp_view("orders")?;
        let cheap = session.sql_with_params("SELECT * FROM orders WHERE price < :limit", [("limit", 10)]).await?;
        cheap.show(20).await
    })
}
