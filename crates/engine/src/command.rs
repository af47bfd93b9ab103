//! Commands: statements that are no queries. They run when they are given; the frame has their result.

use std::collections::BTreeMap;
use std::sync::Arc;

use firesteel_catalog::{CatalogEntry, TableName, ViewBody};
use firesteel_common::config::SETTINGS;
use firesteel_common::{Error, Result, Scalar, Span, SqlType};
use firesteel_sql::{BoundQuery, ExplainMode as SqlExplain, ShowNames, Statement};
use futures::future::BoxFuture;

use crate::dataframe::DataFrame;
use crate::explain::{ExplainMode, explain};
use crate::resolve::StatementTables;
use crate::session::{Session, TableDefinition};
use crate::writer::{fields, write_folder, write_rows};

/// Runs a bound statement; a query is only wrapped.
pub(crate) fn execute<'a>(
    session: &'a Session,
    statement: Statement,
    tables: Arc<StatementTables>,
    sql: &'a Arc<str>,
) -> BoxFuture<'a, Result<DataFrame>> {
    Box::pin(async move {
        let frame = |query| DataFrame::of_query(session, query, tables.clone(), Some(sql.clone()));
        let result = match statement {
            Statement::Query(query) => return Ok(frame(query)),
            Statement::Explain { mode, statement } => {
                let Statement::Query(query) = *statement else {
                    return Err(Error::unsupported("EXPLAIN of a statement that is not a query is not supported."));
                };
                let text = explain(&frame(query), explain_mode(mode)).await?;
                session.rows(&[("plan", SqlType::String)], vec![vec![Scalar::string(&text)]])
            }
            Statement::CreateView { name, columns, sql, replace, if_not_exists } => {
                if !(if_not_exists && session.catalog().is_taken(&name)) {
                    session.catalog().register_view(&name, ViewBody::Sql(sql), columns, replace)?;
                }
                nothing(session)
            }
            Statement::CreateTable(mut create) => {
                let query = create.query.take().map(frame);
                create_table(session, create, query).await
            }
            Statement::Insert { table, span, overwrite, query } => {
                insert(session, &table, span, overwrite, &frame(query)).await
            }
            Statement::Copy { query, path, format, options } => {
                let format = format.map_or_else(|| format_of_path(&path), Ok)?;
                copy(&frame(query), &path, &format, &options.into_iter().collect()).await
            }
            Statement::DropTable { name, if_exists } | Statement::DropView { name, if_exists } => {
                if !session.catalog().remove(&name) && !if_exists {
                    session.catalog().lookup(&name, Span::NONE)?;
                }
                session.forget_definition(&name);
                nothing(session)
            }
            Statement::DescribeQuery(query) => describe_columns(session, &query),
            other => inspect(session, other, &tables),
        };
        result.map(DataFrame::into_command)
    })
}

/// Statements that only look, and settings.
fn inspect(session: &Session, statement: Statement, tables: &StatementTables) -> Result<DataFrame> {
    match statement {
        Statement::ShowTables { like, views_only } => show_tables(session, like.as_deref(), views_only),
        Statement::ShowFunctions { like } => {
            let names = session.function_names().into_iter().filter(|n| like.as_deref().is_none_or(|p| matches(n, p)));
            session.rows(&[("function", SqlType::String)], names.map(|n| vec![Scalar::string(&n)]).collect())
        }
        Statement::ShowColumns { table } => {
            let rows = columns_of(session, &table, tables)?.into_iter().map(|(name, _)| vec![Scalar::string(&name)]);
            session.rows(&[("col_name", SqlType::String)], rows.collect())
        }
        Statement::ShowNames { what, like } => show_names(session, what, like.as_deref()),
        Statement::DescribeSchema(name) => {
            let row = |name: &str, value: &str| vec![Scalar::string(name), Scalar::string(value)];
            let rows = vec![row("Catalog Name", CATALOG), row("Namespace Name", &name.to_lowercase())];
            session.rows(&[("info_name", SqlType::String), ("info_value", SqlType::String)], rows)
        }
        Statement::Describe { table, column: Some(column), .. } => describe_column(session, &table, &column, tables),
        Statement::Describe { table, extended, .. } => describe_table(session, &table, extended, tables),
        Statement::DescribeFunction { name, extended } => describe_function(session, &name, extended),
        Statement::Set(None) => settings(session, false),
        Statement::SetVerbose => settings(session, true),
        Statement::Set(Some((key, value))) => set(session, &key, value.as_deref()),
        Statement::Reset(key) => {
            session.reset(key.as_deref())?;
            nothing(session)
        }
        Statement::Use(schema) if schema.eq_ignore_ascii_case(firesteel_catalog::catalog::DEFAULT_SCHEMA) => {
            nothing(session)
        }
        Statement::Use(schema) => {
            Err(Error::bind("SCHEMA_NOT_FOUND", "42704", format!("The schema `{schema}` cannot be found."))
                .with_hint("there is one schema, `default`"))
        }
        other => Err(Error::internal(format!("not a command: {other:?}"))),
    }
}

