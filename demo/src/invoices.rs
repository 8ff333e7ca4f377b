//! Invoices as the file has them: exact lines, grouped into whole invoices.
//!
//! It owns reading the CSV file, plain or compressed, in a few passes with one line in memory at a time. It refuses a
//! line it does not wholly understand, by line number, instead of skipping it. That is so that the sums over what it
//! yields are the sums of the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use csv::StringRecord;
use flate2::bufread::MultiGzDecoder;
use order_contract::Amount;

/// The largest quantity of a line either way; the file's own largest is 80,995.
const QUANTITY_MAX: i64 = 1_000_000;

/// Why the file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InvoiceError {
    /// The file does not open.
    #[error("cannot open {}", .0.display())]
    Open(PathBuf, #[source] std::io::Error),
    /// The file breaks off or cannot be decompressed.
    #[error("cannot read {} after line {line}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The last line that was read.
        line: u64,
        /// What the file system or the decompressor says.
        #[source]
        source: csv::Error,
    },
    /// A column is missing from the first line.
    #[error(
        "{}: the first line names no column {column}; it must name {}", .path.display(), COLUMNS.join(", ")
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// The missing column.
        column: &'static str,
    },
    /// A line breaks a rule.
    #[error("{}, line {line}: {reason}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1 for the header.
        line: u64,
        /// Which field, its value and the rule it breaks.
        reason: String,
    },
    /// There is no line at all.
    #[error("{} has no invoice lines", .0.display())]
    Empty(PathBuf),
}

/// What an invoice documents, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// A sale, or a movement of stock: digits only.
    Sale,
    /// A cancellation of earlier sales: `C` and digits.
    Reversal,
    /// An adjustment of the books: `A` and digits.
    Adjustment,
}

/// One line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The stock code.
    pub sku: String,
    /// The description; may be empty.
    pub name: String,
    /// How many; below zero for what is taken back or written off.
    pub quantity: i64,
    /// The price of one in GBP.
    pub unit_price: Amount,
    /// Price × quantity, with the quantity's sign.
    pub value: Amount,
}

/// One whole invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its number, with the letter.
    pub number: String,
    /// What it documents.
    pub document: Document,
    /// When its first line was written. The file names no time zone and is read as UTC.
    pub at: DateTime<Utc>,
    /// The customer's number; none where the file has none.
    pub customer: Option<String>,
    /// The country as the file spells it.
    pub country: String,
    /// Its lines, in the file's order.
    pub lines: Vec<Line>,
}

/// What a first pass over the whole file learns; every line of it has been understood by then.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Invoice lines in the file.
    pub lines: u64,
    /// Exact sum over all lines, taken back and written off ones included.
    pub value: Amount,
    /// The day of the newest invoice.
    pub newest_day: NaiveDate,
    lines_of: HashMap<String, u32>,
}

impl Survey {
    /// Reads the file once.
    ///
    /// # Errors
    /// [`InvoiceError`] names the first line that is damaged.
    pub fn of(path: &Path) -> Result<Self, InvoiceError> {
        let mut rows = Rows::open(path)?;
        let mut survey = Self { lines: 0, value: Amount::ZERO, newest_day: NaiveDate::MIN, lines_of: HashMap::new() };
        while let Some(row) = rows.next()? {
            survey.lines += 1;
            survey.value += row.line.value;
            survey.newest_day = survey.newest_day.max(row.at.date_naive());
            match survey.lines_of.get_mut(row.number) {
                Some(lines) => *lines += 1,
                None => drop(survey.lines_of.insert(row.number.to_owned(), 1)),
            }
        }
        if survey.lines == 0 { Err(InvoiceError::Empty(path.to_owned())) } else { Ok(survey) }
    }

    /// Invoices in the file.
    #[must_use]
    pub fn invoices(&self) -> usize {
        self.lines_of.len()
    }
}

/// The invoices of a file, each as soon as its last line is read. An invoice may be interrupted by another one.
pub struct Invoices<'a> {
    rows: Rows,
    survey: &'a Survey,
    open: HashMap<String, Invoice>,
}

impl<'a> Invoices<'a> {
    /// Begins a pass over a surveyed file.
    ///
    /// # Errors
    /// [`InvoiceError`] when the file does not open.
    pub fn open(path: &Path, survey: &'a Survey) -> Result<Self, InvoiceError> {
        Ok(Self { rows: Rows::open(path)?, survey, open: HashMap::new() })
    }

