//! The countries of the data set and their ISO 3166-1 codes.
//!
//! It owns the spelling of the file. It refuses to guess: what is no country of ISO 3166-1 keeps its name and has no
//! code. That is so that a report by country never files a sale under a country that nobody named.

/// The file's names that are one country of ISO 3166-1 each. Not among them: `Channel Islands` (Jersey and Guernsey
/// have a code each), `European Community` and `Unspecified`.
const CODES: &[(&str, &str)] = &[
    ("Australia", "AU"),
    ("Austria", "AT"),
    ("Bahrain", "BH"),
    ("Belgium", "BE"),
    ("Brazil", "BR"),
    ("Canada", "CA"),
    ("Cyprus", "CY"),
    ("Czech Republic", "CZ"),
    ("Denmark", "DK"),
    ("EIRE", "IE"),
    ("Finland", "FI"),
    ("France", "FR"),
    ("Germany", "DE"),
    ("Greece", "GR"),
    ("Hong Kong", "HK"),
    ("Iceland", "IS"),
    ("Israel", "IL"),
    ("Italy", "IT"),
    ("Japan", "JP"),
    ("Lebanon", "LB"),
    ("Lithuania", "LT"),
    ("Malta", "MT"),
    ("Netherlands", "NL"),
    ("Norway", "NO"),
    ("Poland", "PL"),
    ("Portugal", "PT"),
    ("RSA", "ZA"),
    ("Saudi Arabia", "SA"),
    ("Singapore", "SG"),
    ("Spain", "ES"),
    ("Sweden", "SE"),
    ("Switzerland", "CH"),
    ("USA", "US"),
    ("United Arab Emirates", "AE"),
    ("United Kingdom", "GB"),
];

/// The ISO 3166-1 alpha-2 code of a country as the file spells it; none where it has none or the name is unknown.
#[must_use]
pub fn code(name: &str) -> Option<&'static str> {
    CODES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}
