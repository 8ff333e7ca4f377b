# One order of NAME. The record is the input; the result is the unified order (schema: `order-center schema order-snapshot`).
# Money is passed on as the platform wrote it and computed with dec_* functions only: + and * would make binary floats.

# Native to unified. A word that is not here becomes UNKNOWN and is shown, never guessed.
def statuses: {new: "PENDING_PAYMENT", paid: "PROCESSING", sent: "AWAITING_CONFIRMATION", done: "COMPLETED", canceled: "CANCELED"};
def payments: {new: "UNPAID", paid: "PAID", sent: "PAID", done: "PAID", canceled: "VOIDED"};
def parcels: {new: "UNFULFILLED", paid: "UNFULFILLED", sent: "SHIPPED", done: "DELIVERED", canceled: "CANCELED"};

def line: {
    id: (.id | tostring), sku, name: .title,
    quantity: {ordered: (.quantity | dec), current: (.quantity | dec), fulfilled: "0"},
    unitPrice: (.price | dec), discount: "0", tax: "0", total: dec_mul(.price; .quantity)};

if type != "object" or (.lines | type) != "array" then error("not an order: it has no lines") else
{ sourceOrderId: (.id | tostring), number: (.number // .id | tostring), kind: $config.kind,
  version: (.updated_at | micros), currency,
  status: (.state | lookup(statuses)), paymentStatus: (.state | lookup(payments)), fulfillmentStatus: (.state | lookup(parcels)),
  native: {state},
  times: ({placedAt: (.created_at | utc), updatedAt: (.updated_at | utc)} | compact) }
+ { customer: ({name: .customer.name, email: .customer.email} | compact),
    lines: [.lines[] | line | compact],
    totals: ({subtotal: ([.lines[] | dec_mul(.price; .quantity)] | dec_sum), shipping: (.shipping | dec), total: (.total | dec)} | compact) }
end