    fn advance(&mut self) -> Result<Option<Invoice>, InvoiceError> {
        while let Some(row) = self.rows.next()? {
            let expected = self.survey.lines_of.get(row.number).copied().unwrap_or_default() as usize;
            if !self.open.contains_key(row.number) {
                self.open.insert(row.number.to_owned(), row.begin());
            }
            let number = row.number.to_owned();
            let Some(invoice) = self.open.get_mut(&number) else { continue };
            let same = invoice.customer.as_deref() == row.customer && invoice.country == row.country;
            if same {
                invoice.lines.push(row.line);
                if invoice.lines.len() == expected {
                    return Ok(self.open.remove(&number));
                }
            } else {
                let reason = format!("invoice {number} has another customer or country than on its lines before");
                return Err(self.rows.damaged(reason));
            }
        }
        Ok(None)
    }
}

impl Iterator for Invoices<'_> {
    type Item = Result<Invoice, InvoiceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

const COLUMNS: [&str; 8] =
    ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"];

/// One understood line with what it says about its invoice.
struct Row<'a> {
    number: &'a str,
    document: Document,
    at: DateTime<Utc>,
    customer: Option<&'a str>,
    country: &'a str,
    line: Line,
}

impl Row<'_> {
    fn begin(&self) -> Invoice {
        Invoice {
            number: self.number.to_owned(),
            document: self.document,
            at: self.at,
            customer: self.customer.map(str::to_owned),
            country: self.country.to_owned(),
            lines: Vec::new(),
        }
    }
}

struct Rows {
    path: PathBuf,
    reader: csv::Reader<Box<dyn Read + Send>>,
    columns: [usize; 8],
    record: StringRecord,
}

impl Rows {
    fn open(path: &Path) -> Result<Self, InvoiceError> {
        let failed = |e| InvoiceError::Open(path.to_owned(), e);
        let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
        let packed = file.fill_buf().map_err(failed)?.starts_with(&[0x1f, 0x8b]);
        let input: Box<dyn Read + Send> =
            if packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) };
        let mut reader = csv::Reader::from_reader(input);
        let mut columns = [0; 8];
        let header = reader.headers().map_err(|e| broken(path, 0, e))?;
        for (at, column) in columns.iter_mut().zip(COLUMNS) {
            *at = header
                .iter()
                .position(|name| name.trim_start_matches('\u{feff}') == column)
                .ok_or_else(|| InvoiceError::Column { path: path.to_owned(), column })?;
        }
        Ok(Self { path: path.to_owned(), reader, columns, record: StringRecord::new() })
    }

    fn next(&mut self) -> Result<Option<Row<'_>>, InvoiceError> {
        let before = self.reader.position().line();
        match self.reader.read_record(&mut self.record) {
            Err(e) => Err(broken(&self.path, before, e)),
            Ok(false) => Ok(None),
            Ok(true) => {
                let field = |i: usize| &self.record[self.columns[i]];
                understand(field).map(Some).map_err(|reason| self.damaged(reason))
            }
        }
    }

    /// The error of the line that was read last.
    fn damaged(&self, reason: String) -> InvoiceError {
        let line = self.record.position().map_or(0, csv::Position::line);
        InvoiceError::Line { path: self.path.clone(), line, reason }
    }
}

/// Turns what the CSV reader says into a damaged line or a broken file.
fn broken(path: &Path, line: u64, error: csv::Error) -> InvoiceError {
    let path = path.to_owned();
    match error.kind() {
        csv::ErrorKind::Utf8 { pos, .. } => InvoiceError::Line {
            path,
            line: pos.as_ref().map_or(line, csv::Position::line),
            reason: "the text is not UTF-8".to_owned(),
        },
        csv::ErrorKind::UnequalLengths { pos, expected_len, len } => InvoiceError::Line {
            path,
            line: pos.as_ref().map_or(line, csv::Position::line),
            reason: format!("it has {len} fields instead of {expected_len}"),
        },
        _ => InvoiceError::Read { path, line, source: error },
    }
}

