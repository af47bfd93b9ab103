//! The query API: that it means what SQL means.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod common;

use common::{rows, run, session, sorted_rows};
use firesteel::functions::*;
use firesteel::{DataFrame, JoinType, Session, SqlType, Window};

async fn sales(session: &Session) -> DataFrame {
    let sql = "SELECT * FROM VALUES ('a', 'x', 1, 1.50), ('a', 'y', 2, 2.50), ('b', 'x', 3, NULL), ('b', 'x', 4, 4.00) \
               AS t(shop, item, n, price)";
    session.sql(sql).await.unwrap()
}

#[test]
fn expressions_have_the_types_and_names_of_sql() {
    run(async {
        let session = session();
        let df = sales(&session).await;
        let by_api = df
            .select([
                col("n") + 1,
                col("n") / 2,
                -col("n"),
                col("price") * lit(2),
                upper("shop"),
                col("price").is_null(),
                col("n").neq(1),
                when(col("n").gt(2), "many").otherwise("few").alias("size"),
                coalesce([col("price"), lit(0)]).alias("p"),
                col("n").cast("decimal(10, 2)"),
                col("item").like("x%"),
                col("n").isin([1, 2]),
                substring("shop", 1, 1).alias("s"),
            ])
            .unwrap();
        df.create_or_replace_temp_view("sales").unwrap();
        let by_sql = session
            .sql(
                "SELECT n + 1, n / 2, -n, price * 2, upper(shop), price IS NULL, n <> 1, \
                 CASE WHEN n > 2 THEN 'many' ELSE 'few' END AS size, coalesce(price, 0) AS p, CAST(n AS DECIMAL(10, 2)), \
                 item LIKE 'x%', n IN (1, 2), substring(shop, 1, 1) AS s FROM sales",
            )
            .await
            .unwrap();
        assert_eq!(by_api.schema().fields().len(), by_sql.schema().fields().len());
        for (api, sql) in by_api.schema().fields().iter().zip(by_sql.schema().fields()) {
            assert_eq!((api.name(), api.data_type()), (sql.name(), sql.data_type()));
        }
        assert_eq!(sorted_rows(&by_api).await, sorted_rows(&by_sql).await);
    });
}

#[test]
fn columns_are_added_replaced_renamed_and_dropped() {
    run(async {
        let session = session();
        let df = sales(&session).await;
        let df = df.with_column("N", col("n") * 10).unwrap().with_column("m", col("n") + 1).unwrap();
        let df = df.with_column_renamed("shop", "store").drop(["item", "nothing"]);
        assert_eq!(df.columns(), ["store", "N", "price", "m"]);
        let df = df.filter("price IS NOT NULL").unwrap().sort(col("m").desc()).unwrap();
        assert_eq!(rows(&df).await, ["b 40 4.00 41", "a 20 2.50 21", "a 10 1.50 11"]);
        assert_eq!(rows(&df.offset(1).limit(1)).await, ["a 20 2.50 21"]);
        assert_eq!(df.to_df(["a", "b", "c", "d"]).unwrap().columns(), ["a", "b", "c", "d"]);
        assert_eq!(df.select_expr(["store || '!' AS s", "*"]).unwrap().columns()[..2], ["s", "store"]);
    });
}

#[test]
fn groups_and_aggregates() {
    run(async {
        let session = session();
        let df = sales(&session).await;
        let totals = df
            .group_by("shop")
            .agg([sum("n"), (sum("price") / count("*")).alias("mean"), count_distinct(["item"]), expr("max(n) AS top")])
            .unwrap();
        assert_eq!(totals.columns(), ["shop", "sum(n)", "mean", "count(DISTINCT item)", "top"]);
        let means = totals.with_column("mean", round("mean", 1)).unwrap();
        assert_eq!(sorted_rows(&means).await, ["a 3 2.0 2 2", "b 7 2.0 1 4"]);
        let odd = df.group_by((col("n") % 2).alias("odd")).count().unwrap().sort("odd").unwrap();
        assert_eq!(rows(&odd).await, ["0 2", "1 2"]);
        let sets = df.rollup(["shop", "item"]).agg(sum("n").alias("s")).unwrap();
        assert_eq!(sorted_rows(&sets).await, ["NULL NULL 10", "a NULL 3", "a x 1", "a y 2", "b NULL 7", "b x 7"]);
        assert_eq!(df.cube(["shop", "item"]).count().unwrap().count().await.unwrap(), 8);
        assert_eq!(rows(&df.agg([max("n"), min("price")]).unwrap()).await, ["4 1.50"]);
        assert_eq!(df.select(["shop", "item"]).unwrap().distinct().unwrap().count().await.unwrap(), 3);
        let one_per_shop = df.drop_duplicates(["shop"]).unwrap();
        assert_eq!(one_per_shop.columns(), df.columns());
        assert_eq!(one_per_shop.count().await.unwrap(), 2);
    });
}

