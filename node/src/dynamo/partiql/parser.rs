//! From tokens to a [`Statement`].

use super::lexer::Token;
use super::plan::key_missing;
use super::{
    Change, Condition, DEPTH_MAX, IN_MAX, Operand, Path, Select, Source, Statement, Step, malformed,
};
use crate::dynamo::error::Error;

/// Words that end an expression, so that they are no names unless quoted.
const KEYWORDS: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "DELETE",
    "DESC",
    "EXISTS",
    "FALSE",
    "FROM",
    "IN",
    "INSERT",
    "INTO",
    "IS",
    "MISSING",
    "NOT",
    "NULL",
    "OR",
    "ORDER",
    "REMOVE",
    "RETURNING",
    "SELECT",
    "SET",
    "TRUE",
    "UPDATE",
    "VALUE",
    "WHERE",
];

pub fn parse(tokens: Vec<Token>, parameters: &[&str]) -> Result<Statement, Error> {
    let wanted = tokens.iter().filter(|t| **t == Token::Parameter).count();
    if wanted != parameters.len() {
        return Err(Error::validation(
            "Number of parameters in request and statement don't match.",
        ));
    }
    let mut parser = Parser {
        tokens,
        at: 0,
        parameters: parameters.iter(),
        depth: 0,
    };
    let statement = parser.statement()?;
    parser.takes_sign(";");
    match parser.peek() {
        None => Ok(statement),
        Some(token) => Err(unexpected(token)),
    }
}

fn unexpected(token: &Token) -> Error {
    let shown = match token {
        Token::Word(word) | Token::Number(word) => word.clone(),
        Token::Quoted(name) => format!("\"{name}\""),
        Token::Text(text) => format!("'{text}'"),
        Token::Parameter => "?".to_owned(),
        Token::Sign(sign) => (*sign).to_owned(),
    };
    malformed(format_args!("Unexpected term: {shown}"))
}

