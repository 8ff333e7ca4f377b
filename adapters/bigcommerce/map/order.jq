# BigCommerce V2 order -> unified order. Amounts are in the currency the shopper pays in. Every amount exists with and
# without tax; the order is mapped on the side that the store enters its prices on.

def amount: if type == "string" or type == "number" then dec else null end;

# V2 writes RFC 2822 times: "Tue, 05 Mar 2019 21:40:11 +0000". V3 and newer fields write RFC 3339.
def time:
  text
  | if . == null then null
    elif test("^[A-Za-z]{3}, ") then
      (capture("^[A-Za-z]{3}, (?<d>[0-9]{1,2}) (?<m>[A-Za-z]{3}) (?<y>[0-9]{4}) (?<t>[0-9:]{8}) (?<z>[+-][0-9]{4}|GMT|UTC)$") as $t
      | { Jan: "01", Feb: "02", Mar: "03", Apr: "04", May: "05", Jun: "06", Jul: "07", Aug: "08", Sep: "09", Oct: "10",
          Nov: "11", Dec: "12" }[$t.m] as $month
      | "\($t.y)-\($month)-\(("0" + $t.d)[-2:])T\($t.t)\(if $t.z | startswith("+") or startswith("-") then $t.z else "Z" end)"
      | utc) // .
    else utc end;

def address:
  object
  | {
      name: ([.first_name, .last_name] | map(text) | join_present(" ")),
      company: (.company | text),
      lines: [.street_1, .street_2 | text | select(. != null)],
      city: (.city | text),
      region: (.state | text),
      postalCode: (.zip | text),
      countryCode: (.country_iso2 | text | country_code),
      country: (.country | text),
      phone: (.phone | text)
    }
  | present
  | if . == {} then null else . end;

# An amount on the side of the prices: with tax, or without.
def side($inclusive; $name): if $inclusive then .[$name + "_inc_tax"] else .[$name + "_ex_tax"] // .[$name + "_exc_tax"] end | amount;

