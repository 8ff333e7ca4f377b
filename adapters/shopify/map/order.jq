# One Shopify order: the REST Admin resource, a webhook's body, or the GraphQL Admin object, which is first brought into
# the REST shape. All amounts are taken from one side of Shopify's money sets: what the customer paid in where every line
# has it (see README), else the shop's currency.

# ---- small readers
# One side of a money set.
def within($side): object | .[$side] | object;
def inside($side): within($side) | .amount;
def word: if type == "string" then ascii_downcase else . end;

# ---- the GraphQL object in the shape of the REST resource
def connection: [if type == "array" then .[] elif type == "object" then (.nodes, [.edges | arrays[].node] | arrays[]) else empty end | objects];
def gid: if type == "string" then (split("/") | last // "" | split("?") | .[0]) else . end;
def side: if type == "object" then {amount, currency_code: (.currencyCode // .currency_code)} else null end;
def money_bag: if type == "object" then {shop_money: (.shopMoney | side), presentment_money: (.presentmentMoney | side)} else null end;
def plain: if type == "object" then .amount else . end;
def rest_tax: {title, rate: (.rate // (if .ratePercentage then dec_div(.ratePercentage; 100; 6) else null end)), price: (.price | plain), price_set: (.priceSet | money_bag)};
def rest_allocation: {amount: (.allocatedAmount | plain), amount_set: (.allocatedAmountSet | money_bag), application: (.discountApplication | if type == "object" then {type: (if .code then "discount_code" else "manual" end), title, code, description} else null end)};
def rest_address: if type == "object" then {name, first_name: .firstName, last_name: .lastName, company, address1, address2, city, province, province_code: .provinceCode, zip, country, country_code: (.countryCodeV2 // .countryCode), phone} else null end;
def rest_transaction: {
    id: (.id | gid), parent_id: (.parentTransaction.id? | gid), kind: (.kind | if . then ascii_downcase else null end),
    status: (.status | if . then ascii_downcase else null end), gateway, authorization: (.paymentId // .authorizationCode),
    amount: (.amount | plain), amount_set: (.amountSet | money_bag), created_at: (.processedAt // .createdAt), error_code: .errorCode};
def rest_fulfillment: {
    id: (.id | gid), status: (.status | if . then ascii_downcase else null end), shipment_status: (.displayStatus | if . then ascii_downcase else null end),
    created_at: .createdAt, in_transit_at: .inTransitAt, delivered_at: .deliveredAt, location_id: (.location.id? | gid), name,
    line_items: [.fulfillmentLineItems | connection[] | {id: (.lineItem.id? | gid), quantity}],
    trackings: [.trackingInfo | connection[] | {carrier: .company, number, url}]};
def rest_refund: {
    id: (.id | gid), note, created_at: .createdAt, processed_at: .processedAt, total_refunded_set: (.totalRefundedSet | money_bag),
    transactions: (if has("transactions") then [.transactions | connection[] | rest_transaction] else null end),
    refund_shipping_lines: [.refundShippingLines | connection[] | {subtotal_amount_set: (.subtotalAmountSet | money_bag)}],
    refund_line_items: [.refundLineItems | connection[] | {
        line_item_id: (.lineItem.id? | gid), quantity, restock_type: (.restockType | if . then ascii_downcase else null end),
        subtotal: (.subtotal | plain), subtotal_set: (.subtotalSet | money_bag), total_tax: (.totalTax | plain), total_tax_set: (.totalTaxSet | money_bag)}]};
def rest_return: {
    id: (.id | gid), status: (.status | if . then ascii_downcase else null end), created_at: .createdAt,
    return_line_items: [.returnLineItems | connection[] | {line_item_id: (.fulfillmentLineItem.lineItem.id? | gid), quantity, return_reason: .returnReason}]};
def rest_line: {
    id: (.id | gid), name, title, sku, variant_title: .variantTitle, vendor, quantity, current_quantity: .currentQuantity,
    product_id: (.product.id? | gid), variant_id: (.variant.id? | gid), requires_shipping: .requiresShipping, gift_card: .isGiftCard,
    price: (.originalUnitPrice | plain), price_set: (.originalUnitPriceSet | money_bag),
    total_discount: (.totalDiscount | plain), total_discount_set: (.totalDiscountSet | money_bag),
    discount_allocations: [.discountAllocations | connection[] | rest_allocation],
    tax_lines: [.taxLines | connection[] | rest_tax],
    fulfilled_quantity: (if ([.unfulfilledQuantity, .currentQuantity] | all(type == "number")) then .currentQuantity - .unfulfilledQuantity - (.nonFulfillableQuantity // 0) else null end),
    properties: [.customAttributes | connection[] | {name: .key, value}]};
def rest: {
    id: ((.legacyResourceId | text) // .id | gid), name, number, email, phone, note, created_at: .createdAt, processed_at: .processedAt, updated_at: .updatedAt,
    cancelled_at: .cancelledAt, cancel_reason: (.cancelReason | if . then ascii_downcase else null end), closed_at: .closedAt,
    financial_status: .displayFinancialStatus, fulfillment_status: .displayFulfillmentStatus, return_status: .returnStatus}
  + {currency: .currencyCode, presentment_currency: .presentmentCurrencyCode, taxes_included: .taxesIncluded, test, tags,
    source_name: (.sourceName // .channelInformation.channelDefinition.handle?), payment_gateway_names: .paymentGatewayNames, po_number: .poNumber,
    confirmation_number: .confirmationNumber, risk: ([.risk | objects | .recommendation] | .[0]),
    note_attributes: [.customAttributes | connection[] | {name: .key, value}]}
  + {total_price: (.totalPrice // .currentTotalPrice | plain), total_price_set: (.totalPriceSet // .currentTotalPriceSet | money_bag),
    total_tax: (.totalTax | plain), total_tax_set: (.totalTaxSet // .currentTotalTaxSet | money_bag),
    total_discounts: (.totalDiscounts | plain), total_discounts_set: (.totalDiscountsSet // .currentTotalDiscountsSet | money_bag),
    total_shipping_price: (.totalShippingPrice | plain), total_shipping_price_set: (.totalShippingPriceSet | money_bag),
    total_tip_received: (.totalTipReceived | plain), total_tip_received_set: (.totalTipReceivedSet | money_bag),
    original_total_duties_set: (.originalTotalDutiesSet | money_bag), original_total_additional_fees_set: (.originalTotalAdditionalFeesSet | money_bag)}
  + {total_received: (.totalReceived | plain), total_received_set: (.totalReceivedSet | money_bag),
    total_refunded: (.totalRefunded | plain), total_refunded_set: (.totalRefundedSet | money_bag),
    total_capturable: (.totalCapturable | plain), total_capturable_set: (.totalCapturableSet | money_bag),
    total_outstanding_set: (.totalOutstandingSet | money_bag)}
  + {customer: (.customer | if type == "object" then {id: (.id | gid), first_name: .firstName, last_name: .lastName, display_name: .displayName,
        email: (.email // .defaultEmailAddress.emailAddress?), phone: (.phone // .defaultPhoneNumber.phoneNumber?)} else null end),
    billing_address: (.billingAddress | rest_address), shipping_address: (.shippingAddress | rest_address),
    discount_codes: [(.discountCodes // [.discountCode // empty])[] | {code: .}],
    tax_lines: [.taxLines | connection[] | rest_tax],
    line_items: [.lineItems | connection[] | rest_line],
    shipping_lines: [(.shippingLines // [.shippingLine // empty]) | connection[] | {title, code, is_removed: .isRemoved,
        price: (.originalPrice // .price | plain), price_set: (.originalPriceSet | money_bag), discount_allocations: [.discountAllocations | connection[] | rest_allocation]}],
    fulfillments: [.fulfillments | connection[] | rest_fulfillment],
    returns: [.returns | connection[] | rest_return]}
  + (if has("refunds") then {refunds: [.refunds | connection[] | rest_refund]} else {} end)
  + (if has("transactions") then {transactions: [.transactions | connection[] | rest_transaction]} else {} end);

# ---- words
def financial: {pending: "PENDING", unpaid: "UNPAID", authorized: "AUTHORIZED", partially_paid: "PARTIALLY_PAID", paid: "PAID",
  partially_refunded: "PARTIALLY_REFUNDED", refunded: "REFUNDED", voided: "VOIDED", expired: "EXPIRED"};
def fulfillment: {unfulfilled: "UNFULFILLED", unshipped: "UNFULFILLED", open: "UNFULFILLED", scheduled: "UNFULFILLED", on_hold: "UNFULFILLED", request_declined: "UNFULFILLED",
  in_progress: "IN_PROGRESS", pending_fulfillment: "IN_PROGRESS", partial: "PARTIALLY_SHIPPED", partially_fulfilled: "PARTIALLY_SHIPPED",
  fulfilled: "SHIPPED", shipped: "SHIPPED", restocked: "CANCELED", not_eligible: "NOT_REQUIRED"};
def parcel: {pending: "IN_PROGRESS", open: "IN_PROGRESS", success: "SHIPPED", cancelled: "CANCELED", error: "CANCELED", failure: "CANCELED"};
def kinds: {authorization: "AUTHORIZE", emv_authorization: "AUTHORIZE", capture: "CAPTURE", sale: "SALE", void: "VOID", refund: "REFUND"};
def outcome: {pending: "PENDING", awaiting_response: "PENDING", success: "SUCCEEDED", failure: "FAILED", error: "FAILED"};
def return_words: {requested: "REQUESTED", open: "APPROVED", closed: "CLOSED", declined: "DECLINED", canceled: "CANCELED", cancelled: "CANCELED"};
def return_axis: {no_return: "NONE", return_requested: "REQUESTED", in_progress: "IN_PROGRESS", inspection_complete: "IN_PROGRESS"};

# Rates have at most four fraction digits in the unified order.
def share: if . == null then null else dec_round(.; 4) end;
def address: if type != "object" then null else {
    name: ((.name | text) // ([.first_name, .last_name] | join_present(" "))), company: (.company | text),
    lines: [(.address1, .address2) | text | values], city: (.city | text), region: ((.province | text) // (.province_code | text)),
    postal_code: (.zip | text), country_code: (.country_code | country_code), country: (.country | text), phone: (.phone | text)
  } | {name, company, lines, city, region, postalCode: .postal_code, countryCode: .country_code, country, phone} | present
  | if . == {} then null else . end end;

# ---- one order in the REST shape
def order:
  . as $order
  # Presentment where the customer's currency stands on every line, and where it is asked for or all there is.
  | ((.total_price_set | inside("presentment_money")) != null and all(.line_items | list[]; (.price_set | inside("presentment_money")) != null)
      and (($config.money != "shop" and ((.presentment_currency | text) // .currency) != .currency) or ((.total_price_set | inside("shop_money")) // .total_price) == null)) as $presentment
  | (if $presentment then ((.presentment_currency | text) // (.total_price_set | within("presentment_money") | .currency_code))
     else (.currency // (.total_price_set | within("shop_money") | .currency_code)) end) as $currency
  | def money($name): if $presentment then .[$name + "_set"] | inside("presentment_money") | dec else (.[$name] | dec) // (.[$name + "_set"] | inside("shop_money") | dec) end;
        def taxes: [.tax_lines | list[] | {title: (.title | text // "Tax"), rate: (.rate | share), amount: money("price")} | select(.amount != null) | compact];
    def in_currency: select(.amount_set != null or (.currency | text) == null or .currency == $currency);
    # An allocation names its application by index (REST) or holds it (GraphQL).
    def application: .application // ((.discount_application_index | if type == "string" then tonumber else . end) as $at | if $at == null then null else $order.discount_applications | arrays | .[$at] end) // {};
    def allocations: [.discount_allocations | list[] | {title: (application | (.title | text) // (.code | text) // (.description | text) // "Discount"),
        amount: money("amount"), couponCode: (application | .code | text)} | select(.amount != null) | compact];
    def refund_money:
      [.transactions | list[] | select((.kind | word) == "refund") | in_currency | {status: (.status | word | lookup(outcome)), amount: money("amount")}] as $moves
      | ([["SUCCEEDED", "PENDING", "FAILED", "UNKNOWN"][] | select(one_of($moves[].status))] | .[0]) as $status
      | if $status then {status: $status, amount: ([$moves[] | select(.status == $status) | .amount] | dec_sum)}
        elif .total_refunded_set then {status: "SUCCEEDED", amount: money("total_refunded")}
        # The transactions are there in another currency: what the lines say is in ours.
        elif [.transactions | list[] | select((.kind | word) == "refund")] != [] then {status: "SUCCEEDED",
          amount: ([(.refund_line_items | list[] | money("subtotal"), money("total_tax")), (.refund_shipping_lines | list[] | money("subtotal_amount"))] | dec_sum)}
        else {status: "SUCCEEDED", amount: "0"} end;

    [.refunds | list[] | . + {oc: refund_money}] as $refunds
  | [$refunds[] | . as $refund | .refund_line_items | list[] | {line: (.line_item_id | text), quantity: (.quantity // 0), restock: (.restock_type | word),
      paid: (($refund.oc.amount | is_positive) and $refund.oc.status != "FAILED")}] as $undone
  | [.fulfillments | list[] | select((.status | word | lookup(parcel)) == "SHIPPED") | .line_items | list[] | {line: (.id | text), quantity: (.quantity // 0)}] as $shipped
  | (.line_items | list) as $items
  | [$items | to_entries[] | .key as $i | .value | . as $item
      | (.id | text // "\($i)") as $id
      | [$undone[] | select(.line == $id)] as $undone
      | total($undone[] | select(.restock == "cancel") | .quantity) as $canceled
      | total($undone[] | select(.restock == "return") | .quantity) as $returned
      | (.quantity | dec) as $ordered
      | (.current_quantity // dec_sub(dec_sub($ordered; $canceled); $returned)) as $current
      | allocations as $allocations
      | total($allocations[].amount) as $allocated
      # `total_discount` leaves out what order-level codes gave; the allocations hold both, and older versions have none.
      | (if $allocated | is_zero then money("total_discount") // "0" else $allocated end) as $discount
      | taxes as $taxes
      | total($taxes[].amount) as $tax
      | money("price") as $price
      | ([$shipped[] | select(.line == $id)]) as $parcels
      | {id: $id, sku: (.sku | text), productId: (.product_id | text), variantId: (.variant_id | text),
         name: ((.name | text) // (.title | text) // (.sku | text) // "Line \($i + 1)" | cut(1000)),
         quantity: {ordered: $ordered, current: $current, canceled: $canceled, returned: $returned, refunded: total($undone[] | select(.paid) | .quantity),
           fulfilled: (if $parcels != [] then total($parcels[].quantity) elif .fulfilled_quantity then .fulfilled_quantity
             elif (.fulfillment_status | word) == "fulfilled" then dec_sub($ordered; $canceled) else 0 end)},
         unitPrice: $price, discount: $discount, tax: $tax,
         total: (dec_sub(dec_mul($price; $ordered); $discount) | if $order.taxes_included == true then . else dec_add(.; $tax) end),
         discounts: $allocations, taxLines: $taxes,
         attributes: ({variantTitle: (.variant_title | text), vendor: (.vendor | text), giftCard: (if .gift_card == true then true else null end),
           properties: (.properties | list)} | present)}
      | present] as $lines
  | [.shipping_lines | list[] | select(.is_removed != true)] as $deliveries
  | {subtotal: (money("total_line_items_price") // total($lines[] | dec_mul(.unitPrice; .quantity.ordered))),
     discount: (money("total_discounts") // total($lines[].discount)),
     shipping: (money("total_shipping_price") // total($deliveries[] | money("price"))),
     tax: (money("total_tax") // total(taxes[].amount)), total: money("total_price")} as $sums
  # Tips, duties and fees stand apart; where the total is explained without them they are in the lines already.
  | dec_sub($sums.total; [$sums.subtotal, ($sums.discount | dec_neg), $sums.shipping, (if .taxes_included == true then "0" else $sums.tax end)] | dec_sum) as $rest
  | [if $rest | is_zero then empty else
      {title: "Tip", amount: money("total_tip_received")}, {title: "Duties", amount: money("original_total_duties")},
      {title: "Additional fees", amount: money("original_total_additional_fees")} | select(.amount | is_positive) end] as $fees
  | [.transactions | list[] | in_currency | . + {oc: {amount: (money("amount") // "0"), type: (.kind | word | lookup(kinds)), status: (.status | word | lookup(outcome))}}] as $moves
  | (.financial_status | word) as $paid
  | ($paid | lookup(financial)
      | if . == "PENDING" and ($order.transactions == [] or $order.payment_gateway_names == []) then "UNPAID" else . end
      | if (. == "PAID" or . == "UNPAID") and ($sums.total | is_zero) then "NOT_REQUIRED" else . end) as $payment
  | (.fulfillment_status | word) as $handed
  | [.fulfillments | list[] | select((.status | word | lookup(parcel)) == "SHIPPED") | (.shipment_status | word) | one_of("delivered", "picked_up")] as $arrived
  | {refunded: (if has("total_refunded") or has("total_refunded_set") then money("total_refunded") else null end
       // (if .refunds | type == "array" then total($refunds[] | select(.oc.status == "SUCCEEDED") | .oc.amount) else null end)),
     captured: (money("total_received") // (if .transactions | type == "array"
       then total($moves[] | select(.oc.status == "SUCCEEDED" and (.oc.type | one_of("CAPTURE", "SALE"))) | .oc.amount) else null end)),
     authorized: money("total_capturable"),
     due: (if $presentment then .total_outstanding_set | inside("presentment_money") | dec else money("total_outstanding") end)} as $flows
  | {sourceOrderId: (.id | text), version: ((.updated_at | text) // .created_at | micros), number: ((.name | text) // (.order_number // .number // .id | text)),
     kind: $config.kind, channel: (.source_name | text), currency: $currency, pricesIncludeTax: (.taxes_included == true),
     sourceUrl: (($config.admin_url | blank_to_null) as $url | if $url then "\($url | rtrimstr("/"))/orders/\(.id)" else null end)}
  + {status: (if .cancelled_at | text then "CANCELED" elif .closed_at | text then "COMPLETED" elif $payment | one_of("UNPAID", "PENDING", "EXPIRED") then "PENDING_PAYMENT"
       elif $payment == "UNKNOWN" then "UNKNOWN" else "PROCESSING" end),
     paymentStatus: $payment,
     fulfillmentStatus: (if $handed == null then "UNFULFILLED" else $handed | lookup(fulfillment) end
       | if . == "SHIPPED" and $arrived != [] and all($arrived[]; .) then "DELIVERED" else . end),
     returnStatus: ((.return_status | word) as $native | if $native then $native | lookup(return_axis) else "NONE" end
       | if . == "NONE" or $native == "returned" then
           if $native == "returned" or any($lines[]; .quantity.returned | is_positive) then
             if all($lines[]; dec_cmp(dec_add(.quantity.returned; .quantity.canceled); .quantity.ordered) >= 0) then "RETURNED" else "PARTIALLY_RETURNED" end
           else [($order.returns | list[] | .status | word)] as $states
             | if any($states[]; . == "open") then "IN_PROGRESS" elif any($states[]; . == "requested") then "REQUESTED" else "NONE" end end
         else . end),
     native: {state: (if .cancelled_at | text then "cancelled" elif .closed_at | text then "closed" else "open" end),
       subStates: ({financialStatus: .financial_status, fulfillmentStatus: .fulfillment_status, returnStatus: .return_status} | compact)},
     holds: [if $handed == "on_hold" then {code: "FULFILLMENT_ON_HOLD"} else empty end]}
  + {times: ({updatedAt: ((.updated_at | text) // .created_at | utc), placedAt: ((.processed_at | text) // .created_at | utc), completedAt: (.closed_at | utc), canceledAt: (.cancelled_at | utc)} | compact),
     cancelReason: (.cancel_reason | text),
     customer: ((.customer | if type == "object" then . else {} end) as $who | {id: ($who.id | text),
       name: (([$who.first_name, $who.last_name] | join_present(" ")) // ($who.display_name | text) // (.billing_address.name? | text) // (.shipping_address.name? | text)),
       email: ((.email | text) // (.contact_email | text) // ($who.email | text)), phone: ((.phone | text) // ($who.phone | text))} | present),
     billingAddress: (.billing_address | address), shippingAddress: (.shipping_address | address)}
  + {lines: $lines,
     totals: ($sums + $flows + {fees: total($fees[].amount)} | compact),
     fees: $fees, taxLines: taxes,
     discounts: ([($items[], $deliveries[]) | allocations[]] | if . != [] then group_by([.title, .couponCode]) | map(.[0] + {amount: total(.[].amount)})
       elif $presentment then [] else [$order.discount_codes | list[] | {title: (.code | text // "Discount"), amount: (.amount | dec), couponCode: (.code | text)} | select(.amount | is_positive) | compact] end),
     coupons: [.discount_codes | list[] | {code: (.code | text), discount: (if $presentment then null else .amount | dec end)} | select(.code != null) | compact],
     shippingLines: [$deliveries[] | {title: ((.title | text) // (.code | text) // "Shipping"), amount: (money("price") // "0")}]}
  + {payments: [$moves | to_entries[] | .value + {oc_id: (.value.id | text // "\(.key)")} | select((.kind | word) | one_of("refund", "capture", "void") | not) | . as $root
       | [$moves[] | select((.id | text) == $root.oc_id or (.parent_id | text) == $root.oc_id)
          | . + {oc_grand: ((.kind | word) == "capture")}] as $family
       | ($family + [$moves[] | select((.parent_id | text) as $parent | $parent != null and any($family[] | select(.oc_grand); (.id | text) == $parent)) | select((.id | text) as $id | all($family[]; (.id | text) != $id))]) as $family
       | def sum(types): total($family[] | select(.oc.status == "SUCCEEDED" and (.oc.type | one_of(types))) | .oc.amount);
         sum("CAPTURE", "SALE") as $captured | sum("REFUND") as $back
       | {id: .oc_id, method: ((.gateway | text) // "unknown"), provider: (.gateway | text), amount: .oc.amount, reference: (.authorization | text), createdAt: (.created_at | utc),
          status: (if .oc.status == "FAILED" then "FAILED" elif .oc.status == "PENDING" then "PENDING"
            elif $captured | is_zero then (if any($family[]; .oc.type == "VOID" and .oc.status == "SUCCEEDED") then "VOIDED" elif .oc.type == "AUTHORIZE" then "AUTHORIZED" else "UNKNOWN" end)
            elif $back | is_positive then (if dec_cmp($back; $captured) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end)
            elif dec_cmp($captured; .oc.amount) < 0 then "PARTIALLY_CAPTURED" else "CAPTURED" end),
          transactions: [$family | sort_by(.created_at // "")[] | {id: (.id | text // "0"), type: .oc.type, status: .oc.status, amount: .oc.amount, at: (.created_at | utc), reference: (.authorization | text), error: (.error_code | text)} | compact]}
       | compact],
     refunds: [$refunds | to_entries[] | .key as $i | .value | {id: (.id | text // "\($i)"), status: .oc.status, amount: .oc.amount, reason: (.note | text), createdAt: ((.processed_at | text) // .created_at | utc),
       shipping: ([(.refund_shipping_lines | list[] | money("subtotal_amount")), (.order_adjustments | list[] | select(.kind == "shipping_refund") | money("amount") | dec_neg)] | dec_sum | if is_zero then null else . end),
       lines: [.refund_line_items | list[] | {lineId: (.line_item_id | text // ""), quantity: (.quantity // 0), amount: ([money("subtotal"), (if $order.taxes_included == true then null else money("total_tax") end)] | if . == [null, null] then null else dec_sum end)} | compact]} | present],
     fulfillments: [.fulfillments | list[] | {id: (.id | text), createdAt: (.created_at | utc), shippedAt: (.in_transit_at | utc), deliveredAt: (.delivered_at | utc), location: (.location_id | text),
       status: ((.shipment_status | word) as $where | .status | word | lookup(parcel)
         | if . != "SHIPPED" then . elif $where | one_of("delivered", "picked_up") then "DELIVERED" elif $where == "ready_for_pickup" then "READY" else . end),
       lines: [.line_items | list[] | {lineId: (.id | text // ""), quantity: (.quantity // 0)}],
       details: ({shipmentStatus: (.shipment_status | text), name: (.name | text)} | compact),
       tracking: (.tracking_company as $carrier | [.tracking_urls | arrays[]] as $urls
         | [(.trackings | list[]), ([(.tracking_numbers | arrays[]), .tracking_number | text | values] | unique | to_entries[] | {carrier: $carrier, number: .value, url: $urls[.key]})
            | {carrier: (.carrier | text), number: (.number | text), url: (.url | text)} | select(.number != null) | compact])}
       | present],
     returns: [.returns | list[] | {id: (.id | text), status: (.status | word | lookup(return_words)), createdAt: (.created_at | utc),
       reason: ([.return_line_items | list[] | .return_reason | text | values] | unique | if . == [] then null else join(", ") end),
       lines: [.return_line_items | list[] | {lineId: (.line_item_id // .fulfillment_line_item.line_item.id? | text // ""), quantity: (.quantity // 0)}]} | present]}
  + {risk: (if .risk then {recommendation: (.risk | word | lookup({accept: "ACCEPT", investigate: "INVESTIGATE", cancel: "CANCEL"}))} else null end),
     notes: [.note | text | values | {text: ., customerVisible: false}],
     attributes: ({test: (if .test == true then true else null end), tags: (.tags | if type == "array" then . else text end), poNumber: (.po_number | text),
       confirmationNumber: (.confirmation_number | text), paymentGateways: .payment_gateway_names,
       shopCurrency: (if $presentment then .currency else null end), shopTotal: (if $presentment then .total_price_set | inside("shop_money") else null end),
       noteAttributes: (.note_attributes | list)} | present)}
  | present | .lines //= [] | .times //= {};

if type != "object" then error("a Shopify order is a JSON object")
elif (.lineItems | type) == "object" and .lineItems.pageInfo.hasNextPage == true then error("the order has more than 250 lines, which one answer of Shopify does not hold")
elif ([.id, .line_items, .lineItems, .total_price, .totalPriceSet] | all(. == null)) then error("not an order: it has no id, no lines and no total")
elif (.lineItems? // .displayFinancialStatus? // .currencyCode? // .totalPriceSet?) != null then rest
elif has("order_id") or has("abandoned_checkout_url") or has("invoice_url") or has("draft_order") then
  error("not an order: a refund, fulfillment, transaction, draft order or checkout has no order's body")
else . end
| ((.presentment_currency | text) // .currency // (.total_price_set | within("shop_money") | .currency_code) // (.total_price_set | within("presentment_money") | .currency_code)) as $currency
# An order without a real currency is refused there at once: its amounts mean nothing (masked or truncated bodies).
| if ($currency | currency_code) == null then {sourceOrderId: (.id | text), currency: $currency} else order end