struct Parser<'p> {
    tokens: Vec<Token>,
    at: usize,
    parameters: std::slice::Iter<'p, &'p str>,
    depth: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn fail<T>(&self) -> Result<T, Error> {
        Err(match self.peek() {
            Some(token) => unexpected(token),
            None => malformed("Unexpected end of statement"),
        })
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> Result<(), Error> {
        if self.takes_word(word) {
            Ok(())
        } else {
            self.fail()
        }
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(found)) if *found == sign)
    }

    fn takes_sign(&mut self, sign: &str) -> bool {
        let found = self.is_sign(sign);
        self.at += usize::from(found);
        found
    }

    fn sign(&mut self, sign: &str) -> Result<(), Error> {
        if self.takes_sign(sign) {
            Ok(())
        } else {
            self.fail()
        }
    }

    /// Runs `inner` one level deeper.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(malformed("The statement is nested too deep"));
        }
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn statement(&mut self) -> Result<Statement, Error> {
        if self.takes_word("SELECT") {
            self.select()
        } else if self.takes_word("INSERT") {
            self.insert()
        } else if self.takes_word("UPDATE") {
            self.update()
        } else if self.takes_word("DELETE") {
            self.delete()
        } else {
            self.fail()
        }
    }

    fn select(&mut self) -> Result<Statement, Error> {
        let paths = if self.takes_sign("*") {
            None
        } else {
            Some(self.list(Self::path)?)
        };
        if self.is_word("AS") {
            return Err(Error::validation("Aliasing is not supported"));
        }
        self.word("FROM")?;
        let table = self.name()?;
        let index = if self.takes_sign(".") {
            Some(self.name()?)
        } else {
            None
        };
        let condition = if self.takes_word("WHERE") {
            Some(self.condition()?)
        } else {
            None
        };
        let mut order = Vec::new();
        if self.takes_word("ORDER") {
            self.word("BY")?;
            order = self.list(|parser| {
                let name = parser.name()?;
                let descends = parser.takes_word("DESC");
                if !descends {
                    parser.takes_word("ASC");
                }
                Ok((name, descends))
            })?;
        }
        Ok(Statement::Select(Select {
            table,
            index,
            paths,
            condition,
            order,
        }))
    }

    fn insert(&mut self) -> Result<Statement, Error> {
        self.word("INTO")?;
        let table = self.name()?;
        self.word("VALUE")?;
        let item = self.members()?;
        Ok(Statement::Insert { table, item })
    }

    fn update(&mut self) -> Result<Statement, Error> {
        let table = self.name()?;
        let mut changes = Vec::new();
        loop {
            if self.takes_word("SET") {
                changes.extend(self.list(Self::set)?);
            } else if self.takes_word("REMOVE") {
                changes.extend(self.list(|parser| parser.path().map(Change::Remove))?);
            } else {
                break;
            }
        }
        if changes.is_empty() {
            return self.fail();
        }
        if self.peek().is_none() {
            return Err(key_missing());
        }
        self.word("WHERE")?;
        let condition = self.condition()?;
        let returning = self.returning()?;
        Ok(Statement::Update {
            table,
            changes,
            condition,
            returning,
        })
    }

    fn delete(&mut self) -> Result<Statement, Error> {
        self.word("FROM")?;
        let table = self.name()?;
        if self.peek().is_none() {
            return Err(key_missing());
        }
        self.word("WHERE")?;
        let condition = self.condition()?;
        let returning = self.returning()?;
        if !matches!(returning, None | Some("ALL_OLD")) {
            return Err(malformed("DELETE can only return ALL OLD *"));
        }
        Ok(Statement::Delete {
            table,
            condition,
            returning,
        })
    }

    fn returning(&mut self) -> Result<Option<&'static str>, Error> {
        if !self.takes_word("RETURNING") {
            return Ok(None);
        }
        let all = self.takes_word("ALL");
        if !all {
            self.word("MODIFIED")?;
        }
        let old = self.takes_word("OLD");
        if !old {
            self.word("NEW")?;
        }
        self.sign("*")?;
        Ok(Some(match (all, old) {
            (true, true) => "ALL_OLD",
            (true, false) => "ALL_NEW",
            (false, true) => "UPDATED_OLD",
            (false, false) => "UPDATED_NEW",
        }))
    }

    fn set(&mut self) -> Result<Change, Error> {
        let path = self.path()?;
        self.sign("=")?;
        for (function, make) in [
            ("set_add", Change::SetAdd as fn(Path, String) -> Change),
            ("set_delete", Change::SetDelete),
        ] {
            if self.takes_call(function) {
                let of = self.path()?;
                if of != path {
                    return Err(malformed(format_args!(
                        "{function} must be of the path that is set"
                    )));
                }
                self.sign(",")?;
                let value = self.value()?;
                self.sign(")")?;
                return Ok(make(path, value));
            }
        }
        if self.takes_call("list_append") {
            let first = self.operand()?;
            self.sign(",")?;
            let second = self.operand()?;
            self.sign(")")?;
            return Ok(Change::Set(path, Source::Append(first, second)));
        }
        let first = self.operand()?;
        for (sign, c) in [("+", '+'), ("-", '-')] {
            if self.takes_sign(sign) {
                let second = self.operand()?;
                return Ok(Change::Set(path, Source::Sum(first, c, second)));
            }
        }
        Ok(Change::Set(path, Source::Operand(first)))
    }

    /// The name of a function and its bracket.
    fn takes_call(&mut self, function: &str) -> bool {
        let bracket = self.tokens.get(self.at + 1) == Some(&Token::Sign("("));
        let found = bracket
            && matches!(self.peek(), Some(Token::Word(name) | Token::Quoted(name)) if name.eq_ignore_ascii_case(function));
        self.at += 2 * usize::from(found);
        found
    }

    fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let mut all = vec![one(self)?];
        while self.takes_sign(",") {
            all.push(one(self)?);
        }
        Ok(all)
    }

    fn name(&mut self) -> Result<String, Error> {
        let name = match self.peek() {
            Some(Token::Quoted(name)) => name.clone(),
            Some(Token::Word(word))
                if !KEYWORDS.iter().any(|key| word.eq_ignore_ascii_case(key)) =>
            {
                word.clone()
            }
            _ => return self.fail(),
        };
        self.at += 1;
        Ok(name)
    }

    fn path(&mut self) -> Result<Path, Error> {
        let mut steps = vec![Step::Name(self.name()?)];
        loop {
            if self.takes_sign(".") {
                steps.push(Step::Name(self.name()?));
            } else if self.takes_sign("[") {
                match self.peek() {
                    Some(Token::Number(number)) => match number.parse() {
                        Ok(index) => steps.push(Step::Index(index)),
                        Err(_) => return self.fail(),
                    },
                    Some(Token::Text(name)) => steps.push(Step::Name(name.clone())),
                    _ => return self.fail(),
                }
                self.at += 1;
                self.sign("]")?;
            } else {
                return Ok(Path(steps));
            }
        }
    }

    fn condition(&mut self) -> Result<Condition, Error> {
        self.nested(|parser| {
            let mut all = vec![parser.conjunction()?];
            while parser.takes_word("OR") {
                all.push(parser.conjunction()?);
            }
            Ok(match all.len() {
                1 => all.remove(0),
                _ => Condition::Or(all),
            })
        })
    }

    fn conjunction(&mut self) -> Result<Condition, Error> {
        let mut all = Vec::new();
        loop {
            match self.negation()? {
                Condition::And(inner) => all.extend(inner),
                one => all.push(one),
            }
            if !self.takes_word("AND") {
                break;
            }
        }
        Ok(match all.len() {
            1 => all.remove(0),
            _ => Condition::And(all),
        })
    }

    fn negation(&mut self) -> Result<Condition, Error> {
        if self.takes_word("NOT") {
            let inner = self.nested(Self::negation)?;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.takes_sign("(") {
            let inner = self.condition()?;
            self.sign(")")?;
            return Ok(inner);
        }
        self.predicate()
    }

    fn predicate(&mut self) -> Result<Condition, Error> {
        for function in ["begins_with", "contains", "attribute_type"] {
            if self.takes_call(function) {
                let path = self.path()?;
                self.sign(",")?;
                let operand = self.operand()?;
                self.sign(")")?;
                return Ok(Condition::Call(function, path, operand));
            }
        }
        if self.takes_call("attribute_exists") {
            let path = self.path()?;
            self.sign(")")?;
            return Ok(Condition::Not(Box::new(Condition::Missing(path))));
        }
        if self.takes_call("attribute_not_exists") {
            let path = self.path()?;
            self.sign(")")?;
            return Ok(Condition::Missing(path));
        }
        let left = self.operand()?;
        if self.takes_word("IS") {
            return self.is(left);
        }
        let negated = self.takes_word("NOT");
        let found = if self.takes_word("BETWEEN") {
            let low = self.operand()?;
            self.word("AND")?;
            Condition::Between(left, low, self.operand()?)
        } else if self.takes_word("IN") {
            let close = if self.takes_sign("[") {
                "]"
            } else {
                self.sign("(")?;
                ")"
            };
            let values = self.list(Self::operand)?;
            self.sign(close)?;
            if values.len() > IN_MAX {
                return Err(Error::validation(format!(
                    "The IN operator is provided with too many operands; number of operands: {}",
                    values.len()
                )));
            }
            Condition::In(left, values)
        } else if negated {
            return self.fail();
        } else {
            return self.comparison(left);
        };
        Ok(if negated {
            Condition::Not(Box::new(found))
        } else {
            found
        })
    }

    fn is(&mut self, left: Operand) -> Result<Condition, Error> {
        let Operand::Path(path) = left else {
            return self.fail();
        };
        let negated = self.takes_word("NOT");
        let found = if self.takes_word("MISSING") {
            Condition::Missing(path)
        } else {
            self.word("NULL")?;
            Condition::Call(
                "attribute_type",
                path,
                Operand::Value("{\"S\":\"NULL\"}".into()),
            )
        };
        Ok(if negated {
            Condition::Not(Box::new(found))
        } else {
            found
        })
    }

    /// A path comes first if there is one.
    fn comparison(&mut self, left: Operand) -> Result<Condition, Error> {
        const SIGNS: &[(&str, &str, &str)] = &[
            ("=", "=", "="),
            ("<>", "<>", "<>"),
            ("!=", "<>", "<>"),
            ("<=", "<=", ">="),
            (">=", ">=", "<="),
            ("<", "<", ">"),
            (">", ">", "<"),
        ];
        let Some((_, sign, flipped)) = SIGNS.iter().find(|(sign, _, _)| self.is_sign(sign)) else {
            return self.fail();
        };
        self.at += 1;
        let right = self.operand()?;
        Ok(match (&left, &right) {
            (Operand::Value(_), Operand::Path(_)) => Condition::Compare(right, flipped, left),
            _ => Condition::Compare(left, sign, right),
        })
    }

    fn operand(&mut self) -> Result<Operand, Error> {
        if self.takes_call("size") {
            let path = self.path()?;
            self.sign(")")?;
            return Ok(Operand::Size(path));
        }
        let is_constant = ["TRUE", "FALSE", "NULL"]
            .iter()
            .any(|word| self.is_word(word));
        match self.peek() {
            Some(Token::Quoted(_) | Token::Word(_)) if !is_constant => {
                self.path().map(Operand::Path)
            }
            _ => self.value().map(Operand::Value),
        }
    }

    /// A literal or parameter as JSON of the data model.
    fn value(&mut self) -> Result<String, Error> {
        for (word, json) in [
            ("TRUE", "{\"BOOL\":true}"),
            ("FALSE", "{\"BOOL\":false}"),
            ("NULL", "{\"NULL\":true}"),
        ] {
            if self.takes_word(word) {
                return Ok(json.to_owned());
            }
        }
        let minus = self.takes_sign("-");
        let json = match self.peek() {
            Some(Token::Number(number)) => {
                format!("{{\"N\":\"{}{number}\"}}", if minus { "-" } else { "" })
            }
            _ if minus => return self.fail(),
            Some(Token::Text(text)) => format!("{{\"S\":{}}}", json_string(text)),
            Some(Token::Parameter) => match self.parameters.next() {
                Some(parameter) => (*parameter).to_owned(),
                None => return self.fail(),
            },
            Some(Token::Sign("[")) => return self.nested(Self::array),
            Some(Token::Sign("{")) => {
                let members = self.nested(Self::members)?;
                return Ok(format!("{{\"M\":{}}}", json_object(&members)));
            }
            Some(Token::Sign("<<")) => return self.set_literal(),
            _ => return self.fail(),
        };
        self.at += 1;
        Ok(json)
    }

    fn array(&mut self) -> Result<String, Error> {
        self.sign("[")?;
        let mut values = Vec::new();
        if !self.is_sign("]") {
            values = self.list(Self::value)?;
        }
        self.sign("]")?;
        Ok(format!("{{\"L\":[{}]}}", values.join(",")))
    }

    /// `{ 'name': value, … }`
    fn members(&mut self) -> Result<Vec<(String, String)>, Error> {
        self.sign("{")?;
        let mut members: Vec<(String, String)> = Vec::new();
        if !self.is_sign("}") {
            members = self.list(|parser| {
                let name = match parser.peek() {
                    Some(Token::Text(name)) => name.clone(),
                    _ => return parser.fail(),
                };
                parser.at += 1;
                parser.sign(":")?;
                Ok((name, parser.value()?))
            })?;
        }
        self.sign("}")?;
        let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(malformed(format_args!("Duplicate attribute: {}", twice[0])));
        }
        Ok(members)
    }

    /// `<<1, 2>>` or `<<'a', 'b'>>`
    fn set_literal(&mut self) -> Result<String, Error> {
        self.sign("<<")?;
        let mut texts = Vec::new();
        let mut kind = None;
        loop {
            let minus = self.takes_sign("-");
            let (found, text) = match self.peek() {
                Some(Token::Number(number)) => (
                    "NS",
                    format!("\"{}{number}\"", if minus { "-" } else { "" }),
                ),
                Some(Token::Text(text)) if !minus => ("SS", json_string(text)),
                _ => return self.fail(),
            };
            if *kind.get_or_insert(found) != found {
                return Err(malformed("A set has values of one type"));
            }
            self.at += 1;
            texts.push(text);
            if !self.takes_sign(",") {
                break;
            }
        }
        self.sign(">>")?;
        let kind = kind.unwrap_or("SS");
        Ok(format!("{{\"{kind}\":[{}]}}", texts.join(",")))
    }
}

pub fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An object of members that are JSON already.
pub fn json_object(members: &[(String, String)]) -> String {
    let all: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", json_string(name)))
        .collect();
    format!("{{{}}}", all.join(","))
}
