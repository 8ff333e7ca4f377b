# One Vendure order of the Admin API. Amounts are integers of `moneyStrategyPrecision` digits, in every currency.

def money: dec_shift(.; 0 - ($config.money_precision | tonumber));
def greater($a; $b): if dec_cmp($a; $b) >= 0 then $a else $b end;

def states: {Created: "DRAFT", Draft: "DRAFT", AddingItems: "DRAFT", ArrangingPayment: "PENDING_PAYMENT", PaymentAuthorized: "PROCESSING", PaymentSettled: "PROCESSING",
  PartiallyShipped: "PROCESSING", Shipped: "PROCESSING", PartiallyDelivered: "PROCESSING", Delivered: $config.delivered_status,
  Modifying: "PROCESSING", ArrangingAdditionalPayment: "PROCESSING", Cancelled: "CANCELED"};
def payments_by_state: {Created: "UNPAID", Draft: "UNPAID", AddingItems: "UNPAID", ArrangingPayment: "UNPAID", PaymentAuthorized: "AUTHORIZED", PaymentSettled: "PAID",
  ArrangingAdditionalPayment: "PARTIALLY_PAID"};
def deliveries: {Created: "UNFULFILLED", Draft: "UNFULFILLED", AddingItems: "UNFULFILLED", ArrangingPayment: "UNFULFILLED", PaymentAuthorized: "UNFULFILLED", PaymentSettled: "UNFULFILLED",
  PartiallyShipped: "PARTIALLY_SHIPPED", Shipped: "SHIPPED", PartiallyDelivered: "PARTIALLY_DELIVERED", Delivered: "DELIVERED"};
def parcels: {Created: "IN_PROGRESS", Pending: "IN_PROGRESS", Shipped: "SHIPPED", Delivered: "DELIVERED", Cancelled: "CANCELED"};
def payment_states: {Created: "PENDING", Authorized: "AUTHORIZED", Settled: "CAPTURED", Declined: "FAILED", Error: "FAILED", Cancelled: "VOIDED"};
def refund_states: {Pending: "PENDING", Settled: "SUCCEEDED", Failed: "FAILED"};
def transaction_states: {Pending: "PENDING", Settled: "SUCCEEDED", Failed: "FAILED"};

# An address that is not set is an object of nulls.
def address: object | {
    name: (.fullName | text), company: (.company | text), lines: [(.streetLine1, .streetLine2) | text | values], city: (.city | text), region: (.province | text),
    postalCode: (.postalCode | text), countryCode: (.countryCode | text | country_code), country: (.country | if type == "object" then .name else . end | text), phone: (.phoneNumber | text)}
  | present | if . == {} then null else . end;

# What follows from the amounts; the words of the payments where no money moved.
def payment_status($flows; $total; $words):
  if ($flows.captured | is_zero) and ($flows.authorized | is_zero) then
    if $words | any(. == "PENDING") then "PENDING" elif $words | any(. == "VOIDED") then "VOIDED" elif $words | any(. == "FAILED") then "FAILED"
    elif $total | is_zero then "NOT_REQUIRED" else "UNPAID" end
  elif $flows.captured | is_zero then (if dec_cmp($flows.authorized; $total) >= 0 then "AUTHORIZED" else "PARTIALLY_AUTHORIZED" end)
  elif dec_cmp($flows.refunded; $flows.captured) >= 0 then "REFUNDED"
  elif dec_cmp(dec_sub($flows.captured; $flows.refunded); $total) > 0 then "OVERPAID"
  elif $flows.refunded | is_positive then "PARTIALLY_REFUNDED"
  elif dec_cmp($flows.captured; $total) == 0 then "PAID" else "PARTIALLY_PAID" end;

