# One order of Amazon's Selling Partner API. The v0 order is first brought into the 2026-01-01 shape; a vendor's purchase
# order, in which Amazon itself is the buyer, has a mapping of its own. What is no order is left without the fields that
# an order must have, so that the contract refuses it by name.

# ---- small readers
def each: arrays[] | values;
def number: if type == "number" or (type == "string" and test("^\\s*-?[0-9]+(\\.[0-9]+)?\\s*$")) then dec else null end;
def time: if type == "string" then utc else null end;
# What a path leads to; null where something on the way is not what it should be.
def reach(f): (f)? // null;
def latest: map(values) | if . == [] then null else max end;

# ---- words
def marketplaces: {
  A2EUQ1WTGCTBG2: "CAD", ATVPDKIKX0DER: "USD", A1AM78C64UM0Y8: "MXN", A2Q3Y263D00KWC: "BRL", A28R8C7NBKEWEA: "EUR",
  A1RKKUPIHCS9HS: "EUR", A1F83G8C2ARO7P: "GBP", A13V1IB3VIYZZH: "EUR", AMEN7PMS3EDWL: "EUR", A1805IZSGTT6HS: "EUR",
  A1PA6795UKMFR9: "EUR", APJ6JRA9NG5V4: "EUR", A2NODRKZP88ZB9: "SEK", AE08WJ6YKNBMC: "ZAR", A1C3SOZRARQ6R3: "PLN",
  ARBP9OOSHTCHU: "EGP", A33AVAJ2PDY3EV: "TRY", A17E79C6D8DWNP: "SAR", A2VIGQ35RCS4UG: "AED", A21TJRUUN4KGV: "INR",
  A19VAU5U5O7RUS: "SGD", A39IBJ37TRP1C6: "AUD", A1VC38T7YXB528: "JPY"};
# v0 writes `PartiallyShipped`, 2026-01-01 `PARTIALLY_SHIPPED`.
def word: text | if . == null then null else gsub("(?<a>[a-z])(?<b>[A-Z])"; "\(.a)_\(.b)") | ascii_upcase
  | if . == "CANCELED" then "CANCELLED" else . end end;
def statuses: {
  PENDING_AVAILABILITY: "PENDING_PAYMENT", PENDING: "PENDING_PAYMENT", UNSHIPPED: "PROCESSING",
  PARTIALLY_SHIPPED: "PROCESSING", SHIPPED: "AWAITING_CONFIRMATION", INVOICE_UNCONFIRMED: "AWAITING_CONFIRMATION",
  CANCELLED: "CANCELED", UNFULFILLABLE: "PROCESSING"};
def fulfillment_statuses: {
  PENDING_AVAILABILITY: "UNFULFILLED", PENDING: "UNFULFILLED", UNSHIPPED: "UNFULFILLED",
  PARTIALLY_SHIPPED: "PARTIALLY_SHIPPED", SHIPPED: "SHIPPED", INVOICE_UNCONFIRMED: "SHIPPED", CANCELLED: "CANCELED",
  UNFULFILLABLE: "CANCELED"};
# Amazon authorizes before it shows an order as unshipped and collects when the goods leave.
def card_statuses: {
  PENDING_AVAILABILITY: "PENDING", PENDING: "PENDING", UNSHIPPED: "AUTHORIZED", PARTIALLY_SHIPPED: "AUTHORIZED",
  SHIPPED: "PAID", INVOICE_UNCONFIRMED: "PAID", CANCELLED: "VOIDED"};
# A convenience store is paid before Amazon releases the order; cash is paid to the courier.
def store_statuses: card_statuses + {UNSHIPPED: "PAID", PARTIALLY_SHIPPED: "PAID"};
def cash_statuses: card_statuses
  + {UNSHIPPED: "UNPAID", PARTIALLY_SHIPPED: "UNPAID", SHIPPED: "PENDING", INVOICE_UNCONFIRMED: "PENDING"};
