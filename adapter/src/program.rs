//! One compiled mapping, and the way of a record through it.

use std::fmt::Write as _;

use jaq_core::load::{Arena, File, Loader};
use jaq_core::native::{bome, run};
use jaq_core::{Compiler, Ctx, Error, RunPtr, Vars, unwrap_valr};
use jaq_json::{Num, Val, read};
use order_contract::{Rejection, Rounding, parse_snapshot, pointer_token};

use crate::decimal::NOT_DECIMAL;
use crate::objects::{self, Dialect, Tables, prepare};
use crate::{decimal, native};

/// What every mapping may use besides jq's own filters.
const PRELUDE: &str = include_str!("prelude.jq");
/// The deepest nesting of a record: a parser that recurses must not be led to the end of its stack.
pub(crate) const DEPTH_MAX: usize = 64;

/// The longest program, in bytes, and the stack it is compiled on: enough for one that is nothing but nesting. The
/// memory is touched only as far as it is used.
const LENGTH_MAX: usize = 64 << 10;
const COMPILER_STACK: usize = 1 << 30;

/// Why a mapping does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct CompileError {
    /// The file at fault.
    pub file: String,
    /// The line in it, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

/// Why a record could not be mapped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// The record is not JSON, or nested too deeply.
    #[error("the record is not usable JSON: {0}")]
    Input(String),
    /// The program failed on this record.
    #[error("the mapping failed: {0}")]
    Program(String),
    /// This value, as JSON, stands where an amount or a quantity must.
    #[error("the mapping failed: {0}{NOT_DECIMAL}")]
    Decimal(String),
    /// The program refuses the record: `error("not an order: …")` in the mapping.
    #[error("{0}")]
    Refused(String),
    /// The program gave no result, or more than one.
    #[error("the mapping must give exactly one order, it gave {0}")]
    Results(&'static str),
    /// A binary float stands in the result.
    #[error("MONEY_FLOAT at {0}: jq arithmetic made a binary float; use the dec_* functions on amounts")]
    Float(String),
    /// The program went beyond a limit of the process it ran in, and was ended with it.
    #[error("the mapping was stopped: {0}")]
    Stopped(String),
    /// The result is not a canonical order.
    #[error("the mapped order is not valid: {0}")]
    Order(#[source] Rejection),
}

impl MapError {
    /// The error as a rejection: where in the canonical order (or in the record), what, which rule.
    #[must_use]
    pub fn into_rejection(self) -> Rejection {
        match self {
            Self::Order(rejection) => rejection,
            Self::Float(path) => Rejection {
                path,
                value: "a binary float".into(),
                rule: "MONEY_FLOAT: jq arithmetic made a binary float; use the dec_* functions on amounts".into(),
            },
            Self::Decimal(value) => {
                Rejection { path: String::new(), value, rule: format!("the mapping failed: it{NOT_DECIMAL}") }
            }
            other @ (Self::Input(_) | Self::Program(_) | Self::Refused(_) | Self::Results(_) | Self::Stopped(_)) => {
                Rejection { path: String::new(), value: String::new(), rule: other.to_string() }
            }
        }
    }
}

/// A compiled mapping. It is shared by threads and holds no state between records.
pub struct Mapping {
    filter: jaq_core::Filter<Dialect>,
    constants: Vec<Val>,
}

impl std::fmt::Debug for Mapping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mapping")
    }
}

/// Filters of jq's library that reach outside the record. They exist, so that jq's own definitions compile, and fail.
const REFUSED: &[&str] =
    &["halt", "env", "now", "input", "debug_empty", "stderr_empty", "get_search_list", "input_filename"];

impl Mapping {
    /// Compiles a program. `$config` is bound to the source's settings.
    ///
    /// # Errors
    /// [`CompileError`] names the line of the program.
    pub fn compile(file: &str, program: &str) -> Result<Self, CompileError> {
        Self::compile_with(file, program, &["$config"])
    }