#[test]
fn joins_tell_columns_apart() {
    run(async {
        let session = session();
        let left = session.sql("SELECT * FROM VALUES (1, 'a'), (2, 'b'), (3, 'c') AS t(id, v)").await.unwrap();
        let right = session.sql("SELECT * FROM VALUES (2, 'B'), (3, 'C'), (4, 'D') AS t(id, v)").await.unwrap();
        let using = left.join(&right, "id", JoinType::Full).unwrap();
        assert_eq!(using.columns(), ["id", "v", "v"]);
        assert_eq!(sorted_rows(&using).await, ["1 a NULL", "2 b B", "3 c C", "4 NULL D"]);
        assert_eq!(using.select("v").unwrap_err().condition(), "AMBIGUOUS_REFERENCE");
        let apart = using.select([left.col("v").unwrap(), right.col("v").unwrap()]).unwrap();
        assert_eq!(sorted_rows(&apart).await, ["NULL D", "a NULL", "b B", "c C"]);
        let on = left.col("id").unwrap().lt(right.col("id").unwrap());
        assert_eq!(left.join(&right, on, JoinType::Inner).unwrap().count().await.unwrap(), 6);
        assert_eq!(sorted_rows(&left.join(&right, ["id"], JoinType::LeftAnti).unwrap()).await, ["1 a"]);
        assert_eq!(left.cross_join(&right).unwrap().count().await.unwrap(), 9);
        let error = left.join(&right, "nothing", JoinType::Inner).unwrap_err();
        assert_eq!(error.condition(), "UNRESOLVED_USING_COLUMN_FOR_JOIN");
    });
}

#[test]
fn a_frame_is_joined_with_itself() {
    run(async {
        let session = session();
        let df = session.sql("SELECT id, id + 1 AS next FROM range(4)").await.unwrap();
        let same = df.join(&df, "id", JoinType::Inner).unwrap();
        assert_eq!(same.count().await.unwrap(), 4);
        let (a, b) = (df.alias("a"), df.alias("b"));
        let chain = a.join(&b, col("a.next").eq(col("b.id")), JoinType::Inner).unwrap();
        assert_eq!(sorted_rows(&chain.select(["a.id", "b.next"]).unwrap()).await, ["0 2", "1 3", "2 4"]);
        let by_frame = a.join(&b, a.col("next").unwrap().eq(b.col("id").unwrap()), JoinType::Inner).unwrap();
        assert_eq!(by_frame.count().await.unwrap(), 3);
        let error = df.join(&df, df.col("id").unwrap().eq(df.col("next").unwrap()), JoinType::Inner).unwrap_err();
        assert_eq!(error.condition(), "AMBIGUOUS_COLUMN_REFERENCE");
        assert_eq!(df.union(&df).unwrap().count().await.unwrap(), 8);
    });
}

#[test]
fn set_operations() {
    run(async {
        let session = session();
        let a = session.sql("SELECT * FROM VALUES (1, 'x'), (1, 'x'), (2, 'y') AS t(n, s)").await.unwrap();
        let b = session.sql("SELECT * FROM VALUES (1.5, 'x'), (1, 'x') AS t(n, s)").await.unwrap();
        assert_eq!(sorted_rows(&a.union(&b).unwrap()).await, ["1.0 x", "1.0 x", "1.0 x", "1.5 x", "2.0 y"]);
        assert_eq!(sorted_rows(&a.intersect(&b).unwrap()).await, ["1.0 x"]);
        assert_eq!(sorted_rows(&a.except_all(&b).unwrap()).await, ["1.0 x", "2.0 y"]);
        let swapped = a.select(["s", "n"]).unwrap();
        assert_eq!(sorted_rows(&a.union_by_name(&swapped, false).unwrap()).await.len(), 6);
        let wider = a.with_column("z", lit(true)).unwrap();
        assert_eq!(a.union_by_name(&wider, true).unwrap().columns(), ["n", "s", "z"]);
        let error = a.union_by_name(&wider, false).unwrap_err();
        assert_eq!(error.condition(), "UNRESOLVED_COLUMN_AMONG_FIELD_NAMES");
        assert_eq!(a.union(&wider).unwrap_err().condition(), "NUM_COLUMNS_MISMATCH");
    });
}

