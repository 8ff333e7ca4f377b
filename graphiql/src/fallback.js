// Entry of the page that was built without npm: the same page over the pinned global builds of a CDN.
import { start } from './page.js';

const { GraphiQL, React, ReactDOM, graphqlWs } = globalThis;
start({
  createElement: React.createElement,
  render: (element, node) => ReactDOM.createRoot(node).render(element),
  GraphiQL,
  createClient: graphqlWs.createClient,
});
