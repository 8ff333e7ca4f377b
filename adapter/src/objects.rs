//! Objects of a program, made at once.
//!
//! It owns the rewriting of object constructions before a program is compiled. It refuses to change what a program
//! means or on which line a fault is told. That is because the interpreter makes `{a: 1, b: 2, c: 3}` as a sum of objects
//! of one field, so that an object of n fields is copied n times, and a table of words is made anew at each look: mapping
//! an order took half as long again and more (`order-center adapter bench`).

use std::collections::HashSet;

use jaq_core::data::{DataT, HasLut};
use jaq_core::load::lex::{Lexer, StrPart, Tok, Token};
use jaq_core::native::{Fun, run};
use jaq_core::{Bind, Cv, Error, Exn, Lut, ValXs};
use jaq_json::{Map, Num, Val};

/// The most fields of an object that is rewritten.
const FIELDS_MAX: usize = 48;

/// What programs of the dialect run on: JSON values, and the constants that were taken out of the program.
pub(crate) struct Dialect;

/// What a running program refers to.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) lut: &'a Lut<Dialect>,
    pub(crate) constants: &'a [Val],
}

impl DataT for Dialect {
    type V<'a> = Val;
    type Data<'a> = Tables<'a>;
}

impl<'a> HasLut<'a, Dialect> for Tables<'a> {
    fn lut(&self) -> &'a Lut<Dialect> {
        self.lut
    }
}

/// The functions that rewritten programs call: `__constant(n)` and `__object(a; b; …; n)`, n being the number of a
/// constant; that of an object is the list of its keys.
pub(crate) fn functions() -> impl Iterator<Item = Fun<Dialect>> {
    let arguments = |fields| (0..fields).map(|_| Bind::Fun(())).chain([Bind::Var(())]).collect();
    let objects = (1..=FIELDS_MAX).map(move |fields| run::<Dialect>(("__object", arguments(fields), object)));
    objects.chain([run::<Dialect>(("__constant", arguments(0), |mut cv| once(constant(&mut cv).cloned())))])
}

fn once<'a>(value: Result<Val, Exn<'a, Val>>) -> ValXs<'a, Val> {
    Box::new(std::iter::once(value))
}

fn constant<'a>(cv: &mut Cv<'a, Dialect>) -> Result<&'a Val, Exn<'a, Val>> {
    let number = match cv.0.pop_var() {
        Val::Num(Num::Int(number)) => usize::try_from(number).ok(),
        _ => None,
    };
    let found = number.and_then(|number| cv.0.data().constants.get(number));
    found.ok_or_else(|| Exn::from(Error::str("there is no such constant")))
}

fn object<'a>(mut cv: Cv<'a, Dialect>) -> ValXs<'a, Val> {
    let keys = match constant(&mut cv) {
        Ok(Val::Arr(keys)) => keys,
        Ok(_) => return once(Err(Exn::from(Error::str("an object wants keys")))),
        Err(error) => return once(Err(error)),
    };
    let mut fields: Vec<_> = keys.iter().map(|_| cv.0.pop_fun()).collect();
    fields.reverse();
    // As everywhere in jq, a field of several values makes several objects, and one of none makes none.
    let mut made = vec![Map::with_capacity_and_hasher(keys.len(), Default::default())];
    for (key, (field, context)) in keys.iter().zip(fields) {
        let mut values = field.run((context, cv.1.clone()));
        let (first, second) = (values.next(), values.next());
        match (first, second) {
            (Some(Ok(value)), None) => {
                let last = made.len() - 1;
                for object in &mut made[..last] {
                    object.insert(key.clone(), value.clone());
                }
                made[last].insert(key.clone(), value);
            }
            (first, second) => {
                let values: Result<Vec<Val>, _> = first.into_iter().chain(second).chain(values).collect();
                let values = match values {
                    Ok(values) => values,
                    Err(error) => return once(Err(error)),
                };
                let with = |object: &Map, value: &Val| {
                    let mut object = object.clone();
                    object.insert(key.clone(), value.clone());
                    object
                };
                made = made.iter().flat_map(|object| values.iter().map(|value| with(object, value))).collect();
                if made.is_empty() {
                    return Box::new(std::iter::empty());
                }
            }
        }
    }
    Box::new(made.into_iter().map(|object| Ok(Val::obj(object))))
}

/// A program whose objects are calls of [`functions`].
pub(crate) struct Prepared {
    pub(crate) code: String,
    pub(crate) constants: Vec<Val>,
    /// The first key that stands twice in one object, and its line. jq would take the last: of two unified words for one
    /// native state nobody can say which was meant.
    pub(crate) repeated: Option<(usize, String)>,
}

/// Rewrites the objects of a program. One that is not even tokens stays as it is: the compiler says what is wrong.
pub(crate) fn prepare(code: &str) -> Prepared {
    let out = String::with_capacity(code.len() * 5 / 4);
    let mut writer = Writer { code, written: 0, out, constants: Vec::new(), repeated: None };
    if let Ok(tokens) = Lexer::new(code).lex() {
        writer.tokens(&tokens);
    }
    writer.copy_to(code.len());
    Prepared { code: writer.out, constants: writer.constants, repeated: writer.repeated }
}