def line($inclusive):
  (.id | text) as $id
  | (.quantity | amount | or_zero) as $quantity
  | ((side($inclusive; "price") // (.base_price | amount)) | or_zero) as $price
  | (.applied_discounts | list) as $discounts
  | ([$discounts[].amount | amount] | dec_sum) as $discount
  | (.total_tax | amount | or_zero) as $tax
  | dec_sub(dec_mul($price; $quantity); $discount) as $net
  | {
      id: $id,
      sku: (.sku | text),
      productId: (.product_id | text | if . == "0" then null else . end),
      variantId: (.variant_id | text | if . == "0" then null else . end),
      name: ((.name | text) // (.name_customer | text) // (.sku | text) // $id),
      quantity: {
        ordered: $quantity,
        current: $quantity,
        fulfilled: (.quantity_shipped | amount | or_zero),
        refunded: (.quantity_refunded | amount | or_zero)
      },
      unitPrice: $price,
      discount: $discount,
      tax: $tax,
      total: ((.discounted_total_inc_tax | amount) // (if $inclusive then $net else dec_add($net; $tax) end)),
      discounts: [$discounts[] | { title: ((.name | text) // (.id | text) // "discount"), amount: (.amount | amount | or_zero),
        couponCode: (.code | text) } | compact],
      attributes: ({
        type: (.type | text | if . == "physical" then null else . end),
        parentLineId: (.parent_order_product_id | text),
        options: ([.product_options | list | .[] | select((.display_name | text) != null)
          | "\(.display_name): \(.display_value | text // "")"] | if . == [] then null else . end),
        wrapping: (.wrapping_name | text)
      } | compact)
    }
  | present;

def payment_word: text | if . == null then null else ascii_downcase end;
def payment_table: { "authorized": "AUTHORIZED", "captured": "PAID", "capture pending": "PENDING", "declined": "FAILED",
  "held for review": "PENDING", "paid": "PAID", "partially refunded": "PARTIALLY_REFUNDED", "pending": "PENDING",
  "refunded": "REFUNDED", "void": "VOIDED", "void pending": "PENDING" };
def state_table: { "authorized": "AUTHORIZED", "captured": "CAPTURED", "capture pending": "AUTHORIZED", "declined": "FAILED",
  "held for review": "PENDING", "paid": "CAPTURED", "partially refunded": "PARTIALLY_REFUNDED", "pending": "PENDING",
  "refunded": "REFUNDED", "void": "VOIDED", "void pending": "AUTHORIZED" };

# Statuses by id; merchants rename the texts.
def status_ids: { "incomplete": "0", "pending": "1", "shipped": "2", "partially shipped": "3", "refunded": "4", "cancelled": "5",
  "declined": "6", "awaiting payment": "7", "awaiting pickup": "8", "awaiting shipment": "9", "completed": "10",
  "awaiting fulfillment": "11", "manual verification required": "12", "disputed": "13", "partially refunded": "14" };

object as $in
| (($in.status_id | text) // (status_ids[($in.status | text // "") | ascii_downcase])) as $id
| ([$in.consignments | object | .shipping, .downloads, .pickups | list | .[].line_items | list | .[]]) as $consigned
| (if ($in.products | type) == "array" then $in.products | list else $consigned end) as $raw_lines
| ([$in.fees | list | .[]]) as $raw_fees
| ($in.total_inc_tax | amount) as $total
| ($in.total_tax | amount // (if ($in.total_ex_tax | amount) == null then "0" else dec_sub($total; $in.total_ex_tax | amount) end)) as $tax
| dec_add($in.discount_amount | amount; $in.coupon_discount | amount) as $discount
| def fees($inclusive): [
    ($raw_fees[] | { title: ((.display_name_customer | text) // (.display_name_merchant | text) // (.name | text) // (.type | text) // "fee"),
        amount: ((side($inclusive; "cost") // (.base_cost | amount)) | or_zero) }),
    ({ title: "handling", amount: ($in | side($inclusive; "handling_cost")) }, { title: "wrapping", amount: ($in | side($inclusive; "wrapping_cost")) }
      | select(.amount | is_positive))
  ];
  def sum($inclusive): [($in | side($inclusive; "subtotal")), ($discount | dec_neg), ($in | side($inclusive; "shipping_cost")),
    fees($inclusive)[].amount, (if $inclusive then null else $tax end)] | dec_sum;
# The store's word on its prices, unless only the other side adds up, with its fees or without: orders written through
# the API may mix both sides, and their total may lack the fees.
def adds_up($inclusive): ([fees($inclusive)[].amount] | dec_sum) as $fees
    | sum($inclusive) as $sum | dec_cmp($sum; $total) == 0 or dec_cmp(dec_sub($sum; $fees); $total) == 0;
($in.is_tax_inclusive_pricing == true or ($total != null and (adds_up(false) | not) and adds_up(true))) as $inclusive
| ([$raw_lines[] | line($inclusive)]) as $lines
| ($in.items_total | amount) as $items
| ($in.items_shipped | amount | or_zero) as $shipped
| ($items != null and ($items | is_positive) and dec_cmp($shipped; $items) >= 0) as $all_shipped
| ($in.order_is_digital == true) as $digital
| (if $all_shipped then "SHIPPED" elif $shipped | is_positive then "PARTIALLY_SHIPPED" else "UNFULFILLED" end) as $by_items
| ($in.payment_status | payment_word) as $paid
| (if $id == "4" and ($paid == null or $paid == "captured" or $paid == "paid") then "REFUNDED"
   elif $id == "14" and ($paid == null or $paid == "captured" or $paid == "paid") then "PARTIALLY_REFUNDED"
   elif $paid != null then $paid | lookup(payment_table)
   elif $total != null and ($total | is_zero) then "NOT_REQUIRED"
   else { "0": "UNPAID", "1": "UNPAID", "6": "FAILED", "7": "UNPAID", "10": "PAID", "11": "PAID" }[$id // ""] // "UNKNOWN" end)
   as $payment_status
| ($in.refunds | list) as $raw_refunds
| ([$raw_refunds[] | {
      id: (.id | text),
      status: (if any(.payments | list | .[]; .is_declined == true) then "FAILED" else "SUCCEEDED" end),
      amount: (.total_amount | amount | or_zero),
      reason: (.reason | text),
      createdAt: (.created | time),
      lines: [.items | list | .[] | select(.item_type == "PRODUCT" and (.item_id | text) != null)
        | { lineId: (.item_id | text), quantity: (.quantity | amount | or_zero), amount: (.requested_amount | amount) } | compact]
    } | present]) as $itemized
# refunded_amount stays zero for many refunded orders, so zero says nothing there.
| ($in.refunded_amount | amount | if (. == null or is_zero) and $itemized != [] then [$itemized[] | select(.status == "SUCCEEDED") | .amount] | dec_sum
    elif . != null and is_zero and ($payment_status == "REFUNDED" or $payment_status == "PARTIALLY_REFUNDED") then null
    else . end) as $refunded
| ($in.store_credit_amount | amount | or_zero) as $credit
| ($in.gift_certificate_amount | amount | or_zero) as $gift
| ($in | side($inclusive; "shipping_cost") // (.base_shipping_cost | amount) | or_zero) as $shipping
| (if ($in.shipping_addresses | type) == "array" then $in.shipping_addresses | list
   else [$in.consignments | object | .shipping | list | .[] | (.shipping_address | object) + .] end) as $addresses
| {
    sourceOrderId: ($in.id | text),
    version: ((pick($in.date_modified) // pick($in.date_created) | time | micros) // 0),
    number: ($in.id | text),
    kind: (if $digital then "DIGITAL" else "RETAIL" end),
    channel: (pick($in.channel_id) // pick($in.order_source)),
    status: (if $id == "13" then (if $all_shipped then "AWAITING_CONFIRMATION" else "PROCESSING" end)
      elif $id == "14" then (if $all_shipped then "COMPLETED" else "PROCESSING" end)
      else $id | lookup({ "0": "DRAFT", "1": "PENDING_PAYMENT", "2": "AWAITING_CONFIRMATION", "3": "PROCESSING", "4": "COMPLETED",
        "5": "CANCELED", "6": "CANCELED", "7": "PENDING_PAYMENT", "8": "PROCESSING", "9": "PROCESSING", "10": "COMPLETED",
        "11": "PROCESSING", "12": "PENDING_ACCEPTANCE" }) end),
    paymentStatus: $payment_status,
    fulfillmentStatus: ({ "2": "SHIPPED", "3": "PARTIALLY_SHIPPED", "5": "CANCELED", "6": "CANCELED", "8": "READY", "9": "READY",
        "10": (if $digital then "DELIVERED" else $by_items end) }[$id // ""]
      // (if $id == null or ($id | tonumber? // 99) > 14 then "UNKNOWN" else $by_items end)),
    native: { state: (($in.status | text) // ($in.status_id | text)), subStates: ({ statusId: $in.status_id, customStatus: ($in.custom_status | text),
      paymentStatus: ($in.payment_status | text) } | compact) },
    holds: (if $id == "12" then [{ code: "MANUAL_VERIFICATION" }] elif $id == "13" then [{ code: "DISPUTED" }] else [] end),
    currency: (pick($in.default_currency_code) // pick($in.transactional_currency_code) // pick($in.currency_code)),
    pricesIncludeTax: $inclusive,
    times: ({
      updatedAt: (pick($in.date_modified) // pick($in.date_created) | time),
      placedAt: (if $id == "0" then null else $in.date_created | time end),
      shippedAt: ($in.date_shipped | time)
    } | with_entries(select(.value != null or .key == "updatedAt"))),
    customer: ({
      id: ($in.customer_id | text | if . == "0" then null else . end),
      name: ($in.billing_address | address | if . == null then null else .name end),
      email: pick($in.billing_address.email),
      phone: pick($in.billing_address.phone)
    } | compact),
    billingAddress: ($in.billing_address | address),
    shippingAddress: ($addresses[0] | address),
    lines: $lines,
    totals: ({
      subtotal: (($in | side($inclusive; "subtotal")) // ([$lines[] | dec_mul(.unitPrice; .quantity.ordered)] | dec_sum)),
      discount: $discount,
      shipping: $shipping,
      tax: $tax,
      fees: ([fees($inclusive)[].amount] | dec_sum),
      total: $total,
      refunded: $refunded
    } | with_entries(select(.value != null or .key == "total"))),
    discounts: [{ title: "discount", amount: ($in.discount_amount | amount) } | select(.amount | is_positive)],
    coupons: [$in.coupons | list | .[] | select((.code | text) != null)
      | { code: (.code | text), discount: (.discount | amount) } | compact],
    taxLines: [$in.taxes | list | .[] | { title: ((.name | text) // "tax"),
      rate: (.rate | amount | if . == null then null else dec_round(dec_shift(.; -2); 4) end), amount: (.line_amount | amount | or_zero) } | compact],
    shippingLines: (if $addresses != [] and all($addresses[]; (side($inclusive; "cost")) != null)
      then [$addresses[] | { title: ((.shipping_method | text) // "shipping"), amount: side($inclusive; "cost") }]
      elif $shipping | is_positive then [{ title: "shipping", amount: $shipping }] else [] end),
    fees: fees($inclusive),
    payments: [
      ({ id: "payment", method: ($in.payment_method | text), amount: ([$total, ($credit | dec_neg), ($gift | dec_neg)] | dec_sum),
          status: (if $paid == null then "UNKNOWN" else $paid | lookup(state_table) end), reference: ($in.payment_provider_id | text) }
        | select(.method != null) | compact),
      ({ id: "store_credit", method: "store_credit", amount: $credit, status: "CAPTURED" },
        { id: "gift_certificate", method: "gift_certificate", amount: $gift, status: "CAPTURED" } | select(.amount | is_positive))
    ],
    refunds: (if $itemized != [] then $itemized
      elif $refunded | is_positive then [{ id: "refunded", status: "SUCCEEDED", amount: $refunded }] else [] end),
    fulfillments: [$in.shipments | list | .[] | {
      id: (.id | text),
      status: "SHIPPED",
      lines: [.items | list | .[] | select((.order_product_id | text) != null)
        | { lineId: (.order_product_id | text), quantity: (.quantity | amount | or_zero) }],
      tracking: [select((.tracking_number | text) != null) | { carrier: (pick(.shipping_provider_display_name) // pick(.tracking_carrier)
        // pick(.shipping_provider)), number: (.tracking_number | text), url: (pick(.tracking_link) // pick(.generated_tracking_link)) } | compact],
      createdAt: (.date_created | time)
    } | present],
    notes: [({ text: ($in.customer_message | text), author: "customer", customerVisible: true }, { text: ($in.staff_notes | text), author: "staff" })
      | select(.text != null)],
    attributes: ({
      orderSource: ($in.order_source | text),
      externalSource: ($in.external_source | text),
      externalId: (pick($in.external_id) // pick($in.external_order_id)),
      displayCurrency: ($in.currency_code | text),
      cartId: ($in.cart_id | text),
      archived: (if $in.is_deleted == true then true else null end)
    } | compact)
  }
| with_entries(select((.value != null and .value != [] and .value != {})
    or (.key as $key | ["sourceOrderId", "number", "currency"] | index([$key]) != null)))