#[test]
fn window_functions() {
    run(async {
        let session = session();
        let df = sales(&session).await;
        let shop = Window::partition_by("shop").order_by(col("n").desc());
        let running = Window::partition_by("shop").order_by("n").rows_between(Window::UNBOUNDED_PRECEDING, 0);
        let df = df
            .select([
                col("n"),
                row_number().over(shop.clone()).alias("place"),
                lag("n", 1).over(shop).alias("before"),
                sum("n").over(running).alias("running"),
                (col("n") - min("n").over(Window::all())).alias("above"),
            ])
            .unwrap();
        let expected = ["1 2 2 1 0", "2 1 NULL 3 1", "3 2 4 3 2", "4 1 NULL 7 3"];
        assert_eq!(sorted_rows(&df).await, expected);
        let shares = sales(&session).await.group_by("shop").agg(sum("n").alias("s")).unwrap();
        let shares = shares.with_column("share", col("s") / sum("s").over(Window::all())).unwrap();
        assert_eq!(sorted_rows(&shares).await, ["a 3 0.3", "b 7 0.7"]);
        let error = shares.select(row_number().over(Window::all())).unwrap_err();
        assert_eq!(error.condition(), "WINDOW_FUNCTION_FRAME_NOT_ORDERED");
    });
}

#[test]
fn errors_carry_the_conditions_of_sql() {
    run(async {
        let session = session();
        let df = sales(&session).await;
        let condition = |result: firesteel::Result<DataFrame>| result.unwrap_err().condition().to_owned();
        assert_eq!(condition(df.select("pricee")), "UNRESOLVED_COLUMN.WITH_SUGGESTION");
        assert_eq!(condition(df.filter(col("n"))), "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE");
        assert_eq!(condition(df.filter(sum("n").gt(1))), "INVALID_WHERE_CONDITION");
        assert_eq!(condition(df.group_by("shop").agg(col("item"))), "MISSING_AGGREGATION");
        assert_eq!(condition(df.select([col("n"), sum("n")])), "MISSING_GROUP_BY");
        assert_eq!(condition(df.agg(sum(sum("n")))), "NESTED_AGGREGATE_FUNCTION");
        assert_eq!(condition(df.select(call_function("uper", "shop"))), "UNRESOLVED_ROUTINE");
        assert_eq!(condition(df.select(row_number())), "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE");
        assert_eq!(condition(df.select(col("n").cast(SqlType::Date))), "DATATYPE_MISMATCH.CAST_WITH_FUNC_SUGGESTION");
        assert_eq!(condition(df.select(expr("n +"))), "PARSE_SYNTAX_ERROR");
        let division = df.select(col("n") / (col("n") - 1)).unwrap().collect().await.unwrap_err();
        assert_eq!(division.condition(), "DIVIDE_BY_ZERO");
        let other = Session::builder().threads(1).build().unwrap().sql("SELECT 1 AS n").await.unwrap();
        assert!(df.join(&other, "n", JoinType::Inner).is_err());
    });
}

#[test]
fn frames_are_shown() {
    run(async {
        let session = session();
        let df =
            session.sql("SELECT 1 AS a, 'a text that is rather long' AS b UNION ALL SELECT 2, NULL").await.unwrap();
        let df = df.sort("a").unwrap();
        let expected = "+---+--------------------+\n|  a|                   b|\n+---+--------------------+\n\
                        |  1|a text that is ra...|\n+---+--------------------+\nonly showing top 1 row";
        assert_eq!(df.show_string(1, Some(20)).await.unwrap(), expected);
        assert!(!df.is_empty().await.unwrap());
        assert_eq!(df.first().await.unwrap().map(|batch| batch.num_rows()), Some(1));
        assert!(df.explain(firesteel::ExplainMode::Analyze).await.unwrap().contains("Sort"));
    });
}