struct Writer<'a> {
    code: &'a str,
    /// How much of the code is in `out`, or left out on purpose.
    written: usize,
    out: String,
    constants: Vec<Val>,
    repeated: Option<(usize, String)>,
}

/// One field of an object: its key, and the value where it is not the field or variable of that name.
struct Field<'t, 'a> {
    key: &'t Token<&'a str>,
    name: &'a str,
    colon: Option<&'t Token<&'a str>>,
    value: &'t [Token<&'a str>],
    /// What stands between it and the next field.
    comma: Option<&'t Token<&'a str>>,
}

impl<'a> Writer<'a> {
    fn start(&self, token: &Token<&'a str>) -> usize {
        token.0.as_ptr() as usize - self.code.as_ptr() as usize
    }

    fn end(&self, token: &Token<&'a str>) -> usize {
        self.start(token) + token.0.len()
    }

    fn copy_to(&mut self, end: usize) {
        self.out.push_str(&self.code[self.written..end]);
        self.written = end;
    }

    /// Leaves a token out; what stands before it, line ends and comments, is copied.
    fn skip(&mut self, token: &Token<&'a str>) {
        self.copy_to(self.start(token));
        self.written = self.end(token);
    }

    fn tokens(&mut self, tokens: &[Token<&'a str>]) {
        let mut is_pattern = false;
        for token in tokens {
            match &token.1 {
                Tok::Block(inner) if !is_pattern => self.block(token, inner),
                Tok::Str(parts) => {
                    for part in parts {
                        if let StrPart::Term(term) = part {
                            self.tokens(std::slice::from_ref(term));
                        }
                    }
                }
                _ => {}
            }
            // `. as {a: $a}` takes an object apart.
            is_pattern = token.0 == "as";
        }
    }

    fn block(&mut self, token: &Token<&'a str>, inner: &[Token<&'a str>]) {
        let fields = if token.0.starts_with('{') { fields(inner) } else { None };
        let Some((fields, close)) = fields else { return self.tokens(inner) };
        let mut names = HashSet::new();
        if let Some(twice) = fields.iter().find(|field| !names.insert(field.name)) {
            let line = self.code[..self.start(twice.key)].matches('\n').count() + 1;
            self.repeated.get_or_insert((line, twice.name.to_owned()));
        }
        let number = self.constants.len();
        let literals: Option<Map> =
            fields.iter().map(|field| Some((text(field.name), literal(field.value)?))).collect();
        if literals.is_none() && fields.len() > FIELDS_MAX {
            return self.tokens(inner);
        }
        self.copy_to(self.start(token));
        if let Some(literals) = literals {
            self.constants.push(Val::obj(literals));
            self.out.push_str(&format!("__constant({number}"));
            self.written += 1;
            // Nothing of it but its lines.
            let lines = self.code[self.written..self.start(close)].matches('\n').count();
            self.out.extend(std::iter::repeat_n('\n', lines));
            self.written = self.end(close);
        } else {
            self.constants.push(fields.iter().map(|field| text(field.name)).collect());
            self.out.push_str("__object(");
            self.written += 1;
            for field in &fields {
                self.skip(field.key);
                match (field.colon, field.value) {
                    (Some(colon), [.., last]) => {
                        self.skip(colon);
                        self.tokens(field.value);
                        self.copy_to(self.end(last));
                    }
                    _ if field.key.0.starts_with('$') => self.out.push_str(field.key.0),
                    _ => self.out.push_str(&format!(".[\"{}\"]", field.name)),
                }
                self.out.push(';');
                if let Some(comma) = field.comma {
                    self.skip(comma);
                }
            }
            self.copy_to(self.start(close));
            self.out.push_str(&number.to_string());
            self.written = self.end(close);
        }
        self.out.push(')');
    }
}

fn text(text: &str) -> Val {
    Val::utf8_str(text.as_bytes().to_vec())
}

/// The fields between braces, and the closing one; none where a key is computed or there are none.
fn fields<'t, 'a>(inner: &'t [Token<&'a str>]) -> Option<(Vec<Field<'t, 'a>>, &'t Token<&'a str>)> {
    let (close, inner) = inner.split_last()?;
    let fields: Option<Vec<_>> = inner.split_inclusive(|token| token.0 == ",").map(field).collect();
    let whole = |fields: &Vec<Field<'t, 'a>>| fields.last().is_some_and(|last| last.comma.is_none());
    fields.filter(whole).map(|fields| (fields, close))
}

fn field<'t, 'a>(tokens: &'t [Token<&'a str>]) -> Option<Field<'t, 'a>> {
    let (comma, tokens) = match tokens.split_last() {
        Some((comma, tokens)) if comma.0 == "," => (Some(comma), tokens),
        _ => (None, tokens),
    };
    let (key, rest) = tokens.split_first()?;
    let name = match &key.1 {
        Tok::Word if !key.0.contains(':') => key.0,
        Tok::Var if rest.is_empty() && !key.0.contains("__") => &key.0[1..],
        Tok::Str(parts) => plain(parts)?,
        _ => return None,
    };
    let (colon, value) = match rest.split_first() {
        None => (None, rest),
        Some((colon, value)) if colon.0 == ":" && !value.is_empty() => (Some(colon), value),
        Some(_) => return None,
    };
    Some(Field { key, name, colon, value, comma })
}

