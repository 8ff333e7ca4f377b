# Magento 2 order (REST /V1/orders) -> unified order. Amounts are those in the order's currency, never the base_ ones.
# Empty fields are left out by Magento; an absent total_paid is nothing paid.

def amount: if type == "string" or type == "number" then dec else null end;
def flag: . == true or . == 1 or . == "1";

def address:
  object
  | {
      name: ([.prefix, .firstname, .middlename, .lastname, .suffix] | map(text) | join_present(" ")),
      company: (.company | text),
      lines: [.street | if type == "array" then .[] else . end | text | select(. != null)],
      city: (.city | text),
      region: ((.region | if type == "object" then .region else . end | text) // (.region_code | text)),
      postalCode: (.postcode | text),
      countryCode: (.country_id | text | country_code),
      country: (.country_id | text | if country_code == null then . else null end),
      phone: (.telephone | text)
    }
  | present
  | if . == {} then null else . end;

def top_level: (.parent_item_id | text | . == null or . == "0");

# Tax and discount of a bundle with dynamic prices stand on its children; those of a configurable product on itself.
def line($all; $inclusive):
  (.item_id | text) as $id
  | ([$all[] | select((top_level | not) and (.parent_item_id | text) == $id)]) as $children
  | (.qty_ordered | amount | or_zero) as $ordered
  | (.qty_canceled | amount | or_zero) as $canceled
  | ((if $inclusive then .price_incl_tax | amount else null end) // (.price | amount) | or_zero) as $price
  | ([., $children[] | .discount_amount | amount | if . == null then null else dec_abs end] | dec_sum) as $discount
  | ([., $children[] | .tax_amount | amount] | dec_sum) as $tax
  | {
      id: $id,
      sku: (.sku | text),
      productId: (.product_id | text),
      name: ((.name | text) // (.sku | text) // $id),
      quantity: {
        ordered: $ordered,
        current: (dec_sub($ordered; $canceled) | not_negative),
        fulfilled: ((.qty_shipped | amount | or_zero) as $shipped
          | if ($shipped | is_zero) and $children != [] and all($children[]; (.qty_shipped | amount | is_positive)
              and dec_cmp(.qty_shipped; .qty_ordered | amount) >= 0) then $ordered else $shipped end),
        canceled: $canceled,
        refunded: (.qty_refunded | amount | or_zero)
      },
      unitPrice: $price,
      discount: $discount,
      tax: $tax,
      total: ([dec_mul($price; $ordered), ($discount | dec_neg), (if $inclusive then null else $tax end)] | dec_sum),
      taxLines: [(.tax_percent | amount) as $percent | select($percent | is_positive)
        | { title: "tax", rate: dec_round(dec_shift($percent; -2); 4), amount: $tax }],
      attributes: ({
        productType: (.product_type | text | if . == "simple" then null else . end),
        virtual: (if .is_virtual | flag then true else null end),
        components: ([$children[] | select(.product_type != null) | .sku | text | select(. != null)]
          | if . == [] or length == 1 then null else . end)
      } | compact)
    }
  | present;

def states: { new: "new", pending: "new", pending_payment: "pending_payment", processing: "processing", complete: "complete",
  closed: "closed", canceled: "canceled", holded: "holded", payment_review: "payment_review" };

object as $in
| ($in.items | list) as $items
| ([$items[].item_id | text]) as $ids
| ([$items[] | select(top_level or ((.parent_item_id | text) as $parent | $ids | index([$parent]) == null))]) as $top
| ($in.extension_attributes | object) as $extension
| ($in.grand_total | amount) as $total
| ($in.tax_amount | amount | or_zero) as $tax
| ([$extension.gift_cards_amount, $extension.customer_balance_amount, $extension.reward_currency_amount | amount]) as $credits
| dec_add($in.discount_amount | amount | if . == null then null else dec_abs end; $credits | dec_sum) as $discount
| ([{ title: "gift wrapping", amount: ([$extension.gw_price, $extension.gw_items_price, $extension.gw_card_price | amount] | dec_sum) }
    | select(.amount | is_positive)]) as $fees
| def subtotal($inclusive): if $inclusive then $in.subtotal_incl_tax else $in.subtotal end | amount;
  def shipping($inclusive): if $inclusive then $in.shipping_incl_tax // $in.shipping_amount else $in.shipping_amount end | amount | or_zero;
  # Whether the prices and the totals of a side add up.
  def adds_up($inclusive):
    ([$top[] | dec_mul(if $inclusive then .price_incl_tax else .price end | amount; .qty_ordered | amount)] | dec_sum) as $sum
    | subtotal($inclusive) != null and dec_cmp($sum; subtotal($inclusive)) == 0
      and dec_cmp([subtotal($inclusive), ($discount | dec_neg), shipping($inclusive), $fees[].amount,
        (if $inclusive then null else $tax end)] | dec_sum; $total) == 0;
# Magento does not say on which side prices were entered. Where they were entered with tax, the ones without are
# derived, and a discount is one of the price with tax: only that side adds up.
((adds_up(false) | not) and (adds_up(true) or (($in.discount_tax_compensation_amount | amount | is_zero | not)
  and subtotal(true) != null))) as $inclusive
| ([$top[] | line($items; $inclusive)]) as $lines
| ((($in.state | text) // ($in.status | text)) as $word | if $word == null then null else states[$word] end) as $state
| (if $state == "holded" then states[$in.hold_before_state | text // ""] // "processing" else $state end) as $moving
| ($in.payment | object) as $payment
| ($in.total_paid | amount | or_zero) as $captured
| ($in.total_refunded | amount | or_zero) as $refunded
| ([($payment.amount_authorized | amount), ($captured | dec_neg), ($payment.amount_canceled | amount | if . == null then null else dec_neg end)]
    | dec_sum | not_negative) as $authorized
| (if ($captured | is_zero) and ($authorized | is_zero) then
     (if $total != null and ($total | is_zero) then "NOT_REQUIRED"
      elif $state == "payment_review" or $state == "pending_payment" then "PENDING"
      # A canceled order has a canceled amount also where nothing was authorized.
      elif ($payment.amount_authorized | amount | is_positive) and ($payment.amount_canceled | amount | is_positive) then "VOIDED" else "UNPAID" end)
   elif $captured | is_zero then (if dec_cmp($authorized; $total) >= 0 then "AUTHORIZED" else "PARTIALLY_AUTHORIZED" end)
   elif dec_cmp($refunded; $captured) >= 0 then "REFUNDED"
   elif dec_cmp(dec_sub($captured; $refunded); $total) > 0 then "OVERPAID"
   elif $refunded | is_positive then "PARTIALLY_REFUNDED"
   elif dec_cmp($captured; $total) == 0 then "PAID"
   else "PARTIALLY_PAID" end) as $payment_status
# What has to be shipped, and what was; virtual products never are.
| ([$top[] | select(.is_virtual | flag | not)]) as $physical
| ([$physical[] | [(.qty_ordered | amount), (.qty_canceled | amount | or_zero | dec_neg), (.qty_refunded | amount | or_zero | dec_neg)]
    | dec_sum | not_negative] | dec_sum) as $needed
| ([$physical[] | (.item_id | text) as $id | first($lines[] | select(.id == $id) | .quantity.fulfilled) // "0"] | dec_sum) as $shipped
| ([$extension.shipping_assignments | list | .[].shipping | select(type == "object")]) as $shippings
| ($in.creditmemos | list) as $memos
| ($in.status_histories | list) as $histories
| {
    sourceOrderId: ($in.entity_id | text),
    version: ((pick($in.updated_at) // pick($in.created_at) | micros) // 0),
    number: (($in.increment_id | text) // ($in.entity_id | text)),
    kind: (if $top != [] and $physical == [] then "DIGITAL" else "RETAIL" end),
    channel: ($in.store_name | text | if . == null then pick($in.store_id)
      else [split("\n")[] | text | select(. != null)] | join(" / ") end),
    status: (if $moving == "new" then (if ["UNPAID", "VOIDED", "PENDING", "PARTIALLY_PAID", "PARTIALLY_AUTHORIZED"] | index([$payment_status]) != null
        then "PENDING_PAYMENT" else "PENDING_ACCEPTANCE" end)
      else $moving | lookup({ pending_payment: "PENDING_PAYMENT", processing: "PROCESSING", complete: "COMPLETED", closed: "COMPLETED",
        canceled: "CANCELED", payment_review: "PENDING_ACCEPTANCE" }) end),
    paymentStatus: $payment_status,
    fulfillmentStatus: (if $state == null then "UNKNOWN"
      elif $top != [] and $physical == [] then (if $state == "canceled" then "CANCELED" else "NOT_REQUIRED" end)
      elif $shipped | is_positive then (if dec_cmp($shipped; $needed) >= 0 then "SHIPPED" else "PARTIALLY_SHIPPED" end)
      elif $state == "canceled" or $state == "closed" then "CANCELED"
      elif $state == "complete" and $top == [] then "UNKNOWN"
      else "UNFULFILLED" end),
    # Invoices, shipments and credit memos look much like orders, but name one.
    native: { state: (if $in.order_id != null then null else ($in.state | text) // ($in.status | text) end), subStates: ({ status: ($in.status | text),
      holdBeforeState: ($in.hold_before_state | text), holdBeforeStatus: ($in.hold_before_status | text) } | compact) },
    holds: (if $state == "holded" then [{ code: "ON_HOLD" }] elif $state == "payment_review" then [{ code: "PAYMENT_REVIEW" }] else [] end),
    currency: pick($in.order_currency_code),
    pricesIncludeTax: $inclusive,
    times: ({
      updatedAt: (pick($in.updated_at) // pick($in.created_at) | utc),
      placedAt: ($in.created_at | text | utc)
    } | with_entries(select(.value != null or .key == "updatedAt"))),
    customer: ({
      id: ($in.customer_id | text | if . == "0" then null else . end),
      name: (([$in.customer_prefix, $in.customer_firstname, $in.customer_middlename, $in.customer_lastname, $in.customer_suffix]
        | map(text) | join_present(" ")) // ($in.billing_address | address | if . == null then null else .name end)),
      email: (pick($in.customer_email) // pick($in.billing_address.email)),
      phone: pick($in.billing_address.telephone),
      group: ($in.customer_group_id | text)
    } | compact),
    billingAddress: ($in.billing_address | address),
    shippingAddress: ($shippings[0].address | address),
    lines: $lines,
    totals: ({
      subtotal: (subtotal($inclusive) // ([$lines[] | dec_mul(.unitPrice; .quantity.ordered)] | dec_sum)),
      discount: $discount,
      shipping: shipping($inclusive),
      tax: $tax,
      fees: ([$fees[].amount] | dec_sum),
      total: $total,
      authorized: $authorized,
      captured: $captured,
      refunded: $refunded,
      due: ($in.total_due | amount | not_negative)
    } | with_entries(select(.value != null or .key == "total"))),
    discounts: ([{ title: (pick($in.discount_description) // pick($in.coupon_code) // "discount"),
          amount: ($in.discount_amount | amount | if . == null then null else dec_abs end), couponCode: ($in.coupon_code | text) }
        | select(.amount | is_positive) | compact]
      + [{ title: "gift card", amount: $credits[0] }, { title: "store credit", amount: $credits[1] }, { title: "reward points", amount: $credits[2] }
        | select(.amount | is_positive)]),
    coupons: [$in.coupon_code | text | select(. != null) | { code: . }],
    taxLines: [$extension.applied_taxes | list | .[] | { title: ((.title | text) // (.code | text) // "tax"),
      rate: (.percent | amount | if . == null then null else dec_round(dec_shift(.; -2); 4) end), amount: (.amount | amount | or_zero) } | compact],
    shippingLines: [$in.shipping_description | text | select(. != null) | { title: ., amount: shipping($inclusive) }],
    fees: $fees,
    payments: [$payment | select(. != {}) | {
      id: ((.entity_id | text) // "payment"),
      method: ((.method | text) // "payment"),
      status: (if $refunded | is_positive then (if dec_cmp($refunded; $captured) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end)
        elif $captured | is_positive then (if dec_cmp($captured; $total) < 0 then "PARTIALLY_CAPTURED" else "CAPTURED" end)
        elif $authorized | is_positive then "AUTHORIZED"
        elif .amount_canceled | amount | is_positive then "VOIDED"
        else "PENDING" end),
      amount: ((.amount_ordered | amount) // $total // "0"),
      reference: ((.last_trans_id | text) // (.cc_trans_id | text)),
      createdAt: ($in.created_at | text | utc)
    } | compact],
    refunds: (if $memos != [] then [$memos[] | {
        id: (.entity_id | text),
        status: (.state | lookup({ "1": "PENDING", "2": "SUCCEEDED", "3": "CANCELED" })),
        amount: (.grand_total | amount | or_zero),
        shipping: (.shipping_amount | amount),
        createdAt: (.created_at | text | utc),
        lines: [.items | list | .[] | (.order_item_id | text) as $item
          | select((.qty | amount | is_positive) and any($lines[]; .id == $item))
          | { lineId: $item, quantity: (.qty | amount), amount: (.row_total_incl_tax // .row_total | amount) } | compact]
      } | present]
      # Credit memos are a resource of their own; the order has their sum.
      elif $refunded | is_positive then [{ id: "refunded", status: "SUCCEEDED", amount: $refunded }]
      else [] end),
    fulfillments: [$in.shipments | list | .[] | {
      id: (.entity_id | text),
      status: "SHIPPED",
      lines: [.items | list | .[] | (.order_item_id | text) as $item | select(any($lines[]; .id == $item))
        | { lineId: $item, quantity: (.qty | amount | or_zero) }],
      tracking: [.tracks | list | .[] | select((.track_number | text) != null)
        | { carrier: ((.title | text) // (.carrier_code | text)), number: (.track_number | text) } | compact],
      createdAt: (.created_at | text | utc)
    } | present],
    notes: ([$in.customer_note | text | select(. != null) | { text: ., author: "customer", customerVisible: true }]
      + [$histories | sort_by(.created_at | text)[] | select((.comment | text) != null)
          | { text: (.comment | text), at: (.created_at | text | utc), customerVisible: (.is_visible_on_front | flag) } | compact]),
    relations: [pick($in.relation_parent_id) | select(. != null and . != "0")
      | { type: "REPLACES", sourceOrderId: ., number: ($in.relation_parent_real_id | text) } | compact],
    events: [$histories | sort_by(.created_at | text)[] | select((.entity_id | text) != null and (.status | text) != null and (.created_at | text | utc) != null)
      | { id: (.entity_id | text), type: ((.entity_name | text) // "status"), at: (.created_at | text | utc), message: (.comment | text),
          toState: (.status | text) } | compact],
    attributes: ({
      storeId: ($in.store_id | text),
      paymentTitle: ([$extension.payment_additional_info | list | .[] | select(.key == "method_title") | .value | text] | first // null),
      shippingMethod: pick($shippings[0].method),
      externalOrderId: ($in.ext_order_id | text),
      baseCurrency: ($in.base_currency_code | text)
    } | compact)
  }
| with_entries(select((.value != null and .value != [] and .value != {})
    or (.key as $key | ["sourceOrderId", "number", "currency"] | index([$key]) != null)))