fn explain_mode(mode: SqlExplain) -> ExplainMode {
    match mode {
        SqlExplain::Simple => ExplainMode::Simple,
        SqlExplain::Extended => ExplainMode::Extended,
        SqlExplain::Formatted => ExplainMode::Formatted,
        SqlExplain::Cost => ExplainMode::Cost,
        SqlExplain::Analyze => ExplainMode::Analyze,
    }
}

/// A result without columns and rows.
fn nothing(session: &Session) -> Result<DataFrame> {
    session.rows(&[], Vec::new())
}

async fn create_table(
    session: &Session,
    create: firesteel_sql::CreateTable,
    query: Option<DataFrame>,
) -> Result<DataFrame> {
    if create.if_not_exists && session.catalog().is_taken(&create.name) {
        return nothing(session);
    }
    if !create.replace && session.catalog().is_taken(&create.name) {
        let message = format!("Cannot create {} because it already exists.", create.name);
        return Err(Error::bind("TABLE_OR_VIEW_ALREADY_EXISTS", "42P07", message)
            .with_hint("choose another name, or use CREATE OR REPLACE"));
    }
    if !create.partitioned_by.is_empty() && query.is_some() {
        return Err(Error::unsupported("Writing partitioned tables is not supported."));
    }
    let Some(location) = create.location else {
        return Err(Error::unsupported("Tables without a LOCATION are not supported.")
            .with_hint("add LOCATION 'path', or create a temporary view"));
    };
    let format = create.format.unwrap_or_else(|| "parquet".to_owned());
    let options: BTreeMap<String, String> = create.options.into_iter().collect();
    let mut schema = create.schema;
    if let Some(query) = &query {
        let target = session.stores().target(&location)?;
        if !create.replace && target.has_entries().await? {
            let message = format!("The location {location} of the table is not empty.");
            return Err(Error::bind("LOCATION_ALREADY_EXISTS", "42710", message));
        }
        write_folder(query, &location, &format, &options, create.replace).await?;
        schema = Some(fields(query));
    } else if schema.is_some() && firesteel_sources::location::local_path(&location).is_some_and(|p| !p.exists()) {
        session.stores().target(&location)?.create_folder()?;
    }
    let definition = TableDefinition { format, location, options, schema };
    session.open_definition(&create.name, definition).await?;
    nothing(session)
}

async fn insert(
    session: &Session,
    name: &TableName,
    span: Span,
    overwrite: bool,
    query: &DataFrame,
) -> Result<DataFrame> {
    if let CatalogEntry::View { .. } = session.catalog().lookup(name, span)? {
        let message = format!("The view {name} cannot be written to.");
        return Err(Error::bind("EXPECT_TABLE_NOT_VIEW.NO_ALTERNATIVE", "42809", message).at(span));
    }
    let Some(definition) = session.definition(name) else {
        let message = format!("The table {name} does not support writing: it was not created with a LOCATION.");
        return Err(Error::bind("UNSUPPORTED_FEATURE.TABLE_OPERATION", "0A000", message).at(span));
    };
    write_folder(query, &definition.location, &definition.format, &definition.options, overwrite).await?;
    session.open_definition(name, definition).await?;
    nothing(session)
}

async fn copy(query: &DataFrame, path: &str, format: &str, options: &BTreeMap<String, String>) -> Result<DataFrame> {
    let target = query.session().stores().target(path)?;
    let rows = write_rows(query, &target, format, options).await?;
    query.session().rows(&[("count", SqlType::BigInt)], vec![vec![Scalar::BigInt(rows as i64)]])
}

fn format_of_path(path: &str) -> Result<String> {
    let extension = path.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    match extension.as_str() {
        "parquet" | "csv" => Ok(extension),
        "json" | "jsonl" | "ndjson" => Ok("json".to_owned()),
        _ => Err(Error::unsupported(format!("The format of `{path}` cannot be told from its name."))
            .with_hint("add (FORMAT parquet), (FORMAT csv) or (FORMAT json)")),
    }
}

