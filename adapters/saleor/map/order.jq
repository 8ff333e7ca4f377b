# Saleor order -> unified order. Three shapes arrive: the GraphQL Order (camelCase, TaxedMoney), the notification
# webhooks and the older order webhooks (snake_case, flat amounts). All amounts are gross: Saleor computes both sides
# and its grand total is the gross one.

def word: if type == "string" and . != "" then ascii_upcase | gsub("[- ]"; "_") else null end;
def money: if type == "object" then .amount else . end | dec;

def address:
  object
  | {
      name: ([.firstName // .first_name, .lastName // .last_name] | join_present(" ")),
      company: ((.companyName // .company_name) | text),
      lines: [(.streetAddress1 // .street_address_1), (.streetAddress2 // .street_address_2),
        (.cityArea // .city_area) | text | select(. != null)],
      city: (.city | text),
      region: ((.countryArea // .country_area) | text),
      postal_code: ((.postalCode // .postal_code) | text),
      country_code: (.country | if type == "object" then .code else . end | text | country_code),
      country: (.country | if type == "object" then .country else . end | text),
      phone: (.phone | text)
    }
  | { name, company, lines, city, region, postalCode: .postal_code, countryCode: .country_code,
      country: (if .country_code == null or (.country | country_code) == null then .country else null end), phone }
  | present
  | if . == {} then null else . end;

# Which order line a line of a fulfillment or refund speaks of; the older webhooks give its SKU alone.
def line_id($order):
  pick(.orderLine.id) // pick(.order_line.id) // pick(.order_line_id) // pick(.order_line | strings)
  // ((.product_sku | text) as $sku
      | if $sku == null then null
        else first($order.lines | list | .[] | select((.productSku // .product_sku) == $sku) | .id | text) // null end);

def handed_lines($order):
  [.lines | list | .[] | line_id($order) as $line | select($line != null)
    | { lineId: $line, quantity: (.quantity | dec | or_zero) }];

def line($order):
  ((.undiscountedTotalPrice.gross.amount)? // .undiscounted_total_price_gross_amount | dec) as $undiscounted
  | ((.totalPrice.gross.amount)? // .total_price_gross_amount // .total_gross_amount | dec) as $stated
  | ((.totalPrice.net.amount)? // .total_price_net_amount // .total_net_amount | dec) as $net
  | (.quantity | dec | or_zero) as $quantity
  | ((.unitPrice.gross.amount)? // .unit_price_gross_amount | dec) as $unit
  | ((.unitDiscount // .unit_discount_amount) | money | or_zero) as $unit_discount
  | (((.undiscountedUnitPrice.gross.amount)? // .undiscounted_unit_price_gross_amount | dec)
      // (if $unit == null then null else dec_add($unit; $unit_discount) end)
      // (if $stated == null then null else dec_div($stated; $quantity; 4) end) // "0") as $price
  | ($stated // dec_mul($unit // $price; $quantity)) as $total
  | (if $undiscounted != null then dec_sub($undiscounted; $total) else dec_sub(dec_mul($price; $quantity); $total) end)
    as $reduction
  | (.id | text) as $id
  | ([$order.fulfillments | list | .[] | { status: (.status | word), line: (.lines | list | .[]) }
      | select((.line | line_id($order)) == $id)]) as $handed
  | ([$handed[] | select(.status | . == "RETURNED" or . == "REFUNDED_AND_RETURNED" or . == "REPLACED")
      | .line.quantity] | dec_sum) as $returned
  | {
      id: $id,
      sku: ((.productSku // .product_sku) | text),
      productId: (pick(.variant.product.id) // pick(.product.id)),
      variantId: (pick(.variant.id) // pick(.productVariantId) // pick(.product_variant_id)),
      name: (([.productName // .product_name, .variantName // .variant_name] | join_present(" - "))
        // ((.productSku // .product_sku) | text) // $id),
      quantity: {
        ordered: $quantity,
        current: (dec_sub($quantity; $returned) | not_negative),
        fulfilled: ((.quantityFulfilled // .quantity_fulfilled) | dec
          // ([$handed[] | select(.status != "CANCELED" and .status != "WAITING_FOR_APPROVAL") | .line.quantity]
              | dec_sum)),
        returned: $returned,
        refunded: ([$handed[] | select(.status == "REFUNDED" or .status == "REFUNDED_AND_RETURNED")
          | .line.quantity] | dec_sum)
      },
      unitPrice: $price,
      discount: $reduction,
      tax: (((.totalPrice.tax.amount)? // .total_tax_amount | dec)
        // (if $net == null then "0" else dec_sub($total; $net) end)),
      total: $total,
      discounts: [.discounts | list | .[]
        | { title: ([.name, .reason, .type] | map(text | select(. != null)) | first // "discount"),
            amount: (.total | money | or_zero) }],
      taxLines: [((.taxRate // .tax_rate) | dec) as $rate | select($rate | is_positive)
        | { title: "tax", rate: dec_round($rate; 4),
            amount: (((.totalPrice.tax.amount)? // .total_tax_amount | dec)
              // (if $net == null then "0" else dec_sub($total; $net) end)) }],
      attributes: ({
        unitDiscountReason: ((.unitDiscountReason // .unit_discount_reason) | text),
        shippingRequired: (if has("isShippingRequired") then .isShippingRequired else .is_shipping_required end),
        gift: (if .isGift == true then true else null end)
      } | present)
    }
  | compact | present;

# One TransactionItem of the Transactions API. A request that its result has followed says nothing more.
def transaction_events:
  (.events | list) as $events
  | [$events[]
      | (.type | word) as $type
      | select($type != null and $type != "INFO")
      | ($type | sub("_(SUCCESS|FAILURE|REQUEST|ACTION_REQUIRED|ADJUSTMENT|REVERSE|BACK)$"; "")) as $what
      | (.pspReference | text) as $reference
      | select(($type | endswith("_REQUEST") or endswith("_ACTION_REQUIRED")) and any($events[];
          ((.type | word // "") | . == ($what + "_SUCCESS") or . == ($what + "_FAILURE"))
          and (.pspReference | text) == $reference) | not)
      | {
          id: (.id | text),
          kind: $type,
          type: ({ AUTHORIZATION: "AUTHORIZE", CHARGE: "CAPTURE", REFUND: "REFUND", CANCEL: "VOID" }[$what] // "UNKNOWN"),
          status: (if $type | endswith("_FAILURE") then "FAILED"
            elif $type | endswith("_REQUEST") or endswith("_ACTION_REQUIRED") then "PENDING"
            elif $type | test("_(SUCCESS|ADJUSTMENT|REVERSE|BACK)$") then "SUCCEEDED"
            else "UNKNOWN" end),
          amount: (.amount | money | or_zero),
          at: ((.createdAt // .created_at) | utc),
          reference: $reference,
          message: (.message | text)
        }
      | .type = (if $type == "CHARGE_BACK" then "CHARGEBACK" elif $type == "REFUND_REVERSE" then "UNKNOWN" else .type end)];

def shown_transaction: { id, type, status, amount, at, reference,
    error: (if .status == "FAILED" then .message else null end) } | compact;

def transaction_payment:
  (.authorizedAmount // .authorized_value | money | or_zero) as $authorized
  | (.chargedAmount // .charged_value | money | or_zero) as $charged
  | (.refundedAmount // .refunded_value | money | or_zero) as $refunded
  | (.canceledAmount // .canceled_value // .voidedAmount // .voided_value | money | or_zero) as $canceled
  | ([.authorizePendingAmount, .chargePendingAmount] | map(money) | dec_sum) as $pending
  | transaction_events as $events
  | {
      id: (.id | text),
      method: (pick(.paymentMethodDetails.name) // pick(.name) // pick(.type) // "transaction"),
      status: (if ($refunded | is_positive) then (if ($charged | is_positive) then "PARTIALLY_REFUNDED" else "REFUNDED" end)
        elif ($charged | is_positive) then (if ($authorized | is_positive) then "PARTIALLY_CAPTURED" else "CAPTURED" end)
        elif ($authorized | is_positive) then "AUTHORIZED"
        elif ($pending | is_positive) then "PENDING"
        elif ($canceled | is_positive) then "VOIDED"
        elif any($events[]; .status == "FAILED") then "FAILED"
        else "UNKNOWN" end),
      amount: ([$authorized, $charged, $refunded, $pending] | dec_sum | if is_zero then $canceled else . end),
      reference: ((.pspReference // .reference) | text),
      createdAt: ((.createdAt // .created_at) | utc),
      transactions: [$events | sort_by(.at)[] | shown_transaction]
    }
  | present;

def payment_state: word | lookup({
    NOT_CHARGED: "PENDING", PENDING: "PENDING", PARTIALLY_CHARGED: "PARTIALLY_CAPTURED", FULLY_CHARGED: "CAPTURED",
    PARTIALLY_REFUNDED: "PARTIALLY_REFUNDED", FULLY_REFUNDED: "REFUNDED", REFUSED: "FAILED", CANCELLED: "VOIDED" });

# One payment of the older Payments API.
def payment($index):
  {
    id: (.id | text // "payment-\($index + 1)"),
    method: ((.paymentMethodType // .payment_method_type | text) // (.gateway | text) // "payment"),
    provider: (.gateway | text),
    status: ((.chargeStatus // .charge_status) | payment_state),
    amount: ((.total | money) // (.capturedAmount // .captured_amount | money) // "0"),
    reference: ((.pspReference // .psp_reference) | text),
    createdAt: (.created | utc),
    transactions: [.transactions | list | .[]
      | {
          id: (.id | text),
          type: (.kind | word | if . == null then "UNKNOWN" else { AUTH: "AUTHORIZE", CAPTURE: "CAPTURE", CONFIRM: "CAPTURE", REFUND: "REFUND",
            REFUND_ONGOING: "REFUND", VOID: "VOID", CANCEL: "VOID" }[.] // "UNKNOWN" end),
          status: (if (.isSuccess // .is_success) == true then
              (if (.kind | word) == "REFUND_ONGOING" then "PENDING" else "SUCCEEDED" end)
            elif (.isSuccess == false) or (.is_success == false) then "FAILED" else "UNKNOWN" end),
          amount: (.amount | money | or_zero),
          at: (.created | utc),
          reference: (.token | text),
          error: (.error | text)
        } | compact]
  }
  | present;

def fulfillment($order; $index):
  {
    id: (.id | text // "fulfillment-\($index + 1)"),
    status: (.status | word | lookup({ FULFILLED: "SHIPPED", WAITING_FOR_APPROVAL: "IN_PROGRESS", CANCELED: "CANCELED" })),
    lines: handed_lines($order),
    location: pick(.warehouse.name),
    tracking: [(.trackingNumber // .tracking_number) | text | select(. != null)
      | { number: ., url: (if test("^https?://") then . else null end) } | compact],
    createdAt: ((.created // .created_at) | utc)
  }
  | present;

def reversed: (.status | word) as $s | $s == "RETURNED" or $s == "REFUNDED_AND_RETURNED" or $s == "REPLACED" or $s == "REFUNDED";

def back($order; $index):
  {
    id: (.id | text // "return-\($index + 1)"),
    status: "RECEIVED",
    reason: (.reason | text),
    lines: handed_lines($order),
    createdAt: ((.created // .created_at) | utc)
  }
  | present;

def granted_refund($order):
  {
    id: (.id | text),
    status: (.status | word | lookup({ NONE: "REQUESTED", PENDING: "PENDING", SUCCESS: "SUCCEEDED", FAILURE: "FAILED" })),
    amount: (.amount | money | or_zero),
    reason: (.reason | text),
    paymentId: pick(.transaction.id),
    createdAt: (.createdAt | utc),
    lines: handed_lines($order)
  }
  | present;

# Itemized refunds, from the most telling list that the record has.
def refunds($refunded):
  . as $order
  | ([.grantedRefunds | list | .[]]) as $granted
  | ([$granted[] | .transactionEvents | list | .[].id]) as $claimed
  | ([.transactions | list | .[] | (.id | text) as $payment | transaction_events[]
      | select(.type == "REFUND") | { id, status, amount, paymentId: $payment, createdAt: .at } | compact
      | select(.id as $id | $claimed | index([$id]) | not)]) as $events
  | ([$granted[] | select($events == [] or ((.status | word) as $s | $s != "SUCCESS" and $s != "FAILURE")
        or (.transactionEvents | list | length > 0)) | granted_refund($order)] + $events) as $modern
  | ([.payments | list | .[] | (.id | text) as $payment | .transactions | list | .[]
      | select((.kind | word) as $kind | $kind == "REFUND" or $kind == "REFUND_ONGOING")
      | {
          id: (.id | text),
          status: (if (.isSuccess // .is_success) != true then "FAILED"
            elif (.kind | word) == "REFUND_ONGOING" then "PENDING" else "SUCCEEDED" end),
          amount: (.amount | money | or_zero), paymentId: $payment, createdAt: (.created | utc)
        } | compact]) as $legacy
  | ([.fulfillments | list | .[] | select(((.status | word) // "") | startswith("REFUNDED"))
      | ((.totalRefundedAmount // .total_refund_amount) | money) as $amount | select($amount | is_positive)
      | { id: (.id | text), status: "SUCCEEDED", amount: $amount,
          shipping: ((.shippingRefundedAmount // .shipping_refund_amount) | money),
          createdAt: ((.created // .created_at) | utc),
          lines: handed_lines($order) }
      | present]) as $handed
  | if $modern != [] then $modern
    elif $legacy != [] then $legacy
    elif $handed != [] then $handed
    # Nothing is itemized: the sum itself.
    elif $refunded | is_positive then [{ id: "refunded", status: "SUCCEEDED", amount: $refunded }]
    else [] end;

object as $in
| ($in.notification | object) as $notification
| ($in.lines | list) as $raw_lines
| ([$raw_lines[] | line($in)]) as $lines
| ([$in.payments | list | .[] | select((.isActive // .is_active) != false or ((.capturedAmount // .captured_amount) | money | is_positive))]
    + [$notification.payment | select(type == "object")]) as $payments
| ($in.transactions | list) as $transactions
# A fulfillment notification tells of one fulfillment beside the order.
| (if ($in.fulfillments | type) != "array" and ($notification.fulfillment | type) == "object" then
    [{ status: "FULFILLED", lines: (($notification.physical_lines | list) + ($notification.digital_lines | list)) }
      + $notification.fulfillment]
   else $in.fulfillments | list end) as $fulfillments
| ($in.status | word) as $status
| ((pick($in.total.currency) // pick($in.total.gross.currency) // pick($in.currency) // pick($in.channel.currencyCode)
    // pick($in.channel.currency_code) // pick($raw_lines[0].currency) // pick($raw_lines[0].totalPrice.gross.currency)))
    as $currency
| (($in.total.gross.amount)? // $in.total_gross_amount | dec) as $total
| (($in.total.net.amount)? // $in.total_net_amount | dec) as $total_net
| (($in.total.tax.amount)? // $in.tax_amount | dec
    // (if $total == null or $total_net == null then "0" else dec_sub($total; $total_net) end)) as $tax
| (($in.shippingPrice.gross.amount)? // $in.shipping_price_gross_amount | dec // "0") as $shipping
| ([$lines[].discount] | dec_sum) as $line_discount
| ((($in.subtotal.gross.amount)? // $in.subtotal_gross_amount | dec) // ([$lines[].total] | dec_sum)) as $after_discounts
| ([$in.discounts | list | .[] | { title: ([.translatedName, .translated_name, .name, .reason, .type] | map(text | select(. != null)) | first // "discount"),
      amount: ((.total // .amount // .amount_value) | money | or_zero),
      coupon_code: (if (.type | word) == "VOUCHER" then $in.voucherCode | text else null end) }]) as $discounts
# An order discount is spread over the lines' prices by newer servers and stands beside them in older ones.
| (dec_sub(dec_add($after_discounts; $shipping); $total)) as $gap
| (if ($gap | is_positive) and dec_cmp($gap; [$discounts[].amount] | dec_sum) == 0 then $gap else "0" end) as $order_discount
| ($in.totalRefunded | money
    // (if $notification.event == "order_refund_confirmation" then $notification.amount | dec else null end)
    // (if $transactions != [] then [$transactions[] | (.refundedAmount // .refunded_value) | money] | dec_sum else null end)
    // ([$in.fulfillments | list | .[] | (.totalRefundedAmount // .total_refund_amount) | money | select(. != null)]
        | if . == [] then null else dec_sum end)) as $refunded
# What Saleor calls charged is what is left after refunds.
| ($in.totalCharged // $in.totalCaptured | money
    // (if $transactions != [] then [$transactions[] | (.chargedAmount // .charged_value) | money] | dec_sum else null end)
    // (if $payments != [] then [$payments[] | (.capturedAmount // .captured_amount) | money] | dec_sum else null end)) as $charged
| (if $charged == null then null else dec_add($charged; $refunded) end) as $captured
| ($in.totalAuthorized | money
    // (if $transactions != [] then [$transactions[] | (.authorizedAmount // .authorized_value) | money] | dec_sum else null end)) as $authorized
| ($in.chargeStatus | word) as $charge
| ($in.authorizeStatus | word) as $authorize
| ($in.paymentStatus // $in.payment_status // $payments[-1].charge_status // $payments[-1].chargeStatus | word) as $legacy
| (if ($charged != null and ($charged | is_zero) and ($authorized | is_zero) and ($refunded | is_zero) and ($total | is_zero)) then "NOT_REQUIRED"
   elif $refunded | is_positive then
     (if $captured == null then (if dec_cmp($refunded; $total) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end)
      elif dec_cmp($refunded; $captured) >= 0 then "REFUNDED"
      elif dec_cmp($charged; $total) > 0 then "OVERPAID" else "PARTIALLY_REFUNDED" end)
   elif $charge == "FULL" then "PAID" elif $charge == "OVERCHARGED" then "OVERPAID" elif $charge == "PARTIAL" then "PARTIALLY_PAID"
   elif $authorize == "FULL" then "AUTHORIZED" elif $authorize == "PARTIAL" then "PARTIALLY_AUTHORIZED"
   elif $legacy != null then ({ NOT_CHARGED: "UNPAID", PENDING: "PENDING", PARTIALLY_CHARGED: "PARTIALLY_PAID", FULLY_CHARGED: "PAID",
       PARTIALLY_REFUNDED: "PARTIALLY_REFUNDED", FULLY_REFUNDED: "REFUNDED", REFUSED: "FAILED", CANCELLED: "VOIDED" }[$legacy] // "UNKNOWN")
   elif $charge == "NONE" then "UNPAID"
   # No word, but the amounts.
   elif $charged == null or $total == null then "UNKNOWN"
   elif $charged | is_positive then
     ({ "-1": "PARTIALLY_PAID", "0": "PAID", "1": "OVERPAID" }[dec_cmp($charged; $total) | tostring])
   elif $authorized | is_positive then (if dec_cmp($authorized; $total) >= 0 then "AUTHORIZED" else "PARTIALLY_AUTHORIZED" end)
   else "UNPAID" end) as $payment_status
# The webhooks have no time of change; the newest time they do have stands for it.
| (pick($in.updatedAt) // pick($in.updated_at) // ([$payments[].modified, ($in.fulfillments | list | .[].created), $in.created, $in.created_at
    | utc | select(. != null)] | max_by(micros))) as $updated
| (all($raw_lines[]; .quantityToFulfill | dec | is_zero)) as $nothing_open
| ($in.events | list) as $events
| {
    sourceOrderId: ($in.id | text),
    version: (($updated | micros) // 0),
    number: ($in.number | text // ($in.id | text)),
    kind: (if $raw_lines != [] and all($raw_lines[]; .isShippingRequired == false or .is_shipping_required == false)
      then "DIGITAL" else "RETAIL" end),
    channel: (pick($in.channel.slug) // pick($in.channel_slug) // pick($in.channel.name)),
    status: (if $status == "UNCONFIRMED" then
        (if $charge == "NONE" and ($authorize == null or $authorize == "NONE") then "PENDING_PAYMENT" else "PENDING_ACCEPTANCE" end)
      elif $status == "PARTIALLY_RETURNED" then (if $nothing_open then "COMPLETED" else "PROCESSING" end)
      else $status | lookup({ DRAFT: "DRAFT", UNFULFILLED: "PROCESSING", PARTIALLY_FULFILLED: "PROCESSING",
        FULFILLED: "AWAITING_CONFIRMATION", RETURNED: "COMPLETED", CANCELED: "CANCELED", EXPIRED: "EXPIRED" }) end),
    paymentStatus: $payment_status,
    fulfillmentStatus: ($status | lookup({ DRAFT: "UNFULFILLED", UNCONFIRMED: "UNFULFILLED", UNFULFILLED: "UNFULFILLED",
      PARTIALLY_FULFILLED: "PARTIALLY_SHIPPED", FULFILLED: "SHIPPED", PARTIALLY_RETURNED: "SHIPPED", RETURNED: "SHIPPED",
      CANCELED: "CANCELED", EXPIRED: "CANCELED" })),
    returnStatus: (if $status == "PARTIALLY_RETURNED" or $status == "RETURNED" then $status else "NONE" end),
    native: { state: $in.status, subStates: ({
        chargeStatus: $in.chargeStatus, authorizeStatus: $in.authorizeStatus,
        paymentStatus: ($in.paymentStatus // $payments[-1].charge_status // $payments[-1].chargeStatus) } | compact) },
    currency: $currency,
    pricesIncludeTax: true,
    times: ({
      updatedAt: ($updated | utc),
      placedAt: (if $status == "DRAFT" then null else ($in.created // $in.created_at) | utc end),
      paidAt: ([$events[] | select(.type == "ORDER_FULLY_PAID" or .type == "ORDER_MARKED_AS_PAID") | .date | utc] | last),
      canceledAt: (if $status == "CANCELED" then [$events[] | select(.type == "CANCELED") | .date | utc] | last else null end),
      expiresAt: (if $status == "EXPIRED" then [$events[] | select(.type == "EXPIRED") | .date | utc] | last else null end)
    } | with_entries(select(.value != null or .key == "updatedAt"))),
    customer: ({
      id: (pick($in.user.id) // pick($in.user_id)),
      name: (([pick($in.user.firstName), pick($in.user.lastName)] | join_present(" "))
        // ([($in.billingAddress // $in.billing_address | object) | .firstName // .first_name, .lastName // .last_name]
            | join_present(" "))),
      email: (pick($in.userEmail) // pick($in.user_email) // pick($in.email) // pick($in.user.email)),
      phone: (($in.billingAddress // $in.billing_address | object).phone | text)
    } | compact | if . == {} then null else . end),
    billingAddress: ($in.billingAddress // $in.billing_address | address),
    shippingAddress: ($in.shippingAddress // $in.shipping_address | address),
    lines: $lines,
    totals: ({
      subtotal: dec_add($after_discounts; $line_discount),
      discount: dec_add($line_discount; $order_discount),
      shipping: $shipping,
      tax: $tax,
      total: $total,
      authorized: $authorized,
      captured: $captured,
      refunded: $refunded,
      due: (if $in.totalBalance == null then null else $in.totalBalance | money | dec_neg | not_negative end)
    } | with_entries(select(.value != null or .key == "total"))),
    discounts: [$discounts[] | { title, amount, couponCode: .coupon_code } | compact],
    coupons: ([pick($in.voucherCode), pick($in.voucher.code) | select(. != null)] | unique | map({ code: . })),
    shippingLines: [(pick($in.shippingMethodName) // pick($in.shipping_method_name) // pick($in.deliveryMethod.name)
        // pick($in.collectionPointName) // pick($in.shipping_method.name)) as $title
      | select($title != null) | { title: $title, amount: $shipping }],
    payments: ([$transactions[] | transaction_payment] + [$payments | to_entries[] | .key as $i | .value | payment($i)]),
    refunds: ($in | refunds($refunded)),
    fulfillments: [$fulfillments | to_entries[] | .key as $i | .value | select(reversed | not) | fulfillment($in; $i)],
    returns: [$in.fulfillments | list | to_entries[] | .key as $i | .value | select(reversed and (.status | word) != "REFUNDED") | back($in; $i)],
    notes: ([$in.customerNote // $in.customer_note | text | select(. != null) | { text: ., author: "customer", customerVisible: true }]
      + [$events[] | select(.type == "NOTE_ADDED" and (.message | text) != null)
          | { text: .message, author: pick(.user.email), at: (.date | utc) } | compact]),
    # The older webhooks send the global id of "None" when there is no original.
    relations: [$in.original | text | select(. != null and . != "T3JkZXI6Tm9uZQ==")
      | { type: (if ($in.origin | word) == "REISSUE" then "REPLACES" else "UNKNOWN" end), sourceOrderId: . }],
    events: [$events[] | select((.id | text) != null and (.date | utc) != null)
      | { id: (.id | text), type: (.type | text // "OTHER"), at: (.date | utc),
          actor: (pick(.user.email) // pick(.app.name)), message: (.message | text) } | compact],
    attributes: ({
      origin: ($in.origin | text),
      languageCode: ($in.languageCodeEnum // $in.languageCode // $in.language_code | text),
      displayGrossPrices: (if ($in | has("displayGrossPrices")) then $in.displayGrossPrices else $in.display_gross_prices end),
      externalReference: ($in.externalReference | text)
    } | compact)
  }
| with_entries(select((.value != null and .value != [] and .value != {})
    or (.key as $key | ["sourceOrderId", "number", "currency"] | index([$key]) != null)))
