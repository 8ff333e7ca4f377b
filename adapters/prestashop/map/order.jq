# One order of the PrestaShop webservice in its JSON form. An order names its currency, state, customer and addresses by
# id only: settings translate the first two, and sub-resources that the source fetched into the order are read where
# they stand (see README). All amounts are those with tax, in the order's currency.

# ---- small readers
# A value of a converter from XML hides behind its attributes.
def plain: if type == "object" then (.["#text"] // .["__cdata"] // .["#cdata-section"] // null) else . end;
def text: plain | if . == null or type == "array" then null elif type == "string" then blank_to_null else tostring end;
def id: text | if . == "0" then null else . end;
def amount: text | if . != null and test("^[+-]?[0-9]+(\\.[0-9]+)?([eE][+-]?[0-9]+)?$") then dec else null end;
def flag: text | . == "1" or . == "true";
# A list, one thing alone, or the element around it in converted XML.
def list($element): if type == "array" then .[] | objects
  elif type == "object" then
    if has($element) then .[$element] | if type == "array" then .[] | objects else objects end
    elif has("id") then . else empty end
  else empty end;
def time: text
  | if . == null then null
    elif test("(Z|[+-][0-9]{2}:?[0-9]{2})$") and test(":") then utc
    elif utc == null then null
    else (utc | rtrimstr("Z")) + $config.utc_offset end;

# ---- words
# These ten are the same in every version; later ids depend on the version and on the modules.
def states: {"1": "AWAITING_PAYMENT", "2": "PAID", "3": "PREPARATION", "4": "SHIPPED", "5": "DELIVERED", "6": "CANCELED",
  "7": "REFUNDED", "8": "PAYMENT_ERROR", "9": "BACKORDER_PAID", "10": "AWAITING_PAYMENT"};
# The mail template tells what an embedded state means, whatever its id.
def templates: {cheque: "AWAITING_PAYMENT", bankwire: "AWAITING_PAYMENT", payment: "PAID", preparation: "PREPARATION",
  shipped: "SHIPPED", order_canceled: "CANCELED", refund: "REFUNDED", payment_error: "PAYMENT_ERROR",
  cashondelivery: "CASH_ON_DELIVERY"};
def statuses: {AWAITING_PAYMENT: "PENDING_PAYMENT", CASH_ON_DELIVERY: "PROCESSING", PAID: "PROCESSING", PREPARATION: "PROCESSING",
  SHIPPED: "AWAITING_CONFIRMATION", DELIVERED: "COMPLETED", CANCELED: "CANCELED", REFUNDED: "COMPLETED",
  PAYMENT_ERROR: "PENDING_PAYMENT", BACKORDER_PAID: "PROCESSING", BACKORDER_UNPAID: "PENDING_PAYMENT"};
def payment_statuses: {AWAITING_PAYMENT: "UNPAID", CASH_ON_DELIVERY: "UNPAID", PAID: "PAID", PREPARATION: "PAID",
  SHIPPED: "PAID", DELIVERED: "PAID", CANCELED: "UNPAID", REFUNDED: "REFUNDED", PAYMENT_ERROR: "FAILED",
  BACKORDER_PAID: "PAID", BACKORDER_UNPAID: "UNPAID"};
def fulfillment_statuses: {AWAITING_PAYMENT: "UNFULFILLED", CASH_ON_DELIVERY: "UNFULFILLED", PAID: "UNFULFILLED",
  PREPARATION: "IN_PROGRESS", SHIPPED: "SHIPPED", DELIVERED: "DELIVERED", CANCELED: "CANCELED",
  PAYMENT_ERROR: "UNFULFILLED", BACKORDER_PAID: "UNFULFILLED", BACKORDER_UNPAID: "UNFULFILLED"};
# A name in several languages: the first one that says something.
def name_of: if type == "array" then [.[] | if type == "object" then (.value // .) else . end | text | values] | .[0]
  elif type == "object" and has("language") then .language | if type == "array" then .[0] else . end | text
  else text end;

def address: object | {
    name: ([.firstname, .lastname] | map(text) | join_present(" ")), company: (.company | text),
    lines: [(.address1, .address2) | text | values], city: (.city | text),
    region: (.state | if type == "object" then .name | name_of else text end), postalCode: (.postcode | text),
    countryCode: ((.country | objects | .iso_code | text) // (.country_iso_code | text) | country_code),
    country: (.country | if type == "object" then .name | name_of else text end),
    phone: ((.phone_mobile | text) // (.phone | text))
  } | present | if . == {} then null else . end;

def order:
  (.current_state | text) as $state
  | (.order_state | object) as $known
  | ($config.states[$state // ""]? // (if $known.template then templates[$known.template | name_of // ""] else null end)
      // (if ($known.template | name_of) == "outofstock" then if $known.paid | flag then "BACKORDER_PAID" else "BACKORDER_UNPAID" end else null end)
      // states[$state // ""]
      // (if $known.shipped | flag then "SHIPPED" elif $known.paid | flag then "PAID" else null end)) as $word
  | (.id_currency | text) as $currency_id
  | ((.currency | objects | .iso_code | text) // (.currency | text) // (.currency_iso_code | text) // $config.currencies[$currency_id // ""]?
      // "id_currency \($currency_id) is not among the setting `currencies`") as $currency
  | (if [$currency] | inside(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]) then 3 else 2 end) as $digits
  | ([.order_details | list("order_detail") | {key: (.id | text // ""), value: .}] | from_entries) as $details
  | ([.associations | object | .order_rows | list("order_row")] | if . == [] then $details | to_entries | map(.value) else . end) as $rows
  | [$rows[] | . as $row | ($details[.id | text // ""] // {}) as $detail
      | (.product_quantity | amount // "0") as $ordered
      | (.unit_price_tax_incl | amount // ($row.product_price | amount) // "0") as $unit
      # The shop rounds each unit (round type 1) or each line to the digits of the currency.
      | (($detail.total_price_tax_incl | amount) // dec_mul($unit; $ordered) | dec_round(.; $digits)) as $gross
      | (dec_div($gross; $ordered; 4) // dec_round($unit; 4)) as $each
      | (if dec_cmp(dec_mul($each; $ordered); $gross) == 0 then $each else dec_round($unit; 4) end) as $price
      | (if .unit_price_tax_excl | amount then dec_mul(dec_sub($unit; .unit_price_tax_excl | amount); $ordered) | dec_round(.; $digits) else "0" end) as $tax
      | ($detail.product_quantity_return | amount // "0") as $returned
      | {
          id: (.id | text), sku: ((.product_reference | text) // ($detail.product_reference | text) | cut(255)),
          productId: (.product_id | id), variantId: (.product_attribute_id | id),
          name: ((.product_name | text) // (.product_reference | text) // "Item \(.id | text)" | cut(1000)),
          quantity: (if $word == "CANCELED" then {ordered: $ordered, current: "0", canceled: $ordered}
            else {ordered: $ordered, current: (dec_sub($ordered; $returned) | if is_positive then . else "0" end), returned: $returned,
              refunded: ($detail.product_quantity_refunded | amount // "0"),
              fulfilled: (if $word == "SHIPPED" or $word == "DELIVERED" then $ordered else "0" end)} end),
          unitPrice: $price, tax: $tax, total: $gross,
          taxLines: [if $tax | is_zero then empty else {title: "Tax", amount: $tax} end],
          attributes: ({ean13: (.product_ean13 | text), upc: (.product_upc | text), isbn: (.product_isbn | text),
            customization: (.id_customization | id)} | present)
        } | compact] as $lines
  | ((.total_paid_tax_incl | amount) // (.total_paid | amount)) as $said
  | ((.total_products_wt | amount) // (.total_products | amount) // ([$lines[].total] | dec_sum)) as $subtotal
  | ((.total_shipping_tax_incl | amount) // (.total_shipping | amount) // "0") as $shipping
  | ((.total_wrapping_tax_incl | amount) // (.total_wrapping | amount) // "0") as $wrapping
  | ((.total_discounts_tax_incl | amount) // (.total_discounts | amount) // "0" | dec_abs) as $discount
  | ($said // dec_sub(dec_add($subtotal; dec_add($shipping; $wrapping)); $discount)) as $total
  | (.total_paid_tax_excl | amount | if . == null then "0" else dec_sub($total; .) end) as $tax
  | [.order_payments | list("order_payment") | select((.id_currency | text) == null or (.id_currency | text) == $currency_id)
      | (.id | text) as $id | (.amount | amount // "0") as $amount | {
          id: $id, method: (.payment_method | text // "other"), status: (if dec_cmp($amount; "0") < 0 then "REFUNDED" else "CAPTURED" end),
          amount: $amount, reference: (.transaction_id | text), createdAt: (.date_add | time),
          transactions: [{id: $id, type: "SALE", status: "SUCCEEDED", amount: $amount, at: (.date_add | time)} | compact]
        } | compact] as $payments
  | [.order_slips // .order_slip | list("order_slip") | {
          id: (.id | text), status: "SUCCEEDED",
          amount: (if .total_products_tax_incl | amount then dec_add(.total_products_tax_incl | amount; .total_shipping_tax_incl | amount)
            else dec_add(.amount | amount; .shipping_cost_amount | amount) end | dec_abs),
          shipping: ((.total_shipping_tax_incl | amount) // (.shipping_cost_amount | amount) | if is_zero then null else . end),
          createdAt: (.date_add | time),
          lines: [.associations | object | .order_slip_details | list("order_slip_detail") | {lineId: (.id_order_detail | text),
            quantity: (.product_quantity | amount // "0"), amount: (.amount_tax_incl | amount)} | select(.lineId != null) | compact]
        } | compact] as $refunds
  | (if has("order_slips") or has("order_slip") then [$refunds[].amount] | dec_sum else null end) as $refunded
  # A refunded order without its credit slips keeps its payment in `total_paid_real`: nothing tells what went back.
  | (if $word == "REFUNDED" and ($refunded | is_zero) then null else .total_paid_real | amount end) as $captured
  | ($word | lookup(payment_statuses)) as $claim
  | (if $captured == null then $claim
     elif $captured | is_zero then if ($total | is_zero) and $claim != "FAILED" then "NOT_REQUIRED" else $claim end
     elif $refunded != null and dec_cmp($refunded; $captured) >= 0 then "REFUNDED"
     elif dec_cmp(dec_sub($captured; $refunded); $total) > 0 then "OVERPAID"
     elif $refunded | is_positive then "PARTIALLY_REFUNDED"
     elif dec_cmp($captured; $total) == 0 then "PAID"
     else "PARTIALLY_PAID" end) as $payment
  | ($word | lookup(fulfillment_statuses)) as $delivery
  | (.customer | object) as $customer
  | ([$lines[].quantity.returned | values] | dec_sum) as $returned
  | {
      sourceOrderId: (.id | text), version: (.date_upd | time | micros), number: ((.reference | text) // (.id | text) | cut(255)),
      kind: "RETAIL", channel: (.id_shop | id | if . == null then null else "shop \(.)" end),
      status: ($word | lookup(statuses)), paymentStatus: $payment, fulfillmentStatus: $delivery,
      returnStatus: (if $returned | is_zero then "NONE" elif all($lines[]; dec_cmp(.quantity.returned; .quantity.ordered) >= 0) then "RETURNED" else "PARTIALLY_RETURNED" end),
      native: {state: $state, subStates: ({name: ($known.name | name_of), valid: (.valid | text)} | present)},
      holds: [if $word == "BACKORDER_PAID" or $word == "BACKORDER_UNPAID" then {code: "BACKORDER", reason: "A product is out of stock."} else empty end],
      pricesIncludeTax: true,
      times: ({updatedAt: (.date_upd | time), placedAt: (.date_add | time)} | compact),
      customer: ({id: (.id_customer | id), name: ([$customer.firstname, $customer.lastname] | map(text) | join_present(" ")), email: ($customer.email | text)}
        | compact | if . == {} then null else . end),
      billingAddress: (.address_invoice | address), shippingAddress: (.address_delivery | address),
      lines: $lines,
      totals: ({subtotal: $subtotal, discount: $discount, shipping: $shipping, tax: $tax, fees: $wrapping, total: $total,
        captured: $captured, refunded: $refunded} | compact),
      discounts: [.order_cart_rules | list("order_cart_rule") | {title: (.name | name_of // "Cart rule"), amount: (.value | amount // "0")}],
      taxLines: [if $tax | is_zero then empty else {title: "Tax", amount: $tax} end],
      shippingLines: [if $shipping | is_zero then empty else {title: ((.carrier | objects | .name | text) // "Shipping"), amount: $shipping} end],
      fees: [if $wrapping | is_zero then empty else {title: "Gift wrap", amount: $wrapping} end],
      payments: $payments, refunds: $refunds,
      fulfillments: ([.order_carriers | list("order_carrier") | {id: (.id | text), number: (.tracking_number | text), at: (.date_add | time)}] as $carriers
        | (if $carriers == [] then [.shipping_number | text | values | {id: "shipping", number: .}] else $carriers end)
        | map({id, status: $delivery, tracking: [.number | values | {number: .}], createdAt: .at} | compact)),
      notes: [(.gift_message | text | values | {text: ., customerVisible: true}), (.note | text | values | {text: .})],
      attributes: ({paymentMethod: (.payment | text), paymentModule: (.module | text), carrierId: (.id_carrier | id), cartId: (.id_cart | id),
        languageId: (.id_lang | id), invoiceNumber: (.invoice_number | id), gift: (if .gift | flag then true else null end),
        billingAddressId: (.id_address_invoice | id), shippingAddressId: (.id_address_delivery | id)} | present)
    } | compact + {sourceOrderId, currency: $currency};

# A list without `display=full` holds ids alone; other resources hold no totals of an order.
if type == "object" and (.id | text) != null and (.current_state | text) != null then order else {sourceOrderId: null} end
