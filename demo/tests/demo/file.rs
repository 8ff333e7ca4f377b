//! What is read from the data set, against sums computed from its text with plain integers.

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use demo::country;
use demo::invoices::{Document, Invoices, Survey};
use demo::ledger::{Ledger, Reason};
use flate2::bufread::MultiGzDecoder;

/// The sums of a file in thousandths of a pound, computed without the code under test.
#[derive(Default)]
struct Text {
    lines: u64,
    value: i64,
    numbers: HashSet<String>,
    /// Positive quantities of invoices without a letter, where somebody pays or is named.
    ordered: BTreeMap<String, i64>,
}

fn thousandths(price: &str) -> i64 {
    let (whole, fraction) =
        price.trim_start_matches('-').split_once('.').unwrap_or((price.trim_start_matches('-'), ""));
    let amount =
        whole.parse::<i64>().expect("digits") * 1000 + format!("{fraction:0<3}").parse::<i64>().expect("digits");
    if price.starts_with('-') { -amount } else { amount }
}

fn read(path: &Path) -> Text {
    let file = BufReader::new(std::fs::File::open(path).expect("the file"));
    let mut text = Text::default();
    for line in BufReader::new(MultiGzDecoder::new(file)).lines().skip(1) {
        let line = line.expect("text");
        // From the right, so that a comma in the description does not matter.
        let fields: Vec<_> = line.rsplitn(6, ',').collect();
        let [country, _customer, price, _date, quantity, rest] = fields.try_into().expect("six fields");
        let number = rest.split(',').next().expect("a number");
        let value = quantity.parse::<i64>().expect("digits") * thousandths(price);
        text.lines += 1;
        text.value += value;
        text.numbers.insert(number.to_owned());
        if value > 0 && number.bytes().all(|b| b.is_ascii_digit()) {
            *text.ordered.entry(country.to_owned()).or_default() += value;
        }
    }
    text
}

fn settle(path: &Path) -> (Survey, Ledger) {
    let survey = Survey::of(path).expect("a sound file");
    let ledger = Ledger::of(Invoices::open(path, &survey).expect("opens")).expect("a sound file");
    (survey, ledger)
}

fn agree(text: &Text, survey: &Survey, ledger: &Ledger) {
    assert_eq!(survey.lines, text.lines);
    assert_eq!(survey.invoices(), text.numbers.len());
    assert_eq!(survey.value.units(), text.value * 10);
    assert!(ledger.balances(survey));
    let settled: BTreeMap<_, _> = ledger
        .countries
        .iter()
        .map(|(country, sums)| (country.clone(), sums.ordered.units()))
        .filter(|(_, units)| *units != 0)
        .collect();
    assert_eq!(settled, coded(text));
}

/// What was ordered by country, in ten-thousandths, by the code that the center groups by.
fn coded(text: &Text) -> BTreeMap<String, i64> {
    let of = |name: &str| country::code(name).unwrap_or(name).to_owned();
    text.ordered.iter().map(|(name, value)| (of(name), value * 10)).collect()
}

/// What was ordered in a file by country, in ten-thousandths, from its text.
pub(crate) fn by_country(path: &Path) -> BTreeMap<String, i64> {
    coded(&read(path))
}

/// The sample that comes with the project.
pub(crate) fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data/online_retail_sample.csv.gz")
}

#[test]
fn the_sample_is_what_its_readme_says() {
    let text = read(&sample());
    let (survey, ledger) = settle(&sample());
    agree(&text, &survey, &ledger);
    assert!(std::fs::metadata(sample()).expect("a file").len() < 1_500_000);
    assert_eq!((survey.lines, survey.invoices()), (62_142, 3_057));
    assert_eq!(survey.value.to_string(), "1081923.562");
    assert_eq!(ledger.countries.len(), 38);
    for name in ["IE", "Unspecified", "Channel Islands", "European Community"] {
        assert!(ledger.countries[name].orders > 0, "{name}");
    }
    for reason in [Reason::NoCustomer, Reason::Discount, Reason::BadDebt, Reason::WrittenOff, Reason::Booked] {
        assert!(ledger.left[&reason].lines > 0, "{reason:?}");
    }
    assert!(!ledger.left.contains_key(&Reason::Odd));
    let cancellations = ledger.cancellations;
    assert_eq!(cancellations.attributed + cancellations.partly + cancellations.unattributed, 443);
    assert!(cancellations.attributed > 250, "{cancellations:?}");
    let invoices = Invoices::open(&sample(), &survey).expect("opens");
    assert_eq!(invoices.filter(|i| i.as_ref().expect("sound").document == Document::Adjustment).count(), 3);
}

#[test]
fn the_full_file_adds_up() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/online_retail/online_retail.csv.gz");
    if !path.exists() {
        eprintln!("SKIPPED the_full_file_adds_up: {} is not there", path.display());
        return;
    }
    let text = read(&path);
    assert_eq!(text.lines, 541_909);
    let (survey, ledger) = settle(&path);
    agree(&text, &survey, &ledger);
    assert_eq!(survey.invoices(), 25_900);
    assert_eq!(survey.value.to_string(), "9747747.934");
}