    /// Compiles a program that sees these variables.
    ///
    /// The compiler recurses as deep as the program is nested, so it gets a stack that a program of the allowed length
    /// cannot exhaust.
    pub(crate) fn compile_with(file: &str, program: &str, variables: &[&str]) -> Result<Self, CompileError> {
        let fail = |message: String| CompileError { file: file.to_owned(), line: 1, message };
        if program.len() > LENGTH_MAX {
            return Err(fail(format!("the program has {} bytes, the limit is {LENGTH_MAX}", program.len())));
        }
        std::thread::scope(|scope| {
            let compiler = std::thread::Builder::new().name("jq-compiler".into()).stack_size(COMPILER_STACK);
            let compile = || Self::compile_on_this_stack(file, program, variables);
            let compiling = compiler.spawn_scoped(scope, compile).map_err(|e| fail(format!("no thread: {e}")))?;
            compiling.join().unwrap_or_else(|_| Err(fail("the compiler failed on it".into())))
        })
    }

    /// Compiles a program as [`Self::compile`] does, on the stack of the caller: for a process that may die of it.
    ///
    /// # Errors
    /// [`CompileError`].
    pub fn compile_here(file: &str, program: &str) -> Result<Self, CompileError> {
        Self::compile_on_this_stack(file, program, &["$config"])
    }

    pub(crate) fn compile_on_this_stack(file: &str, program: &str, variables: &[&str]) -> Result<Self, CompileError> {
        // One text, so that the program sees the prelude's definitions; line numbers are corrected for it.
        let prepared = prepare(&format!("{PRELUDE}\n{program}"));
        let code = prepared.code;
        let at_line = |line: usize, message: String| {
            let before = PRELUDE.matches('\n').count() + 1;
            CompileError { file: file.to_owned(), line: line.saturating_sub(before), message }
        };
        let at =
            |offset: usize, message: String| at_line(code[..offset.min(code.len())].matches('\n').count() + 1, message);
        if let Some((line, key)) = prepared.repeated {
            return Err(at_line(line, format!("`{key}` stands twice in one object: keep the one that is meant")));
        }
        let offset = |part: &str| part.as_ptr() as usize - code.as_ptr() as usize;

        let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
        let definitions = definitions.filter(|d| !(d.args.is_empty() && native::REPLACED.contains(&d.name)));
        let arena = Arena::default();
        let modules =
            Loader::new(definitions).load(&arena, File { code: code.as_str(), path: () }).map_err(|errors| {
                use jaq_core::load::Error;
                match errors.into_iter().next().map(|(_, error)| error) {
                    Some(Error::Lex(e)) => {
                        e.first().map(|(expected, found)| at(offset(found), format!("expected {}", expected.as_str())))
                    }
                    Some(Error::Parse(e)) => e.first().map(|(expected, found)| {
                        let token = if found.is_empty() { "the end" } else { found };
                        at(offset(found), format!("expected {}, found {token:.20}", expected.as_str()))
                    }),
                    Some(Error::Io(_)) => Some(at(0, "a mapping cannot import files".into())),
                    None => None,
                }
                .unwrap_or_else(|| at(0, "cannot be parsed".into()))
            })?;

        let library = jaq_core::funs::<Dialect>().chain(jaq_std::funs()).chain(jaq_json::funs());
        let allowed = library.filter(|(name, _, _)| !REFUSED.contains(name));
        let refused = jaq_core::funs::<Dialect>()
            .chain(jaq_std::funs())
            .chain(jaq_json::funs())
            .filter(|(name, _, _)| REFUSED.contains(name))
            .map(|(name, arguments, _)| {
                let fail: RunPtr<Dialect> =
                    |_| bome(Err(Error::str("a mapping sees its record and $config, nothing else")));
                run::<Dialect>((name, arguments, fail))
            });
        let filter = Compiler::default()
            .with_funs(
                allowed
                    .chain(refused)
                    .chain(decimal::functions().into_iter().map(run))
                    .chain(native::functions().into_iter().map(run))
                    .chain(objects::functions()),
            )
            .with_global_vars(variables.iter().copied())
            .compile(modules)
            .map_err(|errors| {
                let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
                first.map_or_else(
                    || at(0, "cannot be compiled".into()),
                    |(name, undefined)| at(offset(name), format!("undefined {} {name}", undefined.as_str())),
                )
            })?;
        Ok(Self { filter, constants: prepared.constants })
    }