def payment_states: {PENDING: "PENDING", UNPAID: "PENDING", AUTHORIZED: "AUTHORIZED", PAID: "CAPTURED", VOIDED: "VOIDED"};
def parcels: {PENDING: "IN_PROGRESS", IN_TRANSIT: "SHIPPED", SHIPPED: "SHIPPED", DELIVERED: "DELIVERED",
  CANCELLED: "CANCELED", UNDELIVERABLE: "CANCELED"};
def easy_ship: {PENDING_SCHEDULE: "IN_PROGRESS", PENDING_PICK_UP: "READY", PENDING_DROP_OFF: "READY",
  LABEL_CANCELLED: "IN_PROGRESS", PICKED_UP: "SHIPPED", DROPPED_OFF: "SHIPPED", AT_ORIGIN_FC: "SHIPPED",
  AT_DESTINATION_FC: "SHIPPED", OUT_FOR_DELIVERY: "SHIPPED", DELIVERED: "DELIVERED"};
def coming_back: {REJECTED_BY_BUYER: "IN_PROGRESS", UNDELIVERABLE: "IN_PROGRESS", RETURNING_TO_SELLER: "IN_PROGRESS",
  RETURNED_TO_SELLER: "RETURNED"};
def no_currency: "no amount, no known marketplace and no setting `currency`";
def relations: {REPLACEMENT_ORIGINAL_ID: "REPLACES", EXCHANGE_ORIGINAL_ID: "EXCHANGE_OF"};
def fee_titles: {GIFT_WRAP: "Gift wrap", COD_FEE: "Cash on delivery", DELIVERY_TIP: "Delivery tip", OTHER: "Other"};

