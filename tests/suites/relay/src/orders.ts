// What a Relay front end asks for. The compiler proves that the schema keeps Relay's rules: connections that page,
// objects that are found again by `node`, types that match.
import { graphql } from 'relay-runtime';

export const OrdersQuery = graphql`
  query ordersQuery($first: Int!, $after: String) {
    ...orders_list @arguments(first: $first, after: $after)
  }
`;

export const OrderList = graphql`
  fragment orders_list on Query
  @refetchable(queryName: "ordersPageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" }) {
    orders(first: $first, after: $after) @connection(key: "orders_list_orders") {
      edges {
        node {
          id
          ...orders_order
        }
      }
    }
  }
`;

export const OrderCard = graphql`
  fragment orders_order on Order @refetchable(queryName: "ordersOrderRefetchQuery") {
    id
    number
    status
    totals {
      total {
        amount
        currencyCode
      }
    }
  }
`;

export const OrderByNode = graphql`
  query ordersNodeQuery($id: ID!) {
    node(id: $id) {
      __typename
      id
      ...orders_order @alias(as: "order")
    }
  }
`;

export const OrderChanges = graphql`
  subscription ordersChangedSubscription {
    orderChanged {
      order {
        ...orders_order
      }
    }
  }
`;
