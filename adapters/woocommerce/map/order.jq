# One WooCommerce order. The legacy API (`/wc-api/v1` to `v3`: `order_number`, `billing_address`, times in UTC) is first
# brought into the shape of `wp-json/wc/v3`. Every amount of WooCommerce is net of tax, whatever `prices_include_tax` says.

def number_or_null: if . == null or . == 0 or . == "0" or . == "" then null else tostring end;
# A time that is none is passed on as it stands: the contract refuses it where it is.
def at: text | if . == null then null elif is_time then utc else . end;

def states: {"auto-draft": "DRAFT", draft: "DRAFT", "checkout-draft": "DRAFT", pending: "PENDING_PAYMENT", failed: "PENDING_PAYMENT",
  "on-hold": "PENDING_PAYMENT", processing: "PROCESSING", completed: "COMPLETED", refunded: "COMPLETED", cancelled: "CANCELED"};
def payments: {"auto-draft": "UNPAID", draft: "UNPAID", "checkout-draft": "UNPAID", pending: "UNPAID", failed: "FAILED",
  "on-hold": "PENDING", processing: "PAID", completed: "PAID", refunded: "REFUNDED", cancelled: "UNPAID"};
def deliveries: {"auto-draft": "UNFULFILLED", draft: "UNFULFILLED", "checkout-draft": "UNFULFILLED", pending: "UNFULFILLED", failed: "UNFULFILLED",
  "on-hold": "UNFULFILLED", processing: "UNFULFILLED", completed: "SHIPPED", refunded: "UNFULFILLED", cancelled: "CANCELED"};