def order:
  . as $order
  | (.lines | list) as $items
  # Vendure computes from one of its two prices: the one that times the quantity gives the line is exact, the other is rounded.
  | (all($items[]; .linePrice == null or .unitPrice == null or dec_cmp(dec_mul(.unitPrice; .quantity); .linePrice) == 0) | not) as $gross
  | def price($net; $with_tax): (if $gross then $with_tax // $net else $net // $with_tax end) | money;
    (.fulfillments | list) as $fulfillments
  | [$fulfillments[] | select(.state | one_of("Shipped", "Delivered")) | .lines | list[] | {line: (.orderLineId | text), quantity}] as $handed
  | (.payments | list) as $payments
  | [$payments[] | (.id | text) as $payment | .refunds | list[] | . + {oc_payment: $payment}] as $refunds
  | [$items | to_entries[] | .key as $i | .value
      | (.id | text) as $id
      | (.quantity | dec) as $current
      # Canceling lowers `quantity`; a line added later or not placed yet has no placed quantity.
      | (if $current == null then null else greater(.orderPlacedQuantity | dec // "0"; $current) end) as $ordered
      | dec_sub($ordered; $current) as $canceled
      | price(.unitPrice; .unitPriceWithTax) as $unit
      | ((.proratedLinePriceWithTax // .discountedLinePriceWithTax // .linePriceWithTax) | money) as $now
      | ((.lineTax | money) // (if .linePrice == null then null else dec_sub(.linePriceWithTax; .linePrice) | money end) // "0") as $tax
      | (if $now == null then "0" else dec_sub(if $gross then dec_mul($unit; $current) else dec_add(dec_mul($unit; $current); $tax) end; $now) end) as $discount
      | (.productVariant | object) as $variant
      | [$refunds[] | select(.state != "Failed") | .lines | list[] | select((.orderLineId | text) == $id) | .quantity] as $refunded
      | {id: $id, sku: ($variant.sku | text), productId: ($variant.product | object | .id | text), variantId: ($variant.id | text),
         name: (($variant.name | text) // ($variant.sku | text) // "Line \($i + 1)" | cut(1000)),
         quantity: {ordered: $ordered, current: $current, canceled: $canceled, fulfilled: total($handed[] | select(.line == $id) | .quantity), refunded: ($refunded | dec_sum)},
         unitPrice: $unit, discount: $discount, tax: $tax,
         total: (dec_sub(dec_mul($unit; $ordered); $discount) | if $gross then . else dec_add(.; $tax) end),
         discounts: [.discounts | list[] | {title: (.description | text // "Discount"), amount: (price(.amount; .amountWithTax) | dec_neg)} | select(.amount != null)],
         taxLines: ([.taxLines | list[]] | if length == 1 then [.[0] | {title: (.description | text // "Tax"), rate: (if .taxRate == null then null else dec_div(.taxRate; 100; 4) end), amount: $tax} | compact] else [] end)}
      | present] as $lines
  | (.totalWithTax | money) as $total
  | [.shippingLines | list[] | {title: (.shippingMethod | object | (.name | text) // (.code | text) // "Shipping"), amount: price(.price; .priceWithTax)} | select(.amount != null)] as $shipping
  | total($lines[] | dec_mul(.unitPrice; .quantity.canceled)) as $canceled
  # Canceled shipping comes as a discount of the order, which it is not.
  | [.discounts | list[] | . + {oc_amount: (price(.amount; .amountWithTax) | dec_neg)} | select(.oc_amount != null)] as $off
  | total($off[] | select(.adjustmentSource == "CANCEL_ORDER") | .oc_amount) as $unshipped
  # The total falls with what is canceled; the lines keep what was ordered.
  | [(.surcharges | list[] | {title: (.description | text // "Surcharge"), amount: (price(.price; .priceWithTax) // "0")}),
     ({title: "Canceled", amount: $canceled}, {title: "Canceled shipping", amount: $unshipped} | select(.amount | is_positive) | .amount |= dec_neg)] as $fees
  | {subtotal: total($lines[] | dec_mul(.unitPrice; .quantity.ordered)), fees: total($fees[].amount),
     shipping: (if .shippingLines | type == "array" then total($shipping[].amount) else price(.shipping; .shippingWithTax) // "0" end),
     tax: (if .total == null then total(.taxSummary | list[] | .taxTotal | money) else dec_sub(.totalWithTax; .total) | money end), total: $total} as $sums
  | ([$sums.subtotal, $sums.shipping, $sums.fees, (if $gross then "0" else $sums.tax end), ($total | dec_neg)] | dec_sum) as $discount
  | (if .payments | type == "array" then {captured: total($payments[] | select(.state == "Settled") | .amount | money), authorized: total($payments[] | select(.state == "Authorized") | .amount | money),
       refunded: total($refunds[] | select(.state == "Settled") | .total | money)} else {} end) as $flows
  # The newest entries are asked for; they are told from the oldest on.
  | ([.history | object | .items | list[]] | if (.[0].createdAt // "") > (.[-1].createdAt // "") then reverse else . end) as $history
  | def reached($state): [$history[] | select(.type == "ORDER_STATE_TRANSITION" and (.data | object | .to) == $state) | .createdAt | text | values] | max // null | utc;
    {sourceOrderId: (.id | text), number: ((.code | text) // (.id | text)), currency: .currencyCode,
     # State transitions, payments and refunds leave `updatedAt` alone: the youngest trace of a change counts.
     version: ([.updatedAt, .createdAt, .orderPlacedAt, (($payments[], $refunds[], $fulfillments[]) | .updatedAt), ((.modifications | list[]), $history[] | .createdAt) | text | values] | max // null | micros),
     kind: $config.kind, channel: ([.channels | list[] | .code | text | values] | (map(select(. != "__default_channel__"))[0] // .[0])), pricesIncludeTax: $gross,
     sourceUrl: (($config.admin_url | blank_to_null) as $url | if $url then "\($url | rtrimstr("/"))/orders/\(.id)" else null end)}
  + {status: (.state | lookup(states)),
     paymentStatus: (if $flows == {} then .state | lookup(payments_by_state) else payment_status($flows; $total; [$payments[] | .state | lookup(payment_states)]) end),
     fulfillmentStatus: (.state as $state | if $state | one_of("Cancelled", "Modifying", "ArrangingAdditionalPayment") then
         if $handed == [] then (if $state == "Cancelled" then "CANCELED" else "UNFULFILLED" end)
         elif any($lines[]; dec_cmp(.quantity.fulfilled; .quantity.current) < 0) then "PARTIALLY_SHIPPED"
         elif all($fulfillments[] | select(.state != "Cancelled"); .state == "Delivered") then "DELIVERED" else "SHIPPED" end
       else $state | lookup(deliveries) | if . == "UNFULFILLED" and any($fulfillments[]; .state | one_of("Pending", "Created")) then "IN_PROGRESS" else . end end),
     native: {state: (.state | text), subStates: ({type, active} | compact)},
     holds: [if .state == "Modifying" then {code: "MODIFYING"} elif .state == "ArrangingAdditionalPayment" then {code: "ADDITIONAL_PAYMENT"} else empty end],
     times: ({updatedAt: (.updatedAt // .createdAt | utc), placedAt: (.orderPlacedAt | utc), paidAt: reached("PaymentSettled"), shippedAt: reached("Shipped"),
       deliveredAt: reached("Delivered"), canceledAt: (if .state == "Cancelled" then reached("Cancelled") else null end)} | compact)}
  + {customer: ((.customer | object) as $who | {id: ($who.id | text), name: (([$who.firstName, $who.lastName] | join_present(" ")) // (.shippingAddress | object | .fullName | text)),
       email: ($who.emailAddress | text), phone: ($who.phoneNumber | text)} | present),
     billingAddress: (.billingAddress | address), shippingAddress: (.shippingAddress | address)}
  + {lines: $lines, totals: ($sums + $flows + {discount: $discount} | compact), fees: $fees, shippingLines: $shipping,
     discounts: (([.promotions | list[] | {key: "PROMOTION:\(.id)", value: (.couponCode | text)}] | from_entries) as $codes | [$off[] | select(.adjustmentSource != "CANCEL_ORDER")
       | {title: (.description | text // "Discount"), amount: .oc_amount, couponCode: $codes[.adjustmentSource | text // ""]} | compact]),
     coupons: [.couponCodes | arrays | .[] | text | values | {code: .}],
     taxLines: [.taxSummary | list[] | {title: (.description | text // "Tax"), rate: (if .taxRate == null then null else dec_div(.taxRate; 100; 4) end), amount: (.taxTotal | money)} | select(.amount != null) | compact]}
  + {payments: [$payments[] | . as $one | total(.refunds | list[] | select(.state == "Settled") | .total | money) as $back
       | {id: (.id | text), method: (.method | text // "unknown"), amount: (.amount | money), reference: (.transactionId | text), createdAt: (.createdAt | utc),
          status: (.state | lookup(payment_states) | if . == "CAPTURED" and ($back | is_positive) then (if dec_cmp($back; $one.amount | money) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end) else . end),
          transactions: [(.state | lookup({Authorized: "AUTHORIZE", Settled: "CAPTURE", Declined: "AUTHORIZE", Error: "AUTHORIZE", Cancelled: "VOID", Created: "AUTHORIZE"})) as $type
            | {id: (.id | text), type: $type, status: (.state | lookup({Authorized: "SUCCEEDED", Settled: "SUCCEEDED", Cancelled: "SUCCEEDED", Declined: "FAILED", Error: "FAILED", Created: "PENDING"})), amount: (.amount | money),
               at: (.updatedAt // .createdAt | utc), reference: (.transactionId | text), error: (.errorMessage | text)},
            (.refunds | list[] | {id: "refund-\(.id)", type: "REFUND", status: (.state | lookup(transaction_states)), amount: (.total | money), at: (.updatedAt // .createdAt | utc), reference: (.transactionId | text)}) | compact]} | compact],
     refunds: [$refunds[] | {id: (.id | text), status: (.state | lookup(refund_states)), amount: (.total | money), reason: (.reason | text), paymentId: .oc_payment, createdAt: (.createdAt | utc),
       shipping: (.shipping | money | if is_zero then null else . end), lines: [.lines | list[] | {lineId: (.orderLineId | text), quantity: (.quantity | dec // "0")}]} | present],
     fulfillments: [$fulfillments[] | {id: (.id | text), status: (.state | lookup(parcels)), createdAt: (.createdAt | utc), lines: [.lines | list[] | {lineId: (.orderLineId | text), quantity: (.quantity | dec // "0")}],
       tracking: [{carrier: (.method | text), number: (.trackingCode | text)} | select(.number != null) | compact]} | present],
     relations: [(.aggregateOrderId | text | values | {type: "SPLIT_OF", sourceOrderId: .}),
       (.sellerOrders | list[] | {type: "AGGREGATE", sourceOrderId: (.id | text), number: (.code | text)} | compact)],
     notes: [$history[] | select(.type == "ORDER_NOTE") | {text: (.data | object | .note | text), author: (.administrator | object | .emailAddress | text), at: (.createdAt | utc), customerVisible: (.isPublic == true)}
       | select(.text != null) | compact],
     events: [$history[] | {id: (.id | text), type: .type, at: (.createdAt | utc), actor: (.administrator | object | .emailAddress | text)}
         + (if .type == "ORDER_STATE_TRANSITION" then .data | object | {fromState: (.from | text), toState: (.to | text)} else {} end)
       | select(.id != null and .type != null and .at != null) | compact]}
  + {attributes: ({nextStates} | present)}
  # An order whose lines were not selected is no whole order: the contract refuses it at /lines.
  | present | .lines //= (if $order.lines | type == "array" then [] else null end) | .times //= {};

if type != "object" then error("a Vendure order is a JSON object")
elif .state == null and .code == null then error("not an order: it has neither a state nor a code")
elif (.currencyCode | currency_code) == null then {sourceOrderId: (.id | text), currency: .currencyCode}
else order end
