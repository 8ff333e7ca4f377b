# commercetools Order -> unified order. Money is whole minor units with its own number of fraction digits; the total the
# customer owes is the gross one where taxes are set, the plain total otherwise.


# Minor units to the decimal. Without fractionDigits, the currency's own number of them decides.
def fraction_digits:
  (.fractionDigits
    | if type == "string" then . as $t | first(range(21) | select(tostring == $t)) // error("fractionDigits is \($t)") else . end)
  // ({ BIF: 0, CLP: 0, DJF: 0, GNF: 0, ISK: 0, JPY: 0, KMF: 0, KRW: 0, PYG: 0, RWF: 0, UGX: 0, UYI: 0, VND: 0, VUV: 0,
        XAF: 0, XOF: 0, XPF: 0, BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3 }[.currencyCode // ""])
  // 2;
def money:
  if type != "object" then null
  else fraction_digits as $digits | dec_shift(.preciseAmount // .centAmount; -$digits) end;

# A localized text: REST sends an object by locale, GraphQL a list or the text itself.
def localized($locale):
  if type == "string" then blank_to_null
  elif type == "array" then ([list[] | { key: (.locale // ""), value: .value }] | from_entries | localized($locale))
  elif type == "object" then
    . as $names
    | [$names[$locale // ""], $names[($locale // "")[:2]], $names.en, $names["en-US"], $names["en-GB"], $names[]]
    | map(text | select(. != null)) | first // null
  else null end;

def address:
  object
  | {
      name: ([.title, .firstName, .lastName] | map(text) | join_present(" ")),
      company: (.company | text),
      lines: ([([.streetName, .streetNumber] | map(text) | join_present(" ")), .additionalStreetInfo, .building, .apartment,
        .department, .pOBox, .additionalAddressInfo | text | select(. != null)]),
      city: (.city | text),
      region: ((.region | text) // (.state | text)),
      postalCode: (.postalCode | text),
      countryCode: (.country | text | country_code),
      country: (.country | text | if country_code == null then . else null end),
      phone: ((.phone | text) // (.mobile | text))
    }
  | present
  | if . == {} then null else . end;

def tax_of: (.totalTax | money) // (if (.totalGross | type) == "object" and (.totalNet | type) == "object"
  then dec_sub(.totalGross | money; .totalNet | money) else null end);
def tax_portions: [.taxPortions | list | .[]
  | { title: ((.name | text) // "tax"), rate: (.rate | dec | if . == null then null else dec_round(.; 4) end),
      amount: (.amount | money | or_zero) } | compact];

def line($order; $inclusive; $delivered; $returned):
  (.id | text) as $id
  | (.quantity | dec | or_zero) as $quantity
  | ((.price.value | money)? // (.money | money)) as $stated
  | (.totalPrice | money) as $total
  | ($stated // (if $total == null then "0" else dec_div($total; $quantity; 4) // "0" end)) as $price
  | ($total // dec_mul($price; $quantity)) as $charged
  | (.taxedPrice | object | tax_of | or_zero) as $tax
  | ([$delivered[] | select((.id | text) == $id) | .quantity] | dec_sum) as $fulfilled
  | ([$returned[] | select((.lineItemId // .customLineItemId | text) == $id)]) as $back
  | ([$back[] | select(.shipmentState == "Returned" or .shipmentState == "BackInStock" or .shipmentState == "Unusable")
      | .quantity] | dec_sum) as $came_back
  | {
      id: $id,
      sku: pick(.variant.sku),
      productId: pick(.productId),
      variantId: pick(.variant.id),
      name: ((.nameAllLocales | localized($order.locale | text)) // (.name | localized($order.locale | text)) // pick(.variant.sku)
        // pick(.slug) // pick(.productId) // $id),
      quantity: {
        ordered: $quantity,
        current: (dec_sub($quantity; $came_back) | not_negative),
        fulfilled: $fulfilled,
        returned: $came_back,
        refunded: ([$back[] | select(.paymentState == "Refunded") | .quantity] | dec_sum)
      },
      unitPrice: $price,
      discount: dec_sub(dec_mul($price; $quantity); $charged),
      tax: $tax,
      total: (if $inclusive then $charged else dec_add($charged; $tax) end),
      taxLines: (.taxedPrice | object | tax_portions),
      attributes: ({
        productKey: (.productKey | text),
        custom: (if has("slug") then true else null end),
        gift: (if .lineItemMode == "GiftLineItem" then true else null end),
        priceMode: (.priceMode | text | if . == "Platform" or . == "Standard" then null else . end)
      } | compact)
    }
  | present;

def sum_of($type; $states): [.transactions | list | .[]
  | select(.type == $type and (.state as $state | $states | index([$state]) != null)) | .amount | money] | dec_sum;

def payment:
  sum_of("Authorization"; ["Success"]) as $authorized
  | sum_of("Charge"; ["Success"]) as $charged
  | sum_of("Refund"; ["Success"]) as $refunded
  | sum_of("CancelAuthorization"; ["Success"]) as $canceled
  | (.transactions | list) as $transactions
  | {
      id: (.id | text),
      method: (pick(.paymentMethodInfo.method) // pick(.paymentMethodInfo.paymentInterface) // "payment"),
      provider: pick(.paymentMethodInfo.paymentInterface),
      status: (if $refunded | is_positive then (if dec_cmp($refunded; $charged) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end)
        elif $charged | is_positive then
          (if dec_cmp($charged; .amountPlanned | money) < 0 then "PARTIALLY_CAPTURED" else "CAPTURED" end)
        elif ($authorized | is_positive) and dec_cmp($canceled; $authorized) >= 0 then "VOIDED"
        elif $authorized | is_positive then "AUTHORIZED"
        elif any($transactions[]; .state == "Pending" or .state == "Initial") then "PENDING"
        elif any($transactions[]; .state == "Failure") then "FAILED"
        elif $transactions == [] then "PENDING"
        else "UNKNOWN" end),
      amount: ((.amountPlanned | money) // $charged),
      currency: pick(.amountPlanned.currencyCode),
      reference: ((.interfaceId | text) // (.externalId | text)),
      createdAt: (.createdAt | text | utc),
      transactions: [$transactions[] | {
        id: (.id | text),
        type: (.type | lookup({ Authorization: "AUTHORIZE", CancelAuthorization: "VOID", Charge: "CAPTURE",
          Refund: "REFUND", Chargeback: "CHARGEBACK" })),
        status: (.state | lookup({ Initial: "PENDING", Pending: "PENDING", Success: "SUCCEEDED", Failure: "FAILED" })),
        amount: (.amount | money | or_zero),
        currency: pick(.amount.currencyCode),
        at: (.timestamp | text | utc),
        reference: (.interactionId | text)
      } | compact]
    }
  | present;

def refunds: (.id | text) as $payment | .transactions | list | .[] | select(.type == "Refund")
  | {
      id: (.id | text),
      status: (.state | lookup({ Initial: "REQUESTED", Pending: "PENDING", Success: "SUCCEEDED", Failure: "FAILED" })),
      amount: (.amount | money | or_zero),
      currency: pick(.amount.currencyCode),
      paymentId: $payment,
      createdAt: (.timestamp | text | utc)
    } | compact;

def came_back: .shipmentState == "Returned" or .shipmentState == "BackInStock" or .shipmentState == "Unusable";

object as $in
| ([$in.shippingInfo | select(type == "object")] + [$in.shipping | list | .[].shippingInfo | select(type == "object")])
    as $shippings
| ([$shippings[].deliveries | list | .[]]) as $deliveries
| ([$deliveries[].items | list | .[]]) as $delivered
| ([$in.returnInfo | list | .[].items | list | .[]]) as $returned
| (($in.lineItems | list) + ($in.customLineItems | list)) as $raw_lines
| (([$raw_lines[], $shippings[] | .taxRate | select(type == "object") | .includedInPrice] | any(. == true))) as $inclusive
| ([$raw_lines[] | line($in; $inclusive; $delivered; $returned)]) as $lines
| ([$in.paymentInfo | object | .payments | list | .[] | if (.obj | type) == "object" then .obj else . end
    | select((.transactions | type) == "array")]) as $payments
| ($in.totalPrice | money) as $plain
| ($in.taxedPrice | object) as $taxed
| (($taxed.totalGross | money) // $plain) as $total
| ([$shippings[] | ((.discountedPrice.value | money)? // (.price | money)) ] | dec_sum) as $shipping
| ($in.discountOnTotalPrice | object | .discountedAmount | money | or_zero) as $on_total
| (if $payments == [] then null else [$payments[] | sum_of("Charge"; ["Success"])] | dec_sum end) as $captured
| (if $payments == [] then null else [$payments[] | sum_of("Refund"; ["Success"])] | dec_sum end) as $refunded
| (if $payments == [] then null else [$payments[]
    | dec_sub(dec_sub(sum_of("Authorization"; ["Success"]); sum_of("CancelAuthorization"; ["Success"]));
        sum_of("Charge"; ["Success"])) | not_negative] | dec_sum end) as $authorized
| ($in.paymentState | text) as $payment_state
| (if $payment_state == null then "UNKNOWN"
   else $payment_state | lookup({ Pending: "PENDING", BalanceDue: "PARTIALLY_PAID", Paid: "PAID", CreditOwed: "OVERPAID",
     Failed: "FAILED" }) end) as $claim
# Transactions tell more than the state, which nothing but the merchant's own code ever moves.
| (if $captured == null then $claim
   elif ($captured | is_zero) and ($authorized | is_zero) then
     (if $claim == "PENDING" or $claim == "FAILED" then $claim
      elif $total | is_zero then "NOT_REQUIRED"
      elif any($payments[]; sum_of("CancelAuthorization"; ["Success"]) | is_positive) then "VOIDED" else "UNPAID" end)
   elif $captured | is_zero then (if dec_cmp($authorized; $total) >= 0 then "AUTHORIZED" else "PARTIALLY_AUTHORIZED" end)
   elif dec_cmp($refunded; $captured) >= 0 then "REFUNDED"
   elif dec_cmp(dec_sub($captured; $refunded); $total) > 0 then "OVERPAID"
   elif $refunded | is_positive then "PARTIALLY_REFUNDED"
   elif dec_cmp($captured; $total) == 0 then "PAID"
   else "PARTIALLY_PAID" end) as $payment_status
| ($in.orderState | text) as $state
| ($in.shipmentState | text) as $shipment
| ([$lines[].quantity.ordered] | dec_sum) as $ordered
| ([$lines[].quantity.fulfilled] | dec_sum) as $fulfilled
| ([$lines[].quantity.returned] | dec_sum) as $came_back
| {
    sourceOrderId: ($in.id | text),
    version: ($in.version | if type == "string" then (tonumber? // .) else . end),
    number: (($in.orderNumber | text) // ($in.id | text)),
    kind: (if ($in.recurringOrder | type) == "object" then "SUBSCRIPTION" else "RETAIL" end),
    channel: pick($in.store.key),
    status: (if $state == "Open" then
        (if $shipment == "Ready" or $shipment == "Partial" or $shipment == "Shipped" or $shipment == "Delivered" then "PROCESSING"
         elif ($payment_status as $p | ["UNPAID", "VOIDED", "PENDING", "FAILED", "PARTIALLY_PAID", "PARTIALLY_AUTHORIZED"] | index([$p]) != null)
         then "PENDING_PAYMENT"
         else "PENDING_ACCEPTANCE" end)
      else $state | lookup({ Confirmed: "PROCESSING", Complete: "COMPLETED", Cancelled: "CANCELED" }) end),
    paymentStatus: $payment_status,
    fulfillmentStatus: (if $shipment != null then
        $shipment | lookup({ Pending: "UNFULFILLED", Backorder: "UNFULFILLED", Delayed: "UNFULFILLED", Ready: "READY",
          Partial: "PARTIALLY_SHIPPED", Shipped: "SHIPPED", Delivered: "DELIVERED", Canceled: "CANCELED" })
      elif $fulfilled | is_positive then (if dec_cmp($fulfilled; $ordered) >= 0 then "SHIPPED" else "PARTIALLY_SHIPPED" end)
      elif $state == "Cancelled" then "CANCELED"
      else "UNFULFILLED" end),
    returnStatus: (if $came_back | is_positive then
        (if dec_cmp($came_back; $ordered) >= 0 then "RETURNED" else "PARTIALLY_RETURNED" end)
      elif $returned == [] then "NONE"
      elif any($returned[]; .shipmentState == "Advised") then "IN_PROGRESS"
      else "UNKNOWN" end),
    native: { state: $in.orderState, subStates: ({ paymentState: $payment_state, shipmentState: $shipment,
      state: (pick($in.state.obj.key) // pick($in.state.key) // pick($in.state.id)) } | compact) },
    holds: (if $shipment == "Backorder" or $shipment == "Delayed" then [{ code: ($shipment | ascii_upcase) }] else [] end),
    currency: (pick($in.totalPrice.currencyCode) // pick($taxed.totalGross.currencyCode)),
    pricesIncludeTax: $inclusive,
    times: ({
      updatedAt: (pick($in.lastModifiedAt) // pick($in.createdAt) | utc),
      # completedAt is when an imported order was placed in the system it comes from.
      placedAt: (pick($in.completedAt) // pick($in.createdAt) | utc)
    } | with_entries(select(.value != null or .key == "updatedAt"))),
    customer: ({
      id: ($in.customerId | text),
      name: ([$in.billingAddress, $in.shippingAddress | address | select(. != null and .name != null) | .name] | first // null),
      email: (pick($in.customerEmail) // pick($in.billingAddress.email) // pick($in.shippingAddress.email)),
      phone: ([$in.billingAddress, $in.shippingAddress | address | select(. != null and .phone != null) | .phone] | first // null),
      group: (pick($in.customerGroup.obj.name) // pick($in.customerGroup.key) // pick($in.customerGroup.id))
    } | compact),
    billingAddress: ($in.billingAddress | address),
    shippingAddress: (($in.shippingAddress | address) // ([$in.shipping | list | .[].shippingAddress | address | select(. != null)] | first // null)),
    lines: $lines,
    totals: ({
      subtotal: ([$lines[] | dec_mul(.unitPrice; .quantity.ordered)] | dec_sum),
      discount: dec_add([$lines[].discount] | dec_sum; $on_total),
      shipping: $shipping,
      tax: ($taxed | tax_of | or_zero),
      total: $total,
      authorized: $authorized,
      captured: $captured,
      refunded: $refunded
    } | with_entries(select(.value != null or .key == "total"))),
    discounts: (if $on_total | is_positive then [{ title: "discount on total price", amount: $on_total }] else [] end),
    coupons: [$in.discountCodes | list | .[] | pick(.discountCode.obj.code) // pick(.discountCode.code) | select(. != null) | { code: . }],
    taxLines: ($taxed | tax_portions),
    shippingLines: [$shippings[] | { title: ((.shippingMethodName | text) // "shipping"),
      amount: ((.discountedPrice.value | money)? // (.price | money) | or_zero) }],
    payments: [$payments[] | payment],
    refunds: [$payments[] | refunds],
    fulfillments: [$deliveries | to_entries[] | .key as $i | .value | {
      id: ((.id | text) // "delivery-\($i + 1)"),
      status: (if $shipment == "Delivered" then "DELIVERED" else "SHIPPED" end),
      lines: [.items | list | .[] | select((.id | text) != null) | { lineId: (.id | text), quantity: (.quantity | dec | or_zero) }],
      tracking: [.parcels | list | .[].trackingData | object | select((.trackingId | text) != null)
        | { carrier: (.carrier | text), number: (.trackingId | text) } | compact],
      createdAt: (.createdAt | text | utc)
    } | present],
    returns: [$in.returnInfo | list | to_entries[] | .key as $i | .value | (.items | list) as $items | {
      id: (pick($items[0].id) // "return-\($i + 1)"),
      status: (if $items == [] then "UNKNOWN"
        elif all($items[]; came_back) then "RECEIVED"
        elif any($items[]; came_back) then "PARTIALLY_RECEIVED"
        elif all($items[]; .shipmentState == "Advised") then "APPROVED"
        else "UNKNOWN" end),
      reason: ([$items[].comment] | map(text) | join_present("; ")),
      lines: [$items[] | select((.lineItemId // .customLineItemId | text) != null) | {
        lineId: (.lineItemId // .customLineItemId | text),
        quantity: (.quantity | dec | or_zero),
        disposition: ({ BackInStock: "RESTOCK", Unusable: "DAMAGED", Returned: "PENDING" }[.shipmentState // ""] // null)
      } | compact],
      createdAt: ((.returnDate | text | utc) // ($items[0].createdAt? | text | utc))
    } | present],
    attributes: ({
      purchaseOrderNumber: ($in.purchaseOrderNumber | text),
      businessUnit: pick($in.businessUnit.key),
      origin: ($in.origin | text),
      taxMode: ($in.taxMode | text),
      locale: ($in.locale | text),
      quote: pick($in.quote.id)
    } | compact)
  }
| with_entries(select((.value != null and .value != [] and .value != {})
    or (.key as $key | ["sourceOrderId", "version", "number", "currency"] | index([$key]) != null)))
