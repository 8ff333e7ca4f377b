# Square order -> unified order. Money is whole minor units of its currency. Square leaves empty lists out: an open
# order without tenders is an unpaid one.

def number: if type == "string" or type == "number" then dec else null end;

def minor_digits: { BIF: 0, CLP: 0, DJF: 0, GNF: 0, ISK: 0, JPY: 0, KMF: 0, KRW: 0, PYG: 0, RWF: 0, UGX: 0, UYI: 0, VND: 0,
  VUV: 0, XAF: 0, XOF: 0, XPF: 0, BHD: 3, IQD: 3, JOD: 3, KWD: 3, LYD: 3, OMR: 3, TND: 3 }[.currency // ""] // 2;
# Money without an amount is zero of its currency.
def money: if type != "object" then null else minor_digits as $digits | dec_shift(.amount // 0; -$digits) end;

def address:
  object
  | {
      name: ([.first_name, .last_name] | map(text) | join_present(" ")),
      lines: [.address_line_1, .address_line_2, .address_line_3, .sublocality | text | select(. != null)],
      city: (.locality | text),
      region: (.administrative_district_level_1 | text),
      postalCode: (.postal_code | text),
      countryCode: (.country | text | country_code)
    }
  | present
  | if . == {} then null else . end;

def details: (.shipment_details // .delivery_details // .pickup_details | object);

# What a fulfillment is about: all lines, or the entries it lists.
def portions($lines):
  if .line_item_application == "ENTRY_LIST" or ((.entries | list) != []) then
    [.entries | list | .[] | select((.line_item_uid | text) != null)
      | { lineId: (.line_item_uid | text), quantity: (.quantity | number | or_zero) }]
  else [$lines[] | select((.uid | text) != null) | { lineId: (.uid | text), quantity: (.quantity | number | or_zero) }] end;

def gross: (.gross_sales_money | money)
  // (if (.variation_total_price_money | type) == "object"
      then dec_add(.variation_total_price_money | money; [.modifiers | list | .[].total_price_money | money] | dec_sum) else null end);

def line($order; $lines; $inclusive; $index):
  ((.uid | text) // "line-\($index + 1)") as $uid
  | (.quantity | number | or_zero) as $quantity
  | gross as $gross
  | (if $gross == null then null else dec_div($gross; $quantity; 4) end) as $each
  | (if $each != null and dec_cmp(dec_mul($each; $quantity); $gross) == 0 then $each
     else (dec_add(.base_price_money | money; [.modifiers | list | .[].base_price_money | money] | dec_sum)
       | if is_zero and $each != null then $each else . end) end) as $price
  | (.total_discount_money | money | or_zero) as $discount
  | (.total_tax_money | money | or_zero) as $tax
  | ([$order.fulfillments | list | .[] | select(.state == "COMPLETED") | portions($lines)[] | select(.lineId == $uid) | .quantity]
      | dec_sum) as $fulfilled
  | ([$order.returns | list | .[].return_line_items | list | .[] | select((.source_line_item_uid | text) == $uid) | .quantity | number]
      | dec_sum) as $returned
  | {
      id: $uid,
      variantId: (.catalog_object_id | text),
      name: (([.name, .variation_name] | map(text) | join_present(" - ")) // (.note | text) // (.item_type | text) // "custom amount"),
      quantity: {
        ordered: $quantity,
        current: (dec_sub($quantity; $returned) | not_negative),
        fulfilled: $fulfilled,
        returned: $returned
      },
      unitPrice: $price,
      discount: $discount,
      tax: $tax,
      # Service charges spread over the lines are fees of the order.
      total: ((.total_money | money) as $total
        | if $total != null then dec_sub($total; .total_service_charge_money | money)
          else [$gross // dec_mul($price; $quantity), ($discount | dec_neg), (if $inclusive then null else $tax end)] | dec_sum end),
      discounts: [.applied_discounts | list | .[] | .discount_uid as $of
        | { title: (first($order.discounts | list | .[] | select(.uid == $of) | .name | text) // "discount"),
            amount: (.applied_money | money | or_zero) }],
      taxLines: [.applied_taxes | list | .[] | .tax_uid as $of
        | (first($order.taxes | list | .[] | select(.uid == $of)) // {}) as $definition
        | { title: (($definition.name | text) // "tax"),
            rate: ($definition.percentage | number | if . == null then null else dec_round(dec_shift(.; -2); 4) end),
            amount: (.applied_money | money | or_zero) } | compact],
      attributes: ({
        itemType: (.item_type | text | if . == "ITEM" then null else . end),
        modifiers: ([.modifiers | list | .[].name | text | select(. != null)] | if . == [] then null else . end),
        note: (.note | text),
        unit: (pick(.quantity_unit.measurement_unit.weight_unit) // pick(.quantity_unit.measurement_unit.generic_unit)
          // pick(.quantity_unit.measurement_unit.custom_unit.name))
      } | compact)
    }
  | present;

def fulfillment_status: (.type // "") as $type | .state
  | if . == "COMPLETED" then (if $type == "SHIPMENT" then "SHIPPED" else "DELIVERED" end)
    else lookup({ PROPOSED: "UNFULFILLED", RESERVED: "IN_PROGRESS", PREPARED: "READY", CANCELED: "CANCELED", FAILED: "CANCELED" }) end;

object as $in
| ($in.line_items | list) as $raw_lines
| ($in.tenders | list) as $tenders
| ($in.returns | list) as $returns
| ($in.total_money | money) as $total
| ($in.total_tax_money | money | or_zero) as $tax
| ($in.total_discount_money | money | or_zero) as $discount
| ([$raw_lines[] | gross // dec_mul(.base_price_money | money; .quantity | number)] | dec_sum) as $subtotal
| ([($in.service_charges | list | .[] | { title: ((.name | text) // "service charge"), amount: ((.applied_money // .amount_money) | money | or_zero) }),
    ({ title: "tip", amount: ($in.total_tip_money | money) }, { title: ($in.rounding_adjustment | object | .name | text // "rounding"),
        amount: ($in.rounding_adjustment | object | .amount_money | money) } | select(.amount != null and (.amount | is_zero | not)))]) as $fees
| ([($in.total_service_charge_money | money // ([$in.service_charges | list | .[] | (.applied_money // .amount_money) | money] | dec_sum)),
    ($in.total_tip_money | money), ($in.rounding_adjustment | object | .amount_money | money)] | dec_sum) as $charges
# Gross sales of inclusive taxes contain them in Europe and Australia and do not in the US, Canada and Japan: the
# total decides.
| ([$subtotal, ($discount | dec_neg), $charges] | dec_sum) as $untaxed
| (if $tax | is_zero then ([$in.taxes | list | .[].type] | . != [] and all(. == "INCLUSIVE"))
   elif $total == null then false
   elif dec_cmp(dec_add($untaxed; $tax); $total) == 0 then false
   elif dec_cmp($untaxed; $total) == 0 then true
   else ([$in.taxes | list | .[].type] | . != [] and all(. == "INCLUSIVE")) end) as $inclusive
| ([$raw_lines | to_entries[] | .key as $i | .value | line($in; $raw_lines; $inclusive; $i)]) as $lines
| ($in.state | text) as $state
| def tender_state: (.card_details | object | .status) // (.buy_now_pay_later_details | object | .status) // (.square_account_details | object | .status)
    // (.bank_account_details | object | .status) // null;
  def held: tender_state == "AUTHORIZED";
  def lost: tender_state as $s | $s == "VOIDED" or $s == "FAILED";
  ([$tenders[] | select((held or lost) | not) | .amount_money | money] | dec_sum) as $taken
| ([$tenders[] | select(held) | .amount_money | money] | dec_sum) as $held
| ($in.net_amount_due_money | money) as $due
| (if $tenders != [] then $taken
   elif $due != null and $returns == [] and $total != null then dec_sub($total; $due) | not_negative
   elif $returns == [] and ($state == "OPEN" or $state == "DRAFT" or $state == "CANCELED") then "0"
   else null end) as $captured
| (if $tenders != [] then $held elif $captured != null then "0" else null end) as $authorized
| ($in.refunds | list) as $refunds
| (if $refunds == [] and $captured == null then null else [$refunds[] | select(.status == "APPROVED") | .amount_money | money] | dec_sum end) as $refunded
| (if $captured == null then
     (if $refunded | is_positive then (if dec_cmp($refunded; $total) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end)
      elif $total != null and ($total | is_zero) then "NOT_REQUIRED"
      elif $state == "COMPLETED" then "PAID" else "UNKNOWN" end)
   elif ($captured | is_zero) and ($authorized | is_zero) then
     (if any($tenders[]; tender_state == "FAILED") then "FAILED"
      elif any($tenders[]; tender_state == "VOIDED") then "VOIDED"
      elif $total != null and ($total | is_zero) then "NOT_REQUIRED" else "UNPAID" end)
   elif $captured | is_zero then (if dec_cmp($authorized; $total) >= 0 then "AUTHORIZED" else "PARTIALLY_AUTHORIZED" end)
   elif dec_cmp($refunded; $captured) >= 0 then "REFUNDED"
   elif dec_cmp(dec_sub($captured; $refunded); $total) > 0 then "OVERPAID"
   elif $refunded | is_positive then "PARTIALLY_REFUNDED"
   elif dec_cmp($captured; $total) == 0 then "PAID"
   else "PARTIALLY_PAID" end) as $payment_status
| ($in.fulfillments | list) as $fulfillments
| ([$fulfillments[] | fulfillment_status]) as $progress
| ([$progress[] | select(. != "CANCELED")]) as $live
| ([$lines[].quantity.ordered] | dec_sum) as $ordered
| ([$lines[].quantity.returned] | dec_sum) as $returned
| (first($fulfillments[] | details.recipient | select(type == "object")) // {}) as $recipient
| {
    sourceOrderId: ($in.id | text),
    # Orders that were not made through the API have no version.
    version: (($in.version | if type == "string" then (tonumber? // .) else . end) // ((pick($in.updated_at) // pick($in.created_at) | micros) // 0)),
    number: (($in.reference_id | text) // ($in.id | text)),
    kind: (if $raw_lines != [] and all($raw_lines[]; .item_type == "GIFT_CARD") then "DIGITAL" else "RETAIL" end),
    channel: (pick($in.location_id) // pick($in.source.name)),
    status: (if $state == "OPEN" then
        (if any($live[]; . != "UNFULFILLED") then "PROCESSING"
         elif ["UNPAID", "PARTIALLY_PAID", "PARTIALLY_AUTHORIZED", "FAILED", "VOIDED"] | index([$payment_status]) != null then "PENDING_PAYMENT"
         elif $live != [] then "PENDING_ACCEPTANCE"
         else "PROCESSING" end)
      else $state | lookup({ DRAFT: "DRAFT", COMPLETED: "COMPLETED", CANCELED: "CANCELED" }) end),
    paymentStatus: $payment_status,
    fulfillmentStatus: (if $state == "CANCELED" then "CANCELED"
      elif $fulfillments == [] then (if $state == "COMPLETED" then "NOT_REQUIRED" else "UNFULFILLED" end)
      elif $live == [] then "CANCELED"
      elif all($live[]; . == "DELIVERED") then "DELIVERED"
      elif all($live[]; . == "SHIPPED" or . == "DELIVERED") then "SHIPPED"
      elif any($live[]; . == "SHIPPED" or . == "DELIVERED") then "PARTIALLY_SHIPPED"
      elif any($live[]; . == "UNKNOWN") then "UNKNOWN"
      elif all($live[]; . == "READY") then "READY"
      elif any($live[]; . == "READY" or . == "IN_PROGRESS") then "IN_PROGRESS"
      else "UNFULFILLED" end),
    returnStatus: (if $returns == [] then "NONE"
      elif $returned | is_zero then (if $raw_lines == [] then "RETURNED" else "PARTIALLY_RETURNED" end)
      elif dec_cmp($returned; $ordered) >= 0 then "RETURNED" else "PARTIALLY_RETURNED" end),
    native: { state: $in.state },
    currency: (pick($in.total_money.currency) // pick($raw_lines[0].base_price_money.currency)),
    pricesIncludeTax: $inclusive,
    times: ({
      updatedAt: (pick($in.updated_at) // pick($in.created_at) | utc),
      placedAt: (if $state == "DRAFT" then null else $in.created_at | text | utc end),
      completedAt: (if $state == "COMPLETED" then $in.closed_at | text | utc else null end),
      canceledAt: (if $state == "CANCELED" then (pick($in.closed_at) | utc) // (pick($fulfillments[].shipment_details.canceled_at, $fulfillments[].pickup_details.canceled_at) | utc)
        else null end)
    } | with_entries(select(.value != null or .key == "updatedAt"))),
    cancelReason: (if $state == "CANCELED" then pick($fulfillments[] | details.cancel_reason) else null end),
    customer: ({
      id: (pick($in.customer_id) // pick($recipient.customer_id) // pick($tenders[0].customer_id)),
      name: ($recipient.display_name | text),
      email: ($recipient.email_address | text),
      phone: ($recipient.phone_number | text)
    } | compact),
    shippingAddress: (($recipient.address | address) as $address
      | if $address == null then null else { name: ($recipient.display_name | text) } + $address + { phone: ($recipient.phone_number | text) } | compact end),
    lines: $lines,
    totals: ({
      subtotal: $subtotal,
      discount: $discount,
      tax: $tax,
      fees: $charges,
      total: $total,
      authorized: $authorized,
      captured: $captured,
      refunded: $refunded,
      due: ($due | not_negative)
    } | with_entries(select(.value != null or .key == "total"))),
    discounts: [$in.discounts | list | .[] | select(.scope != "LINE_ITEM")
      | { title: ((.name | text) // "discount"), amount: ((.applied_money // .amount_money) | money | or_zero) }],
    taxLines: [$in.taxes | list | .[] | { title: ((.name | text) // "tax"),
      rate: (.percentage | number | if . == null then null else dec_round(dec_shift(.; -2); 4) end), amount: (.applied_money | money | or_zero) } | compact],
    fees: $fees,
    payments: [$tenders[] | {
      id: ((.id | text) // (.payment_id | text)),
      method: ((.type | text // "payment") | ascii_downcase),
      status: (if held then "AUTHORIZED" elif lost then (if tender_state == "VOIDED" then "VOIDED" else "FAILED" end)
        else (.id | text) as $tender
          | ([$refunds[] | select(.status == "APPROVED" and (.tender_id | text) == $tender) | .amount_money | money] | dec_sum) as $back
          | if $back | is_zero then "CAPTURED" elif dec_cmp($back; .amount_money | money) >= 0 then "REFUNDED" else "PARTIALLY_REFUNDED" end end),
      amount: (.amount_money | money | or_zero),
      currency: pick(.amount_money.currency),
      reference: ((.payment_id | text) // (.transaction_id | text)),
      createdAt: (.created_at | text | utc)
    } | compact],
    refunds: [$refunds[] | {
      id: (.id | text),
      status: (.status | lookup({ PENDING: "PENDING", APPROVED: "SUCCEEDED", REJECTED: "FAILED", FAILED: "FAILED" })),
      amount: (.amount_money | money | or_zero),
      currency: pick(.amount_money.currency),
      reason: (.reason | text),
      paymentId: (.tender_id | text),
      createdAt: (.created_at | text | utc)
    } | compact],
    fulfillments: [$fulfillments | to_entries[] | .key as $i | .value | details as $details | {
      id: ((.uid | text) // "fulfillment-\($i + 1)"),
      status: fulfillment_status,
      lines: portions($raw_lines),
      tracking: [$details | select((.tracking_number | text) != null)
        | { carrier: (.carrier | text), number: (.tracking_number | text), url: (.tracking_url | text) } | compact],
      createdAt: ($details.placed_at | text | utc),
      shippedAt: (pick($details.shipped_at) // pick($details.courier_pickup_at) | utc),
      deliveredAt: (pick($details.delivered_at) // pick($details.picked_up_at) | utc),
      details: ({ type: (.type | text), state: (.state | text), pickupAt: ($details.pickup_at | text), deliverAt: ($details.deliver_at | text) } | compact)
    } | present],
    returns: [$returns | to_entries[] | .key as $i | .value | {
      id: ((.uid | text) // "return-\($i + 1)"),
      status: "RECEIVED",
      lines: [.return_line_items | list | .[] | (pick(.source_line_item_uid) // pick(.uid)) as $line | select($line != null)
        | { lineId: $line, quantity: (.quantity | number | or_zero) }]
    } | present],
    notes: [$fulfillments[] | details | (.note // .shipping_note // .dropoff_notes | text) | select(. != null) | { text: ., author: "customer", customerVisible: true }],
    # A return is an order of its own that names the one it reverses.
    relations: ([$returns[].source_order_id | text | select(. != null)] | unique | map(select(. != ($in.id | text)) | { type: "REVERSES", sourceOrderId: . })),
    attributes: ({
      source: pick($in.source.name),
      ticketName: ($in.ticket_name | text),
      metadata: ($in.metadata | if type == "object" and . != {} then . else null end)
    } | compact)
  }
| with_entries(select((.value != null and .value != [] and .value != {})
    or (.key as $key | ["sourceOrderId", "number", "currency"] | index([$key]) != null)))