def modern:
  if has("billing_address") or has("order_number") or has("payment_details") then
    . + {number: (.order_number // .id), billing: .billing_address, shipping: .shipping_address, customer_note: .note,
         date_created_gmt: .created_at, date_modified_gmt: .updated_at,
         date_completed_gmt: (if .status == "completed" then .completed_at else null end), date_paid_gmt: null,
         discount_total: .total_discount, shipping_total: .total_shipping,
         payment_method: (.payment_details | object | .method_id), payment_method_title: (.payment_details | object | .method_title), legacy_paid: (.payment_details | object | .paid)}
    | .line_items = [.line_items | list[] | . + {meta_data: .meta}]
    | .tax_lines = [.tax_lines | list[] | . + {label: .title, tax_total: .total}]
    | .fee_lines = [.fee_lines | list[] | . + {name: .title}]
    | .coupon_lines = [.coupon_lines | list[] | . + {discount: .amount}]
  else . end;

def address: object | {
    name: ([.first_name, .last_name] | join_present(" ")), company: (.company | text), lines: [(.address_1, .address_2) | text | values],
    city: (.city | text), region: (.state | text), postalCode: (.postcode | text), countryCode: (.country | text | country_code),
    country: (.country | text | if . != null and country_code == null then . else null end), phone: (.phone | text)}
  | present | if . == {} then null else . end;

def order:
  . as $order
  | (.status | text // "" | ltrimstr("wc-")) as $status
  | (.line_items | list) as $items
  | [.refunds | list[] | select(.id | number_or_null != null)] as $refunds
  | ([.tax_lines | list[] | {key: (.rate_id // .rate_code | text // ""), value: (.label // .rate_code | text)}] | from_entries) as $rates
  | [$refunds[] | .line_items | list[]
      | {line: ([.meta_data | list[] | select(.key == "_refunded_item_id") | .value | text] | .[0]), quantity: (.quantity | dec_abs)}] as $undone
  | [$items | to_entries[] | .key as $i | .value
      | (.id | text // "\($i)") as $id
      | (.subtotal // .total | dec) as $subtotal
      | (.total // .subtotal | dec) as $net
      | (.total_tax | dec // "0") as $tax
      | {id: $id, sku: (.sku | text), productId: (.product_id | number_or_null), variantId: (.variation_id | number_or_null),
         name: ((.name | text) // (.sku | text) // "Line \($i + 1)" | cut(1000)),
         quantity: {ordered: (.quantity | dec), current: (.quantity | dec), fulfilled: (if $status == "completed" then .quantity | dec else "0" end),
           refunded: total($undone[] | select(.line == $id) | .quantity)},
         # Null where there is no quantity to divide by.
         unitPrice: (if $subtotal == null then .price | dec elif .quantity | dec == null then null
           else dec_div($subtotal; .quantity; 8) // (if $subtotal | is_zero then "0" else .price | dec end) end),
         discount: dec_sub($subtotal; $net), tax: $tax, total: dec_add($net; $tax),
         taxLines: [.taxes | if type == "object" then [.[]] else . end | list[]
           | {title: ($rates[.id | text // ""] // "Tax"), amount: (.total | dec)} | select(.amount != null)],
         attributes: ([.meta_data | list[] | select((.key // .label | text // "_") | startswith("_") | not)
             | {key: (.display_key // .label // .key | tostring), value: (.display_value // .value)} | select(.value | type | . == "string" or . == "number")]
           | from_entries)}
      | present] as $lines
  | total($refunds[] | (.total // .amount) | dec_abs) as $refunded
  | (.date_paid_gmt // .date_paid | text) as $paid_at
  | (.total | dec) as $total
  | {subtotal: total($items[] | .subtotal // .total), discount: (.discount_total | dec // total($lines[].discount)),
     shipping: ((.shipping_total | dec) // total(.shipping_lines | list[] | .total)), tax: (.total_tax | dec // total($lines[].tax)),
     fees: total(.fee_lines | list[] | .total), total: $total,
     captured: (if $paid_at then $total else null end), refunded: (if .refunds | type == "array" then $refunded else null end)} as $totals
  # The date of payment is a fact; the status is what the shop did with the order.
  | ($status | lookup(payments)
      | if $refunded | is_positive then (if dec_cmp($refunded; $total) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end)
        elif . == "REFUNDED" then .
        elif $paid_at or $order.legacy_paid == true then (if $total | is_zero then "NOT_REQUIRED" else "PAID" end)
        # Cash on delivery is in work before it is paid.
        elif . == "PAID" and ($order.payment_method == "cod" or $order.legacy_paid == false) and $status == "processing" then "PENDING"
        elif (. == "PAID" or . == "UNPAID") and ($total | is_zero) then "NOT_REQUIRED"
        else . end) as $payment
  | (.payment_method | text) as $method
  | {sourceOrderId: (.id | number_or_null), number: ((.number | text) // (.id | number_or_null)), currency: .currency,
     version: ([.date_modified_gmt, .date_modified, .date_created_gmt, .date_created | text | values | select(is_time)] | if . == [] then 0 else .[0] | micros end),
     kind: $config.kind, channel: (.created_via | text), pricesIncludeTax: false,
     sourceUrl: (($config.admin_url | blank_to_null) as $url | if $url then "\($url | rtrimstr("/"))/post.php?post=\(.id)&action=edit" else null end)}
  + {status: ($status | lookup(states)), paymentStatus: $payment,
     fulfillmentStatus: (if $status == "refunded" and (.date_completed_gmt // .date_completed | text) then "SHIPPED" else $status | lookup(deliveries) end),
     native: {state: (.status | text)},
     times: ({updatedAt: (.date_modified_gmt // .date_modified // .date_created_gmt // .date_created | at), placedAt: (if $status | lookup(states) == "DRAFT" then null else .date_created_gmt // .date_created | at end),
       paidAt: ($paid_at | at), completedAt: (if $status == "completed" or $status == "refunded" then .date_completed_gmt // .date_completed | at else null end)} | compact)}
  + {customer: ((.billing | object) as $billing | {id: (.customer_id | number_or_null), name: ([$billing.first_name, $billing.last_name] | join_present(" ")),
       email: ($billing.email | text), phone: ($billing.phone | text)} | present),
     billingAddress: (.billing | address), shippingAddress: (.shipping | address)}
  + {lines: $lines, totals: ($totals | compact),
     discounts: [.coupon_lines | list[] | {title: (.code | text // "Discount"), amount: (.discount | dec), couponCode: (.code | text)} | select(.amount | is_positive) | compact],
     coupons: [.coupon_lines | list[] | {code: (.code | text), discount: (.discount | dec)} | select(.code != null) | compact],
     taxLines: [.tax_lines | list[] | {title: ((.label // .rate_code | text) // "Tax"),
       rate: (if .rate_percent == null then null else dec_div(.rate_percent; 100; 4) end), amount: ([.tax_total, .shipping_tax_total] | dec_sum)} | compact],
     shippingLines: [.shipping_lines | list[] | {title: ((.method_title | text) // (.method_id | text) // "Shipping"), amount: (.total | dec // "0")}],
     fees: [.fee_lines | list[] | {title: (.name | text // "Fee"), amount: (.total | dec // "0")}]}
  + {payments: (if $method == null and $paid_at == null then [] else [{
       id: ((.transaction_id | text) // (.id | tostring)), method: ($method // "unknown"), provider: (.payment_method_title | text), amount: $total, createdAt: ($paid_at | at),
       reference: (.transaction_id | text),
       status: ($payment | if . == "REFUNDED" or . == "PARTIALLY_REFUNDED" or . == "FAILED" then . elif . == "PAID" then "CAPTURED" elif . == "UNKNOWN" then . else "PENDING" end)} | compact] end),
     refunds: [$refunds[] | {id: (.id | tostring), status: "SUCCEEDED", amount: ((.total // .amount) | dec_abs), reason: (.reason | text), createdAt: (.date_created_gmt // .date_created | at),
       lines: [.line_items | list[] | {lineId: ([.meta_data | list[] | select(.key == "_refunded_item_id") | .value | text] | .[0]),
         quantity: (.quantity | dec_abs), amount: ([.total, .total_tax] | dec_sum | dec_abs)} | select(.lineId != null)]} | present],
     # The shipment tracking extension keeps its parcels in the order's metadata.
     fulfillments: [.meta_data | list[] | select(.key == "_wc_shipment_tracking_items") | .value | list[] | select(.tracking_number | text)
       | {id: ((.tracking_id // .tracking_number) | text), status: "SHIPPED",
          shippedAt: (.date_shipped | text | if . != null and test("^[0-9]{9,10}$") then tonumber | todate else null end),
          tracking: [{carrier: ((.custom_tracking_provider | text) // (.tracking_provider | text)), number: (.tracking_number | text), url: (.custom_tracking_link | text)} | compact]} | present],
     notes: [.customer_note | text | values | {text: ., author: "customer", customerVisible: true}]}
  + {attributes: ({shopPricesIncludeTax: (if .prices_include_tax == true then true else null end), parentId: (.parent_id | number_or_null)} | compact)}
  | present | .lines //= [] | .times //= {};

if type != "object" then error("a WooCommerce order is a JSON object")
elif .currency == null and .total == null then error("not an order: it has neither a currency nor a total")
elif (.currency | currency_code) == null then {sourceOrderId: (.id | number_or_null), currency}
else modern | order end