# ---- v0 in the shape of 2026-01-01
def v0_money: if type == "object" and .Amount != null then {amount: .Amount, currencyCode: .CurrencyCode} else null end;
def v0_part($type; $money): if $money == null then empty else {type: $type, subtotal: $money, detailedBreakdowns: []} end;
def v0_detail($subtype; $money): if $money == null then empty else {subtype: $subtype, value: $money} end;
def v0_less: if . == null then null else .amount |= dec_neg end;
def v0_true: . == true or . == "true";
def v0_address: if type != "object" then null else {
  name: .Name, companyName: .CompanyName, addressLine1: .AddressLine1, addressLine2: .AddressLine2,
  addressLine3: .AddressLine3, city: .City, districtOrCounty: (.District // .County), stateOrRegion: .StateOrRegion,
  postalCode: .PostalCode, countryCode: .CountryCode, phone: .Phone, addressType: .AddressType} end;
def v0_item: object
  | (.BuyerInfo | object) as $gift
  | ([v0_detail("ITEM"; .ItemTax | v0_money), v0_detail("SHIPPING"; .ShippingTax | v0_money),
      v0_detail("GIFT_WRAP"; $gift.GiftWrapTax | v0_money), v0_detail("DISCOUNT"; .PromotionDiscountTax | v0_money | v0_less),
      v0_detail("SHIPPING"; .ShippingDiscountTax | v0_money | v0_less)]) as $taxes
  | {
    orderItemId: .OrderItemId, quantityOrdered: .QuantityOrdered, measurement: .Measurement,
    product: {asin: .ASIN, title: .Title, sellerSku: .SellerSKU, serialNumbers: .SerialNumbers,
      condition: {conditionType: .ConditionId, conditionSubtype: .ConditionSubtypeId, conditionNote: .ConditionNote},
      price: {priceDesignation: .PriceDesignation}},
    proceeds: {breakdowns: [
      v0_part("ITEM"; .ItemPrice | v0_money), v0_part("SHIPPING"; .ShippingPrice | v0_money),
      v0_part("GIFT_WRAP"; $gift.GiftWrapPrice | v0_money), v0_part("COD_FEE"; .CODFee | v0_money),
      (v0_part("DISCOUNT"; .PromotionDiscount | v0_money) | .detailedBreakdowns = [{subtype: "ITEM", value: .subtotal}]),
      (v0_part("DISCOUNT"; .ShippingDiscount | v0_money) | .detailedBreakdowns = [{subtype: "SHIPPING", value: .subtotal}]),
      (v0_part("DISCOUNT"; .CODFeeDiscount | v0_money) | .detailedBreakdowns = [{subtype: "COD_FEE", value: .subtotal}]),
      ($taxes | select(. != []) | {type: "TAX", detailedBreakdowns: ., subtotal: {amount: (map(.value.amount) | dec_sum),
          currencyCode: .[0].value.currencyCode}})]},
    promotion: {breakdowns: [.PromotionIds | if type == "string" then [.] else . end | each | {promotionId: .}]},
    cancellation: (if .BuyerRequestedCancel | object | .IsBuyerRequestedCancel | v0_true
      then {cancellationRequest: {requester: "BUYER", cancelReason: .BuyerRequestedCancel.BuyerCancelReason}} else null end),
    fulfillment: {quantityFulfilled: .QuantityShipped,
      packing: {giftOption: {giftMessage: $gift.GiftMessageText, giftWrapLevel: $gift.GiftWrapLevel}}}
  };
def v0_order: {
  orderId: .AmazonOrderId, createdTime: .PurchaseDate, lastUpdatedTime: .LastUpdateDate,
  orderAliases: [.SellerOrderId | values | {aliasId: ., aliasType: "SELLER_ORDER_ID"}],
  associatedOrders: [.ReplacedOrderId | text | values | {orderId: ., associationType: "REPLACEMENT_ORIGINAL_ID"}],
  programs: [({AMAZON_BUSINESS: .IsBusinessOrder, PRIME: .IsPrime, PREMIUM: .IsPremiumOrder, IN_STORE_PICK_UP: .IsISPU}
    | to_entries[] | select(.value | v0_true) | .key)],
  salesChannel: {marketplaceId: .MarketplaceId, marketplaceName: .SalesChannel},
  buyer: (.BuyerInfo | object | {buyerName: .BuyerName, buyerEmail: .BuyerEmail, buyerPurchaseOrderNumber: .PurchaseOrderNumber,
    buyerCompanyName: (.BuyerTaxInfo | object | .CompanyLegalName)}),
  recipient: {deliveryAddress: (.ShippingAddress | v0_address)},
  proceeds: {grandTotal: (.OrderTotal | v0_money)},
  payment: {paymentExecutions: [.PaymentExecutionDetail | each | {paymentMethod: .PaymentMethod, paymentAmount: (.Payment | v0_money),
    authorizationCode: .AuthorizationCode}]},
  paymentMethod: .PaymentMethod, paymentMethods: .PaymentMethodDetails, orderType: .OrderType, easyShip: .EasyShipShipmentStatus,
  fulfillment: {fulfillmentStatus: .OrderStatus, fulfillmentServiceLevel: (.ShipmentServiceLevelCategory // .ShipServiceLevel),
    fulfilledBy: ({AFN: "AMAZON", MFN: "MERCHANT"}[.FulfillmentChannel | text // ""] // .FulfillmentChannel),
    shipByWindow: {latestDateTime: .LatestShipDate}, deliverByWindow: {latestDateTime: .LatestDeliveryDate}},
  # getOrderItems answers apart; a source that fetched them puts them here, with or without their envelope.
  orderItems: [(.OrderItems // .orderItems) | if type == "object" then (.payload // .).OrderItems else . end | each | v0_item]
};

def address: object | {
    name: (.name | text), company: (.companyName | text),
    lines: [(.addressLine1, .addressLine2, .addressLine3) | text | values], city: ((.city | text) // (.municipality | text)),
    region: ((.stateOrRegion | text) // (.districtOrCounty | text)), postalCode: (.postalCode | text),
    countryCode: (.countryCode | text | country_code), country: (.countryCode | text | if country_code == null then . else null end),
    phone: (.phone | text)
  } | present | if . == {} then null else . end;

# ---- a seller's order
def seller_order:
  . as $order
  # Absent where the source did not ask for it: `fulfillment` is one of the optional parts of 2026-01-01.
  | (.fulfillment | object | .fulfillmentStatus | text // "UNKNOWN") as $state
  | ($state | word) as $status
  | ([.orderItems | each | object]) as $items
  # The currency of the total, else of any amount, else of the marketplace.
  | ([(.proceeds | object | .grandTotal, (.breakdowns | each | object | .subtotal)),
      ($items[] | reach(.product.price.unitPrice), (.proceeds | object | .proceedsTotal, (.breakdowns | each | object | .subtotal)))
      | object | .currencyCode | text | values] | .[0])
      // marketplaces[reach(.salesChannel.marketplaceId) // "" | tostring] // ($config.currency | text) // no_currency as $currency
  # Amounts in a foreign currency cannot be added; the totals then show that they are missing.
  | def amount: if type == "object" and (.currencyCode == null or .currencyCode == $currency) then .amount | dec else null end;
    def part($type): [.proceeds | object | .breakdowns | each | object | select((.type | word) == $type)];
    def sum($type): part($type) | map(.subtotal | amount | values) | if . == [] then null else dec_sum end;
    def detail($type; $subtypes): [part($type)[] | .detailedBreakdowns | each | object | select([.subtype | word] | inside($subtypes)) | .value | amount | values] | dec_sum;
    def detailed($type): any(part($type)[]; [.detailedBreakdowns | each] != []);

    ([$items[] | {
        item: ., ordered: (.quantityOrdered | number // "0"), fulfilled: (.fulfillment | object | .quantityFulfilled | number // "0"),
        open: (.fulfillment | object | .quantityUnfulfilled | number), gross: sum("ITEM"), unit: (reach(.product.price.unitPrice) | amount),
        # Tax and discounts on delivery are the order's, not the line's.
        tax: (sum("TAX") | if . == null then "0" else . end), beside: detail("TAX"; ["SHIPPING", "GIFT_WRAP", "COD_FEE", "OTHER"]),
        discount: (if detailed("DISCOUNT") then detail("DISCOUNT"; ["ITEM"]) else sum("DISCOUNT") // "0" end | dec_abs)
      }
      | .unit = (.unit // (dec_div(.gross; .ordered; 4)) // "0")
      | .gross = (.gross // dec_mul(.unit; .ordered))
      | .own_tax = dec_sub(.tax; .beside)
      | .canceled = (if $status == "CANCELLED" then dec_sub(.ordered; .fulfilled)
          elif .open != null then dec_sub(.ordered; dec_add(.fulfilled; .open)) else "0" end | if is_positive then . else "0" end)
    ]) as $lines
  # The order's own sums, else those of its items.
  | def total($type; f): sum($type) // ([$items[] | f] | dec_sum);
    (.proceeds | object | .grandTotal | amount) as $said
  | (sum("ITEM") // ([$lines[].gross] | dec_sum)) as $gross
  | total("SHIPPING"; sum("SHIPPING") // "0") as $shipping
  | total("TAX"; sum("TAX") // "0") as $tax
  | (total("DISCOUNT"; [part("DISCOUNT")[] | .subtotal | amount | values | dec_abs] | dec_sum) | dec_abs) as $discount
  | [("GIFT_WRAP", "COD_FEE", "DELIVERY_TIP", "OTHER") as $type | {title: fee_titles[$type], amount: total($type; sum($type) // "0")}
      | select(.amount | is_zero | not)] as $fees
  | ([$fees[].amount] | dec_sum) as $fee_sum
  | (dec_sub(dec_add($gross; dec_add($shipping; $fee_sum)); $discount)) as $net
  # The total tells whether prices contain tax; where it does not, they do except in the USA and Canada.
  | (if $said != null and dec_cmp($tax; "0") != 0 and dec_cmp($said; $net) == 0 then true
     elif $said != null and dec_cmp($tax; "0") != 0 and dec_cmp($said; dec_add($net; $tax)) == 0 then false
     else [$currency] | inside(["USD", "CAD"]) | not end) as $taxed
  | ($said // if $taxed then $net else dec_add($net; $tax) end) as $total
  # Without its items an order still has its total.
  | (if $lines == [] and ($gross | is_zero) then dec_add(dec_sub($total; dec_add(dec_add($shipping; $fee_sum); if $taxed then "0" else $tax end)); $discount)
     else $gross end) as $subtotal
  | [.packages | each | object] as $packages
  | [$packages[] | .packageStatus | object | (.status | word) // (.detailedStatus | word)] as $parcel_words
  | ((.easyShip | word) // ([$packages[] | .packageStatus | object | .detailedStatus | word | values] | unique | if length == 1 then .[0] else null end)
     | if . == "LABEL_CANCELED" then "LABEL_CANCELLED" else . end) as $trip
  | ($status | lookup(fulfillment_statuses)
     | if . == "SHIPPED" or . == "PARTIALLY_SHIPPED" then
         ([$parcel_words[] | select(. != "CANCELLED")] | if . == [] then [$order.easyShip | word | values] else . end) as $live
         | if . == "SHIPPED" and $live != [] and all($live[]; . == "DELIVERED") then "DELIVERED"
           elif any($live[]; . == "DELIVERED") then "PARTIALLY_DELIVERED" else . end
       elif . == "UNFULFILLED" and $status == "UNSHIPPED" and $order.easyShip != null then easy_ship[$trip // ""] // .
       else . end) as $delivery
  | ($status | lookup(statuses) | if . == "AWAITING_CONFIRMATION" and $delivery == "DELIVERED" then "COMPLETED" else . end) as $stage
  | ([.paymentMethod, (.paymentMethods | each), (.payment | object | .paymentExecutions | each | object | .paymentMethod)] | map(text | values)) as $methods
  | (if any($methods[]; test("^(COD|CashOnDelivery)$"; "i")) then
       if $delivery == "DELIVERED" then "PAID" else $status | lookup(cash_statuses) end
     elif any($methods[]; test("^(CVS|ConvenienceStore)$"; "i")) then $status | lookup(store_statuses)
     else $status | lookup(card_statuses) end) as $payment
  | (.salesChannel | object) as $channel
  | (.buyer | object) as $buyer
  | {
      sourceOrderId: (.orderId | text),
      version: (.lastUpdatedTime | time | micros),
      number: (.orderId | text),
      kind: "MARKETPLACE",
      channel: ((.salesChannel | object | .marketplaceName | text) // ($channel.marketplaceId | text) // ($channel.channelName | text)),
      status: $stage, paymentStatus: $payment, fulfillmentStatus: $delivery,
      returnStatus: (coming_back[$trip // ""] // "NONE"),
      native: {state: $state, subStates: ({easyShip: .easyShip, packages: ([$packages[].packageStatus | object | .detailedStatus // .status | values] | unique)} | present)},
      holds: [
        (if $status == "PENDING_AVAILABILITY" then {code: "PRE_ORDER", reason: "The item is not released yet."} else empty end),
        (if $status == "UNFULFILLABLE" then {code: "UNFULFILLABLE", reason: "Amazon cannot fulfill the order."} else empty end),
        (if $status == "INVOICE_UNCONFIRMED" then {code: "INVOICE_UNCONFIRMED", reason: "Amazon waits for the invoice to be confirmed."} else empty end),
        ([$items[] | .cancellation | object | select((.cancellationRequest | type) == "object" and .cancellationExecution == null) | .cancellationRequest]
          | if . == [] or ([$status] | inside(["CANCELLED", "SHIPPED", "INVOICE_UNCONFIRMED"])) then empty
            else {code: "CANCELLATION_REQUESTED", reason: ([.[].cancelReason | text | values] | unique | join_present("; "))} | compact end)],
      currency: $currency,
      pricesIncludeTax: $taxed,
      times: ({updatedAt: (.lastUpdatedTime | time), placedAt: (.createdTime | time),
        shippedAt: (if ([$status] | inside(["SHIPPED", "INVOICE_UNCONFIRMED"])) then [$packages[] | .shipTime | time] | latest else null end)} | compact),
      cancelReason: (if $status == "CANCELLED" then [$items[] | .cancellation | object | (.cancellationExecution, .cancellationRequest) | object | .cancelReason | text | values]
        | unique | join_present("; ") else null end),
      customer: ({name: ($buyer.buyerName | text), email: ($buyer.buyerEmail | text | cut(255)),
        phone: (reach(.recipient.deliveryAddress.phone) | text), group: (if any(.programs | each; . == "AMAZON_BUSINESS") then "business" else null end)}
        | compact | if del(.phone, .group) == {} then null else . end),
      shippingAddress: (.recipient | object | .deliveryAddress | address),
      lines: [$lines[] | . as $line | .item as $item | ($item.product | object) as $product | {
          id: ($item.orderItemId | text), sku: ($product.sellerSku | text), productId: ($product.asin | text),
          name: (($product.title | text) // ($product.sellerSku | text) // ($product.asin | text) // "Item \($item.orderItemId)" | cut(1000)),
          quantity: {ordered, current: dec_sub(.ordered; .canceled), fulfilled, canceled},
          unitPrice: .unit, discount: .discount, tax: .own_tax,
          total: dec_add(dec_sub(.gross; .discount); if $taxed then "0" else .own_tax end),
          discounts: [if .discount | is_zero then empty else {title: ([$item.promotion | object | .breakdowns | each | object | .promotionId | text | values] | join_present(", ") // "Promotion"), amount: .discount} end],
          taxLines: [if .own_tax | is_zero then empty else {title: "Tax", amount: .own_tax} end],
          attributes: ({
            condition: ($product.condition | object | .conditionType | text), giftMessage: (reach($item.fulfillment.packing.giftOption.giftMessage) | text),
            giftWrap: (reach($item.fulfillment.packing.giftOption.giftWrapLevel) | text), serialNumbers: $product.serialNumbers,
            promotions: [$item.promotion | object | .breakdowns | each | object | .promotionId | text | values],
            measurement: ($item.measurement | if type == "object" then "\(.value // .Value) \(.unit // .Unit)" else null end)
          } | present)
        } | compact],
      totals: {subtotal: $subtotal, discount: $discount, shipping: $shipping, tax: $tax, fees: $fee_sum, total: $total},
      taxLines: [if $tax | is_zero then empty else {title: "Tax", amount: $tax} end],
      shippingLines: [if $shipping | is_zero then empty else {title: (.fulfillment | object | .fulfillmentServiceLevel | text // "Shipping"), amount: $shipping} end],
      fees: $fees,
      payments: [.payment | object | .paymentExecutions | each | object] | to_entries | map(.key as $i | .value | {
          id: "\($i + 1)", method: (.paymentMethod | text // "other"), status: ($payment | lookup(payment_states)),
          amount: (.paymentAmount | object | .amount | dec), currency: (.paymentAmount | object | .currencyCode | text),
          reference: (.authorizationCode | text)} | select(.amount != null) | compact),
      fulfillments: [$packages[] | {
          id: (.packageReferenceId | text), status: ((.packageStatus | object | .status) | word | lookup(parcels)),
          lines: [.packageItems | each | object | {lineId: (.orderItemId | text), quantity: (.quantity | number // "0")} | select(.lineId != null)],
          location: (.shipFromAddress | object | .name | text),
          tracking: [.trackingNumber | text | values] | map({carrier: null, number: .}),
          createdAt: (.createdTime | time), shippedAt: (.shipTime | time),
          details: ({service: (.shippingService | text), status: (.packageStatus | object | .detailedStatus | text)} | present)
        } + {carrier: (.carrier | text)} | .carrier as $carrier | .tracking |= map(.carrier = $carrier | compact) | del(.carrier) | compact],
      notes: [.recipient | object | .deliveryPreference | object | (.dropOffLocation, .addressInstruction) | text | values | {text: ., customerVisible: true}],
      relations: [.associatedOrders | each | object | {type: (.associationType | lookup(relations)), sourceOrderId: (.orderId | text)} | select(.sourceOrderId != null)],
      attributes: ({
        sellerOrderId: ([.orderAliases | each | object | select(.aliasType == "SELLER_ORDER_ID") | .aliasId | text | values] | .[0]),
        programs: [.programs | each], fulfilledBy: (.fulfillment | object | .fulfilledBy | text), serviceLevel: (.fulfillment | object | .fulfillmentServiceLevel | text),
        shipBy: (.fulfillment | object | .shipByWindow | object | .latestDateTime | text), deliverBy: (.fulfillment | object | .deliverByWindow | object | .latestDateTime | text),
        purchaseOrderNumber: ($buyer.buyerPurchaseOrderNumber | text), buyerCompany: ($buyer.buyerCompanyName | text),
        paymentMethods: ($methods | unique), marketplaceId: ($channel.marketplaceId | text), orderType: (.orderType | text),
        # Items come apart in v0: an order without lines is not an order of nothing.
        itemsMissing: (if $items == [] then true else null end)
      } | present)
    } | compact + {sourceOrderId, currency};

# ---- a vendor's purchase order: Amazon buys; the order carries unit costs and no sums
def vendor_address: object | (.address // . | object) | {
    name: (.name | text), lines: [(.addressLine1, .addressLine2, .addressLine3) | text | values], city: (.city | text),
    region: ((.stateOrRegion | text) // (.county | text) // (.district | text)), postalCode: (.postalCode | text),
    countryCode: (.countryCode | text | country_code), country: (.countryCode | text | if country_code == null then . else null end),
    phone: (.phone | text)
  } | present | if . == {} then null else . end;
def vendor_statuses: {NEW: "PENDING_ACCEPTANCE", ACKNOWLEDGED: "PROCESSING", ACCEPTED: "PROCESSING", CLOSED: "COMPLETED",
  SHIPPED: "AWAITING_CONFIRMATION", CANCELLED: "CANCELED"};
# A purchase order says nothing of its shipments once it is acknowledged; a direct fulfillment order does.
def vendor_fulfillments: {NEW: "UNFULFILLED", ACCEPTED: "UNFULFILLED", SHIPPED: "SHIPPED", CANCELLED: "CANCELED"};
# Several tax lines may be parts beside their total.
def vendor_tax: [object | .taxLineItem | each | object]
  | (map(select((.type | word) == "TOTAL")) | if . == [] then null else . end) // .;

def vendor_order:
  .orderDetails as $details
  | ((.purchaseOrderState // $details.orderStatus) | text) as $state
  | ($state | word) as $status
  | [($details.items // .items) | each | object] as $items
  | ([$items[] | (.netCost, .netPrice, .listPrice) | object | .currencyCode | text | values] | .[0]) // ($config.currency | text) // no_currency as $currency
  | def amount: if type == "object" and (.currencyCode == null or .currencyCode == $currency) then .amount | dec else null end;
    [$items[] | (.orderedQuantity | object) as $quantity
      # Costs are per each; a case holds `unitSize` of them.
      | (if ($quantity.unitOfMeasure | word) == "CASES" then dec_mul($quantity.amount | number // "0"; $quantity.unitSize | number // "1")
         else $quantity.amount | number // "0" end) as $ordered
      | (.netCost // .netPrice | amount // "0") as $price
      | [.taxDetails | vendor_tax[] | {title: "Tax", rate: (.taxRate | number), amount: (.taxAmount | amount // "0")} | compact] as $taxes
      | ([$taxes[].amount] | dec_sum) as $tax
      | {
          id: (.itemSequenceNumber | text), sku: (.vendorProductIdentifier | text),
          productId: ((.amazonProductIdentifier | text) // (.buyerProductIdentifier | text)),
          name: ((.title | text) // (.vendorProductIdentifier | text) // (.amazonProductIdentifier | text) // (.buyerProductIdentifier | text) // "Item \(.itemSequenceNumber)" | cut(1000)),
          quantity: (if $status == "CANCELLED" then {ordered: $ordered, current: "0", canceled: $ordered}
            elif $status == "SHIPPED" then {ordered: $ordered, current: $ordered, fulfilled: $ordered}
            else {ordered: $ordered, current: $ordered} end),
          unitPrice: $price, tax: $tax, taxLines: $taxes, total: dec_add(dec_mul($price; $ordered); $tax),
          attributes: ({cases: (if ($quantity.unitOfMeasure | word) == "CASES" then $quantity.amount else null end),
            unitSize: $quantity.unitSize, pricePer: (.netCost | object | .unitOfMeasure), listPrice: (.listPrice | amount),
            giftMessage: (.giftDetails | object | .giftMessage | text)} | present)
        }] as $lines
  | ([$lines[] | dec_mul(.unitPrice; .quantity.ordered)] | dec_sum) as $subtotal
  | ([$details.taxTotal | vendor_tax[] | .taxAmount | amount | values] | if . == [] then [$lines[].tax] else . end | dec_sum) as $tax
  | ([$details | .purchaseOrderChangedDate, .purchaseOrderStateChangedDate, (.purchaseOrderDate // .orderDate) | time | values] | max_by(micros)) as $updated
  | {
      sourceOrderId: (.purchaseOrderNumber | text), version: ($updated | micros), number: (.purchaseOrderNumber | text),
      kind: "RETAIL", channel: (if $details.purchaseOrderDate then "Amazon Vendor" else "Amazon Direct Fulfillment" end),
      status: ($status | lookup(vendor_statuses)), paymentStatus: "UNKNOWN",
      fulfillmentStatus: ($status | lookup(vendor_fulfillments)),
      native: {state: $state}, currency: $currency, pricesIncludeTax: false,
      times: ({updatedAt: $updated, placedAt: ($details.purchaseOrderDate // $details.orderDate | time)} | compact),
      customer: (($details.buyingParty // $details.billToParty | object | {id: (.partyId | text), name: (.address | object | .name | text)} | compact) | if . == {} then null else . end),
      billingAddress: ($details.billToParty | vendor_address),
      shippingAddress: ($details.shipToParty | vendor_address),
      lines: ($lines | map(compact)),
      totals: {subtotal: $subtotal, tax: $tax, total: dec_add($subtotal; $tax)},
      taxLines: [if $tax | is_zero then empty else {title: "Tax", amount: $tax} end],
      notes: [$details.shipmentDetails | object | .messageToCustomer | text | values | {text: ., customerVisible: true}],
      attributes: ({
        purchaseOrderType: $details.purchaseOrderType, paymentMethod: $details.paymentMethod, shipWindow: ($details.shipWindow // .shipWindow),
        deliveryWindow: ($details.deliveryWindow // .deliveryWindow), dealCode: $details.dealCode, customerOrderNumber: $details.customerOrderNumber,
        shipMethod: ($details.shipmentDetails | object | .shipMethod), shipBy: ($details.shipmentDetails | object | .shipmentDates | object | .requiredShipDate),
        sellingParty: ($details.sellingParty | object | .partyId), shipFromParty: ($details.shipFromParty | object | .partyId),
        shipToParty: ($details.shipToParty | object | .partyId), itemsMissing: (if $items == [] then true else null end)
      } | present)
    } | compact + {sourceOrderId, currency};

if type != "object" then {sourceOrderId: null}
elif .purchaseOrderNumber != null and (.orderDetails | type) == "object" then vendor_order
elif .AmazonOrderId != null and .OrderStatus != null then v0_order | seller_order
elif .orderId != null and .createdTime != null then seller_order
# A part of an order, a notice of a change, a shipment, a return.
else {sourceOrderId: null} end
