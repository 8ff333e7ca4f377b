# One Medusa v2 order of the Admin API. Amounts are decimals in major units; `raw_X.value` is the exact text of `X`.

def exact($name): ((.["raw_" + $name] | object | .value) // .[$name]) | dec;

def payments: {not_paid: "UNPAID", awaiting: "PENDING", requires_action: "PENDING", authorized: "AUTHORIZED", partially_authorized: "PARTIALLY_AUTHORIZED",
  captured: "PAID", partially_captured: "PARTIALLY_PAID", refunded: "REFUNDED", partially_refunded: "PARTIALLY_REFUNDED", canceled: "VOIDED"};
def deliveries: {not_fulfilled: "UNFULFILLED", partially_fulfilled: "IN_PROGRESS", fulfilled: "READY", partially_shipped: "PARTIALLY_SHIPPED",
  shipped: "SHIPPED", partially_delivered: "PARTIALLY_DELIVERED", delivered: "DELIVERED", canceled: "CANCELED"};
def return_words: {requested: "REQUESTED", partially_received: "PARTIALLY_RECEIVED", received: "RECEIVED", canceled: "CANCELED"};

def address: object | {
    name: ([.first_name, .last_name] | join_present(" ")), company: (.company | text), lines: [(.address_1, .address_2) | text | values], city: (.city | text),
    region: (.province | text), postalCode: (.postal_code | text), countryCode: (.country_code | text | country_code), phone: (.phone | text)}
  | present | if . == {} then null else . end;

def rates: total(.tax_lines | list[] | exact("rate"));
# Medusa's totals of a line are those of what was not sent back; `$back` is what that came to, tax and discount included.
def taxes($back): dec_add(100; rates) as $whole
  | [.tax_lines | list[] | {title: ((.description | text) // (.code | text) // "Tax"), rate: (exact("rate") | if . == null then null else dec_div(.; 100; 4) end),
    amount: (exact("rate") as $rate | exact("total") | if . == null or ($back | is_zero) then . else dec_add(.; dec_div(dec_mul($back; $rate); $whole; 8)) end)}
    | select(.amount != null) | compact];
def untaxed_total($name): total(.tax_lines | list[] | exact("total"));

# A line or a shipping method: its price before discounts, what was taken off, its tax and what it comes to.
def sums($price; $quantity; $gross; $back):
  (if $back | is_zero then null else dec_div(dec_mul($back; rates); dec_add(100; rates); 8) end) as $back_tax
  | dec_add(exact("tax_total") // untaxed_total("tax"); $back_tax) as $tax
  | (exact("total") | if . == null then null else dec_add(.; $back) end) as $stated
  # Medusa's subtotals are net, also of prices that contain tax.
  | (if .is_tax_inclusive == true and ($gross | not) then
       (exact("original_subtotal") // exact("subtotal")) as $net
       | (if $net == null or ($quantity | is_zero) then $price elif $back | is_zero then dec_div($net; $quantity; 8) else dec_div(dec_mul($price; 100); dec_add(100; rates); 8) end)
     else $price end) as $unit
  | dec_mul($unit; $quantity) as $before
  | (if $gross then $before else dec_add($before; $tax) end) as $full
  | ($stated // dec_sub($full; total(.adjustments | list[] | exact("amount")))) as $total
  | {unit: $unit, before: $before, tax: $tax, total: $total, back_tax: $back_tax,
     # What is split off by a rate may leave the last digit over.
     discount: (dec_sub($full; $total) | if $back_tax then dec_round(.; 6) else . end)};

def order($currency):
  . as $order
  | (.items | list) as $items
  | ($items != [] and all($items[]; .is_tax_inclusive == true) and all(.shipping_methods | list[]; .is_tax_inclusive == true or (exact("total") != null))) as $gross
  | (.status | text) as $status
  | ((.canceled_at | text) != null or $status == "canceled") as $canceled
  | [$items | to_entries[] | .key as $i | .value
      | (.detail | object) as $detail
      | ((.detail | object | exact("quantity")) // exact("quantity")) as $quantity
      | total(exact("return_received_total"), exact("return_dismissed_total")) as $back
      | sums(exact("unit_price"); $quantity; $gross; $back) as $sums
      | ([$detail | exact("shipped_quantity"), exact("delivered_quantity")] | map(. // "0") | if dec_cmp(.[0]; .[1]) >= 0 then .[0] else .[1] end) as $handed
      | total($detail | exact("return_received_quantity"), exact("return_dismissed_quantity")) as $returned
      | {id: (.id | text), sku: (.variant_sku | text), productId: (.product_id | text), variantId: (.variant_id | text),
         name: ((([(.product_title | text) // (.title | text), ((.variant_title | text) // (.subtitle | text) | if . == "Default" or . == "Default variant" then null else . end)]
           | join_present(" - ")) // "Line \($i + 1)") | cut(1000)),
         quantity: {ordered: $quantity, current: (if $canceled then "0" else dec_sub($quantity; $returned) end), fulfilled: $handed,
           canceled: (if $canceled then $quantity else "0" end), returned: (if $canceled then "0" else $returned end)},
         unitPrice: $sums.unit, discount: $sums.discount, tax: $sums.tax, total: $sums.total,
         discounts: [.adjustments | list[] | {title: ((.code | text) // (.description | text) // "Discount"), amount: exact("amount"), couponCode: (.code | text)} | select(.amount != null) | compact],
         taxLines: taxes($back), oc: {$back, tax: $sums.back_tax}}
      | present] as $worked
  | [$worked[] | del(.oc)] as $lines
  | [.shipping_methods | list[] | {title: (.name | text // "Shipping"), taxLines: taxes("0")} + {sums: sums(exact("amount"); "1"; $gross; "0")}] as $methods
  | (.summary | object) as $summary
  | (exact("total") // ($summary | exact("current_order_total"))) as $total
  | {subtotal: total($lines[] | dec_mul(.unitPrice; .quantity.ordered)), discount: total($lines[].discount, $methods[].sums.discount), shipping: total($methods[].sums.before),
     tax: (exact("tax_total") | if . then dec_add(.; total($worked[].oc.tax)) else total($lines[].tax, $methods[].sums.tax) end), total: $total} as $sums
  | dec_sub($total; [$sums.subtotal, ($sums.discount | dec_neg), $sums.shipping, (if $gross then "0" else $sums.tax end)] | dec_sum) as $rest
  # What was sent back no longer counts in the total. A refund leaves a credit line, which lowers it; so do gift cards.
  | (exact("credit_line_total") // ($summary | exact("credit_line_total"))) as $credit
  | [if $rest | is_zero then empty else {title: "Returned goods", amount: total($worked[].oc.back)}, {title: "Credit", amount: $credit}, {title: "Gift card", amount: exact("gift_card_total")} | select(.amount | is_positive) | .amount |= dec_neg end] as $fees
  | (.payment_collections | list) as $collections
  | [$collections[] | .payments | list[]] as $paid
  | (if $collections == [] then {captured: ($summary | exact("paid_total")), refunded: ($summary | exact("refunded_total"))}
     else {captured: total($collections[] | exact("captured_amount")), refunded: total($collections[] | exact("refunded_amount")),
       authorized: total($collections[] | select(.status != "canceled") | dec_sub(exact("authorized_amount") // total(.payments | list[] | select(.canceled_at == null) | exact("amount")); exact("captured_amount")) | not_negative)} end
     # Medusa goes on to ask for the money of an order that was called off.
     | .due = ($summary | exact("pending_difference") | if $canceled and is_positive then "0" else . end)) as $flows
  | (.payment_status | text) as $native_payment
  | (if $native_payment == null then (if $status == "draft" then "UNPAID" else "UNKNOWN" end) else $native_payment | lookup(payments) end
      | if . == "UNPAID" and ($total | is_zero) then "NOT_REQUIRED"
        # Medusa says `refunded` of any refund where a part was captured.
        elif . == "REFUNDED" and dec_cmp(dec_sub($flows.captured; $flows.refunded); "1") > 0 then "PARTIALLY_REFUNDED"
        # It stays `captured` when goods come back or an edit takes some off.
        elif one_of("PAID", "PARTIALLY_REFUNDED") and dec_cmp(dec_sub(dec_sub($flows.captured; $flows.refunded); $total); "0.01") >= 0 then "OVERPAID" else . end) as $payment
  # One that is still being entered says nothing yet, and is deleted without a trace when it is given up.
  | [.returns | list[] | select(.status != "open")] as $returns
  | {sourceOrderId: (.id | text), number: ((.custom_display_id | text) // (.display_id | text) // (.id | text)), currency: $currency,
     # Captures and returns move neither `version` nor `updated_at` of the order, so the youngest of its parts counts.
     version: ([.updated_at, .created_at, ($collections[], $paid[], $returns[], (.fulfillments | list[]) | .updated_at) | text | values] | max // null | micros),
     kind: $config.kind, channel: ((.sales_channel | object | .name | text) // (.sales_channel_id | text)), pricesIncludeTax: $gross,
     sourceUrl: (($config.admin_url | blank_to_null) as $url | if $url then "\($url | rtrimstr("/"))/orders/\(.id)" else null end)}
  + {status: (if $canceled then "CANCELED" elif $status == "draft" or .is_draft_order == true then "DRAFT"
       elif $status | one_of("completed", "archived") then "COMPLETED"
       elif $status | one_of("pending", "requires_action") then
         if $payment == "UNKNOWN" then "UNKNOWN" elif $payment | one_of("UNPAID", "PENDING", "PARTIALLY_AUTHORIZED", "VOIDED") then "PENDING_PAYMENT" else "PROCESSING" end
       else "UNKNOWN" end),
     paymentStatus: $payment,
     fulfillmentStatus: (if .fulfillment_status == null and $status == "draft" then "UNFULFILLED" else .fulfillment_status | lookup(deliveries) end),
     returnStatus: (if any($lines[]; .quantity.returned | is_positive) then
         if all($lines[]; dec_cmp(.quantity.returned; .quantity.ordered) >= 0) then "RETURNED" else "PARTIALLY_RETURNED" end
       elif any($returns[]; .status | one_of("partially_received", "received")) then "IN_PROGRESS" elif any($returns[]; .status == "requested") then "REQUESTED" else "NONE" end),
     native: {state: $status, subStates: ({paymentStatus: .payment_status, fulfillmentStatus: .fulfillment_status, version} | compact)},
     holds: [if $status == "requires_action" then {code: "REQUIRES_ACTION"} else empty end],
     times: ({updatedAt: (.updated_at // .created_at | utc), placedAt: (if $status == "draft" then null else .created_at | utc end), canceledAt: (.canceled_at | utc),
       paidAt: (if $payment | one_of("PAID", "OVERPAID") then [$paid[] | .captured_at | text | values] | max // null | utc else null end),
       shippedAt: (if .fulfillment_status | one_of("shipped", "delivered") then [.fulfillments | list[] | .shipped_at | text | values] | max // null | utc else null end),
       deliveredAt: (if .fulfillment_status == "delivered" then [.fulfillments | list[] | .delivered_at | text | values] | max // null | utc else null end)} | compact)}
  + {customer: ((.customer | object) as $who | {id: ((.customer_id | text) // ($who.id | text)),
       name: (([$who.first_name, $who.last_name] | join_present(" ")) // ((.billing_address | address | object | .name) // (.shipping_address | address | object | .name))),
       email: ((.email | text) // ($who.email | text)), phone: ($who.phone | text)} | present),
     billingAddress: (.billing_address | address), shippingAddress: (.shipping_address | address)}
  + {lines: $lines, totals: ($sums + $flows + {fees: total($fees[].amount)} | compact), fees: $fees,
     discounts: ([$lines[] | .discounts // [] | .[]] | group_by([.title, .couponCode]) | map(.[0] + {amount: total(.[].amount)})),
     coupons: [[$items[] | .adjustments | list[] | .code | text | values] | unique | .[] | {code: .}],
     taxLines: ([($lines[], $methods[]) | .taxLines // [] | .[]] | group_by([.title, .rate]) | map(.[0] + {amount: total(.[].amount)})),
     shippingLines: [$methods[] | {title, amount: .sums.before}]}
  + {payments: [$paid[] | . as $one
       | total(.captures | list[] | exact("amount")) as $captured | total(.refunds | list[] | exact("amount")) as $back | exact("amount") as $amount
       | {id: (.id | text), method: (.provider_id | text // "unknown"), provider: (.provider_id | text), amount: $amount, createdAt: (.created_at | utc),
          status: (if $captured | is_zero then (if .canceled_at | text then "VOIDED" else "AUTHORIZED" end)
            elif $back | is_positive then (if dec_cmp($back; $captured) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end)
            elif dec_cmp($captured; $amount) < 0 then "PARTIALLY_CAPTURED" else "CAPTURED" end),
          transactions: [{id: "\(.id)", type: "AUTHORIZE", status: "SUCCEEDED", amount: $amount, at: (.created_at | utc)},
            (.captures | list[] | {id: (.id | text), type: "CAPTURE", status: "SUCCEEDED", amount: exact("amount"), at: (.created_at | utc)}),
            (.refunds | list[] | {id: (.id | text), type: "REFUND", status: "SUCCEEDED", amount: exact("amount"), at: (.created_at | utc)}),
            (if .canceled_at | text then {id: "\(.id)-void", type: "VOID", status: "SUCCEEDED", amount: $amount, at: (.canceled_at | utc)} else empty end) | compact]} | compact],
     refunds: [$paid[] | (.id | text) as $payment | .refunds | list[] | {id: (.id | text), status: "SUCCEEDED", amount: exact("amount"), paymentId: $payment, createdAt: (.created_at | utc),
       reason: ((.note | text) // (.refund_reason | object | .label | text))} | compact],
     fulfillments: [.fulfillments | list[] | {id: (.id | text), location: (.location_id | text), createdAt: (.created_at | utc), shippedAt: (.shipped_at | utc), deliveredAt: (.delivered_at | utc),
       status: (if .canceled_at | text then "CANCELED" elif .delivered_at | text then "DELIVERED" elif .shipped_at | text then "SHIPPED" elif .packed_at | text then "READY" else "IN_PROGRESS" end),
       lines: [.items | list[] | {lineId: (.line_item_id | text), quantity: exact("quantity")} | select(.lineId != null)],
       tracking: [.labels | list[] | {number: (.tracking_number | text), url: (.tracking_url | text), carrier: null} | select(.number != null) | compact]} | present],
     returns: [$returns[] | {id: (.id | text), status: (.status | lookup(return_words)), createdAt: ((.requested_at // .created_at) | utc),
       reason: ([.items | list[] | (.reason | object | .label) // .note | text | values] | unique | if . == [] then null else join(", ") end),
       lines: [.items | list[] | {lineId: (.item_id | text), quantity: exact("quantity"),
         disposition: (if exact("damaged_quantity") | is_positive then "DAMAGED" elif exact("received_quantity") | is_positive then "RESTOCK" else "PENDING" end)} | select(.lineId != null)]} | present]}
  + {attributes: ({regionId: (.region_id | text), originalTotal: (if $fees == [] then null else (exact("original_total") // ($summary | exact("original_order_total"))) end)} | compact)}
  # An order whose items were not selected is no whole order: the contract refuses it at /lines.
  | present | .lines //= (if $order.items | type == "array" then [] else null end) | .times //= {};

if type != "object" then error("a Medusa order is a JSON object")
elif .payment_status == null and .status == null and .items == null then error("not an order: it has no status and no items")
elif has("tax_rate") and has("cart_id") then error("not an order of v2: a Medusa v1 order, its amounts are minor units and its shape another; this adapter reads v2")
# A retrieved order names its currency; the default field selection leaves it to the region or the payment collection.
else ([.currency_code, (.region | object | .currency_code), (.payment_collections | list[] | .currency_code)] | map(text | values) | .[0] // null) as $currency
  | if $currency == null or ($currency | test("^[A-Za-z]{3}$") | not) then {sourceOrderId: (.id | text), currency: $currency} else order($currency | ascii_upcase) end
end
