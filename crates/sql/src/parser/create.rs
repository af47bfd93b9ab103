//! CREATE: views, tables, and the lists of options and columns that they share with others.

use std::sync::Arc;

use firesteel_catalog::Field;
use firesteel_common::{Error, Result};
use sqlparser::tokenizer::Token;

use crate::parser::lexer::span_of;
use crate::parser::statement::{CreateTableAst, Reader, StatementAst};

impl Reader<'_, '_> {
    pub(super) fn create(&mut self) -> Result<StatementAst> {
        let replace = self.words(&["OR", "REPLACE"]);
        let global = self.word("GLOBAL");
        let temporary = self.word("TEMPORARY") || self.word("TEMP") || global;
        if self.word("VIEW") {
            return self.create_view(replace, temporary);
        }
        if self.word("TABLE") || self.words(&["EXTERNAL", "TABLE"]) {
            return self.create_table(replace, temporary);
        }
        let token = self.parser.peek_token();
        Err(Error::unsupported(format!("CREATE {} is not supported.", token.token)).at(span_of(token.span)))
    }

    fn create_view(&mut self, replace: bool, temporary: bool) -> Result<StatementAst> {
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let (name, _) = self.name()?;
        let mut columns = None;
        let mut schema = None;
        if self.symbol(&Token::LParen) {
            let typed = {
                let [_, second] = self.parser.peek_tokens_ref();
                matches!(&second.token, Token::Word(word) if !word.value.eq_ignore_ascii_case("COMMENT"))
            };
            if typed {
                schema = Some(self.columns()?);
            } else {
                let mut names = Vec::new();
                loop {
                    names.push(self.ident()?.value);
                    if self.word("COMMENT") {
                        self.string()?;
                    }
                    if !self.symbol(&Token::Comma) {
                        break;
                    }
                }
                columns = Some(names);
            }
            self.expect_symbol(&Token::RParen)?;
        }
        if self.word("COMMENT") {
            self.string()?;
        }
        if self.word("USING") {
            let format = Some(self.ident()?.value);
            let named = CreateTableAst::named(name);
            let mut table = CreateTableAst { format, schema, replace, if_not_exists, temporary, ..named };
            self.table_clauses(&mut table)?;
            return Ok(StatementAst::CreateTable(Box::new(table)));
        }
        self.expect("AS")?;
        let start = self.offset();
        let query = self.query()?;
        let sql = Arc::from(self.text.get(start..).unwrap_or_default().trim());
        Ok(StatementAst::CreateView { name, columns, replace, if_not_exists, sql, query })
    }

    fn create_table(&mut self, replace: bool, temporary: bool) -> Result<StatementAst> {
        let if_not_exists = self.words(&["IF", "NOT", "EXISTS"]);
        let (name, _) = self.name()?;
        let mut schema = None;
        if self.symbol(&Token::LParen) {
            schema = Some(self.columns()?);
            self.expect_symbol(&Token::RParen)?;
        }
        let named = CreateTableAst::named(name);
        let mut table = CreateTableAst { schema, replace, if_not_exists, temporary, ..named };
        self.table_clauses(&mut table)?;
        let has_as = self.word("AS");
        if has_as || self.starts_query() {
            table.query = Some(self.query()?);
        }
        Ok(StatementAst::CreateTable(Box::new(table)))
    }

    /// USING, OPTIONS, LOCATION, PARTITIONED BY, COMMENT, TBLPROPERTIES, in any order.
    fn table_clauses(&mut self, table: &mut CreateTableAst) -> Result<()> {
        loop {
            if self.word("USING") || self.words(&["STORED", "AS"]) {
                table.format = Some(self.ident()?.value);
            } else if self.word("OPTIONS") {
                table.options.extend(self.options()?);
            } else if self.word("LOCATION") {
                table.location = Some(self.string()?);
            } else if self.words(&["PARTITIONED", "BY"]) {
                self.expect_symbol(&Token::LParen)?;
                loop {
                    table.partitioned_by.push(self.ident()?.value);
                    if !self.symbol(&Token::Comma) {
                        break;
                    }
                }
                self.expect_symbol(&Token::RParen)?;
            } else if self.word("COMMENT") {
                self.string()?;
            } else if self.word("TBLPROPERTIES") {
                self.options()?;
            } else {
                break;
            }
        }
        if table.location.is_none()
            && let Some(at) = table.options.iter().position(|(key, _)| key.eq_ignore_ascii_case("path"))
        {
            table.location = Some(table.options.remove(at).1);
        }
        Ok(())
    }

    /// `(key value, 'key' = 'value', a.b true)`.
    pub(super) fn options(&mut self) -> Result<Vec<(String, String)>> {
        self.expect_symbol(&Token::LParen)?;
        let mut options = Vec::new();
        while !self.symbol(&Token::RParen) {
            let mut key = self.option_word()?;
            while self.symbol(&Token::Period) {
                key = format!("{key}.{}", self.option_word()?);
            }
            let _ = self.symbol(&Token::Eq);
            let sign = if self.symbol(&Token::Minus) { "-" } else { "" };
            let value = self.option_word()?;
            options.push((key, format!("{sign}{value}")));
            if !self.symbol(&Token::Comma) {
                self.expect_symbol(&Token::RParen)?;
                break;
            }
        }
        Ok(options)
    }

    pub(super) fn option_word(&mut self) -> Result<String> {
        match self.parser.peek_token().token {
            Token::Word(word) => {
                self.parser.next_token();
                Ok(word.value)
            }
            Token::SingleQuotedString(value) | Token::Number(value, _) => {
                self.parser.next_token();
                Ok(value)
            }
            _ => self.unexpected("an option"),
        }
    }

    pub(super) fn columns(&mut self) -> Result<Vec<Field>> {
        let mut fields = Vec::new();
        loop {
            let name = Arc::from(self.ident()?.value);
            let _ = self.symbol(&Token::Colon);
            let ty = self.parser.parse_data_type();
            let ty = crate::types::sql_type(&self.lift(ty)?)?;
            let nullable = !self.words(&["NOT", "NULL"]);
            if self.word("COMMENT") {
                self.string()?;
            }
            fields.push(Field { name, ty, nullable });
            if !self.symbol(&Token::Comma) {
                return Ok(fields);
            }
        }
    }
}