fn show_tables(session: &Session, like: Option<&str>, views_only: bool) -> Result<DataFrame> {
    let rows = session.catalog().list().into_iter().filter_map(|(name, entry)| {
        let is_view = matches!(entry, CatalogEntry::View { .. });
        if views_only && !is_view || like.is_some_and(|pattern| !matches(&name, pattern)) {
            return None;
        }
        let schema = Scalar::string(if is_view { "" } else { firesteel_catalog::catalog::DEFAULT_SCHEMA });
        Some(vec![schema, Scalar::string(&name), Scalar::Boolean(is_view)])
    });
    let columns = [("namespace", SqlType::String), ("tableName", SqlType::String), ("isTemporary", SqlType::Boolean)];
    session.rows(&columns, rows.collect())
}

/// Names and types of the columns of a table or view.
fn columns_of(session: &Session, name: &TableName, tables: &StatementTables) -> Result<Vec<(Arc<str>, SqlType)>> {
    let quoted: Vec<String> = name.0.iter().map(|part| format!("`{}`", part.replace('`', "``"))).collect();
    let parsed = firesteel_sql::parse(&format!("SELECT * FROM {}", quoted.join(".")))?;
    let statement = parsed.first().ok_or_else(|| Error::internal("no statement"))?;
    match session.bind(statement, tables)? {
        Statement::Query(query) => Ok(query.columns.into_iter().map(|c| (c.name, c.column.ty)).collect()),
        other => Err(Error::internal(format!("not a query: {other:?}"))),
    }
}

const DESCRIBE: [(&str, SqlType); 3] =
    [("col_name", SqlType::String), ("data_type", SqlType::String), ("comment", SqlType::String)];

fn describe_row(name: &str, value: &str) -> Vec<Scalar> {
    vec![Scalar::string(name), Scalar::string(value), Scalar::Null(SqlType::String)]
}

fn describe_columns(session: &Session, query: &BoundQuery) -> Result<DataFrame> {
    let row = |c: &firesteel_sql::OutputColumn| describe_row(&c.name, &c.column.ty.to_string().to_lowercase());
    session.rows(&DESCRIBE, query.columns.iter().map(row).collect())
}

fn describe_table(session: &Session, name: &TableName, extended: bool, tables: &StatementTables) -> Result<DataFrame> {
    let columns = columns_of(session, name, tables)?;
    let mut rows: Vec<Vec<Scalar>> =
        columns.iter().map(|(name, ty)| describe_row(name, &ty.to_string().to_lowercase())).collect();
    if extended {
        rows.push(describe_row("", ""));
        rows.push(describe_row("# Detailed Table Information", ""));
        rows.push(describe_row("Name", &name.to_string()));
        match firesteel_sql::TableLookup::lookup(tables, name, Span::NONE)? {
            CatalogEntry::View { body, .. } => rows.push(describe_row("View Text", &format!("{body:?}"))),
            CatalogEntry::Table(_, provider) => {
                rows.push(describe_row("Provider", &provider.description()));
                let statistics = provider.statistics();
                if let Some(count) = statistics.rows {
                    let about = if statistics.exact { "" } else { "about " };
                    rows.push(describe_row("Statistics", &format!("{about}{count} rows")));
                }
            }
        }
    }
    session.rows(&DESCRIBE, rows)
}

/// The catalog's name: there is one.
const CATALOG: &str = "spark_catalog";

fn show_names(session: &Session, what: ShowNames, like: Option<&str>) -> Result<DataFrame> {
    let schema = firesteel_catalog::catalog::DEFAULT_SCHEMA;
    let fits = |name: &str| like.is_none_or(|pattern| matches(name, pattern));
    let column = |title, name: &str| {
        let rows = fits(name).then(|| vec![Scalar::string(name)]);
        session.rows(&[(title, SqlType::String)], rows.into_iter().collect())
    };
    match what {
        ShowNames::Schemas => column("namespace", schema),
        ShowNames::Catalogs => column("catalog", CATALOG),
        ShowNames::Current => session.rows(
            &[("catalog", SqlType::String), ("namespace", SqlType::String)],
            vec![vec![Scalar::string(CATALOG), Scalar::string(schema)]],
        ),
    }
}