    /// Maps one record to canonical JSON. The result is not validated yet; see [`Self::map`].
    ///
    /// # Errors
    /// [`MapError`].
    pub fn run(&self, record: &[u8], config: &str) -> Result<Vec<u8>, MapError> {
        let mut results = self.run_all(record, config)?;
        match (results.pop(), results.is_empty()) {
            (Some(order), true) => Ok(order),
            (None, _) => Err(MapError::Results("none")),
            (Some(_), false) => Err(MapError::Results("more than one")),
        }
    }

    /// Every result of the program, each as JSON; for programs that find the records of a document.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn run_all(&self, document: &[u8], config: &str) -> Result<Vec<Vec<u8>>, MapError> {
        let results = self.values(parse(document)?, [parse(config.as_bytes())?])?;
        results.iter().map(to_json).collect()
    }

    /// Every result of the program for a parsed input; the variables are those it was compiled with, in their order.
    pub(crate) fn values(&self, input: Val, variables: impl IntoIterator<Item = Val>) -> Result<Vec<Val>, MapError> {
        self.stream(input, variables).collect()
    }

    /// The same, one by one.
    pub(crate) fn stream(
        &self,
        input: Val,
        variables: impl IntoIterator<Item = Val>,
    ) -> impl Iterator<Item = Result<Val, MapError>> + '_ {
        let tables = Tables { lut: &self.filter.lut, constants: &self.constants };
        let context = Ctx::<Dialect>::new(tables, Vars::new(variables));
        let results = self.filter.id.run((context, input)).map(unwrap_valr);
        results.map(|result| result.map_err(|e| failure(&e.to_string())))
    }

    /// Maps one record to a canonical order.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map(
        &self,
        record: &[u8],
        config: &str,
        rounding: Rounding,
    ) -> Result<order_contract::OrderSnapshot, MapError> {
        let json = self.run(record, config)?;
        parse_snapshot(&json, rounding).map(|(order, _)| order).map_err(MapError::Order)
    }
}

/// A JSON document as a value; numbers keep their literals.
pub(crate) fn parse(document: &[u8]) -> Result<Val, MapError> {
    check_depth(document)?;
    read::parse_single(document).map_err(|e| MapError::Input(e.to_string()))
}

/// A value as JSON; numbers keep their literals.
pub(crate) fn to_json(value: &Val) -> Result<Vec<u8>, MapError> {
    let mut json = String::with_capacity(4096);
    write_json(value, &mut json, &mut String::new())?;
    Ok(json.into_bytes())
}

/// A mapping refuses a record on purpose with an error that begins with these words; any other error is its fault.
fn failure(message: &str) -> MapError {
    // What a mapping says is a JSON text, what jaq says is not.
    let message = serde_json::from_str(message).unwrap_or_else(|_| message.trim_matches('"').to_owned());
    let message = shorten(&message);
    match message.strip_suffix(NOT_DECIMAL) {
        Some(value) => MapError::Decimal(value.to_owned()),
        None if message.starts_with("not an order") => MapError::Refused(message),
        None => MapError::Program(message),
    }
}

fn shorten(message: &str) -> String {
    if message.chars().count() <= 300 { message.to_owned() } else { message.chars().take(299).chain(['…']).collect() }
}

/// Counts brackets outside strings, without recursion: a parser must not be led to the end of its stack.
///
/// # Errors
/// [`MapError::Input`] when the document is nested deeper than 64.
pub fn check_depth(json: &[u8]) -> Result<(), MapError> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return Err(MapError::Input(format!("nested deeper than {DEPTH_MAX}")));
                }
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