/// A text without escapes and without terms in it.
fn plain<'a>(parts: &[StrPart<&'a str, Token<&'a str>>]) -> Option<&'a str> {
    match parts {
        [] => Some(""),
        [StrPart::Str(text)] => Some(text),
        _ => None,
    }
}

/// The value of one literal.
fn literal(value: &[Token<&str>]) -> Option<Val> {
    match value {
        [Token(_, Tok::Str(parts))] => plain(parts).map(text),
        [Token(number, Tok::Num)] => jaq_json::read::parse_single(number.as_bytes()).ok(),
        [Token("null", Tok::Word)] => Some(Val::Null),
        [Token("true", Tok::Word)] => Some(Val::Bool(true)),
        [Token("false", Tok::Word)] => Some(Val::Bool(false)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::prepare;
    use crate::program::Mapping;

    /// Every result of a program for one small record.
    fn results(program: &str) -> Vec<String> {
        let mapping = Mapping::compile("order.jq", program).expect("compiles");
        let results = mapping.run_all(br#"{"a": 1, "b": [2, 3], "c": {"d": "x"}, "if": 9}"#, "{}").expect("runs");
        results.into_iter().map(|json| String::from_utf8(json).expect("text")).collect()
    }

    #[test]
    fn objects_are_what_they_were() {
        for (program, expected) in [
            ("{a: .a, b: .c.d}", &[r#"{"a":1,"b":"x"}"#][..]),
            ("{a, \"b\", c: .c}", &[r#"{"a":1,"b":[2,3],"c":{"d":"x"}}"#]),
            ("{if, \"e f\": 1 , as: 2}", &[r#"{"if":9,"e f":1,"as":2}"#]),
            (".a as $a | {$a, z: {$a}}", &[r#"{"a":1,"z":{"a":1}}"#]),
            ("{a: .b[], z: 1}", &[r#"{"a":2,"z":1}"#, r#"{"a":3,"z":1}"#]),
            (
                "{a: .b[], z: (.b[] | {y: ., x: .})}",
                &[
                    r#"{"a":2,"z":{"y":2,"x":2}}"#,
                    r#"{"a":2,"z":{"y":3,"x":3}}"#,
                    r#"{"a":3,"z":{"y":2,"x":2}}"#,
                    r#"{"a":3,"z":{"y":3,"x":3}}"#,
                ],
            ),
            ("{a: .b[], z: empty}", &[]),
            ("{a: \"x\", b: 1.50, c: null}", &[r#"{"a":"x","b":1.50,"c":null}"#]),
            ("{a: \"x\", b: \"y\"}[.c.d | if . == \"x\" then \"b\" else \"a\" end]", &[r#""y""#]),
            ("\"<\\({x: .a}.x)>\"", &[r#""<1>""#]),
            (". as {a: $x, c: {d: $y}} | {x: $x, y: $y}", &[r#"{"x":1,"y":"x"}"#]),
            ("{(.c.d): 1, b: {k: .a}}", &[r#"{"x":1,"b":{"k":1}}"#]),
            ("{a: 1 # one, two } {\n, b: .a # three,\n}", &[r#"{"a":1,"b":1}"#]),
            (
                "{a: (1, 2 | . + 1), b: (if .a then {c: 2} else {} end)}",
                &[r#"{"a":2,"b":{"c":2}}"#, r#"{"a":3,"b":{"c":2}}"#],
            ),
            ("[.b[] | {v: .}] | map(.v)", &["[2,3]"]),
            ("{} + {a: 1}", &[r#"{"a":1}"#]),
            ("{a: .a} | .b = {c: .a} | .b.c += 1", &[r#"{"a":1,"b":{"c":2}}"#]),
            ("{a: {b: {c: {d: .a}}}}", &[r#"{"a":{"b":{"c":{"d":1}}}}"#]),
        ] {
            assert_eq!(results(program), expected, "{program}\n{}", prepare(program).code);
        }
    }

    #[test]
    fn a_fault_is_told_on_its_line() {
        let error = Mapping::compile("order.jq", "{\n  a: {x: 1,\n   y: 2},\n  b: .b,\n  c: foo(.d)\n}")
            .expect_err("undefined");
        assert_eq!(error.line, 5, "{error}");
    }

    #[test]
    fn errors_and_breaks_pass_through() {
        let run = |program: &str| Mapping::compile("order.jq", program).expect("compiles").run(b"{}", "{}");
        assert!(run("{a: error(\"not an order: x\"), b: .b}").unwrap_err().to_string().contains("not an order"));
        assert_eq!(run("[label $out | {a: (1, break $out), b: .b}]").expect("runs"), b"[]");
        assert_eq!(run("try {a: error(\"x\"), b: .b} catch {a: ., b: 1}").expect("runs"), br#"{"a":"x","b":1}"#);
    }
}
