"""Selects the sample of whole invoices from the full data set, always the same one. Needs nothing but Python 3.

Usage: python3 demo/data/sample.py online_retail.csv.gz demo/data/online_retail_sample.csv.gz
"""

import csv
import gzip
import sys

FULL, SAMPLE = sys.argv[1:]
with gzip.open(FULL, "rt", encoding="utf-8", newline="") as file:
    header, *rows = csv.reader(file)
NUMBER, SKU, DATE, CUSTOMER, COUNTRY = (
    header.index(name) for name in ("InvoiceNo", "StockCode", "InvoiceDate", "CustomerID", "Country")
)

customers = {row[CUSTOMER] for row in rows if row[CUSTOMER]}
by_country = {}
for row in rows:
    by_country.setdefault(row[COUNTRY], set()).add(row[CUSTOMER])

# Whole histories of customers, so that a cancellation stands beside the purchase it reverses: one customer in
# ten, and of every country the customer with the lowest number.
chosen = {customer for customer in customers if int(customer) % 10 == 8}
chosen |= {min(c for c in by_country[country] if c) for country in by_country if any(by_country[country])}
# A country without any customer number (Hong Kong) is taken as a whole.
nameless = {country for country in by_country if not any(by_country[country])}
newest_day = max(row[DATE] for row in rows)[:10]


def wanted(row):
    digits = int("".join(filter(str.isdigit, row[NUMBER])))
    return (
        row[CUSTOMER] in chosen
        or row[COUNTRY] in nameless
        or row[NUMBER].startswith("A")  # bad debt written off
        or (not row[CUSTOMER] and digits % 10 == 8)  # sales without a customer, stock movements, fees
        or row[DATE].startswith(newest_day)  # still open when the demo begins
    )


numbers = {row[NUMBER] for row in rows if wanted(row)}
with open(SAMPLE, "wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed:
    lines = [header, *(row for row in rows if row[NUMBER] in numbers)]
    text = "".join(",".join('"' + f.replace('"', '""') + '"' if set(f) & set(',"\n') else f for f in line) + "\n" for line in lines)
    packed.write(text.encode("utf-8"))