fn describe_column(session: &Session, name: &TableName, column: &str, tables: &StatementTables) -> Result<DataFrame> {
    let columns = columns_of(session, name, tables)?;
    let (found, ty) = columns.iter().find(|(known, _)| known.eq_ignore_ascii_case(column)).ok_or_else(|| {
        let names: Vec<String> = columns.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = format!(
            "A column, variable, or function parameter with name `{column}` cannot be resolved. Did you mean one of the following? [{}].",
            names.join(", ")
        );
        Error::bind("UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", message)
    })?;
    let row = |name: &str, value: Scalar| vec![Scalar::string(name), value];
    let rows = vec![
        row("col_name", Scalar::string(found)),
        row("data_type", Scalar::string(&ty.to_string().to_lowercase())),
        row("comment", Scalar::Null(SqlType::String)),
    ];
    session.rows(&[("info_name", SqlType::String), ("info_value", SqlType::String)], rows)
}

fn describe_function(session: &Session, name: &str, extended: bool) -> Result<DataFrame> {
    let registry = session.registry();
    let doc = match (registry.scalar(name), registry.aggregate(name)) {
        (Some(function), _) => *function.doc(),
        (_, Some(function)) => *function.doc(),
        _ => {
            return Err(Error::bind("UNRESOLVED_ROUTINE", "42883", format!("Cannot resolve routine `{name}`.")));
        }
    };
    let mut lines = vec![format!("Function: {}", doc.name), format!("Usage: {} - {}", doc.syntax, doc.description)];
    if extended {
        lines.extend(doc.examples.iter().map(|(sql, result)| format!("Example: {sql}; -- {result}")));
    }
    let rows = lines.into_iter().map(|line| vec![Scalar::string(&line)]).collect();
    session.rows(&[("function_desc", SqlType::String)], rows)
}

fn set(session: &Session, key: &str, value: Option<&str>) -> Result<DataFrame> {
    let shown = match value {
        Some(value) => {
            let zone = value.trim().trim_matches(['\'', '"']);
            if key.eq_ignore_ascii_case("spark.sql.session.timeZone") && !firesteel_functions::is_time_zone(zone) {
                let message = format!(
                    "The value '{zone}' in the config \"{key}\" is invalid. Cannot resolve the given timezone."
                );
                return Err(Error::bind("INVALID_CONF_VALUE.TIME_ZONE", "22022", message));
            }
            if !session.set(key, value)? {
                tracing::warn!("the setting {key} has no effect here");
            }
            session.config().get(key).unwrap_or_else(|| value.to_owned())
        }
        None => session.config().get(key).unwrap_or_else(|| "<undefined>".to_owned()),
    };
    let shown = redacted(key, &shown);
    session.rows(
        &[("key", SqlType::String), ("value", SqlType::String)],
        vec![vec![Scalar::string(key), Scalar::string(shown)]],
    )
}

fn settings(session: &Session, verbose: bool) -> Result<DataFrame> {
    let config = session.config();
    let mut rows: Vec<Vec<Scalar>> = SETTINGS
        .iter()
        .map(|s| vec![Scalar::string(s.key), Scalar::string(&(s.get)(&config)), Scalar::string(s.doc)])
        .collect();
    let others = config.other.iter();
    rows.extend(others.map(|(key, value)| {
        let meaning = if session.stores().obeys(key) { "Access to S3." } else { "No effect here." };
        vec![Scalar::string(key), Scalar::string(redacted(key, value)), Scalar::string(meaning)]
    }));
    let mut columns = vec![("key", SqlType::String), ("value", SqlType::String), ("meaning", SqlType::String)];
    if !verbose {
        columns.pop();
        rows.iter_mut().for_each(|row| row.truncate(2));
    }
    session.rows(&columns, rows)
}

/// The value of a setting as it is shown: secrets are not, by the names that Spark takes for such.
fn redacted<'a>(key: &str, value: &'a str) -> &'a str {
    let key = key.to_ascii_lowercase();
    let secret = ["secret", "password", "token", "access.key", "accesskey"].iter().any(|name| key.contains(name));
    if secret && value != "<undefined>" { "*********(redacted)" } else { value }
}

/// Spark's patterns of SHOW: `*` is any text, `|` separates alternatives; case does not count.
fn matches(name: &str, pattern: &str) -> bool {
    fn like(name: &[u8], pattern: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|skip| like(&name[skip..], rest)),
            Some((c, rest)) => name.first().is_some_and(|n| n.eq_ignore_ascii_case(c)) && like(&name[1..], rest),
        }
    }
    pattern.split('|').any(|p| like(name.as_bytes(), p.trim().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_of_show() {
        assert!(matches("lineitem", "line*"));
        assert!(matches("Orders", "part|*DERS"));
        assert!(!matches("orders", "order"));
    }
}