fn understand<'a>(field: impl Fn(usize) -> &'a str) -> Result<Row<'a>, String> {
    let wrong = |i: usize, rule: &str| {
        let value: String = field(i).chars().take(40).collect();
        format!("{} {value:?}: {rule}", COLUMNS[i])
    };
    let number = field(0);
    let (document, digits) = match number.split_at_checked(1) {
        Some(("C", digits)) => (Document::Reversal, digits),
        Some(("A", digits)) => (Document::Adjustment, digits),
        _ => (Document::Sale, number),
    };
    if digits.is_empty() || digits.len() > 20 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong(0, "digits are wanted, after a C for a cancellation or an A for an adjustment"));
    }
    let sku = field(1);
    if sku.is_empty() {
        return Err(wrong(1, "a stock code is wanted"));
    }
    let quantity: i64 = field(3).parse().map_err(|_| wrong(3, "a whole number is wanted"))?;
    if quantity.abs() > QUANTITY_MAX {
        return Err(wrong(3, "at most a million either way is taken"));
    }
    let at = NaiveDateTime::parse_from_str(field(4), "%Y-%m-%d %H:%M:%S")
        .map_err(|_| wrong(4, "a time such as 2011-12-09 12:50:00 is wanted"))?
        .and_utc();
    let unit_price: Amount = field(5).parse().map_err(|e| wrong(5, &format!("{e}")))?;
    let value = unit_price.checked_mul(quantity.into()).ok_or_else(|| wrong(5, "price × quantity is out of range"))?;
    let customer = Some(field(6)).filter(|text| !text.is_empty());
    let country = field(7);
    if country.is_empty() {
        return Err(wrong(7, "a country is wanted; the file itself writes Unspecified"));
    }
    let line = Line { sku: sku.to_owned(), name: field(2).trim().to_owned(), quantity, unit_price, value };
    Ok(Row { number, document, at, customer, country, line })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::{Document, InvoiceError, Invoices, Survey};

    const HEADER: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

    fn file(lines: &[&str]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        writeln!(file, "{HEADER}").expect("written");
        lines.iter().for_each(|line| writeln!(file, "{line}").expect("written"));
        file
    }

    fn refusal(line: &str) -> String {
        let file = file(&["536365,1,CUP,6,2010-12-01 08:26:00,2.55,17850,EIRE", line]);
        Survey::of(file.path()).expect_err(line).to_string().split_once(", ").expect("a path first").1.to_owned()
    }

    #[test]
    fn a_damaged_line_is_refused_by_its_number_field_and_rule() {
        for (line, said) in [
            ("536366,1,CUP,6,2010-12-01 08:26:00,2.5e1,17850,EIRE", "UnitPrice \"2.5e1\": an amount is a decimal"),
            ("536366,1,CUP,6,2010-12-01 08:26:00,2.55001,17850,EIRE", "UnitPrice \"2.55001\": an amount has at most 4"),
            ("536366,1,CUP,6.5,2010-12-01 08:26:00,2.55,17850,EIRE", "Quantity \"6.5\": a whole number"),
            ("536366,1,CUP,9999999,2010-12-01 08:26:00,2.55,17850,EIRE", "Quantity \"9999999\": at most a million"),
            ("536366,1,CUP,6,12/1/2010 8:26,2.55,17850,EIRE", "InvoiceDate \"12/1/2010 8:26\": a time"),
            ("X36366,1,CUP,6,2010-12-01 08:26:00,2.55,17850,EIRE", "InvoiceNo \"X36366\": digits"),
            ("C,1,CUP,6,2010-12-01 08:26:00,2.55,17850,EIRE", "InvoiceNo \"C\": digits"),
            (",1,CUP,6,2010-12-01 08:26:00,2.55,17850,EIRE", "InvoiceNo \"\": digits"),
            ("536366,,CUP,6,2010-12-01 08:26:00,2.55,17850,EIRE", "StockCode \"\": a stock code"),
            ("536366,1,CUP,6,2010-12-01 08:26:00,2.55,17850,", "Country \"\": a country"),
            ("536366,1,CUP,6,2010-12-01 08:26:00,2.55,17850", "it has 7 fields instead of 8"),
            ("536366,1,CUP,1000000,2010-12-01 08:26:00,922337203685477,1,EIRE", "UnitPrice \"922337203685477\": price"),
        ] {
            let refusal = refusal(line);
            assert!(refusal.starts_with(&format!("line 3: {said}")), "{line}: {refusal}");
        }
    }

    #[test]
    fn nasty_but_sound_lines_keep_every_digit() {
        let file = file(&[
            "550193,PADS,\"PADS, \"\"ALL\"\"\nCUSHIONS\",1,2011-04-15 09:27:00,0.001,13952,United Kingdom",
            "A563186,B,Adjust bad debt,1,2011-08-12 14:51:00,-11062.06,,United Kingdom",
            "C536379,D,Discount,-1,2010-12-01 09:41:00,27.5,14527,United Kingdom",
            "537032,21275,?,-30,2010-12-03 16:50:00,0,,Unspecified",
        ]);
        let survey = Survey::of(file.path()).expect("sound");
        assert_eq!((survey.lines, survey.invoices()), (4, 4));
        assert_eq!(survey.value.to_string(), "-11089.559");
        assert_eq!(survey.newest_day.to_string(), "2011-08-12");
        let invoices: Vec<_> =
            Invoices::open(file.path(), &survey).expect("opens").collect::<Result<_, _>>().expect("sound");
        assert_eq!(invoices[0].lines[0].name, "PADS, \"ALL\"\nCUSHIONS");
        assert_eq!(invoices[0].at.to_rfc3339(), "2011-04-15T09:27:00+00:00");
        assert_eq!(
            invoices.iter().map(|i| (i.document, i.customer.is_some())).collect::<Vec<_>>(),
            [
                (Document::Sale, true),
                (Document::Adjustment, false),
                (Document::Reversal, true),
                (Document::Sale, false)
            ]
        );
        assert_eq!(invoices[3].lines[0].value.to_string(), "0");
    }

    #[test]
    fn an_interrupted_invoice_is_whole_and_a_changed_customer_is_refused() {
        let one = "542806,1,CUP,6,2011-02-01 08:26:00,2.55,17850,EIRE";
        let whole = file(&[one, "542807,1,CUP,1,2011-02-01 08:27:00,2.55,1,EIRE", one]);
        let survey = Survey::of(whole.path()).expect("sound");
        let invoices: Vec<_> =
            Invoices::open(whole.path(), &survey).expect("opens").map(|i| i.expect("sound")).collect();
        let shape: Vec<_> = invoices.iter().map(|i| (i.number.as_str(), i.lines.len())).collect();
        assert_eq!(shape, [("542807", 1), ("542806", 2)]);

        let torn = file(&[one, "542806,1,CUP,6,2011-02-01 08:26:00,2.55,17851,EIRE"]);
        let survey = Survey::of(torn.path()).expect("sound lines");
        let error = Invoices::open(torn.path(), &survey).expect("opens").find_map(Result::err).expect("refused");
        assert!(error.to_string().contains("line 3: invoice 542806 has another customer"), "{error}");
    }

    #[test]
    fn files_that_are_no_data_set_say_so() {
        let missing = Survey::of(std::path::Path::new("/nowhere/x.csv")).expect_err("missing");
        assert_eq!(missing.to_string(), "cannot open /nowhere/x.csv");
        assert!(matches!(Survey::of(file(&[]).path()), Err(InvoiceError::Empty(_))));

        let mut other = tempfile::NamedTempFile::new().expect("a file");
        writeln!(other, "InvoiceNo,StockCode").expect("written");
        let said = Survey::of(other.path()).expect_err("no columns").to_string();
        assert!(said.contains("names no column Description"), "{said}");

        let mut latin = file(&[]);
        latin.write_all(b"1,1,\xa340,6,2010-12-01 08:26:00,2.55,17850,EIRE\n").expect("written");
        let said = Survey::of(latin.path()).expect_err("not UTF-8").to_string();
        assert!(said.ends_with("line 2: the text is not UTF-8"), "{said}");

        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(HEADER.repeat(999).as_bytes()).expect("packed");
        let packed = packed.finish().expect("packed");
        let mut torn = tempfile::NamedTempFile::new().expect("a file");
        torn.write_all(&packed[..packed.len() / 2]).expect("written");
        assert!(matches!(Survey::of(torn.path()), Err(InvoiceError::Read { .. })));
    }
}