/// Writes a value as JSON; numbers keep the platform's literal. A float can only come from jq arithmetic.
fn write_json(value: &Val, out: &mut String, path: &mut String) -> Result<(), MapError> {
    match value {
        Val::Null => out.push_str("null"),
        Val::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        // A whole number is exact whatever made it; jq's `tonumber`, `floor` and date functions give such floats.
        Val::Num(Num::Float(float)) if float.is_finite() && float.fract() == 0.0 && float.abs() < 9e15 => {
            let _ = write!(out, "{float:.0}");
        }
        Val::Num(Num::Float(_)) => return Err(MapError::Float(path.clone())),
        Val::Num(Num::Int(whole)) => {
            let _ = write!(out, "{whole}");
        }
        Val::Num(Num::BigInt(whole)) => {
            let _ = write!(out, "{whole}");
        }
        Val::Num(Num::Dec(literal)) => out.push_str(literal),
        Val::TStr(text) | Val::BStr(text) => write_text(&String::from_utf8_lossy(text), out),
        Val::Arr(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                within(path, &i.to_string(), |path| write_json(item, out, path))?;
            }
            out.push(']');
        }
        Val::Obj(fields) => {
            out.push('{');
            for (i, (key, item)) in fields.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                let key = match key {
                    Val::TStr(text) | Val::BStr(text) => String::from_utf8_lossy(text).into_owned(),
                    other => other.to_string(),
                };
                write_text(&key, out);
                out.push(':');
                within(path, &key, |path| write_json(item, out, path))?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_text(text: &str, out: &mut String) {
    // Writing a string as JSON into memory cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn within<T>(path: &mut String, segment: &str, work: impl FnOnce(&mut String) -> T) -> T {
    let length = path.len();
    path.push('/');
    path.push_str(&pointer_token(segment));
    let done = work(path);
    path.truncate(length);
    done
}

#[cfg(test)]
mod tests {
    use super::{MapError, Mapping};

    fn run(program: &str, record: &str) -> Result<String, MapError> {
        let mapping = Mapping::compile("order.jq", program).expect("compiles");
        mapping.run(record.as_bytes(), "{}").map(|json| String::from_utf8(json).expect("text"))
    }

    #[test]
    fn two_words_for_one_state_are_refused_with_their_line() {
        for (program, line) in [
            ("def states: {paid: \"A\",\n  \"paid\": \"B\"};\n.s | lookup(states)", 2),
            ("{a: .x, b: {c: 1}, a: .y}", 1),
            ("\n\"\\({a: 1, a: 2})\"", 2),
        ] {
            let error = Mapping::compile("map/order.jq", program).expect_err(program);
            assert_eq!(error.line, line, "{error}");
            assert!(error.message.contains("stands twice"), "{error}");
        }
        let many: Vec<String> = (0..100).map(|n| format!("s{n}: \"{n}\"")).collect();
        let table = |last: &str| format!(".s | lookup({{{}, {last}: \"x\"}})", many.join(", "));
        assert_eq!(run(&table("s100"), r#"{"s": "s99"}"#), Ok("\"99\"".to_owned()));
        assert!(Mapping::compile("map/order.jq", &table("s7")).is_err());
        assert_eq!(run("[{a: 1}, {a: 2}] | map(.a)", "{}"), Ok("[1,2]".to_owned()));
    }

    #[test]
    fn what_is_no_decimal_is_named() {
        for (value, named) in
            [(r#""a \"b\"""#, r#""a \"b\"""#), (r#"{"x": 1}"#, r#"{"x":1}"#), ("[]", "[]"), ("true", "true")]
        {
            let error = run(".a | dec", &format!(r#"{{"a": {value}}}"#)).unwrap_err();
            assert_eq!(error, MapError::Decimal(named.to_owned()));
            assert_eq!(error.into_rejection().value, named);
        }
    }

    #[test]
    fn amounts_keep_every_digit() {
        for (program, record, result) in [
            (".a", r#"{"a": 19.99}"#, "19.99"),
            (".a | dec", r#"{"a": 99999999999999999.99}"#, "\"99999999999999999.99\""),
            (".a | dec", r#"{"a": "0.10"}"#, "\"0.1\""),
            (".a | dec", r#"{"a": null}"#, "null"),
            (".a | dec", r#"{"a": ""}"#, "null"),
            (".a | dec", r#"{"a": 1.5e3}"#, "\"1500\""),
            ("dec_add(.a; .b)", r#"{"a": 0.1, "b": 0.2}"#, "\"0.3\""),
            ("dec_sub(.a; .b)", r#"{"a": "1", "b": null}"#, "\"1\""),
            ("dec_mul(.a; 3)", r#"{"a": 19.99}"#, "\"59.97\""),
            ("dec_div(.a; 3; 4)", r#"{"a": 10}"#, "\"3.3333\""),
            ("dec_div(.a; 0; 4)", r#"{"a": 10}"#, "null"),
            ("dec_shift(.a; -2)", r#"{"a": 1999}"#, "\"19.99\""),
            ("[.[] | dec_neg] | dec_sum", "[0.1, 0.2, 5]", "\"-5.3\""),
            ("dec_cmp(.a; 2)", r#"{"a": 1.99}"#, "-1"),
            (".id", r#"{"id": 450789469123456789012}"#, "450789469123456789012"),
        ] {
            assert_eq!(run(program, record).as_deref(), Ok(result), "{program}");
        }
    }

    #[test]
    fn a_float_is_refused_with_its_place() {
        assert_eq!(run("{totals: {tax: (.a * 1.1)}}", r#"{"a": 19.99}"#), Err(MapError::Float("/totals/tax".into())));
        assert!(
            matches!(run(".a * 1.1 | dec", r#"{"a": 19.99}"#), Err(MapError::Program(m)) if m.contains("MONEY_FLOAT"))
        );
    }

    #[test]
    fn the_world_outside_the_record_is_out_of_reach() {
        for program in ["env", "$ENV", "halt", "now", "input", "input_filename", "import \"a\" as a; ."] {
            let outcome = Mapping::compile("order.jq", program).map(|m| m.run(b"{}", "{}"));
            assert!(!matches!(outcome, Ok(Ok(_))), "{program}: {outcome:?}");
        }
        assert!(matches!(run(".", &"[".repeat(100_000)), Err(MapError::Input(_))));
        assert!(matches!(run("empty", "{}"), Err(MapError::Results("none"))));
        assert!(matches!(run("1, 2", "{}"), Err(MapError::Results("more than one"))));
    }

    #[test]
    fn a_broken_program_is_named_by_its_line() {
        let error = Mapping::compile("map/order.jq", "{\n  a: .b,\n  c: foo(.d)\n}").expect_err("undefined");
        assert_eq!((error.line, error.file.as_str()), (3, "map/order.jq"), "{error}");
        let error = Mapping::compile("map/order.jq", "{\n  a: .b,\n  c: (.d\n}").expect_err("unclosed");
        assert!(error.line >= 3, "{error}");
    }

    #[test]
    fn a_program_that_is_nothing_but_nesting_ends_in_an_error_and_not_in_a_crash() {
        for part in
            ["[", "(", "{a:", "-", ".|", "try ", "if . then ", "reduce . as $x (", "def f: ", "\"\\(", "..,", "1+"]
        {
            let program = part.repeat((60 << 10) / part.len());
            let outcome = Mapping::compile("order.jq", &format!("{program} ."));
            assert!(outcome.is_err() || [".|", "-", "try ", "..,", "1+"].contains(&part), "{part}");
        }
        let error = Mapping::compile("order.jq", &" ".repeat(100_000)).expect_err("too long");
        assert!(error.message.contains("limit"), "{error}");
    }

    #[test]
    fn the_prelude_reads_times_and_words() {
        for (program, record, result) in [
            ("utc", r#""2024-03-01 10:20:30""#, "\"2024-03-01T10:20:30Z\""),
            ("utc", r#""2024-03-01T10:20:30+0200""#, "\"2024-03-01T10:20:30+02:00\""),
            ("utc", r#""0000-00-00 00:00:00""#, "null"),
            ("utc", "null", "null"),
            ("micros", r#""1970-01-01T00:00:01.5Z""#, "1500000"),
            ("micros", r#""2024-03-01T10:20:30+02:00""#, "1709281230000000"),
            ("lookup({a: \"PAID\"})", "\"a\"", "\"PAID\""),
            ("lookup({a: \"PAID\"})", "\"zz\"", "\"UNKNOWN\""),
            ("country_code", "\"gb\"", "\"GB\""),
            ("[.[]] | join_present(\" \")", r#"["Ada ", null, "", "Byron"]"#, "\"Ada Byron\""),
        ] {
            assert_eq!(run(program, record).as_deref(), Ok(result), "{program}");
        }
    }
}
